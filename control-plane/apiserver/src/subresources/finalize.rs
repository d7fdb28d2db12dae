//! `finalize` of namespaces: the only way to write their `spec`, by which the namespace controller says that the content is
//! gone.

use futures::FutureExt;
use http::{Response, StatusCode};
use std::future::ready;

use crate::handler::{self, Call, Next, Part, codec, respond, transact};
use crate::object::meta_str;
use crate::registry::{Answer, Handler, Subresource, Verb};
use crate::{ApiError, Body};

impl Subresource {
    /// The `finalize` subresource of `kind`.
    pub(crate) fn finalize(kind: &str) -> Self {
        Self::own("finalize", kind, &[Verb::Update], Finalize)
    }
}

struct Finalize;

impl Handler for Finalize {
    fn handle<'a>(&'a self, call: &'a mut Call, _: Verb) -> Answer<'a> {
        ready(finalize(call)).boxed()
    }
}

fn finalize(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let (dry_run, validation) = call.params.write_options("UpdateOptions")?;
    let wanted = codec::body(call, validation)?;
    if meta_str(&wanted, "name") != call.info.name {
        return Err(handler::name_mismatch(meta_str(&wanted, "name"), &call.info.name));
    }
    let settled = transact(call, dry_run, Part::Whole, |call, old, stored| {
        handler::check_uid(call, &wanted, stored)?;
        handler::check_version(call, &wanted, stored)?;
        let mut new = old.clone();
        match wanted.get("spec") {
            Some(spec) => drop(new.insert("spec".to_owned(), spec.clone())),
            None => drop(new.remove("spec")),
        }
        Ok(Next::Write(new))
    })?;
    respond::object(call, StatusCode::OK, settled.bytes)
}
