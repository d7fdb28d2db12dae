//! The status annotation of a requester (actuation 1.2).

use dormouse_machinery::go;
use serde_json::{Value, json};

/// Text of the annotation: JSON as Go writes it; no errors are `null`, not an empty list.
pub(crate) fn text(errors: &[String]) -> String {
    let errors = if errors.is_empty() { Value::Null } else { json!(errors) };
    go::json(&json!({ "Errors": errors }))
}

/// An error text that the API server gave for an object that it finds invalid, which trying again will not change:
/// `Pod "<name>" is invalid…`.
pub(crate) fn is_invalid_pod(error: &str) -> bool {
    let Some(rest) = error.strip_prefix("Pod \"") else { return false };
    let Some((name, rest)) = rest.split_once('"') else { return false };
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-')) && rest.starts_with(" is invalid")
}

/// What to add to a text about something that was tried in vain: the number of tries, in steps that double, so that a
/// requester's status does not change with each of them (gap `a12`).
pub(crate) fn tries(attempts: u32) -> String {
    let step = 1u32 << (31 - attempts.max(1).leading_zeros());
    if step < 2 { String::new() } else { format!(" (tried {step} times or more)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_texts() {
        assert_eq!(text(&[]), r#"{"Errors":null}"#);
        assert_eq!(text(&["a \"<b>\"".to_owned()]), r#"{"Errors":["a \"\u003cb\u003e\""]}"#);
    }

    #[test]
    fn invalid_pods_are_told_from_other_failures() {
        assert!(is_invalid_pod("Pod \"a-dual-x.y\" is invalid: spec.containers[0].image: Required value"));
        assert!(is_invalid_pod("Pod \"\" is invalid"));
        assert!(!is_invalid_pod("pods \"a\" is forbidden"));
        assert!(!is_invalid_pod("Pod \"A\" is invalid"));
    }

    #[test]
    fn tries_change_seldom() {
        assert_eq!(tries(0), "");
        assert_eq!(tries(1), "");
        assert_eq!(tries(3), tries(2));
        assert_ne!(tries(4), tries(3));
        assert_eq!(tries(u32::MAX), " (tried 2147483648 times or more)");
    }
}
