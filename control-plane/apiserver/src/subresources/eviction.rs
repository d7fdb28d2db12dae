//! `eviction` of Pods: a delete that whoever drains a node asks for. There are no disruption budgets here to ask.

use futures::FutureExt;
use http::Response;
use serde_json::json;
use std::future::ready;

use crate::handler::{Call, DeleteOptions, codec, remove};
use crate::object::meta_str;
use crate::registry::{Answer, Handler, Subresource, Verb};
use crate::{ApiError, Body};

impl Subresource {
    /// The `eviction` subresource.
    pub(crate) fn eviction() -> Self {
        Self::foreign("eviction", "policy", "v1", "Eviction", Verb::CREATE, Evict)
    }
}

struct Evict;

impl Handler for Evict {
    fn handle<'a>(&'a self, call: &'a mut Call, _: Verb) -> Answer<'a> {
        ready(evict(call)).boxed()
    }
}

fn evict(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let (dry_run, _) = call.params.write_options("CreateOptions")?;
    let eviction = codec::foreign(call, "policy/v1", "Eviction")?;
    let name = meta_str(&eviction, "name");
    if !name.is_empty() && name != call.info.name {
        return Err(ApiError::bad_request(format!("name in URL does not match name in Eviction object: {} != {name}", call.info.name)));
    }
    let wanted = eviction.get("deleteOptions").filter(|o| !o.is_null()).cloned().unwrap_or_else(|| json!({}));
    let mut options = DeleteOptions::from_value(&wanted)?;
    options.dry_run |= dry_run;
    remove(call, &options)?;
    Ok(call.created())
}
