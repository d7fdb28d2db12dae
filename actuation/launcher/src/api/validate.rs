//! Checking of input, with the peer's error bodies. PURE.
//!
//! Status 422 carries `{"detail":[{"type","loc","msg","input","ctx"?},…]}`, one entry per problem in the order of the
//! fields' declaration. No coercion: a number is no string. Unknown members are ignored.

use serde::Serialize;
use serde_json::{Value, json};

use super::pyjson;
use crate::instance::Config;

/// One problem.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Problem {
    r#type: &'static str,
    loc: Vec<Value>,
    msg: String,
    input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    ctx: Option<Value>,
}

/// Why input is refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// 422.
    Problems(Vec<Problem>),
    /// 400: bytes that are no text, or nested too deeply.
    Unparsable,
}

const MUST_BE_STRING: (&str, &str) = ("string_type", "Input should be a valid string");

fn problem(kind: (&'static str, &str), loc: &[&dyn ToLoc], input: Value) -> Problem {
    Problem { r#type: kind.0, loc: loc.iter().map(|l| l.to_loc()).collect(), msg: kind.1.to_owned(), input, ctx: None }
}

trait ToLoc {
    fn to_loc(&self) -> Value;
}
impl ToLoc for &str {
    fn to_loc(&self) -> Value {
        json!(self)
    }
}
impl ToLoc for String {
    fn to_loc(&self) -> Value {
        json!(self)
    }
}
impl ToLoc for usize {
    fn to_loc(&self) -> Value {
        json!(self)
    }
}

/// The body of a creation. `content_type` is the header's value.
pub(crate) fn body(content_type: Option<&str>, bytes: &[u8]) -> Result<Config, Refusal> {
    let one = |p| Refusal::Problems(vec![p]);
    if bytes.is_empty() {
        return Err(one(problem(("missing", "Field required"), &[&"body"], Value::Null)));
    }
    let no_object = ("model_attributes_type", "Input should be a valid dictionary or object to extract fields from");
    if !content_type.is_none_or(is_json) {
        return Err(one(problem(no_object, &[&"body"], json!(String::from_utf8_lossy(bytes)))));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Unparsable)?;
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => {
            let Some((at, error)) = pyjson::first_problem(text).filter(|(_, m)| *m != "Too deeply nested") else {
                return Err(Refusal::Unparsable);
            };
            let mut p = problem(("json_invalid", "JSON decode error"), &[&"body", &at], json!({}));
            p.ctx = Some(json!({"error": error}));
            return Err(one(p));
        }
    };
    match &value {
        Value::Null => return Err(one(problem(("missing", "Field required"), &[&"body"], Value::Null))),
        Value::Object(_) => {}
        _ => return Err(one(problem(no_object, &[&"body"], value))),
    }
    let mut problems = Vec::new();
    options(&value, &mut problems);
    uuids(value.get("gpu_uuids"), &mut problems);
    strings("env_vars", value.get("env_vars"), &mut problems);
    strings("annotations", value.get("annotations"), &mut problems);
    if !problems.is_empty() {
        return Err(Refusal::Problems(problems));
    }
    // From the text, because a `Value` has lost the order of members; a repeated member needs the `Value`.
    serde_json::from_str(text).or_else(|_| serde_json::from_value(value)).map_err(|_| Refusal::Unparsable)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|sub| sub == "json" || sub.ends_with("+json"))
}

fn options(body: &Value, problems: &mut Vec<Problem>) {
    match body.get("options") {
        None => problems.push(problem(("missing", "Field required"), &[&"body", &"options"], body.clone())),
        Some(Value::String(s)) if s.contains('\0') => {
            problems.push(problem(NO_NUL, &[&"body", &"options"], json!(s)));
        }
        Some(Value::String(_)) => {}
        Some(other) => problems.push(problem(MUST_BE_STRING, &[&"body", &"options"], other.clone())),
    }
}

fn uuids(value: Option<&Value>, problems: &mut Vec<Problem>) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) => {
            for (i, item) in items.iter().enumerate().filter(|(_, v)| !v.is_string()) {
                problems.push(problem(MUST_BE_STRING, &[&"body", &"gpu_uuids", &i], item.clone()));
            }
        }
        Some(other) => problems.push(problem(("list_type", "Input should be a valid list"), &[&"body", &"gpu_uuids"], other.clone())),
    }
}

