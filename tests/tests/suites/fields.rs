//! Fields of objects by short names, and what can be expected of them.

use serde_json::{Value, json};

use crate::support::condition;

/// Prefix of the labels and annotations of dual Pods.
const DUAL_PODS: &str = "dual-pods.llm-d.ai/";

/// A field: `name`, `uid`, `node`, `ready`, `phase`, `deleting`, `dual`, `sleeping`, `accelerators`, `label:KEY`,
/// `annotation:KEY`, or a JSON pointer. Absent is null.
pub(crate) fn read(object: &Value, field: &str) -> Result<Value, String> {
    let meta = &object["metadata"];
    let label = |key: &str| meta["labels"][key].clone();
    let annotation = |key: &str| meta["annotations"][key].clone();
    Ok(match field {
        "name" => meta["name"].clone(),
        "uid" => meta["uid"].clone(),
        "node" => object["spec"]["nodeName"].clone(),
        "ready" => json!(condition(object, "Ready")),
        "phase" => object["status"]["phase"].clone(),
        "deleting" => json!(!meta["deletionTimestamp"].is_null()),
        "dual" | "sleeping" => label(&format!("{DUAL_PODS}{field}")),
        "accelerators" => annotation(&format!("{DUAL_PODS}{field}")),
        pointer if pointer.starts_with('/') => object.pointer(pointer).cloned().unwrap_or_default(),
        _ => match field.split_once(':') {
            Some(("label", key)) => label(key),
            Some(("annotation", key)) => annotation(key),
            _ => return Err(format!("there is no field {field:?}")),
        },
    })
}

/// Whether a value is as expected: a literal equals itself, null means absent or empty, `{present: true}` the
/// opposite, `{not: X}` anything else than X.
pub(crate) fn fits(actual: &Value, expected: &Value) -> Result<bool, String> {
    let empty = actual.is_null() || actual == "";
    let Value::Object(members) = expected else {
        return Ok(if expected.is_null() { empty } else { actual == expected });
    };
    match members.iter().next() {
        Some((word, Value::Bool(true))) if word == "present" && members.len() == 1 => Ok(!empty),
        Some((word, other)) if word == "not" && members.len() == 1 => Ok(!fits(actual, other)?),
        _ => Err(format!("{expected} is no expectation")),
    }
}

/// What the dual-pods flow shows of a Pod, on one line.
pub(crate) fn brief(object: &Value) -> String {
    let get = |field| read(object, field).ok().filter(|v| !v.is_null());
    let mut parts = vec![get("name").map_or_else(String::new, |v| v.as_str().unwrap_or_default().to_owned())];
    for field in ["node", "phase", "ready", "deleting", "dual", "sleeping", "accelerators", "annotation:dual-pods.llm-d.ai/status"] {
        if let Some(value) = get(field) {
            parts.push(format!("{}={value}", field.rsplit('/').next().unwrap_or(field)));
        }
    }
    parts.join(" ")
}
