//! The status of a definition: which names it has, and whether it is served.

use serde_json::{Value, json};

use crate::object::{at, set_at};
use crate::registry::Object;

/// Writes `status` as the controllers of a real server would leave it; true when the definition is served.
pub(super) fn settle(definition: &mut Object, in_use: &impl Fn(&str, &str) -> bool, now: &str) -> bool {
    let group = at(definition, "spec.group").and_then(Value::as_str).unwrap_or("").to_owned();
    let names = at(definition, "spec.names").cloned().unwrap_or_else(|| json!({}));
    let conflict = conflict(&group, &names, in_use);
    let (accepted, reason, message) = match &conflict {
        None => ("True", "NoConflicts", "no conflicts found".to_owned()),
        Some((reason, message)) => ("False", *reason, message.clone()),
    };
    condition(definition, "NamesAccepted", accepted, reason, &message, now);
    let established = condition_is_true(definition, "Established");
    match (established, conflict.is_none()) {
        (false, true) => condition(definition, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now),
        (false, false) => condition(definition, "Established", "False", "NotAccepted", "not all names are accepted", now),
        // Once served, always served.
        (true, _) => {}
    }
    if conflict.is_none() {
        set_at(definition, "status.acceptedNames", names);
    }
    let storage = at(definition, "spec.versions").and_then(Value::as_array).into_iter().flatten();
    let storage = storage.filter(|v| v.get("storage").and_then(Value::as_bool) == Some(true)).find_map(|v| v.get("name").cloned());
    let mut stored = at(definition, "status.storedVersions").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(storage) = storage.filter(|s| !stored.contains(s)) {
        stored.push(storage);
        set_at(definition, "status.storedVersions", stored.into());
    }
    condition_is_true(definition, "Established")
}

fn conflict(group: &str, names: &Value, in_use: &impl Fn(&str, &str) -> bool) -> Option<(&'static str, String)> {
    let text = |key: &str| names.get(key).and_then(Value::as_str).unwrap_or("");
    let single =
        [("plural", "PluralConflict"), ("singular", "SingularConflict"), ("kind", "KindConflict"), ("listKind", "ListKindConflict")];
    for (key, reason) in single {
        if !text(key).is_empty() && in_use(group, text(key)) {
            return Some((reason, format!("{:?} is already in use", text(key))));
        }
    }
    let short = names.get("shortNames").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let taken: Vec<String> = short.filter(|n| in_use(group, n)).map(|n| format!("{n:?} is already in use")).collect();
    (!taken.is_empty()).then(|| ("ShortNamesConflict", taken.join(", ")))
}

fn condition_is_true(definition: &Object, kind: &str) -> bool {
    let conditions = at(definition, "status.conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
}

/// Sets a condition; its time moves only when its status does.
pub(crate) fn condition(definition: &mut Object, kind: &str, status: &str, reason: &str, message: &str, now: &str) {
    let mut conditions = at(definition, "status.conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let new = json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now});
    match conditions.iter_mut().find(|c| c["type"] == kind) {
        Some(present) => {
            let since = if present["status"] == status { present["lastTransitionTime"].clone() } else { json!(now) };
            *present = new;
            present["lastTransitionTime"] = since;
        }
        None => conditions.push(new),
    }
    set_at(definition, "status.conditions", conditions.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Object {
        let value = json!({"spec": {"group": "g", "names": {"plural": "as", "kind": "A"}, "versions": [{"name": "v1", "storage": true}]}});
        value.as_object().unwrap().clone()
    }

    #[test]
    fn names_that_are_free_are_accepted_once() {
        let mut object = definition();
        assert!(settle(&mut object, &|_, _| false, "t1"));
        let first = object.clone();
        assert!(settle(&mut object, &|_, _| false, "t2"));
        assert_eq!(object, first, "nothing moves without a reason");
        assert_eq!(object["status"]["storedVersions"], json!(["v1"]));
    }

    #[test]
    fn a_taken_name_keeps_a_definition_from_being_served() {
        let mut object = definition();
        assert!(!settle(&mut object, &|_, name| name == "A", "t"));
        assert_eq!(object["status"]["conditions"][0]["reason"], "KindConflict");
        assert_eq!(object["status"]["conditions"][1]["status"], "False");
    }
}
