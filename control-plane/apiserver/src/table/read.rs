//! Small readers of objects for cells: absent and of another type are the same, as for a Go struct.

use serde_json::Value;

pub(crate) const NONE: &str = "<none>";

/// The text at a path, empty when absent.
pub(crate) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// The integer at a path, 0 when absent.
pub(crate) fn int(object: &Value, path: &[&str]) -> i64 {
    at(object, path).as_i64().unwrap_or(0)
}

/// The elements at a path, none when absent.
pub(crate) fn list<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).as_array().map_or(&[], Vec::as_slice)
}

/// The value at a path, null when absent.
pub(crate) fn at<'a>(object: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(object, |value, key| value.get(*key).unwrap_or(&Value::Null))
}

/// `<none>` for nothing.
pub(crate) fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { text.to_owned() }
}

/// Number of members of a map or list.
pub(crate) fn count(object: &Value, path: &[&str]) -> usize {
    match at(object, path) {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    }
}

/// A LabelSelector as selectors are written.
pub(crate) fn selector(selector: &Value) -> String {
    match dormouse_machinery::selector::Selector::from_label_selector(selector) {
        Ok(selector) => or_none(&selector.to_string()),
        Err(_) => "<error>".to_owned(),
    }
}

/// Names and images of the containers of a Pod template, comma-separated.
pub(crate) fn containers(spec: &Value, field: &str) -> String {
    let parts: Vec<&str> = list(spec, &["containers"]).iter().map(|c| text(c, &[field])).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_print_as_they_are_written() {
        assert_eq!(selector(&Value::Null), "<none>");
        assert_eq!(selector(&json!({})), "<none>");
        let one = json!({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "DoesNotExist"}]});
        assert_eq!(selector(&one), "a=1,b=2,c in (x,y),!d");
    }
}
