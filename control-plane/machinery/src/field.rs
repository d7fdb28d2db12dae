//! Field errors: what is wrong, where in an object, worded as Kubernetes words it.
//!
//! Every validation of the API server ends in a list of [`FieldError`]s. Each one becomes a cause of the
//! `Status` that the client gets ([`FieldError::to_cause`]), and all together its message ([`aggregate`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::go;

/// A place in an object, such as `spec.ports[0].name` or `metadata.labels[app]`. The root prints as
/// `<nil>`, as the peer's does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The place that `text` names; it is taken as it stands.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The member `name` of the object at this place.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            return Self(name.to_owned());
        }
        Self(format!("{}.{name}", self.0))
    }

    /// The element `index` of the list at this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of the map at this place.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// True for [`Path::root`].
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The text without the `<nil>` of the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Self {
        path.clone()
    }
}

/// What kind of mistake it is; the `reason` of the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorKind {
    /// Something that must be there is not.
    #[serde(rename = "FieldValueRequired")]
    Required,
    /// The value breaks a rule.
    #[serde(rename = "FieldValueInvalid")]
    Invalid,
    /// The value is none of those allowed.
    #[serde(rename = "FieldValueNotSupported")]
    NotSupported,
    /// The value would be right in another situation.
    #[serde(rename = "FieldValueForbidden")]
    Forbidden,
    /// The value is there twice.
    #[serde(rename = "FieldValueDuplicate")]
    Duplicate,
    /// The text is too long.
    #[serde(rename = "FieldValueTooLong")]
    TooLong,
    /// The list or map has too many entries.
    #[serde(rename = "FieldValueTooMany")]
    TooMany,
    /// The value has the wrong type.
    #[serde(rename = "FieldValueTypeInvalid")]
    TypeInvalid,
    /// What the value refers to does not exist.
    #[serde(rename = "FieldValueNotFound")]
    NotFound,
    /// The server could not check.
    #[serde(rename = "InternalError")]
    Internal,
}

impl ErrorKind {
    /// The reason in a cause, such as `FieldValueRequired`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
            Self::Internal => "InternalError",
        }
    }

    /// How a message begins.
    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::Duplicate => "Duplicate value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
            Self::Internal => "Internal error",
        }
    }

    /// Whether messages of this kind show the value.
    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// The value that an error is about.
#[derive(Clone, Debug, PartialEq)]
pub enum BadValue {
    /// Not shown.
    Omitted,
    /// A JSON value, printed as Go prints it.
    Json(Value),
    /// Text that is printed as it stands, for values whose printed form the caller knows better.
    Text(String),
}

impl<T: Into<Value>> From<T> for BadValue {
    fn from(value: T) -> Self {
        Self::Json(value.into())
    }
}

impl BadValue {
    fn text(&self) -> Option<String> {
        match self {
            Self::Omitted => None,
            Self::Json(Value::String(s)) => Some(go::quote(s)),
            Self::Json(Value::Number(n)) => Some(match n.as_f64() {
                Some(f) if n.is_f64() => go::float(f),
                _ => n.to_string(),
            }),
            Self::Json(other) => Some(go::json(other)),
            Self::Text(text) => Some(text.clone()),
        }
    }
}

/// One mistake in an object. `Display` gives `<field>: <message>`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What kind of mistake.
    pub kind: ErrorKind,
    /// Where.
    pub field: Path,
    /// The value, where the message shows one.
    pub value: BadValue,
    /// What would be right; may be empty.
    pub detail: String,
}

/// A cause of a `Status`, in the form in which clients get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Such as `FieldValueRequired`.
    pub reason: String,
    /// The message without the field.
    pub message: String,
    /// The field, `<nil>` for the object itself.
    pub field: String,
}

impl FieldError {
    /// An error of any kind; the functions below are the usual way.
    pub fn new(kind: ErrorKind, field: impl Into<Path>, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self { kind, field: field.into(), value: value.into(), detail: detail.into() }
    }

