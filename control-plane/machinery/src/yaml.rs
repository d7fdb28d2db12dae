//! YAML to JSON and back, as Kubernetes' programs do it.
//!
//! YAML is a way to write JSON here: scalars get their type by the rules of YAML 1.1 that manifests rely on
//! (`0644` is a file mode, `yes` a boolean), keys are strings, anchors and merge keys are resolved. Sizes and
//! nesting are bounded. Two readings of a repeated key exist: the lenient one keeps the last value, the
//! strict one refuses the document.

use std::fmt;

use serde::Deserialize as _;
use serde_json::{Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::go;

/// Nesting that is accepted, flow style or block style. Schemas of Pod templates in definitions, the deepest
/// documents there are, need about 40; in an unoptimised build each level takes 25 kB of stack.
const MAX_DEPTH: usize = 56;

/// Why a text is no YAML: `yaml: line N: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// The line, from 1; 0 when the text has none, as in bad UTF-8.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "yaml: {}", self.message),
            line => write!(f, "yaml: line {line}: {}", self.message),
        }
    }
}

impl std::error::Error for YamlError {}

/// The first document; the last of repeated keys counts. An empty text is null.
pub fn from_str(text: &str) -> Result<Value, YamlError> {
    first(text, DuplicateKeyPolicy::LastWins)
}

/// The first document; repeated keys are refused.
pub fn from_str_strict(text: &str) -> Result<Value, YamlError> {
    first(text, DuplicateKeyPolicy::Error)
}

/// [`from_str`] for bytes, which must be UTF-8.
pub fn from_slice(bytes: &[u8]) -> Result<Value, YamlError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => from_str(text),
        Err(_) => Err(YamlError { line: 0, message: "control characters are not allowed".to_owned() }),
    }
}

/// All documents but empty ones; the last of repeated keys counts.
pub fn documents(text: &str) -> Result<Vec<Value>, YamlError> {
    let all: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options(DuplicateKeyPolicy::LastWins)).map_err(|e| error(&e))?;
    Ok(all.into_iter().map(whole_numbers).collect())
}

/// JSON as YAML in block style, ending in a line break.
pub fn to_string(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    // Every JSON value can be written; were it not so, JSON is YAML.
    serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| format!("{}\n", go::json(value)))
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> serde_saphyr::Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: duplicate_keys,
        with_snippet: false,
        emit_comments: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH },
    }
}

fn first(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Value, YamlError> {
    let mut document = None;
    let result = serde_saphyr::with_deserializer_from_str_with_options(text, options(duplicate_keys), |deserializer| {
        document = Some(Value::deserialize(deserializer)?);
        Ok(())
    });
    match (document, result) {
        // What comes after the first document does not matter.
        (Some(value), _) => Ok(whole_numbers(value)),
        (None, Ok(())) => Ok(Value::Null),
        (None, Err(e)) => Err(error(&e)),
    }
}

/// Numbers such as `1.0` and `1e3` are integers: Kubernetes writes them as JSON without a point and reads that.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number)),
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, whole_numbers(value))).collect(),
        other => other,
    }
}

#[allow(clippy::cast_possible_truncation)] // whole and in range
fn whole(number: Number) -> Number {
    match number.as_f64() {
        Some(f) if number.is_f64() && f.fract() == 0.0 && f.abs() < 9_223_372_036_854_775_808.0 => Number::from(f as i64),
        _ => number,
    }
}

fn error(e: &serde_saphyr::Error) -> YamlError {
    let plain = e.without_snippet();
    let Some(location) = e.location() else {
        return YamlError { line: 0, message: plain.to_string() };
    };
    if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = plain {
        return YamlError { line: location.line(), message: format!("key {} already set in map", go::quote(key)) };
    }
    let text = plain.to_string();
    let suffix = format!(" at line {}, column {}", location.line(), location.column());
    YamlError { line: location.line(), message: text.strip_suffix(&suffix).unwrap_or(&text).to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars() {
        for (text, value) in [
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("012", json!(10)),
            ("09", json!(9)),
            ("1.0", json!(1)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            ("-5", json!(-5)),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("~", json!(null)),
            ("null", json!(null)),
            ("'yes'", json!("yes")),
            ("\"0644\"", json!("0644")),
            ("2001-01-01", json!("2001-01-01")),
            ("2001-01-01T00:00:00Z", json!("2001-01-01T00:00:00Z")),
            ("12:30", json!("12:30")),
            ("1Gi", json!("1Gi")),
            ("!!str 5", json!("5")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("12345678901234567890123", json!(12_345_678_901_234_567_890_123.0)),
        ] {
            assert_eq!(from_str(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn documents_of_a_stream() {
        assert_eq!(from_str(""), Ok(Value::Null));
        assert_eq!(from_str("# nothing\n"), Ok(Value::Null));
        assert_eq!(from_str("---\na: 1\n---\nb: 2\n"), Ok(json!({"a": 1})));
        assert_eq!(from_str("a: 1\n---\n{not yaml"), Ok(json!({"a": 1})));
        assert_eq!(from_str("---\n---\na: 1\n"), Ok(Value::Null));
        assert_eq!(documents("---\na: 1\n---\n# nothing\n---\nb: 2\n"), Ok(vec![json!({"a": 1}), json!({"b": 2})]));
    }

    #[test]
    fn repeated_keys() {
        assert_eq!(from_str("a: 1\nb: 2\na: 3\n"), Ok(json!({"a": 3, "b": 2})));
        assert_eq!(from_str_strict("a: 1\nb: 2\na: 3\n").unwrap_err().to_string(), "yaml: line 3: key \"a\" already set in map");
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in [("a: b: c", 1), ("a: 1\n b: 2", 2), ("x: *nope", 1), ("a: \"x", 1)] {
            assert_eq!(from_str(text).unwrap_err().line, line, "{text:?}");
        }
        assert_eq!(from_str("a: b: c").unwrap_err().to_string(), "yaml: line 1: mapping values are not allowed in this context");
        assert!(from_slice(b"\xff").is_err());
    }

    #[test]
    fn bombs_and_towers_are_refused() {
        let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned()
            + &(b'b'..=b'z')
                .map(|c| (char::from(c), char::from(c - 1)))
                .fold(String::new(), |s, (c, p)| s + &format!("{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n"));
        assert!(from_str(&bomb).is_err());
        assert!(from_str(&"[".repeat(10_000)).is_err());
        assert!(from_str(&"- ".repeat(10_000)).is_err());
    }

    #[test]
    fn writing() {
        let value = json!({"b": "0644", "a": {"list": [1, {"x": true, "y": []}], "empty": {}}, "n": null, "t": "one\ntwo\n", "no": "no", "l": "word ".repeat(40)});
        let text = to_string(&value);
        assert_eq!(
            text,
            format!(
                "a:\n  empty: {{}}\n  list:\n  - 1\n  - x: true\n    \"y\": []\nb: \"0644\"\nl: \"{}\"\n\"n\": null\n\"no\": \"no\"\nt: |\n  one\n  two\n",
                "word ".repeat(40)
            )
        );
        assert_eq!(from_str(&text), Ok(value));
    }
}
