//! Nodes.

use dormouse_machinery::field::{ErrorKind, FieldError, Path};
use dormouse_machinery::names;
use jiff::Timestamp;
use serde_json::Value;

use super::values::{self, At, Must, Rules, go_struct, invalid, label_value, map, maps, standard_finalizers};
use super::{fields, texts, typed};
use crate::registry::{Column, Cx, Kind, Object, Right, Strategy, Subresource};
use crate::table::age::UNKNOWN;
use crate::table::read::{NONE, at, list, or_none, text};

pub(super) fn row() -> Kind {
    Kind {
        namespaced: false,
        short_names: texts(&["no"]),
        subresources: vec![Subresource::status("Node")],
        fields: fields(&["spec.unschedulable"]),
        columns: vec![
            Column::name(),
            Column::string("Status", "The status of the node", status),
            Column::string("Roles", "The roles of the node", roles),
            Column::age(),
            Column::string("Version", "The kubelet's version.", |o, _| text(o, &["status", "nodeInfo", "kubeletVersion"]).into()),
            Column::wide("Internal-IP", "Address inside the cluster.", |o, _| address(o, "InternalIP")),
            Column::wide("External-IP", "Address from outside.", |o, _| address(o, "ExternalIP")),
            Column::wide("OS-Image", "The operating system.", |o, _| info(o, "osImage")),
            Column::wide("Kernel-Version", "The kernel.", |o, _| info(o, "kernelVersion")),
            Column::wide("Container-Runtime", "What runs containers.", |o, _| info(o, "containerRuntimeVersion")),
        ],
        rights: const {
            &[
                Right::node(&["create", "get", "list", "watch"], &[""]),
                Right::node(&["delete", "patch", "update"], &[""]),
                Right::node(&["patch", "update"], &["status"]),
            ]
        },
        ..typed("", "v1", "Node", "nodes", Nodes)
    }
}

