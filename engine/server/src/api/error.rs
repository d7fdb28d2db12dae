//! Errors in the shape OpenAI's clients and vLLM's users expect: `{"error": {"message", "type", "param", "code"}}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dormouse_engine_client::openai::{ErrorAnswer, ErrorBody};

use crate::engine::EngineError;

/// An error answer.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    type_: &'static str,
    message: String,
    param: Option<&'static str>,
}

impl ApiError {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, type_: "BadRequestError", message: message.into(), param: None }
    }

    /// A bad value of a member.
    pub(super) fn bad_value(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::bad_request(message) }
    }

    /// What vLLM says to a request it cannot parse, and to a bad query.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { type_: "Bad Request", ..Self::bad_request(message) }
    }

    pub(super) fn unknown_model(name: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            type_: "NotFoundError",
            message: format!("The model `{name}` does not exist."),
            param: Some("model"),
        }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, type_: "InternalServerError", message: message.into(), param: None }
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, ..Self::invalid(format!("the request's body is larger than {limit} bytes")) }
    }

    pub(super) fn body(&self) -> ErrorAnswer {
        let (message, param) = (self.message.clone(), self.param.map(Into::into));
        ErrorAnswer { error: ErrorBody { code: self.status.as_u16().into(), message, param, type_: self.type_.into() } }
    }
}

impl From<EngineError> for ApiError {
    fn from(e: EngineError) -> Self {
        let message = e.to_string();
        match e {
            EngineError::Asleep { .. } | EngineError::Full | EngineError::Ending => {
                Self { status: StatusCode::SERVICE_UNAVAILABLE, type_: "ServiceUnavailableError", message, param: None }
            }
            EngineError::Busy | EngineError::Failed(_) => Self::internal(message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
