//! Cells of custom resources: a JSONPath and the type that its column declares.

use dormouse_machinery::jsonpath::{Found, Template};
use jiff::Timestamp;
use serde_json::Value;

use super::age;

/// The path of a printer column, ready to be followed.
pub(super) struct Path<'a> {
    /// `None` for a path that cannot be read; its cells are empty.
    template: Option<Template>,
    kind: &'a str,
}

impl<'a> Path<'a> {
    pub(super) fn new(path: &str, kind: &'a str) -> Self {
        Self { template: Template::column(path).ok(), kind }
    }

    /// The cell: null for what is not there or is not of the column's type.
    pub(super) fn print(&self, object: &Value, now: Timestamp) -> Value {
        let Some(found) = self.template.as_ref().and_then(|t| t.first(object)) else { return Value::Null };
        if found == Found::Value(&Value::Null) {
            return Value::Null;
        }
        let value = match (self.kind, &found) {
            // Whatever it is, it can be written down.
            ("string", found) => return found.text().into(),
            (_, Found::Value(value)) => *value,
            (_, _) => return Value::Null,
        };
        match self.kind {
            "integer" => integer(value),
            "number" if value.is_number() => value.clone(),
            "boolean" if value.is_boolean() => value.clone(),
            "date" if value.is_string() => age::since(value, now).into(),
            _ => Value::Null,
        }
    }
}

/// A number without what stands after its point.
fn integer(value: &Value) -> Value {
    match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => whole.into(),
        #[allow(clippy::cast_possible_truncation, reason = "the point of the conversion; out of range ends at the limits")]
        (None, Some(float)) => (float as i64).into(),
        (None, None) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_have_the_type_of_their_column() {
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let object = json!({"a": 3, "f": 2.7, "s": "x", "b": true, "n": null, "m": {"k": [1]}, "at": "2026-01-01T00:00:00Z",
            "c": [{"type": "Ready", "status": "True"}]});
        let cell = |path: &str, kind: &str| Path::new(path, kind).print(&object, now);
        assert_eq!(cell(".a", "integer"), json!(3));
        assert_eq!(cell(".f", "integer"), json!(2));
        assert_eq!(cell(".f", "number"), json!(2.7));
        assert_eq!(cell(".s", "integer"), Value::Null);
        assert_eq!(cell(".a", "string"), json!("3"));
        assert_eq!(cell(".m", "string"), json!("{\"k\":[1]}"));
        assert_eq!(cell(".b", "boolean"), json!(true));
        assert_eq!(cell(".n", "string"), Value::Null);
        assert_eq!(cell(".missing.deep", "string"), Value::Null);
        assert_eq!(cell(".at", "date"), json!("5m"));
        assert_eq!(cell(".s", "date"), json!("<invalid>"));
        assert_eq!(cell(".c[?(@.type=='Ready')].status", "string"), json!("True"));
        assert_eq!(cell(".[", "string"), Value::Null);
    }
}
