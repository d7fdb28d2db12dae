//! What of a Pod's status may not change: <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/>

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;

use crate::kinds::values::{At, immutable, int, invalid, list, map, maps, not_negative, text};
use crate::registry::Object;

/// Conditions that Kubernetes itself writes.
const OWN_CONDITIONS: &[&str] = &["PodScheduled", "Ready", "Initialized"];

/// What of a Pod's status may not change.
pub(in crate::kinds::pod) fn status(new: &Object, old: &Object, problems: &mut Vec<FieldError>) {
    let empty = Object::new();
    let [spec, new_spec] = [old, new].map(|pod| map(pod, "spec").unwrap_or(&empty));
    let [was, now] = [old, new].map(|pod| map(pod, "status").unwrap_or(&empty));
    let path = At::Path("status");
    for (i, condition) in maps(now, "conditions").enumerate() {
        let (kind, path) = (text(condition, "type"), path.element("conditions", i));
        if !OWN_CONDITIONS.contains(&kind) {
            invalid(kind, names::qualified_name, &path.child("Type"), problems);
        }
    }
    if text(new_spec, "nodeName") != text(spec, "nodeName") {
        problems.push(FieldError::forbidden(path.child("nodeName"), "may not be changed directly"));
    }
    let nominated = text(now, "nominatedNodeName");
    if nominated != text(was, "nominatedNodeName") {
        invalid(nominated, names::dns1123_subdomain, &path.child("nominatedNodeName"), problems);
        if !nominated.is_empty() && !text(spec, "nodeName").is_empty() {
            let why = "may not be set on pods that are already bound to a node";
            problems.push(FieldError::forbidden(path.child("nominatedNodeName"), why));
        }
    }
    not_negative(now, "observedGeneration", &path, problems);
    immutable(now, was, "qosClass", &path, problems);
    for (statuses, containers) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        for i in revived(now, was, statuses, |name, code| may_run_again(spec, containers, name, code)) {
            let why = "may not be transitioned to non-terminated state";
            problems.push(FieldError::forbidden(path.element(statuses, i).child("state"), why));
        }
    }
}

/// Places of the containers that had ended, run again, and may not.
fn revived(now: &Object, was: &Object, statuses: &str, may: impl Fn(&str, i64) -> bool) -> Vec<usize> {
    let ended = |status: &Object| map(status, "state").and_then(|s| map(s, "terminated")).map(|end| int(end, "exitCode").unwrap_or(0));
    let places = maps(was, statuses).enumerate().filter(|(_, status)| {
        let name = text(status, "name");
        let again = maps(now, statuses).find(|s| text(s, "name") == name).is_some_and(|s| ended(s).is_none());
        ended(status).is_some_and(|code| again && !may(name, code))
    });
    places.map(|(i, _)| i).collect()
}

/// Whether a container that has ended with this code runs again: what it says itself counts before what the Pod says.
fn may_run_again(spec: &Object, containers: &str, name: &str, code: i64) -> bool {
    let all =
        |kind: &str| maps(spec, kind).flat_map(|c| maps(c, "restartPolicyRules")).any(|r| text(r, "action") == "RestartAllContainers");
    if all("containers") || all("initContainers") {
        return true;
    }
    let Some(container) = maps(spec, containers).find(|c| text(c, "name") == name) else { return false };
    let matches = |rule: &Object| {
        let Some(codes) = map(rule, "exitCodes") else { return false };
        let listed = list(codes, "values").iter().any(|v| v.as_i64() == Some(code));
        match text(codes, "operator") {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    };
    if !text(container, "restartPolicy").is_empty() && maps(container, "restartPolicyRules").any(matches) {
        return true;
    }
    let policy = [text(container, "restartPolicy"), text(spec, "restartPolicy")].into_iter().find(|p| !p.is_empty());
    match policy {
        Some("Never") => false,
        Some("OnFailure") => code != 0,
        _ => true,
    }
}
