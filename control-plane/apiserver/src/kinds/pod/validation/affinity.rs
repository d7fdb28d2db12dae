//! Which nodes and which neighbours: <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/>

use std::collections::BTreeSet;

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use serde_json::Map;

use crate::kinds::values::{At, Must, Rules, invalid, label_selector, list, map, maps, operator, text, texts};
use crate::registry::Object;

pub(in crate::kinds::pod) const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
pub(in crate::kinds::pod) const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

const OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];

const WEIGHTS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#node-affinity-weight",
    rows: &[("weight", Must::BeWithin(1, 100, "must be in the range 1-100"))],
};

/// All of the affinity.
pub(super) fn check(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(affinity) = map(spec, "affinity") else { return };
    if let Some(nodes) = map(affinity, "nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(selector) = map(nodes, REQUIRED) {
            let path = path.child(REQUIRED);
            if list(selector, "nodeSelectorTerms").is_empty() {
                problems.push(FieldError::required(path.child("nodeSelectorTerms"), "must have at least one node selector term"));
            }
            for (i, term) in maps(selector, "nodeSelectorTerms").enumerate() {
                node_term(term, true, &path.element("nodeSelectorTerms", i), problems);
            }
        }
        for (i, term) in maps(nodes, PREFERRED).enumerate() {
            let path = path.element(PREFERRED, i);
            WEIGHTS.check(term, &path, problems);
            if let Some(term) = map(term, "preference") {
                // A value that no label can have is fine in a wish.
                node_term(term, false, &path.child("preference"), problems);
            }
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = map(affinity, kind) else { continue };
        let path = path.child(kind);
        for (i, term) in maps(pods, REQUIRED).enumerate() {
            pod_term(term, &path.element(REQUIRED, i), problems);
        }
        for (i, term) in maps(pods, PREFERRED).enumerate() {
            let path = path.element(PREFERRED, i);
            WEIGHTS.check(term, &path, problems);
            pod_term(map(term, "podAffinityTerm").unwrap_or(&Map::new()), &path.child("podAffinityTerm"), problems);
        }
    }
}

fn node_term(term: &Object, strict: bool, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for (i, expression) in maps(term, "matchExpressions").enumerate() {
        let path = path.element("matchExpressions", i);
        operator(expression, OPERATORS, &path, problems);
        key(text(expression, "key"), &path.child("key"), problems);
        for (i, value) in texts(expression, "values").enumerate().filter(|_| strict) {
            invalid(value, names::label_value, &path.element("values", i), problems);
        }
    }
    for (i, expression) in maps(term, "matchFields").enumerate() {
        let path = path.element("matchFields", i);
        match text(expression, "operator") {
            "In" | "NotIn" if list(expression, "values").len() == 1 => {}
            "In" | "NotIn" => {
                let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                problems.push(FieldError::required(path.child("values"), why));
            }
            other => problems.push(FieldError::invalid(path.child("operator"), other, "not a valid selector operator")),
        }
        match text(expression, "key") {
            "metadata.name" => {
                for (i, value) in texts(expression, "values").enumerate() {
                    invalid(value, names::dns1123_subdomain, &path.element("values", i), problems);
                }
            }
            other => problems.push(FieldError::invalid(path.child("key"), other, "not a valid field selector key")),
        }
    }
}

/// The key of a label, which must be there.
fn key(key: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    invalid(key, names::qualified_name, path, problems);
}

fn pod_term(term: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for selector in ["labelSelector", "namespaceSelector"] {
        label_selector(map(term, selector), &path.child(selector), problems);
    }
    for namespace in texts(term, "namespaces") {
        invalid(namespace, names::dns1123_label, &path.child("namespace"), problems);
    }
    label_keys(term, path, problems);
    let topology = path.child("topologyKey");
    Must::BeSet("can not be empty").check(term, "topologyKey", &topology, problems);
    key(text(term, "topologyKey"), &topology, problems);
}

/// Labels whose values are the Pod's own. By now they stand in the selector too.
pub(super) fn label_keys(term: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let selector = map(term, "labelSelector");
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let path = path.child(field);
        if selector.is_none() && !list(term, field).is_empty() {
            problems.push(FieldError::forbidden(path, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (i, name) in texts(term, field).enumerate() {
            key(name, &path.index(i), problems);
        }
    }
    let keys: Vec<&str> = texts(term, "matchLabelKeys").collect();
    let mut known: BTreeSet<&str> = selector.and_then(|s| map(s, "matchLabels")).into_iter().flatten().map(|(k, _)| k.as_str()).collect();
    for name in selector.into_iter().flat_map(|s| maps(s, "matchExpressions")).map(|e| text(e, "key")) {
        // Once is what the server has put there itself.
        if let Some(i) = keys.iter().rposition(|k| *k == name).filter(|_| known.contains(name)) {
            problems.push(FieldError::invalid(path.index(i), name, "exists in both matchLabelKeys and labelSelector"));
        }
        known.insert(name);
    }
    for (i, name) in keys.iter().enumerate() {
        if texts(term, "mismatchLabelKeys").any(|other| other == *name) {
            let why = "exists in both matchLabelKeys and mismatchLabelKeys";
            problems.push(FieldError::invalid(path.element("matchLabelKeys", i), *name, why));
        }
    }
}