fn status(node: &Value, _now: Timestamp) -> Value {
    let ready = list(node, &["status", "conditions"]).iter().find(|c| text(c, &["type"]) == "Ready");
    let mut word = match ready.map(|c| text(c, &["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if at(node, &["spec", "unschedulable"]).as_bool() == Some(true) {
        word.push_str(",SchedulingDisabled");
    }
    word.into()
}

fn roles(node: &Value, _now: Timestamp) -> Value {
    const PREFIX: &str = "node-role.kubernetes.io/";
    let labels = at(node, &["metadata", "labels"]).as_object();
    let mut names: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(PREFIX) {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    or_none(&names.join(",")).into()
}

fn address(node: &Value, kind: &str) -> Value {
    let found = list(node, &["status", "addresses"]).iter().find(|a| text(a, &["type"]) == kind);
    found.map_or(NONE, |a| text(a, &["address"])).into()
}

fn info(node: &Value, field: &str) -> Value {
    match text(node, &["status", "nodeInfo", field]) {
        "" => UNKNOWN.into(),
        known => known.into(),
    }
}

struct Nodes;

/// How a real server prints a taint and an address.
const TAINT: &[(&str, &str, &str)] =
    &[("Key", "key", "\"\""), ("Value", "value", "\"\""), ("Effect", "effect", "\"\""), ("TimeAdded", "timeAdded", "null")];
const ADDRESS: &[(&str, &str, &str)] = &[("Type", "type", "\"\""), ("Address", "address", "\"\"")];

const EFFECTS: Rules = Rules {
    page: "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",
    rows: &[("effect", Must::BeOneOf(&["NoSchedule", "PreferNoSchedule", "NoExecute"]))],
};

impl Strategy for Nodes {
    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        standard_finalizers(object, problems);
        let empty = Object::new();
        let spec = map(object, "spec").unwrap_or(&empty);
        // Kubernetes looks for taints here.
        let path = At::Path("metadata.taints");
        let mut seen = Vec::new();
        for (i, taint) in maps(spec, "taints").enumerate() {
            let path = path.index(i);
            let (key, effect) = (values::text(taint, "key"), values::text(taint, "effect"));
            invalid(key, names::qualified_name, &path.child("key"), problems);
            label_value(values::text(taint, "value"), &path.child("value"), problems);
            if effect.is_empty() {
                problems.push(FieldError::required(path.child("effect"), ""));
            } else {
                EFFECTS.check(taint, &path, problems);
            }
            if seen.contains(&(key, effect)) {
                let why = "taints must be unique by key and effect pair";
                problems.push(FieldError::new(ErrorKind::Duplicate, path, go_struct(taint, TAINT), why));
            }
            seen.push((key, effect));
        }
        amounts(object, problems);
        networks(spec, problems);
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        let member = |node: &Object, key: &str| map(node, "spec").and_then(|s| s.get(key)).cloned().unwrap_or(Value::Null);
        let is_set = |value: &Value| value.as_str().is_some_and(|v| !v.is_empty()) || value.as_array().is_some_and(|v| !v.is_empty());
        for (key, shown) in [("providerID", "providerID"), ("podCIDRs", "podCIDR")] {
            let (new, was) = (member(object, key), member(old, key));
            if is_set(&was) && new != was {
                let why = format!("node updates may not change {shown} except from \"\" to valid");
                problems.push(FieldError::forbidden(Path::new("spec").child(key), why));
            }
        }
        addresses(object, problems);
    }

    fn validate_status(&self, _: &Cx<'_>, object: &Object, _: &Object, problems: &mut Vec<FieldError>) {
        amounts(object, problems);
        addresses(object, problems);
    }
}

/// What the node has of everything is no less than nothing, and whole where it counts things.
fn amounts(node: &Object, problems: &mut Vec<FieldError>) {
    let Some(status) = map(node, "status") else { return };
    let path = At::Path("status");
    for field in ["capacity", "allocatable"] {
        let path = path.child(field);
        for (resource, quantity) in super::pod::amounts(status, field) {
            super::pod::amount(resource, &quantity, &path.child(resource), problems);
        }
    }
}

fn addresses(node: &Object, problems: &mut Vec<FieldError>) {
    let mut seen: Vec<&Object> = Vec::new();
    for (i, address) in map(node, "status").into_iter().flat_map(|s| maps(s, "addresses")).enumerate() {
        if seen.contains(&address) {
            problems.push(FieldError::duplicate(At::Path("status").element("addresses", i), go_struct(address, ADDRESS)));
        }
        seen.push(address);
    }
}

/// Networks of the node's Pods: at most one of each family.
fn networks(spec: &Object, problems: &mut Vec<FieldError>) {
    let path = At::Path("spec");
    let address = |network: &str| {
        let (address, length) = network.split_once('/')?;
        let address: std::net::IpAddr = address.parse().ok()?;
        (length.parse::<u8>().ok()? <= if address.is_ipv4() { 32 } else { 128 }).then_some(address)
    };
    let mut families = Vec::new();
    for (i, network) in values::texts(spec, "podCIDRs").enumerate() {
        match address(network) {
            Some(address) => families.push(address.is_ipv4()),
            None => {
                let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                problems.push(FieldError::invalid(path.element("podCIDRs", i), network, why));
            }
        }
    }
    if matches!(families.as_slice(), [a, b] if a == b) || families.len() > 2 {
        let why = "may specify no more than one CIDR for each IP family";
        problems.push(FieldError::invalid(path.child("podCIDRs"), Value::from(values::list(spec, "podCIDRs")), why));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::shows;
    use super::*;

    #[test]
    fn cells() {
        let node = json!({"metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "gpu"}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "addresses": [{"type": "InternalIP", "address": "127.1.1.1"}],
                "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Linux", "kernelVersion": "6.1", "containerRuntimeVersion": "dormouse://0.1"}}});
        shows(
            &row(),
            &node,
            &[
                ("Name", json!("n")),
                ("Status", json!("NotReady,SchedulingDisabled")),
                ("Roles", json!("gpu,worker")),
                ("Age", json!("60m")),
                ("Version", json!("v1.37.0")),
                ("Internal-IP", json!("127.1.1.1")),
                ("External-IP", json!("<none>")),
                ("OS-Image", json!("Linux")),
                ("Kernel-Version", json!("6.1")),
                ("Container-Runtime", json!("dormouse://0.1")),
            ],
        );
    }
}
