//! `scale`: the number of replicas of whatever has one, seen as an autoscaling/v1 Scale.

use dormouse_machinery::field::FieldError;
use dormouse_machinery::selector::Selector;
use dormouse_store::Stored;
use futures::FutureExt;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use std::future::ready;

use super::PART;
use crate::handler::{Call, Next, Part, Patch, check_uid, check_version, codec, name_mismatch, not_allowed, respond, transact};
use crate::object::{at, meta, meta_str, parse_bytes, set_at};
use crate::registry::{Answer, Handler, Object, Subresource, Verb};
use crate::{ApiError, Body};

impl Subresource {
    /// The `scale` subresource of a kind whose counts are at these paths.
    #[must_use]
    pub fn scale(paths: ScalePaths) -> Self {
        Self::foreign("scale", "autoscaling", "v1", "Scale", PART, paths)
    }
}

/// Where replica counts live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// Path of the wanted count, dotted, for instance `.spec.replicas`.
    pub spec_replicas: String,
    /// Path of the present count.
    pub status_replicas: String,
    /// Path of the selector: a string, or a LabelSelector for built-in kinds.
    pub selector: Option<String>,
}

impl Handler for ScalePaths {
    fn handle<'a>(&'a self, call: &'a mut Call, verb: Verb) -> Answer<'a> {
        ready(match verb {
            Verb::Get => call.object().and_then(|object| answer(call, &self.view(&object)?)),
            Verb::Update => self.put(call),
            Verb::Patch => self.patch(call),
            _ => Err(not_allowed()),
        })
        .boxed()
    }
}

impl ScalePaths {
    /// Where built-in kinds have them.
    #[must_use]
    pub fn replicas() -> Self {
        Self {
            spec_replicas: "spec.replicas".to_owned(),
            status_replicas: "status.replicas".to_owned(),
            selector: Some("spec.selector".to_owned()),
        }
    }

    /// The object as a Scale.
    fn view(&self, object: &Object) -> Result<Object, ApiError> {
        let mut metadata = serde_json::Map::new();
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = meta(object, field) {
                metadata.insert(field.to_owned(), value.clone());
            }
        }
        let count = |path: &str| at(object, path).and_then(Value::as_i64).unwrap_or(0);
        let wanted = count(&self.spec_replicas);
        let mut status = json!({"replicas": count(&self.status_replicas)});
        let selector = match self.selector.as_deref().and_then(|p| at(object, p)) {
            Some(Value::String(text)) => text.clone(),
            Some(selector) => Selector::from_label_selector(selector).map(|s| s.to_string()).unwrap_or_default(),
            None => String::new(),
        };
        if !selector.is_empty() {
            status["selector"] = selector.into();
        }
        let spec = if wanted == 0 { json!({}) } else { json!({"replicas": wanted}) };
        let scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status});
        match scale {
            Value::Object(scale) => Ok(scale),
            _ => Err(ApiError::internal("a Scale is an object")),
        }
    }

    fn put(&self, call: &mut Call) -> Result<Response<Body>, ApiError> {
        let (dry_run, _) = call.params.write_options("UpdateOptions")?;
        let scale = codec::foreign(call, "autoscaling/v1", "Scale")?;
        check(call, &scale)?;
        self.write(call, dry_run, |call, _, stored| {
            check_uid(call, &scale, stored)?;
            Ok(scale.clone())
        })
    }

    fn patch(&self, call: &mut Call) -> Result<Response<Body>, ApiError> {
        let (dry_run, _) = call.params.write_options("PatchOptions")?;
        // A Scale has no lists: its strategic merge patch is a merge patch.
        let content_type = match codec::media_type(call.content_type()) {
            "application/strategic-merge-patch+json" if !call.kind.custom => "application/merge-patch+json",
            other => other,
        };
        let patch = Patch::read(&call.kind, content_type, &call.body)?;
        self.write(call, dry_run, |call, present, stored| {
            let scale = patch.apply(&call.kind, present)?;
            check(call, &scale)?;
            patched_uid(call, &scale, stored)?;
            Ok(scale)
        })
    }

    fn write(
        &self,
        call: &mut Call,
        dry_run: bool,
        mut next: impl FnMut(&Call, &Object, &Stored) -> Result<Object, ApiError>,
    ) -> Result<Response<Body>, ApiError> {
        let settled = transact(call, dry_run, Part::Main, |call, old, stored| {
            let scale = next(call, &self.view(old)?, stored)?;
            if !matches!(meta_str(&scale, "resourceVersion"), "" | "0") {
                check_version(call, &scale, stored)?;
            }
            let replicas = at(&scale, "spec.replicas").and_then(Value::as_i64).unwrap_or(0);
            let mut new = old.clone();
            set_at(&mut new, &self.spec_replicas, replicas.into());
            Ok(Next::Write(new))
        })?;
        answer(call, &self.view(&parse_bytes(&settled.bytes)?)?)
    }
}

fn answer(call: &Call, scale: &Object) -> Result<Response<Body>, ApiError> {
    let bytes = serde_json::to_vec(scale).map_err(ApiError::internal)?;
    respond::object(call, StatusCode::OK, bytes.into())
}

/// A patch may name the UID that it means. A real server says it in other words than for an update, and names the Kind of a
/// custom resource where it names the subresource of others.
fn patched_uid(call: &Call, scale: &Object, stored: &Stored) -> Result<(), ApiError> {
    let (asked, have) = (meta_str(scale, "uid"), &*stored.meta().uid);
    if asked.is_empty() || asked == have {
        return Ok(());
    }
    let kind = &call.kind;
    let what = if kind.custom { kind.kind.clone() } else { format!("{}/scale", kind.plural) };
    let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {have}");
    Err(ApiError::conflict(&kind.group, &what, &call.info.name, why))
}

fn check(call: &Call, scale: &Object) -> Result<(), ApiError> {
    let name = meta_str(scale, "name");
    if name != call.info.name {
        return Err(name_mismatch(name, &call.info.name));
    }
    let wanted = at(scale, "spec.replicas").filter(|v| !v.is_null());
    match wanted.map(Value::as_i64) {
        None => Ok(()),
        Some(Some(n)) if (0..=i64::from(i32::MAX)).contains(&n) => Ok(()),
        Some(Some(n)) => {
            let problem = FieldError::invalid("spec.replicas", n, "must be greater than or equal to 0");
            Err(ApiError::invalid_fields("autoscaling", "Scale", name, &[problem]))
        }
        Some(None) => Err(ApiError::bad_request("Scale in version \"v1\" cannot be handled as a Scale: spec.replicas must be an integer")),
    }
}
