//! Replies in the forms of Go's standard library, which the peer's programs have and its users read.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Plain text, as it is.
pub(crate) fn text(status: StatusCode, body: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, PLAIN)], body.into()).into_response()
}

/// `OK` and a line end.
pub(crate) fn ok() -> Response {
    text(StatusCode::OK, "OK\n")
}

/// What the standard helper makes of an error: a line of text that browsers may not interpret.
pub(crate) fn error(status: StatusCode, message: impl AsRef<str>) -> Response {
    let mut response = text(status, format!("{}\n", message.as_ref()));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// JSON text.
pub(crate) fn json(body: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// No such path.
pub(crate) fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "404 page not found")
}

/// The path exists, for `allowed` only.
pub(crate) fn not_allowed(allowed: &'static str, message: &str) -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, message);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Whether a route for GET takes the method, or the reply that says it does not.
pub(crate) fn only_get(method: &Method) -> Result<(), Box<Response>> {
    if matches!(*method, Method::GET | Method::HEAD) { Ok(()) } else { Err(Box::new(not_allowed("GET, HEAD", "Method Not Allowed"))) }
}

/// As [`only_get`] for POST.
pub(crate) fn only_post(method: &Method) -> Result<(), Box<Response>> {
    if *method == Method::POST { Ok(()) } else { Err(Box::new(not_allowed("POST", "Method Not Allowed"))) }
}
