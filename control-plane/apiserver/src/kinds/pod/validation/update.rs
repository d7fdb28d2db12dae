//! What of a Pod may not change: <https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement>

use dormouse_machinery::field::FieldError;
use serde_json::Value;

use super::affinity::REQUIRED;
use super::{MIRROR, container};
use crate::kinds::values::{At, int, list, map, maps, text};
use crate::registry::Object;

/// What of a Pod may not change.
pub(in crate::kinds::pod) fn update(new: &Object, old: &Object, problems: &mut Vec<FieldError>) {
    mirror(new, old, problems);
    let (Some(new), Some(old)) = (map(new, "spec"), map(old, "spec")) else { return };
    let path = At::Path("spec");
    // The old Pod with what may change as it is in the new one.
    let mut expected = old.clone();
    for kind in ["containers", "initContainers"] {
        if list(new, kind).len() != list(old, kind).len() {
            problems.push(FieldError::forbidden(path.child(kind), "pod updates may not add or remove containers"));
            return;
        }
        images(new, kind, &mut expected, &path, problems);
    }
    if !deadline(new, old, &path, problems) {
        return;
    }
    take(&mut expected, new, "activeDeadlineSeconds");
    tolerations(new, old, &path, problems);
    take(&mut expected, new, "tolerations");
    gates(new, old, &path, problems);
    take(&mut expected, new, "schedulingGates");
    if int(old, "terminationGracePeriodSeconds").is_some_and(|n| n < 0) && int(new, "terminationGracePeriodSeconds") == Some(1) {
        take(&mut expected, new, "terminationGracePeriodSeconds");
    }
    if !list(old, "schedulingGates").is_empty() {
        // A Pod that still waits may be aimed more narrowly.
        selector(new, old, &path.child("nodeSelector"), problems);
        take(&mut expected, new, "nodeSelector");
        node_affinity(new, old, &path.child("affinity.nodeAffinity"), problems);
        take_node_affinity(&mut expected, new);
    }
    if *new != expected {
        let mut changed: Vec<&str> =
            new.keys().chain(expected.keys()).filter(|k| new.get(*k) != expected.get(*k)).map(String::as_str).collect();
        changed.sort_unstable();
        changed.dedup();
        let why = format!(
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\nchanged: {}",
            changed.join(", ")
        );
        problems.push(FieldError::forbidden(path, why));
    }
}

/// A node runs a mirrored Pod or does not; that never changes.
fn mirror(new: &Object, old: &Object, problems: &mut Vec<FieldError>) {
    let mark = |pod: &Object| crate::object::meta(pod, "annotations").and_then(|a| a.get(MIRROR)).cloned();
    let why = match (mark(old), mark(new)) {
        (old, new) if old == new => return,
        (None, _) => "may not add mirror pod annotation",
        (Some(_), _) => "may not remove or update mirror pod annotation",
    };
    problems.push(FieldError::forbidden(At::Path("metadata.annotations").key(MIRROR), why));
}

/// Images may change to others.
fn images(new: &Object, kind: &str, expected: &mut Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let slots = expected.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten();
    for ((i, container), slot) in maps(new, kind).enumerate().zip(slots.filter_map(Value::as_object_mut)) {
        let path = path.element(kind, i);
        if text(container, "image").is_empty() {
            problems.push(FieldError::required(path.child("image"), ""));
        }
        container::padded(text(container, "image"), &path, problems);
        take(slot, container, "image");
    }
}

fn take(into: &mut Object, from: &Object, field: &str) {
    match from.get(field) {
        Some(value) => drop(into.insert(field.to_owned(), value.clone())),
        None => drop(into.remove(field)),
    }
}

