//! Request bodies to objects.
//!
//! A body is decoded against the structure of its kind in one pass: what comes out is what a real server
//! would print for it. Unknown and duplicate members become warnings or a refusal, as the request wants.

use bytes::Bytes;
use dormouse_machinery::schema::{self, TypeRef};
use dormouse_machinery::{go, patch, protobuf, strict, yaml};
use http::header::CONTENT_TYPE;
use serde_json::Value;
use strict::StrictError;

use crate::ApiError;
use crate::registry::{Kind, Object, Schema};

use super::Call;
use super::params::FieldValidation;

/// Types of bodies that creates and updates accept.
const BODIES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// The Go name of `metadata`.
const OBJECT_META: &str = "k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta";

/// The media type of a header, without parameters.
pub(crate) fn media_type(header: &str) -> &str {
    header.split(';').next().unwrap_or("").trim()
}

/// What a body is written in.
enum Form {
    Json,
    Yaml,
    Protobuf,
}

fn form(content_type: &str) -> Result<Form, ApiError> {
    match media_type(content_type) {
        "" | "application/json" | "*/*" => Ok(Form::Json),
        "application/yaml" => Ok(Form::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Form::Protobuf),
        _ => Err(ApiError::unsupported_media_type(BODIES)),
    }
}

/// The type of a built-in kind.
pub(crate) fn type_of(kind: &Kind) -> Option<TypeRef> {
    matches!(kind.schema, Schema::Builtin).then(|| schema::kind(&kind.group, &kind.version, &kind.kind)).flatten()
}

/// The body of a create or update as an object of the row's kind.
pub(crate) fn body(call: &mut Call, validation: FieldValidation) -> Result<Object, ApiError> {
    let content_type = super::header(&call.parts, &CONTENT_TYPE).unwrap_or("");
    decode(&call.kind, content_type, &call.body, validation, &mut call.warnings)
}

