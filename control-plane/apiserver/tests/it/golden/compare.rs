//! The answer of a step against its recording.

use serde_json::{Value, json};

use super::bindings::{Bindings, is_left_out};
use super::step::Step;
use super::wire::Answer;

/// Where a difference of nothing but the order of causes is.
pub(super) const ORDER_OF_CAUSES: &str = "/response/details/causes?order";

/// A place where the answers differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    /// Where in the step, as a pointer.
    pub(super) path: String,
    pub(super) what: String,
    /// What was recorded there, when it is a text.
    pub(super) wanted: String,
    pub(super) got: String,
}

impl Difference {
    pub(super) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), wanted: String::new(), got: String::new() }
    }
}

/// Compares; `sets` names the lists whose order means nothing.
pub(super) fn compare(step: Step<'_>, mut answer: Answer, sets: &[&str], bindings: &mut Bindings) -> Vec<Difference> {
    let mut out = Vec::new();
    if step.status() != u64::from(answer.status) {
        out.push(Difference::new("/status", format!("wanted {}, got {}: {}", step.status(), answer.status, answer.body)));
    }
    if let Some(prefix) = step.request("body")["metadata"]["generateName"].as_str() {
        let name = |answer: &Value| answer["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let (recorded, ours) = (name(step.response()), name(&answer.body));
        match ours.strip_prefix(prefix) {
            Some(suffix) if suffix.len() == 5 => bindings.bind_name(&recorded, &ours),
            _ => out.push(Difference::new("/response/metadata/name", format!("{ours:?} was not made of {prefix:?}"))),
        }
    }
    if step.is_setup() {
        // What the answer binds is of use, what it says is not compared.
        differences(step.response(), &answer.body, "", bindings, &mut Vec::new());
        return out;
    }
    let mut recorded = step.0.clone();
    reduce(&recorded["response"], &mut answer.body);
    for set in sets {
        sort(&mut recorded, set);
        sort(&mut answer.headers, set);
        sort(&mut answer.body, set);
    }
    let headers = recorded["headers"].as_object();
    for (header, wanted) in headers.into_iter().flatten() {
        differences(wanted, &answer.headers[header], &format!("/headers/{header}"), bindings, &mut out);
    }
    if recorded["headers"]["warning"].is_null() && !answer.headers["warning"].is_null() {
        out.push(Difference::new("/headers/warning", format!("not wanted: {}", answer.headers["warning"])));
    }
    if let Some(names) = recorded.get("names") {
        let got: Vec<&Value> = answer.body["items"].as_array().into_iter().flatten().map(|i| &i["metadata"]["name"]).collect();
        differences(names, &json!(got), "/names", bindings, &mut out);
    }
    if recorded.get_mut("response").is_some_and(|response| sort_alike(response, &mut answer.body)) {
        out.push(Difference::new(ORDER_OF_CAUSES, "the same causes in another order"));
    }
    for field in ["response", "events"] {
        if let Some(wanted) = recorded.get(field) {
            differences(wanted, &answer.body, &format!("/{field}"), bindings, &mut out);
        }
    }
    if let Some(calls) = recorded["calls"].as_array().filter(|calls| !calls.is_empty()) {
        out.push(Difference::new("/calls", format!("{} calls of a webhook wanted, none made", calls.len())));
    }
    out
}

/// Where causes differ in nothing but their order, sorts them on both sides and says so.
fn sort_alike(recorded: &mut Value, got: &mut Value) -> bool {
    let causes = |value: &Value| value["details"]["causes"].as_array().cloned();
    let (Some(mut theirs), Some(mut ours)) = (causes(recorded), causes(got)) else { return false };
    if theirs == ours {
        return false;
    }
    theirs.sort_by_key(Value::to_string);
    ours.sort_by_key(Value::to_string);
    if theirs == ours {
        sort(recorded, "causes");
        sort(got, "causes");
    }
    theirs == ours
}

/// OpenAPI documents are recorded in part: names only, or the schemas alone.
fn reduce(recorded: &Value, got: &mut Value) {
    if recorded.get("schemas").is_some() && got.get("schemas").is_none() && got["components"]["schemas"].is_object() {
        got["schemas"] = got["components"]["schemas"].take();
    }
    for part in ["paths", "schemas"] {
        if let (Some(true), Some(names)) = (recorded.get(part).map(Value::is_array), got[part].as_object()) {
            got[part] = names.keys().cloned().collect();
        }
    }
    let document = recorded.is_object() && recorded.get("kind").is_none();
    if let (true, Some(names)) = (document, recorded.as_object())
        && let Some(members) = got.as_object_mut()
        && members.contains_key("openapi") | members.contains_key("swagger")
    {
        members.retain(|name, _| names.contains_key(name));
    }
}

/// Puts the lists called `set` into one order wherever they are: headers, causes (with the message's parts), members.
fn sort(value: &mut Value, set: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let named = key == set || (set == "warnings" && key == "warning");
                match value {
                    Value::Array(items) if named => {
                        items.sort_by_key(|item| item["name"].as_str().map_or_else(|| item.to_string(), str::to_owned));
                    }
                    Value::String(message) if set == "causes" && key == "message" => {
                        let mut parts: Vec<&str> = message.trim_end_matches(']').split(", ").flat_map(|part| part.split(": [")).collect();
                        parts.sort_unstable();
                        *message = parts.join(", ");
                    }
                    _ => {}
                }
                sort(value, set);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|value| sort(value, set)),
        _ => {}
    }
}

/// Adds to `out` where `actual` is not what `expected` says.
pub(super) fn differences(expected: &Value, actual: &Value, path: &str, bindings: &mut Bindings, out: &mut Vec<Difference>) {
    if is_left_out(expected) {
        return;
    }
    match (expected, actual) {
        (Value::String(e), Value::String(a)) => {
            if !bindings.matches(e, a) {
                let what = format!("\n    wanted {e:?}\n    got    {a:?}");
                out.push(Difference { path: path.to_owned(), what, wanted: e.clone(), got: a.clone() });
            }
        }
        (Value::Array(e), Value::Array(a)) => {
            if e.len() != a.len() {
                out.push(Difference::new(path, format!("{} elements wanted, {} got: {actual}", e.len(), a.len())));
            }
            for (i, (e, a)) in e.iter().zip(a).enumerate() {
                differences(e, a, &format!("{path}/{i}"), bindings, out);
            }
        }
        (Value::Object(e), Value::Object(a)) => {
            for key in e.keys().chain(a.keys().filter(|k| !e.contains_key(*k))) {
                let path = format!("{path}/{key}");
                match (e.get(key), a.get(key)) {
                    (Some(e), Some(a)) => differences(e, a, &path, bindings, out),
                    (Some(e), None) => out.push(Difference::new(path, format!("missing: {e}"))),
                    (None, Some(a)) => out.push(Difference::new(path, format!("not wanted: {a}"))),
                    (None, None) => {}
                }
            }
        }
        _ if expected == actual => {}
        _ => out.push(Difference::new(path, format!("wanted {expected}, got {actual}"))),
    }
}