/// What the operating system cannot pass to a program is refused here rather than found out by the engine.
const NO_NUL: (&str, &str) = ("value_error", "Value error, a NUL character cannot be passed to a program");
const NO_NAME: (&str, &str) = ("value_error", "Value error, not a valid name of an environment variable");

fn strings(field: &'static str, value: Option<&Value>, problems: &mut Vec<Problem>) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Object(members)) => {
            for (name, value) in members {
                let loc: [&dyn ToLoc; 3] = [&"body", &field, name];
                match value {
                    Value::String(s) if field == "env_vars" => {
                        if name.is_empty() || name.contains(['=', '\0']) {
                            problems.push(problem(NO_NAME, &loc, json!(name)));
                        } else if s.contains('\0') {
                            problems.push(problem(NO_NUL, &loc, value.clone()));
                        }
                    }
                    Value::String(_) => {}
                    other => problems.push(problem(MUST_BE_STRING, &loc, other.clone())),
                }
            }
        }
        Some(other) => problems.push(problem(("dict_type", "Input should be a valid dictionary"), &[&"body", &field], other.clone())),
    }
}

/// The ID of a new instance: 1 to 200 of letters, digits, `.`, `_`, `-` and blank, not starting with a dot or blank; and not
/// `watch`, whose path is the event stream's.
pub(crate) fn id(id: &str) -> Result<(), Problem> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b' ');
    if id == "watch" {
        return Err(problem(("value_error", "Value error, this name is reserved"), &[&"path", &"instance_id"], json!(id)));
    }
    if (1..=200).contains(&id.len()) && id.bytes().all(allowed) && !id.starts_with(['.', ' ']) {
        return Ok(());
    }
    let pattern = "^[A-Za-z0-9_-][A-Za-z0-9._ -]{0,199}$";
    let mut p = problem(("string_pattern_mismatch", ""), &[&"path", &"instance_id"], json!(id));
    p.msg = format!("String should match pattern '{pattern}'");
    p.ctx = Some(json!({"pattern": pattern}));
    Err(p)
}

