//! Errors as a client sees them: `metav1.Status`, worded as the errors package of Kubernetes words them.
//!
//! Every failure of the server is an [`ApiError`]. Who raises one picks the constructor that names the
//! case; reason, code, message and details follow from it, so that `IsNotFound` and its siblings in every
//! client work.

use dormouse_machinery::field::FieldError;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// One cause inside the details of an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// Machine-readable reason, for instance `FieldValueInvalid`; empty when there is none.
    pub reason: String,
    /// What is wrong, without the field.
    pub message: String,
    /// Path of the field; empty when there is none.
    pub field: String,
}

/// The `details` of an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group.
    pub group: String,
    /// Plural of the resource or Kind, depending on the case.
    pub kind: String,
    /// UID of the object.
    pub uid: String,
    /// Single causes.
    pub causes: Vec<Cause>,
    /// Seconds after which a client may try again; 0 for no advice.
    pub retry_after_seconds: u32,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub code: StatusCode,
    /// `reason` of the Status; empty when the case has none.
    pub reason: &'static str,
    /// Message for people.
    pub message: String,
    /// Details, when the case has them.
    pub details: Option<Box<Details>>,
}

/// `resource.group`, or the resource alone for the core group.
#[must_use]
pub fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

impl ApiError {
    /// An error without details.
    #[must_use]
    pub fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// 404 for an object. `resource` is the plural.
    #[must_use]
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{} \"{name}\" not found", qualified(resource, group)))
            .with_details(Details::of(group, resource, name))
    }

    /// 404 for a path that the server does not have.
    #[must_use]
    pub fn no_such_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource").with_details(Details::default())
    }

    /// 409 for a name that is taken.
    #[must_use]
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "AlreadyExists", format!("{} \"{name}\" already exists", qualified(resource, group)))
            .with_details(Details::of(group, resource, name))
    }

    /// 409 for an object that is not as the client thinks. `kind` is the plural, or the Kind for
    /// preconditions of a delete.
    #[must_use]
    pub fn conflict(group: &str, kind: &str, name: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(kind, group));
        Self::new(StatusCode::CONFLICT, "Conflict", message).with_details(Details::of(group, kind, name))
    }

    /// 409 for a stale resourceVersion.
    #[must_use]
    pub fn stale(group: &str, resource: &str, name: &str) -> Self {
        Self::conflict(group, resource, name, "the object has been modified; please apply your changes to the latest version and try again")
    }

    /// 422 for an object with wrong fields. Causes keep duplicates; the message shows each text once and,
    /// when only one is left, without brackets.
    #[must_use]
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(causes.len());
        for cause in &causes {
            let text = if cause.field.is_empty() { cause.message.clone() } else { format!("{}: {}", cause.field, cause.message) };
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{name}\" is invalid: {list}", qualified(kind, group));
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).with_details(Details { causes, ..Details::of(group, kind, name) })
    }

    /// 422 from the problems that validation found.
    #[must_use]
    pub fn invalid_fields(group: &str, kind: &str, name: &str, problems: &[FieldError]) -> Self {
        let causes = problems
            .iter()
            .map(|p| {
                let cause = p.to_cause();
                Cause { reason: cause.reason, message: cause.message, field: cause.field }
            })
            .collect();
        Self::invalid(group, kind, name, causes)
    }

    /// 403. `resource` is the plural; an empty name is left out of the message.
    #[must_use]
    pub fn forbidden(group: &str, resource: &str, name: &str, why: impl std::fmt::Display) -> Self {
        let what = qualified(resource, group);
        let message = match (what.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} \"{name}\" is forbidden: {why}"),
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).with_details(Details::of(group, resource, name))
    }

    /// 401.
    #[must_use]
    pub fn unauthorized(why: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", if why.is_empty() { "not authorized" } else { why })
    }

    /// 400.
    #[must_use]
    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", why)
    }

    /// 415; `accepted` lists the types that would do.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!("the body of the request was in an unknown format - accepted media types include: {}", accepted.join(", "));
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 406; `offered` lists the types that the server can answer in.
    #[must_use]
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", offered.join(", "));
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 410 for a version that the server no longer knows.
    #[must_use]
    pub fn expired(why: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", why)
    }

    /// 413.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 504.
    #[must_use]
    pub fn timeout(why: impl std::fmt::Display, retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", format!("Timeout: {why}"))
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    /// 500 with reason, for faults of the server.
    #[must_use]
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", format!("Internal error occurred: {why}"))
            .with_details(Details { causes: vec![Cause { message: why, ..Cause::default() }], ..Details::default() })
    }

    /// 500 without reason: what a real server makes of errors that it does not classify.
    #[must_use]
    pub fn unclassified(why: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", why)
    }

    /// The `Status` object.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.to_value();
        }
        status
    }
}

impl Details {
    /// Details that only name something.
    #[must_use]
    pub fn of(group: &str, kind: &str, name: &str) -> Self {
        Self { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), ..Self::default() }
    }

    fn to_value(&self) -> Value {
        let mut out = Map::new();
        let mut put = |key: &str, text: &str| {
            if !text.is_empty() {
                out.insert(key.to_owned(), json!(text));
            }
        };
        put("name", &self.name);
        put("group", &self.group);
        put("kind", &self.kind);
        put("uid", &self.uid);
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::to_value).collect();
            out.insert("causes".to_owned(), Value::Array(causes));
        }
        if self.retry_after_seconds > 0 {
            out.insert("retryAfterSeconds".to_owned(), json!(self.retry_after_seconds));
        }
        Value::Object(out)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        for (key, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                out.insert(key.to_owned(), json!(text));
            }
        }
        Value::Object(out)
    }
}

/// The `Status` that answers a delete which removed the object.
#[must_use]
pub fn deleted(group: &str, resource: &str, name: &str, uid: &str) -> Value {
    let details = Details { uid: uid.to_owned(), ..Details::of(group, resource, name) };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details.to_value()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_each_problem_once() {
        let cause = |field: &str| Cause { reason: "FieldValueInvalid".into(), message: "bad".into(), field: field.into() };
        let twice = ApiError::invalid("g", "K", "n", vec![cause("a"), cause("a")]);
        assert_eq!(twice.message, "K.g \"n\" is invalid: a: bad");
        assert_eq!(twice.details.unwrap().causes.len(), 2);
        let two = ApiError::invalid("", "K", "n", vec![cause("a"), cause("b")]);
        assert_eq!(two.message, "K \"n\" is invalid: [a: bad, b: bad]");
    }

    #[test]
    fn empty_members_are_left_out() {
        let status = ApiError::timeout("slow", 0).to_value();
        assert_eq!(status["details"], json!({}));
        assert_eq!(ApiError::bad_request("x").to_value().get("details"), None);
    }
}