    /// Something that must be there is not.
    pub fn required(field: impl Into<Path>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, field, BadValue::Omitted, detail)
    }

    /// The value breaks a rule.
    pub fn invalid(field: impl Into<Path>, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, field, value, detail)
    }

    /// The value has the wrong type.
    pub fn type_invalid(field: impl Into<Path>, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TypeInvalid, field, value, detail)
    }

    /// The value is none of `supported`, which is shown in the order given.
    pub fn not_supported<S: AsRef<str>>(field: impl Into<Path>, value: impl Into<BadValue>, supported: &[S]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let list: Vec<String> = supported.iter().map(|s| go::quote(s.as_ref())).collect();
            format!("supported values: {}", list.join(", "))
        };
        Self::new(ErrorKind::NotSupported, field, value, detail)
    }

    /// The value is not allowed here and now.
    pub fn forbidden(field: impl Into<Path>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, field, BadValue::Omitted, detail)
    }

    /// The value is there twice.
    pub fn duplicate(field: impl Into<Path>, value: impl Into<BadValue>) -> Self {
        Self::new(ErrorKind::Duplicate, field, value, "")
    }

    /// The text has more than `max` bytes.
    pub fn too_long(field: impl Into<Path>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(ErrorKind::TooLong, field, BadValue::Omitted, format!("may not be more than {max} {unit}"))
    }

    /// The list or map has `actual` entries, more than `max`.
    pub fn too_many(field: impl Into<Path>, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(ErrorKind::TooMany, field, actual, format!("must have at most {max} {unit}"))
    }

    /// What the value refers to does not exist.
    pub fn not_found(field: impl Into<Path>, value: impl Into<BadValue>) -> Self {
        Self::new(ErrorKind::NotFound, field, value, "")
    }

    /// The server could not check.
    pub fn internal(field: impl Into<Path>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, field, BadValue::Omitted, detail)
    }

    /// The message without the field, as it stands in a cause.
    pub fn message(&self) -> String {
        let mut out = self.kind.words().to_owned();
        if self.kind.shows_value()
            && let Some(value) = self.value.text()
        {
            out.push_str(": ");
            out.push_str(&value);
        }
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }

    /// The cause of a `Status`.
    pub fn to_cause(&self) -> Cause {
        Cause { reason: self.kind.reason().to_owned(), message: self.message(), field: self.field.to_string() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

impl std::error::Error for FieldError {}

/// The causes of a `Status`, duplicates kept.
pub fn causes(errors: &[FieldError]) -> Vec<Cause> {
    errors.iter().map(FieldError::to_cause).collect()
}

/// All errors in one line: without repetitions, in brackets when more than one is left.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        _ => format!("[{}]", texts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_print_as_the_peers() {
        assert_eq!(Path::root().to_string(), "<nil>");
        assert_eq!(Path::root().child("spec").child("l").index(1).child("m").key("k").to_string(), "spec.l[1].m[k]");
        assert_eq!(Path::root().index(0).child("x").to_string(), "[0].x");
    }

    #[test]
    fn messages() {
        let cases = [
            (FieldError::required("spec", ""), "spec: Required value"),
            (FieldError::required("a", "must not be empty"), "a: Required value: must not be empty"),
            (FieldError::invalid("a", 0, "too small"), "a: Invalid value: 0: too small"),
            (FieldError::invalid("a", BadValue::Omitted, "no"), "a: Invalid value: no"),
            (FieldError::invalid(Path::root(), Value::Null, "no"), "<nil>: Invalid value: null: no"),
            (
                FieldError::not_supported("c", "blue", &["red", "green"]),
                "c: Unsupported value: \"blue\": supported values: \"red\", \"green\"",
            ),
            (FieldError::not_supported("c", json!(["Some"]), &["All"]), "c: Unsupported value: [\"Some\"]: supported values: \"All\""),
            (FieldError::forbidden("c", "why"), "c: Forbidden: why"),
            (FieldError::duplicate("m[1]", json!({"key": "a"})), "m[1]: Duplicate value: {\"key\":\"a\"}"),
            (FieldError::too_long("n", 5), "n: Too long: may not be more than 5 bytes"),
            (FieldError::too_many("l", 4, 3), "l: Too many: 4: must have at most 3 items"),
            (FieldError::not_found("r", "x"), "r: Not found: \"x\""),
            (FieldError::internal("r", "x"), "r: Internal error: x"),
            (FieldError::type_invalid("r", "string", "wrong"), "r: Invalid value: \"string\": wrong"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn repeated_errors_stay_causes_but_are_said_once() {
        let error = FieldError::invalid("metadata.uid", "u", "field is immutable");
        let twice = [error.clone(), error.clone()];
        assert_eq!(causes(&twice).len(), 2);
        assert_eq!(aggregate(&twice), error.to_string());
        assert_eq!(aggregate(&[error.clone(), FieldError::required("a", "")]), format!("[{error}, a: Required value]"));
    }

    #[test]
    fn reasons_are_one_list() {
        for kind in [ErrorKind::Required, ErrorKind::NotSupported, ErrorKind::TypeInvalid, ErrorKind::Internal] {
            assert_eq!(serde_json::to_value(kind).unwrap(), json!(kind.reason()));
        }
    }
}
