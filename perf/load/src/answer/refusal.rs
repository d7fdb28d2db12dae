//! An error object, wherever it comes: in a stream, behind content, as a whole body, says perf contract 0.2 item 23.

use serde_json::Value;

/// A server says that it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A status of HTTP, where it gives one.
    pub code: Option<u16>,
    /// Its own word for the kind of error.
    pub class: Option<String>,
    /// In its words.
    pub message: String,
}

impl Refusal {
    /// The error that this answer is, if it is one.
    #[must_use]
    pub fn of(answer: &Value) -> Option<Self> {
        let of = |error: &Value, also: &Value| {
            let member = |key: &str| error.get(key).or_else(|| also.get(key)).filter(|value| !value.is_null());
            let code = ["code", "status", "status_code"].into_iter().find_map(|key| member(key)?.as_u64());
            let class = ["type", "error_type", "code"].into_iter().find_map(|key| member(key)?.as_str().filter(|class| *class != "error"));
            let words = || ["message", "msg", "detail"].into_iter().find_map(|key| error.get(key)?.as_str());
            Self {
                code: code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code)),
                class: class.map(str::to_owned),
                message: error.as_str().or_else(words).map_or_else(|| error.to_string(), str::to_owned),
            }
        };
        let nothing = |value: &&Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Array(members) => members.is_empty(),
            _ => false,
        };
        let error = answer.get("error").filter(|error| !nothing(error));
        // A response that failed says so within.
        let failed = || answer.get("response").and_then(|response| response.get("error")).filter(|error| !nothing(error));
        if let Some(error) = error.or_else(failed) {
            // What an error that is a text alone leaves out stands beside it.
            return Some(of(error, if error.is_string() { answer } else { &Value::Null }));
        }
        let is_error = ["object", "type"].into_iter().any(|key| answer.get(key).is_some_and(|kind| kind == "error"));
        if is_error {
            return Some(of(answer, &Value::Null));
        }
        let failed = answer.get("type").is_some_and(|kind| kind == "response.failed");
        failed.then(|| Self { code: None, class: None, message: "response.failed".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_of_many_servers() {
        for (answer, code, class, message) in [
            (
                json!({"error": {"message": "died", "type": "InternalServerError", "code": 500}}),
                Some(500),
                Some("InternalServerError"),
                "died",
            ),
            (json!({"error": {"message": "died", "code": "overloaded"}}), None, Some("overloaded"), "died"),
            (json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}), None, Some("overloaded_error"), "busy"),
            (json!({"error": "no", "error_type": "x"}), None, Some("x"), "no"),
            (json!({"error": {"detail": [1]}}), None, None, "{\"detail\":[1]}"),
            (json!({"error": true}), None, None, "true"),
            (json!({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}), Some(400), Some("BadRequestError"), "m"),
            (json!({"type": "error", "code": "x", "message": "m"}), None, Some("x"), "m"),
            (
                json!({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "m"}}}),
                None,
                Some("server_error"),
                "m",
            ),
            (json!({"type": "response.failed", "response": {"error": null}}), None, None, "response.failed"),
            (json!({"error": {"message": "m", "code": 200}, "choices": []}), None, None, "m"),
        ] {
            let refusal = Refusal::of(&answer).unwrap();
            assert_eq!((refusal.code, refusal.class.as_deref(), refusal.message.as_str()), (code, class, message), "{answer}");
        }
        for good in [
            json!({"error": null}),
            json!({"error": {}}),
            json!({"error": ""}),
            json!({"error": false}),
            json!([]),
            json!({"object": "list"}),
        ] {
            assert_eq!(Refusal::of(&good), None, "{good}");
        }
    }
}
