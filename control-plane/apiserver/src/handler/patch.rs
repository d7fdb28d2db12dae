//! PATCH: a change computed from the object that is there.

use bytes::Bytes;
use dormouse_machinery::field::FieldError;
use dormouse_machinery::patch::{json, merge};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::object::meta_str;
use crate::registry::{Kind, Object, Schema};
use crate::status::Details;
use crate::{ApiError, Body};

use super::params::FieldValidation;
use super::update::{Next, Part, transact};
use super::{Call, codec, create, respond};

/// Server-side apply, which comes with a later issue.
const APPLY: &str = "application/apply-patch+yaml";

/// A patch, read once and applied as often as needed.
pub(crate) enum Patch {
    Json(json::Patch),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    /// Reads the body of a PATCH by its content type.
    pub(crate) fn read(kind: &Kind, content_type: &str, body: &Bytes) -> Result<Self, ApiError> {
        let typed = matches!(kind.schema, Schema::Builtin);
        match codec::media_type(content_type) {
            "application/json-patch+json" => {
                json::Patch::from_slice(body).map(Self::Json).map_err(|e| ApiError::bad_request(e.to_string()))
            }
            "application/merge-patch+json" => merge_document(body).map(Self::Merge),
            "application/strategic-merge-patch+json" if typed => merge_document(body).map(Self::Strategic),
            other => {
                let mut accepted = vec!["application/json-patch+json", "application/merge-patch+json"];
                if typed {
                    accepted.push("application/strategic-merge-patch+json");
                }
                // Every recorded server names it; who asks for it hears that this one does not have it yet.
                if other != APPLY {
                    accepted.push(APPLY);
                }
                Err(ApiError::unsupported_media_type(&accepted))
            }
        }
    }

    /// The patched object.
    pub(crate) fn apply(&self, kind: &Kind, object: &Object) -> Result<Object, ApiError> {
        let document = Value::Object(object.clone());
        let patched = match self {
            Self::Json(patch) => patch.apply(document).map_err(|_| {
                let text = "the server rejected our request due to an error in our request";
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text).with_details(Details::default())
            })?,
            Self::Merge(patch) => {
                let mut document = document;
                merge::apply(&mut document, patch);
                document
            }
            Self::Strategic(patch) => codec::strategic(kind, document, patch)?,
        };
        match patched {
            Value::Object(object) => Ok(object),
            _ => Err(ApiError::bad_request("the patched document is no object")),
        }
    }
}

fn merge_document(body: &Bytes) -> Result<Value, ApiError> {
    let value: Value = serde_json::from_slice(body).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(ApiError::bad_request("error decoding patch: the patch must be an object")) }
}

/// Changes a part of the named object as the body says.
pub(crate) fn patch(call: &mut Call, part: Part) -> Result<Response<Body>, ApiError> {
    let (dry_run, validation) = call.params.write_options("PatchOptions")?;
    let patch = Patch::read(&call.kind, call.content_type(), &call.body)?;
    let settled = transact(call, dry_run, part, |call, old, stored| {
        let new = patch.apply(&call.kind, old)?;
        let mut warnings = Vec::new();
        let new = reread(call, new, validation, &mut warnings)?;
        let version = meta_str(&new, "resourceVersion");
        if !matches!(version, "" | "0") && version != stored.revision().to_string() {
            return Err(ApiError::stale(&call.kind.group, &call.kind.plural, &call.info.name));
        }
        call.warnings = warnings;
        Ok(Next::Write(new))
    })?;
    respond::object(call, StatusCode::OK, settled.bytes)
}

/// Looks at a patched object as if it had come as a body.
fn reread(call: &Call, object: Object, validation: FieldValidation, warnings: &mut Vec<String>) -> Result<Object, ApiError> {
    let kind = &call.kind;
    let object = codec::redecode(kind, object, validation, warnings)?;
    let name = meta_str(&object, "name");
    if name != call.info.name {
        return Err(create::name_mismatch(name, &call.info.name));
    }
    let namespace = meta_str(&object, "namespace");
    if namespace != call.namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
            call.namespace
        )));
    }
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or("");
    let (version, this) = (text("apiVersion"), text("kind"));
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let mut problems = Vec::new();
    if this != kind.kind {
        problems.push(FieldError::invalid("kind", this, format!("must be {}", kind.kind)));
    }
    let expected = kind.api_version();
    if version != expected {
        problems.push(FieldError::invalid("apiVersion", version, format!("must be {expected}")));
    }
    if problems.is_empty() { Ok(object) } else { Err(ApiError::invalid_fields(group, this, name, &problems)) }
}
