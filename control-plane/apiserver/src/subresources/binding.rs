//! `binding` of Pods: how a scheduler gives one to a node.

use dormouse_machinery::field::FieldError;
use futures::FutureExt;
use http::Response;
use serde_json::{Value, json};
use std::future::ready;

use crate::handler::{Call, Next, Part, codec, transact};
use crate::object::{at, is_deleting, meta, meta_str, set_at, set_meta, time};
use crate::registry::{Answer, Handler, Subresource, Verb};
use crate::{ApiError, Body};

impl Subresource {
    /// The `binding` subresource.
    pub(crate) fn binding() -> Self {
        Self::own("binding", "Binding", Verb::CREATE, Bind)
    }
}

struct Bind;

impl Handler for Bind {
    fn handle<'a>(&'a self, call: &'a mut Call, _: Verb) -> Answer<'a> {
        ready(bind(call)).boxed()
    }
}

/// Gives the Pod to a node.
fn bind(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let (dry_run, _) = call.params.write_options("CreateOptions")?;
    let binding = codec::foreign(call, "v1", "Binding")?;
    let target = binding.get("target").and_then(Value::as_object).cloned().unwrap_or_default();
    let text = |field: &str| target.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let node = text("name");
    if !matches!(text("kind").as_str(), "" | "Node") {
        let problem = FieldError::not_supported("target.kind", text("kind"), &["Node", "<empty>"]);
        return Err(ApiError::invalid_fields("", "Binding", meta_str(&binding, "name"), &[problem]));
    }
    if node.is_empty() {
        let problem = FieldError::required("target.name", "");
        return Err(ApiError::invalid_fields("", "Binding", meta_str(&binding, "name"), &[problem]));
    }
    let wanted_uid = meta_str(&binding, "uid").to_owned();
    transact(call, dry_run, Part::Whole, |call, old, stored| {
        let name = call.info.name.clone();
        let refuse = |why: String| Err(ApiError::conflict("", "pods/binding", &name, why));
        if !wanted_uid.is_empty() && *wanted_uid != *stored.meta().uid {
            let why = format!("Precondition failed: UID in precondition: {wanted_uid}, UID in object meta: {}", stored.meta().uid);
            return refuse(why);
        }
        if is_deleting(old) {
            return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        if let Some(present) = at(old, "spec.nodeName").and_then(Value::as_str).filter(|n| !n.is_empty()) {
            return refuse(format!("pod {name} is already assigned to node \"{present}\""));
        }
        if at(old, "spec.schedulingGates").and_then(Value::as_array).is_some_and(|g| !g.is_empty()) {
            return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        let mut new = old.clone();
        set_at(&mut new, "spec.nodeName", node.clone().into());
        if let Some(annotations) = meta(&binding, "annotations").and_then(Value::as_object) {
            let mut all = meta(&new, "annotations").and_then(Value::as_object).cloned().unwrap_or_default();
            all.extend(annotations.clone());
            set_meta(&mut new, "annotations", Some(all.into()));
        }
        let mut conditions = at(&new, "status.conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.retain(|c| c.get("type").and_then(Value::as_str) != Some("PodScheduled"));
        conditions.push(json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": time(call.now),
        }));
        set_at(&mut new, "status.conditions", conditions.into());
        Ok(Next::Write(new))
    })?;
    Ok(call.created())
}
