//! Replies in the peer's forms.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::validate::{Problem, Refusal};

/// A JSON reply in compact form, members in the order of the type's fields.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// `{"detail":"<text>"}`.
pub(crate) fn detail(status: StatusCode, text: &str) -> Response {
    json(status, &json!({"detail": text}))
}

/// As [`detail`], with the reason as a word for programs.
pub(crate) fn detail_because(status: StatusCode, text: &str, reason: &str) -> Response {
    json(status, &json!({"detail": text, "reason": reason}))
}

/// 422 with its list.
pub(crate) fn problems(problems: Vec<Problem>) -> Response {
    #[derive(Serialize)]
    struct Body {
        detail: Vec<Problem>,
    }
    json(StatusCode::UNPROCESSABLE_ENTITY, &Body { detail: problems })
}

/// What a refused body is answered with.
pub(crate) fn refusal(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Problems(list) => problems(list),
        Refusal::Unparsable => detail(StatusCode::BAD_REQUEST, "There was an error parsing the body"),
    }
}