fn decode(
    kind: &Kind,
    content_type: &str,
    body: &Bytes,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Object, ApiError> {
    let form = form(content_type)?;
    let typed = type_of(kind);
    let (value, problems) = match (form, typed) {
        (Form::Json, Some(ty)) => match strict::decode(ty, body) {
            Ok(decoded) => (decoded.value, decoded.strict),
            Err(strict::Error::Syntax(why)) => return Err(unreadable(kind, &why, body)),
            Err(strict::Error::Type(why)) => {
                // Another kind's body has wrong types too, but that is not what is wrong with it.
                if let Ok((Value::Object(object), _)) = strict::parse_json(body) {
                    check_type(kind, &object)?;
                }
                return Err(cannot_be_handled(kind, &why));
            }
        },
        (Form::Json, None) => strict::parse_json(body).map_err(|why| unreadable(kind, &why, body))?,
        (Form::Yaml, ty) => {
            let value = from_yaml(kind, body)?;
            match ty {
                Some(ty) => typed_value(kind, ty, &value)?,
                None => (value, Vec::new()),
            }
        }
        (Form::Protobuf, Some(ty)) => (from_protobuf(kind, ty, body)?, Vec::new()),
        (Form::Protobuf, None) => return Err(ApiError::unsupported_media_type(&BODIES[..2])),
    };
    let Value::Object(mut object) = value else {
        return Err(ApiError::bad_request(format!("the object provided is unrecognized (must be of type {})", kind.kind)));
    };
    if typed.is_some() {
        default_type(kind, &mut object);
    }
    check_type(kind, &object)?;
    let mut problems = texts(&problems);
    problems.extend(trim(kind, &mut object)?);
    judge(kind, problems, validation, warnings)?;
    Ok(object)
}

/// An object that a patch has made, as if it had come as a body.
pub(crate) fn redecode(kind: &Kind, object: Object, validation: FieldValidation, warnings: &mut Vec<String>) -> Result<Object, ApiError> {
    let value = Value::Object(object);
    let (value, problems) = match type_of(kind) {
        Some(ty) => typed_value(kind, ty, &value)?,
        None => (value, Vec::new()),
    };
    let Value::Object(mut object) = value else { return Err(ApiError::bad_request("the patched document is no object")) };
    let mut problems = texts(&problems);
    problems.extend(trim(kind, &mut object)?);
    judge(kind, problems, validation, warnings)?;
    Ok(object)
}

fn typed_value(kind: &Kind, ty: TypeRef, value: &Value) -> Result<(Value, Vec<StrictError>), ApiError> {
    match strict::decode_value(ty, value) {
        Ok(decoded) => Ok((decoded.value, decoded.strict)),
        Err(why) => {
            if let Value::Object(object) = value {
                check_type(kind, object)?;
            }
            Err(cannot_be_handled(kind, &why))
        }
    }
}

fn texts(problems: &[StrictError]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// Warns of the problems, or refuses the body for them.
fn judge(kind: &Kind, problems: Vec<String>, validation: FieldValidation, warnings: &mut Vec<String>) -> Result<(), ApiError> {
    match validation {
        _ if problems.is_empty() => {}
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.extend(problems),
        FieldValidation::Strict => return Err(cannot_be_handled(kind, &format!("strict decoding error: {}", problems.join(", ")))),
    }
    Ok(())
}

/// Takes out of a custom resource what its schema does not know, and brings its metadata into canonical form. Answers what
/// was taken: metadata first. Built-in kinds are trimmed already.
fn trim(kind: &Kind, object: &mut Object) -> Result<Vec<String>, ApiError> {
    if matches!(kind.schema, Schema::Builtin) {
        return Ok(Vec::new());
    }
    let mut unknown = Vec::new();
    if let (Some(metadata), Some(ty)) = (object.get_mut("metadata"), schema::named(OBJECT_META)) {
        let decoded = strict::decode_at(ty, "metadata", metadata).map_err(|why| cannot_be_handled(kind, &why))?;
        unknown.extend(texts(&decoded.strict));
        *metadata = decoded.value;
    }
    if let Schema::Structural(version) = &kind.schema {
        let mut value = Value::Object(std::mem::take(object));
        let pruned = version.prune(&mut value);
        unknown.extend(pruned.into_iter().map(|path| format!("unknown field {}", go::quote(&path))));
        if let Value::Object(pruned) = value {
            *object = pruned;
        }
    }
    Ok(unknown)
}

fn cannot_be_handled(kind: &Kind, why: &dyn std::fmt::Display) -> ApiError {
    let name = &kind.kind;
    ApiError::bad_request(format!("{name} in version \"{}\" cannot be handled as a {name}: {why}", kind.version))
}

fn unreadable(kind: &Kind, why: &dyn std::fmt::Display, body: &[u8]) -> ApiError {
    let text = String::from_utf8_lossy(body);
    let shown: String = text.chars().take(1024).collect();
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {why} ({shown})",
        kind.kind
    ))
}

/// A body of a built-in kind may leave its type out.
fn default_type(kind: &Kind, object: &mut Object) {
    let missing = |o: &Object, field: &str| o.get(field).and_then(Value::as_str).unwrap_or("").is_empty();
    if missing(object, "apiVersion") && missing(object, "kind") {
        object.insert("apiVersion".to_owned(), kind.api_version().into());
        object.insert("kind".to_owned(), kind.kind.clone().into());
    }
}

/// Checks that a body is of the row's version and kind.
pub(crate) fn check_type(kind: &Kind, object: &Object) -> Result<(), ApiError> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or("");
    let version = text("apiVersion");
    if !kind.is_api_version(version) {
        let expected = kind.api_version();
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if text("kind") != kind.kind {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({}) does not match the expected kind ({})",
            text("kind"),
            kind.kind
        )));
    }
    Ok(())
}

