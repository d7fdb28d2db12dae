//! Nodes.

use dormouse_machinery::field::{FieldError, Path};
use jiff::Timestamp;
use serde_json::Value;

use super::values::{self, At, map, maps, one_of};
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

impl Strategy for Nodes {
    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let Some(spec) = map(object, "spec") else { return };
        let path = At::Path("spec.taints");
        let mut seen = Vec::new();
        for (i, taint) in maps(spec, "taints").enumerate() {
            let path = path.index(i);
            for problem in dormouse_machinery::names::qualified_name(values::text(taint, "key")) {
                problems.push(FieldError::invalid(path.child("key"), values::text(taint, "key"), problem));
            }
            for problem in dormouse_machinery::names::label_value(values::text(taint, "value")) {
                problems.push(FieldError::invalid(path.child("value"), values::text(taint, "value"), problem));
            }
            if values::text(taint, "effect").is_empty() {
                problems.push(FieldError::required(path.child("effect"), ""));
            }
            one_of(taint, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"], &path, problems);
            let this = (values::text(taint, "key"), values::text(taint, "effect"));
            if seen.contains(&this) {
                problems.push(FieldError::duplicate(path, serde_json::Value::Object(taint.clone())));
            }
            seen.push(this);
        }
    }

    fn validate_update(&self, _: &Cx<'_>, object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
        let field = |o: &Object, key: &str| map(o, "spec").map(|s| values::text(s, key).to_owned()).unwrap_or_default();
        for key in ["providerID", "podCIDR"] {
            let (new, was) = (field(object, key), field(old, key));
            if !was.is_empty() && new != was {
                let why = "node updates may not change ".to_owned() + key + " except from \"\" to valid";
                problems.push(FieldError::forbidden(Path::new("spec").child(key), why));
            }
        }
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
