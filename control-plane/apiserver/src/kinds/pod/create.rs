//! What the server writes into a new Pod, whoever asks for it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::qos;
use super::validation::{PREFERRED, REQUIRED};
use crate::kinds::values::{list, list_entry, map, map_mut, maps_mut, texts};
use crate::object::{meta, time};
use crate::registry::Object;

const GATED: &str = "Scheduling is blocked due to non-empty scheduling gates";

/// The first status of a Pod. One that gates keep from being scheduled says so from the start, since no scheduler may look at it:
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/>
pub(super) fn status(object: &mut Object, now: Timestamp) {
    let spec = map(object, "spec");
    let mut status = json!({"phase": "Pending", "qosClass": spec.map_or("BestEffort", qos::class)});
    if spec.is_some_and(|spec| !list(spec, "schedulingGates").is_empty()) {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": GATED,
            "lastProbeTime": null, "lastTransitionTime": time(now),
        }]);
    }
    object.insert("status".to_owned(), status);
}

/// Puts the Pod's own values of the labels that `matchLabelKeys` and `mismatchLabelKeys` name into the selectors beside them, so
/// that later changes of its labels do not move it: <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#matchlabelkeys>
pub(super) fn own_labels(object: &mut Object) {
    let labels = meta(object, "labels").and_then(Value::as_object).cloned().unwrap_or_default();
    let Some(spec) = map_mut(object, "spec") else { return };
    for constraint in maps_mut(spec, "topologySpreadConstraints") {
        narrow(constraint, &labels);
    }
    let Some(affinity) = map_mut(spec, "affinity") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = map_mut(affinity, kind) else { continue };
        for term in maps_mut(pods, PREFERRED).filter_map(|wish| map_mut(wish, "podAffinityTerm")) {
            narrow(term, &labels);
        }
        for term in maps_mut(pods, REQUIRED) {
            narrow(term, &labels);
        }
    }
}

/// A key that the Pod has no label for says nothing, and without a selector nothing is selected anyway.
fn narrow(term: &mut Object, labels: &Object) {
    let mut more = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let own = texts(term, field).filter_map(|key| Some((key, labels.get(key)?)));
        more.extend(own.map(|(key, value)| json!({"key": key, "operator": operator, "values": [value]})));
    }
    if let Some(selector) = map_mut(term, "labelSelector").filter(|_| !more.is_empty()) {
        list_entry(selector, "matchExpressions").extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn keys_of_labels_become_parts_of_selectors() {
        let term = json!({"topologyKey": "z", "labelSelector": {"matchLabels": {"app": "a"}}, "matchLabelKeys": ["hash", "none"], "mismatchLabelKeys": ["team"]});
        let spread = json!({"labelSelector": {}, "matchLabelKeys": ["hash"]});
        let mut pod = object(&json!({"metadata": {"labels": {"hash": "1", "team": "x"}}, "spec": {
            "affinity": {"podAntiAffinity": {REQUIRED: [term], PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}},
            "topologySpreadConstraints": [spread, {"matchLabelKeys": ["hash"]}]}}));
        own_labels(&mut pod);
        let own = json!([{"key": "hash", "operator": "In", "values": ["1"]}, {"key": "team", "operator": "NotIn", "values": ["x"]}]);
        let pod = Value::Object(pod);
        let anti = &pod["spec"]["affinity"]["podAntiAffinity"];
        assert_eq!(anti[REQUIRED][0]["labelSelector"]["matchExpressions"], own);
        assert_eq!(anti[PREFERRED][0]["podAffinityTerm"]["labelSelector"]["matchExpressions"], own);
        assert_eq!(pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"], json!([own[0]]));
        assert!(pod["spec"]["topologySpreadConstraints"][1]["labelSelector"].is_null());
    }

    #[test]
    fn a_gated_pod_says_so() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut pod = object(&json!({"spec": {"schedulingGates": [{"name": "g"}]}}));
        status(&mut pod, now);
        let condition = &pod["status"]["conditions"][0];
        assert_eq!(
            (condition["reason"].as_str(), condition["lastTransitionTime"].as_str()),
            (Some("SchedulingGated"), Some("2026-01-01T00:00:00Z"))
        );
        let mut pod = object(&json!({"spec": {}}));
        status(&mut pod, now);
        assert!(pod["status"]["conditions"].is_null());
    }
}