fn from_yaml(kind: &Kind, body: &[u8]) -> Result<Value, ApiError> {
    yaml::from_slice(body).map_err(|why| {
        let name = &kind.kind;
        ApiError::bad_request(format!("the object provided is unrecognized (must be of type {name}): couldn't get version/kind; {why}"))
    })
}

fn from_protobuf(kind: &Kind, ty: TypeRef, body: &[u8]) -> Result<Value, ApiError> {
    let broken =
        |why: protobuf::Error| ApiError::bad_request(format!("the object provided is unrecognized (must be of type {}): {why}", kind.kind));
    let envelope = protobuf::envelope(body).map_err(broken)?;
    let mut named = Object::new();
    named.insert("apiVersion".to_owned(), envelope.api_version.into());
    named.insert("kind".to_owned(), envelope.kind.into());
    default_type(kind, &mut named);
    check_type(kind, &named)?;
    let mut object = protobuf::decode_message(ty, envelope.raw).map_err(broken)?;
    object.append(&mut named);
    Ok(Value::Object(object))
}

/// JSON bytes as YAML; `None` when they are no JSON, and they are answered as they are.
pub(crate) fn to_yaml(json: &[u8]) -> Option<String> {
    serde_json::from_slice(json).ok().map(|value: Value| yaml::to_string(&value))
}

/// Applies a strategic merge patch to an object of a built-in kind.
pub(crate) fn strategic(kind: &Kind, document: Value, patch: &Value) -> Result<Value, ApiError> {
    let Some(ty) = type_of(kind) else { return Err(ApiError::internal("a strategic merge patch needs a built-in kind")) };
    patch::strategic::apply(ty, document, patch.clone()).map_err(|why| ApiError::bad_request(why.to_string()))
}

/// A body that is no object of the row: of a delete or of a subresource.
fn other(content_type: &str, body: &Bytes, api_version: &str, kind: &str) -> Result<Value, ApiError> {
    let unrecognized = |why: &dyn std::fmt::Display| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {why}"
        ))
    };
    let ty = schema::of(api_version, kind);
    let value = match (form(content_type)?, ty) {
        (Form::Json, _) => strict::parse_json(body).map_err(|why| unrecognized(&why))?.0,
        (Form::Yaml, _) => yaml::from_slice(body).map_err(|why| unrecognized(&why))?,
        (Form::Protobuf, Some(ty)) => {
            let envelope = protobuf::envelope(body).map_err(|why| unrecognized(&why))?;
            let mut object = protobuf::decode_message(ty, envelope.raw).map_err(|why| unrecognized(&why))?;
            object.insert("apiVersion".to_owned(), envelope.api_version.into());
            object.insert("kind".to_owned(), envelope.kind.into());
            return Ok(Value::Object(object));
        }
        (Form::Protobuf, None) => return Err(ApiError::unsupported_media_type(BODIES)),
    };
    if !value.is_object() {
        return Err(unrecognized(&"not an object"));
    }
    Ok(value)
}

/// The body of a delete.
pub(crate) fn delete_options(content_type: &str, body: &Bytes) -> Result<Value, ApiError> {
    let value = other(content_type, body, "v1", "DeleteOptions")?;
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("");
    // Any group may stand in front of it: clients write `v1` or the group that they delete in.
    if !matches!(text("kind"), "" | "DeleteOptions") {
        return Err(ApiError::bad_request(format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            go::quote(text("kind")),
            go::quote(text("apiVersion"))
        )));
    }
    Ok(value)
}

/// The body of a subresource that exchanges another kind.
pub(crate) fn foreign(call: &Call, api_version: &str, kind: &str) -> Result<Object, ApiError> {
    let value = other(call.content_type(), &call.body, api_version, kind)?;
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    if !text("kind").is_empty() && text("kind") != kind {
        return Err(ApiError::bad_request(format!("the kind in the data ({}) does not match the expected kind ({kind})", text("kind"))));
    }
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(ApiError::internal("checked to be an object")),
    }
}