/// A deadline may come, or come nearer. Answers whether it is worth to look on.
fn deadline(new: &Object, old: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) -> bool {
    let path = path.child("activeDeadlineSeconds");
    let wrong = match (int(new, "activeDeadlineSeconds"), int(old, "activeDeadlineSeconds")) {
        (Some(n), _) if !(0..=0x7fff_ffff).contains(&n) => FieldError::invalid(path, n, "must be between 0 and 2147483647, inclusive"),
        (Some(n), Some(was)) if n > was => FieldError::invalid(path, n, "must be less than or equal to previous value"),
        (None, Some(_)) => {
            problems.push(FieldError::invalid(path, Value::Null, "must not update from a positive integer to nil value"));
            return true;
        }
        _ => return true,
    };
    problems.push(wrong);
    false
}

/// Tolerations may be added, and last longer or shorter.
fn tolerations(new: &Object, old: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let same = |a: &Object, b: &Object| ["key", "operator", "value", "effect"].iter().all(|f| text(a, f) == text(b, f));
    if !maps(old, "tolerations").all(|had| maps(new, "tolerations").any(|has| same(has, had))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        problems.push(FieldError::forbidden(path.child("tolerations"), why));
    }
}

/// Gates may only go.
fn gates(new: &Object, old: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for (i, gate) in maps(new, "schedulingGates").enumerate() {
        let name = text(gate, "name");
        if !maps(old, "schedulingGates").any(|had| text(had, "name") == name) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            problems.push(FieldError::forbidden(path.element("schedulingGates", i).child("name"), why));
        }
    }
}

/// Labels of nodes may only be added.
fn selector(new: &Object, old: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let has = |(key, value): (&String, &Value)| map(new, "nodeSelector").and_then(|s| s.get(key)) == Some(value);
    if !map(old, "nodeSelector").into_iter().flatten().all(has) {
        let value = new.get("nodeSelector").cloned().unwrap_or(Value::Null);
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        problems.push(FieldError::invalid(path, value, why));
    }
}

/// The terms that a node must fulfil one of.
fn terms(spec: &Object) -> &[Value] {
    let required = map(spec, "affinity").and_then(|a| map(a, "nodeAffinity")).and_then(|n| map(n, REQUIRED));
    required.map_or(&[], |required| list(required, "nodeSelectorTerms"))
}

/// Each term may only get more conditions.
fn node_affinity(new: &Object, old: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (now, was) = (terms(new), terms(old));
    let path = path.child(REQUIRED);
    if was.is_empty() {
        return;
    }
    if now.len() != was.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        problems.push(FieldError::invalid(path.child("nodeSelectorTerms"), Value::from(now), why));
        return;
    }
    for (i, (now, _)) in now.iter().zip(was).enumerate().filter(|(_, (now, was))| !only_adds(now, was)) {
        let why = "only additions are allowed (no mutations or deletions)";
        problems.push(FieldError::invalid(path.element("nodeSelectorTerms", i), now.clone(), why));
    }
}

fn only_adds(now: &Value, was: &Value) -> bool {
    let of = |term: &Value, field: &str| term.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let fields = ["matchExpressions", "matchFields"];
    // A term without conditions fits no node: more conditions would make it fit some.
    if fields.iter().all(|field| of(was, field).is_empty()) {
        return fields.iter().all(|field| of(now, field).is_empty());
    }
    fields.iter().all(|field| of(now, field).starts_with(&of(was, field)))
}

/// Takes only the part of the affinity that is about nodes.
fn take_node_affinity(expected: &mut Object, new: &Object) {
    let nodes = map(new, "affinity").and_then(|a| a.get("nodeAffinity"));
    let mut affinity = map(expected, "affinity").cloned().unwrap_or_default();
    match nodes {
        Some(nodes) => drop(affinity.insert("nodeAffinity".to_owned(), nodes.clone())),
        None => drop(affinity.remove("nodeAffinity")),
    }
    // Nothing about anybody and no affinity are the same here.
    if affinity.is_empty() && map(new, "affinity").is_none_or(Object::is_empty) {
        take(expected, new, "affinity");
    } else {
        expected.insert("affinity".to_owned(), affinity.into());
    }
}
