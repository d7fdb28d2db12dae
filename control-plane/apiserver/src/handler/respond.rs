//! Answers as HTTP.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{ApiError, Body};

use super::negotiate::{Accept, Encoding, Form};
use super::{Call, object_from};

static JSON: HeaderValue = HeaderValue::from_static("application/json");
static YAML: HeaderValue = HeaderValue::from_static("application/yaml");
static TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// JSON bytes as an answer.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    with_type(status, body, &JSON)
}

fn with_type(status: StatusCode, body: impl Into<Body>, content_type: &HeaderValue) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
    response
}

/// A stream of watch events.
pub(crate) fn events(body: Body) -> Response<Body> {
    with_type(StatusCode::OK, body, &JSON)
}

/// Plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    with_type(status, body, &TEXT)
}

/// What a server says about a path that it does not have.
pub(crate) fn page_not_found() -> Response<Body> {
    let mut response = text(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

/// A problem as a `Status`.
pub(crate) fn error(error: &ApiError) -> Response<Body> {
    let mut response = json(error.code, error.to_value().to_string().into());
    if let Some(details) = &error.details
        && details.retry_after_seconds > 0
    {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(details.retry_after_seconds));
    }
    response
}

/// One value in the encoding that the client accepts.
pub(crate) fn value(accept: Accept, status: StatusCode, value: &Value) -> Response<Body> {
    encoded(accept, status, value.to_string().into())
}

/// JSON bytes in the encoding that the client accepts.
pub(crate) fn encoded(accept: Accept, status: StatusCode, body: Bytes) -> Response<Body> {
    if accept.encoding == Encoding::Yaml
        && let Some(yaml) = super::codec::to_yaml(&body)
    {
        return with_type(status, yaml, &YAML);
    }
    json(status, body)
}

/// One object, stored bytes in the row's version, in the form that the client accepts.
pub(crate) fn object(call: &Call, status: StatusCode, bytes: Bytes) -> Result<Response<Body>, ApiError> {
    Ok(match call.accept.form {
        Form::Object => encoded(call.accept, status, bytes),
        Form::Metadata(version) => encoded(call.accept, status, partial(&bytes, version)?.into()),
        Form::Table(version) => {
            let object = Value::Object(object_from(&bytes)?);
            let metadata = list_metadata(object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or(""));
            let table = crate::table::render(&call.kind, version, &[object], metadata, call.accept.include, true, call.now);
            value(call.accept, status, &table)
        }
    })
}

/// The metadata of a list without continuation.
pub(crate) fn list_metadata(version: &str) -> Value {
    if version.is_empty() { serde_json::json!({}) } else { serde_json::json!({"resourceVersion": version}) }
}

/// The object's metadata as a PartialObjectMetadata, without parsing what is in it.
pub(crate) fn partial(bytes: &[u8], version: &str) -> Result<String, ApiError> {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    let head: Head<'_> = serde_json::from_slice(bytes).map_err(|e| ApiError::internal(format!("stored object cannot be read: {e}")))?;
    Ok(format!("{{\"apiVersion\":\"meta.k8s.io/{version}\",\"kind\":\"PartialObjectMetadata\",\"metadata\":{}}}", head.metadata.get()))
}

/// Adds `Warning` headers.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    /// What a real server sends at most, in bytes.
    const LIMIT: usize = 4096;
    let mut sent: Vec<&str> = Vec::new();
    let mut size = 0;
    for warning in warnings {
        if sent.contains(&warning.as_str()) {
            continue;
        }
        sent.push(warning);
        let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
        size += text.len();
        if size > LIMIT {
            return;
        }
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(HeaderName::from_static("warning"), header);
        }
    }
}