/// Query parameters; of repeated ones the last counts.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// A boolean in any of the peer's spellings.
    pub(crate) fn bool(&self, name: &'static str, default: bool) -> Result<bool, Problem> {
        let Some(text) = self.get(name) else { return Ok(default) };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" | "t" => Ok(true),
            "false" | "0" | "no" | "n" | "off" | "f" => Ok(false),
            _ => {
                let kind = ("bool_parsing", "Input should be a valid boolean, unable to interpret input");
                Err(problem(kind, &[&"query", &name], json!(text)))
            }
        }
    }

    /// An integer; what does not fit is cut to the nearest that does.
    pub(crate) fn int(&self, name: &'static str) -> Result<Option<i128>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let trimmed = text.trim();
        let (sign, digits) = match trimmed.as_bytes().first() {
            Some(b'-') => (-1, &trimmed[1..]),
            Some(b'+') => (1, &trimmed[1..]),
            _ => (1, trimmed),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            let kind = ("int_parsing", "Input should be a valid integer, unable to parse string as an integer");
            return Err(problem(kind, &[&"query", &name], json!(text)));
        }
        Ok(Some(sign * digits.parse::<i128>().unwrap_or(i128::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(content_type: Option<&str>, text: &str) -> Value {
        match body(content_type, text.as_bytes()).unwrap_err() {
            Refusal::Problems(p) => serde_json::to_value(p).unwrap(),
            Refusal::Unparsable => json!("unparsable"),
        }
    }

    /// The table of error bodies.
    #[test]
    fn error_bodies() {
        let j = Some("application/json");
        let dict = "Input should be a valid dictionary";
        let no_object = "Input should be a valid dictionary or object to extract fields from";
        let string = "Input should be a valid string";
        let cases = [
            (j, "", json!([{"type":"missing","loc":["body"],"msg":"Field required","input":null}])),
            (j, "null", json!([{"type":"missing","loc":["body"],"msg":"Field required","input":null}])),
            (j, "{}", json!([{"type":"missing","loc":["body","options"],"msg":"Field required","input":{}}])),
            (j, r#"{"options":5}"#, json!([{"type":"string_type","loc":["body","options"],"msg":string,"input":5}])),
            (
                j,
                "{bad",
                json!([{"type":"json_invalid","loc":["body",1],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting property name enclosed in double quotes"}}]),
            ),
            (j, "[]", json!([{"type":"model_attributes_type","loc":["body"],"msg":no_object,"input":[]}])),
            (Some("text/plain"), "{}", json!([{"type":"model_attributes_type","loc":["body"],"msg":no_object,"input":"{}"}])),
            (
                None,
                r#"{"gpu_uuids":"x","env_vars":[1],"annotations":{"a":null}}"#,
                json!([
                    {"type":"missing","loc":["body","options"],"msg":"Field required","input":{"gpu_uuids":"x","env_vars":[1],"annotations":{"a":null}}},
                    {"type":"list_type","loc":["body","gpu_uuids"],"msg":"Input should be a valid list","input":"x"},
                    {"type":"dict_type","loc":["body","env_vars"],"msg":dict,"input":[1]},
                    {"type":"string_type","loc":["body","annotations","a"],"msg":string,"input":null},
                ]),
            ),
            (
                j,
                r#"{"options":"x","gpu_uuids":["a",1]}"#,
                json!([{"type":"string_type","loc":["body","gpu_uuids",1],"msg":string,"input":1}]),
            ),
            (
                j,
                r#"{"options":"x","env_vars":{"A":1}}"#,
                json!([{"type":"string_type","loc":["body","env_vars","A"],"msg":string,"input":1}]),
            ),
        ];
        for (content_type, text, expected) in cases {
            assert_eq!(refused(content_type, text), expected, "{text}");
        }
        assert_eq!(body(j, &[b'"', 0xff, b'"']), Err(Refusal::Unparsable));
        assert_eq!(refused(j, &"[".repeat(100_000)), json!("unparsable"));
        assert_eq!(refused(j, r#"{"options":"x","env_vars":{"A=B":"x"}}"#)[0]["loc"], json!(["body", "env_vars", "A=B"]));
        assert_eq!(refused(j, r#"{"options":"a\u0000"}"#)[0]["type"], "value_error");
    }

    #[test]
    fn accepted_bodies() {
        let got = body(Some("Application/JSON; charset=utf-8"), br#"{"options":"x","env_vars":{"Z":"1","A":"2"},"extra":1}"#).unwrap();
        assert_eq!(got.env_vars.unwrap().0[0].0, "Z", "order is kept");
        let twice = body(Some("application/vnd.x+json"), br#"{"options":"x","options":"y"}"#).unwrap();
        assert_eq!(twice.options, "y");
    }

    #[test]
    fn ids() {
        for good in ["a", "a b", "I-_9i", &"x".repeat(200)] {
            assert!(id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", " a", "a/b", "é", "a\n", "watch", &"x".repeat(201)] {
            assert_eq!(serde_json::to_value(id(bad).unwrap_err()).unwrap()["loc"], json!(["path", "instance_id"]), "{bad}");
        }
    }

    #[test]
    fn query_parameters() {
        let q = |v: &str| Query::new(vec![("p".into(), "1".into()), ("p".into(), v.into())]);
        for (text, want) in [("FALSE", false), ("off", false), ("T", true), ("Yes", true)] {
            assert_eq!(q(text).bool("p", true).unwrap(), want);
        }
        assert!(Query::default().bool("p", true).unwrap());
        assert_eq!(serde_json::to_value(q("maybe").bool("p", true).unwrap_err()).unwrap()["type"], "bool_parsing");
        for (text, want) in [("5", 5), ("-1", -1), ("+7", 7), (" 8 ", 8)] {
            assert_eq!(q(text).int("p").unwrap(), Some(want));
        }
        assert_eq!(q("9".repeat(60).as_str()).int("p").unwrap(), Some(i128::MAX));
        for bad in ["abc", "", "1.5", "-"] {
            assert_eq!(serde_json::to_value(q(bad).int("p").unwrap_err()).unwrap()["type"], "int_parsing", "{bad}");
        }
    }
}
