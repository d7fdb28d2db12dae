//! `scale`: the number of replicas of whatever has one, seen as an autoscaling/v1 Scale.

use bytes::Bytes;
use dormouse_machinery::field::FieldError;
use dormouse_machinery::selector::Selector;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::object::{at, meta, meta_str, parse_bytes, set_at};
use crate::registry::{Kind, Object, ScalePaths};
use crate::{ApiError, Body};

use super::super::patch::Patch;
use super::super::update::{Next, Part, check_version, transact};
use super::super::{Call, codec, create, respond, shown_object};

fn paths(kind: &Kind) -> Result<&ScalePaths, ApiError> {
    kind.scale.as_ref().ok_or_else(ApiError::no_such_resource)
}

/// The object as a Scale.
fn view(kind: &Kind, object: &Object) -> Result<Object, ApiError> {
    let paths = paths(kind)?;
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = meta(object, field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let count = |path: &str| at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let wanted = count(&paths.spec_replicas);
    let mut status = json!({"replicas": count(&paths.status_replicas)});
    let selector = match paths.selector.as_deref().and_then(|p| at(object, p)) {
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

fn answer(call: &Call, object: &[u8]) -> Result<Response<Body>, ApiError> {
    let scale = view(&call.kind, &parse_bytes(object)?)?;
    let bytes = serde_json::to_vec(&scale).map_err(ApiError::internal)?;
    respond::object(call, StatusCode::OK, bytes.into())
}

pub(super) fn get(call: &Call) -> Result<Response<Body>, ApiError> {
    let stored = call.stored()?;
    let object = shown_object(&call.kind, stored.bytes())?;
    let bytes = serde_json::to_vec(&view(&call.kind, &object)?).map_err(ApiError::internal)?;
    respond::object(call, StatusCode::OK, bytes.into())
}

pub(super) fn put(call: &mut Call, body: &Bytes) -> Result<Response<Body>, ApiError> {
    let (dry_run, _) = call.params.write_options("UpdateOptions")?;
    let scale = codec::foreign(call, body, "autoscaling/v1", "Scale")?;
    check(call, &scale)?;
    write(call, dry_run, |_, _| Ok(scale.clone()))
}

pub(super) fn patch(call: &mut Call, body: &Bytes) -> Result<Response<Body>, ApiError> {
    let (dry_run, _) = call.params.write_options("PatchOptions")?;
    // A Scale has no lists: its strategic merge patch is a merge patch.
    let content_type = match codec::media_type(&call.content_type) {
        "application/strategic-merge-patch+json" if !call.kind.custom => "application/merge-patch+json".to_owned(),
        other => other.to_owned(),
    };
    let patch = Patch::read(&call.kind, &content_type, body)?;
    write(call, dry_run, |call, present| {
        let scale = patch.apply(&call.kind, present)?;
        check(call, &scale)?;
        Ok(scale)
    })
}

fn check(call: &Call, scale: &Object) -> Result<(), ApiError> {
    let name = meta_str(scale, "name");
    if name != call.info.name {
        return Err(create::name_mismatch(name, &call.info.name));
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

fn write(
    call: &mut Call,
    dry_run: bool,
    mut next: impl FnMut(&Call, &Object) -> Result<Object, ApiError>,
) -> Result<Response<Body>, ApiError> {
    let outcome = transact(call, dry_run, Part::Main, |call, old, stored| {
        let scale = next(call, &view(&call.kind, old)?)?;
        if !matches!(meta_str(&scale, "resourceVersion"), "" | "0") {
            check_version(call, &scale, stored)?;
        }
        let replicas = at(&scale, "spec.replicas").and_then(Value::as_i64).unwrap_or(0);
        let mut new = old.clone();
        set_at(&mut new, &paths(&call.kind)?.spec_replicas, replicas.into());
        Ok(Next::Write(new))
    })?;
    answer(call, &outcome.bytes)
}
