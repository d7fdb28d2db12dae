//! Columns of the built-in kinds: one row per column, cells as functions.

use jiff::Timestamp;
use serde_json::Value;

use super::read::{NONE, at, containers, count, int, list, or_none, selector, text};
use super::{CREATED_AT, NAME_DESCRIPTION, age, pod};
use crate::registry::{Cell, Column};

type Compute = fn(&Value, Timestamp) -> Value;

/// The columns of a kind, `None` for one that has no printer of its own.
pub(super) fn columns(group: &str, kind: &str) -> Option<Vec<Column>> {
    let columns = match (group, kind) {
        ("", "Pod") => vec![
            name(),
            string("Ready", "The aggregate readiness state of this pod for accepting traffic.", pod::ready),
            string("Status", "The aggregate status of the containers in this pod.", pod::status),
            string(
                "Restarts",
                "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
                pod::restarts,
            ),
            age_column(),
            wide("IP", "IP address allocated to the pod. Empty if not yet allocated.", pod::ip),
            wide("Node", "The node the pod was placed on; empty while it waits.", |o, _| or_none(text(o, &["spec", "nodeName"])).into()),
            wide("Nominated Node", "The node that is being made free for this pod.", |o, _| {
                or_none(text(o, &["status", "nominatedNodeName"])).into()
            }),
            wide("Readiness Gates", "How many of the pod's readiness gates are open.", pod::gates),
        ],
        ("", "Node") => vec![
            name(),
            string("Status", "The status of the node", node_status),
            string("Roles", "The roles of the node", node_roles),
            age_column(),
            string("Version", "The kubelet's version.", |o, _| text(o, &["status", "nodeInfo", "kubeletVersion"]).into()),
            wide("Internal-IP", "Address inside the cluster.", |o, _| node_address(o, "InternalIP")),
            wide("External-IP", "Address from outside.", |o, _| node_address(o, "ExternalIP")),
            wide("OS-Image", "The operating system.", |o, _| node_info(o, "osImage")),
            wide("Kernel-Version", "The kernel.", |o, _| node_info(o, "kernelVersion")),
            wide("Container-Runtime", "What runs containers.", |o, _| node_info(o, "containerRuntimeVersion")),
        ],
        ("apps", "ReplicaSet") => vec![
            name(),
            integer("Desired", "The wanted number of pods.", |o, _| int(o, &["spec", "replicas"]).into()),
            integer("Current", "The number of pods there are.", |o, _| int(o, &["status", "replicas"]).into()),
            integer("Ready", "The number of pods that are ready.", |o, _| int(o, &["status", "readyReplicas"]).into()),
            age_column(),
            wide("Containers", "Names of each container in the template.", |o, _| template(o, "name")),
            wide("Images", "Images referenced by each container in the template.", |o, _| template(o, "image")),
            wide("Selector", "How pods of this set are recognised.", |o, _| selector(at(o, &["spec", "selector"])).into()),
        ],
        ("apps", "Deployment") => vec![
            name(),
            string("Ready", "Number of the pod with ready state", |o, _| {
                format!("{}/{}", int(o, &["status", "readyReplicas"]), int(o, &["spec", "replicas"])).into()
            }),
            string("Up-to-date", "The number of pods with the present template.", |o, _| int(o, &["status", "updatedReplicas"]).into()),
            string("Available", "The number of pods that have been ready for long enough.", |o, _| {
                int(o, &["status", "availableReplicas"]).into()
            }),
            age_column(),
            wide("Containers", "Names of each container in the template.", |o, _| template(o, "name")),
            wide("Images", "Images referenced by each container in the template.", |o, _| template(o, "image")),
            wide("Selector", "How pods of this deployment are recognised.", |o, _| selector(at(o, &["spec", "selector"])).into()),
        ],
        ("", "ConfigMap") => vec![
            name(),
            string("Data", "The number of entries.", |o, _| (count(o, &["data"]) + count(o, &["binaryData"])).into()),
            age_column(),
        ],
        ("", "Secret") => vec![
            name(),
            string("Type", "Used to facilitate programmatic handling of secret data.", |o, _| text(o, &["type"]).into()),
            string("Data", "The number of entries.", |o, _| count(o, &["data"]).into()),
            age_column(),
        ],
        ("", "ServiceAccount") => {
            vec![name(), string("Secrets", "The number of secrets.", |o, _| count(o, &["secrets"]).into()), age_column()]
        }
        ("", "Namespace") => {
            vec![name(), string("Status", "The status of the namespace", |o, _| text(o, &["status", "phase"]).into()), age_column()]
        }
        ("", "Event") => event(true),
        ("events.k8s.io", "Event") => event(false),
        ("coordination.k8s.io", "Lease") => {
            vec![name(), string("Holder", "Who holds the lease.", |o, _| text(o, &["spec", "holderIdentity"]).into()), age_column()]
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => vec![
            name(),
            string("Role", "The role that is granted.", |o, _| {
                format!("{}/{}", text(o, &["roleRef", "kind"]), text(o, &["roleRef", "name"])).into()
            }),
            age_column(),
            wide("Users", "Users in the binding.", |o, _| subjects(o, "User")),
            wide("Groups", "Groups in the binding.", |o, _| subjects(o, "Group")),
            wide("ServiceAccounts", "Service accounts in the binding.", |o, _| subjects(o, "ServiceAccount")),
        ],
        _ => return None,
    };
    Some(columns)
}

/// What a built-in kind without a printer shows: name and time of creation.
pub(super) fn plain() -> Vec<Column> {
    let created: Compute = |o, _| text(o, &["metadata", "creationTimestamp"]).into();
    vec![name(), Column { column_type: "date".to_owned(), ..column("Created At", CREATED_AT, 0, created) }]
}

/// Name and age: custom resources without printer columns.
pub(super) fn name_and_age() -> Vec<Column> {
    let computed: Compute = |o, now| age::since(at(o, &["metadata", "creationTimestamp"]), now).into();
    vec![name(), Column { column_type: "date".to_owned(), ..column("Age", CREATED_AT, 0, computed) }]
}

pub(super) fn name() -> Column {
    let cell: Compute = |o, _| text(o, &["metadata", "name"]).into();
    Column { format: "name".to_owned(), ..column("Name", NAME_DESCRIPTION, 0, cell) }
}

fn age_column() -> Column {
    column("Age", CREATED_AT, 0, |o, now| age::since(at(o, &["metadata", "creationTimestamp"]), now).into())
}

fn column(name: &str, description: &str, priority: i32, cell: Compute) -> Column {
    Column {
        name: name.to_owned(),
        column_type: "string".to_owned(),
        format: String::new(),
        description: description.to_owned(),
        priority,
        cell: Cell::Compute(cell),
    }
}

fn string(name: &str, description: &str, cell: Compute) -> Column {
    column(name, description, 0, cell)
}

fn wide(name: &str, description: &str, cell: Compute) -> Column {
    column(name, description, 1, cell)
}

fn integer(name: &str, description: &str, cell: Compute) -> Column {
    Column { column_type: "integer".to_owned(), ..column(name, description, 0, cell) }
}

fn template(object: &Value, field: &str) -> Value {
    containers(at(object, &["spec", "template", "spec"]), field).into()
}

fn node_status(node: &Value, _now: Timestamp) -> Value {
    let ready = list(node, &["status", "conditions"]).iter().find(|c| text(c, &["type"]) == "Ready");
    let mut status = match ready.map(|c| text(c, &["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if at(node, &["spec", "unschedulable"]).as_bool() == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    status.into()
}

fn node_roles(node: &Value, _now: Timestamp) -> Value {
    const PREFIX: &str = "node-role.kubernetes.io/";
    let labels = at(node, &["metadata", "labels"]).as_object();
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(PREFIX) {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    or_none(&roles.join(",")).into()
}

fn node_address(node: &Value, kind: &str) -> Value {
    let address = list(node, &["status", "addresses"]).iter().find(|a| text(a, &["type"]) == kind);
    address.map_or(NONE, |a| text(a, &["address"])).into()
}

fn node_info(node: &Value, field: &str) -> Value {
    match text(node, &["status", "nodeInfo", field]) {
        "" => super::age::UNKNOWN.into(),
        info => info.into(),
    }
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let names: Vec<String> = list(binding, &["subjects"])
        .iter()
        .filter(|s| text(s, &["kind"]) == kind)
        .map(|s| match text(s, &["namespace"]) {
            namespace if kind == "ServiceAccount" => format!("{namespace}/{}", text(s, &["name"])),
            _ => text(s, &["name"]).to_owned(),
        })
        .collect();
    names.join(", ").into()
}

/// The two groups of events name the same things differently.
struct EventFields {
    object: &'static str,
    message: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
    source: &'static str,
}

/// Columns of an event, in core's names or in those of `events.k8s.io`.
fn event(core: bool) -> Vec<Column> {
    // Cells are plain functions, so that each column exists once per group.
    macro_rules! pick {
        ($f:ident) => {
            if core { (|o, now| $f(o, &CORE, now)) as Compute } else { (|o, now| $f(o, &EVENTS, now)) as Compute }
        };
    }
    vec![
        string("Last Seen", "When it was last seen.", pick!(event_last)),
        string("Type", "Type of this event (Normal, Warning), new types could be added in the future", |o, _| text(o, &["type"]).into()),
        string("Reason", "Why it happened, in one word.", |o, _| text(o, &["reason"]).into()),
        string("Object", "The object that it is about.", pick!(event_object)),
        wide("Subobject", "The part of the object.", pick!(event_part)),
        wide("Source", "Who reports it.", pick!(event_source)),
        string("Message", "What happened.", pick!(event_message)),
        wide("First Seen", "When it was first seen.", pick!(event_first)),
        wide("Count", "How often it was seen.", pick!(event_count)),
        Column { priority: 1, ..name() },
    ]
}

const CORE: EventFields = EventFields {
    object: "involvedObject",
    message: "message",
    first: "firstTimestamp",
    last: "lastTimestamp",
    count: "count",
    source: "source",
};
const EVENTS: EventFields = EventFields {
    object: "regarding",
    message: "note",
    first: "deprecatedFirstTimestamp",
    last: "deprecatedLastTimestamp",
    count: "deprecatedCount",
    source: "deprecatedSource",
};

fn event_first(event: &Value, fields: &EventFields, now: Timestamp) -> Value {
    let first = at(event, &[fields.first]);
    age::since(if first.is_null() { at(event, &["eventTime"]) } else { first }, now).into()
}

fn event_last(event: &Value, fields: &EventFields, now: Timestamp) -> Value {
    let series = at(event, &["series", "lastObservedTime"]);
    let last = at(event, &[fields.last]);
    match (series.is_null(), last.is_null()) {
        (false, _) => age::since(series, now).into(),
        (true, false) => age::since(last, now).into(),
        (true, true) => event_first(event, fields, now),
    }
}

fn event_object(event: &Value, fields: &EventFields, _now: Timestamp) -> Value {
    let kind = text(event, &[fields.object, "kind"]).to_lowercase();
    match text(event, &[fields.object, "name"]) {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

fn event_part(event: &Value, fields: &EventFields, _now: Timestamp) -> Value {
    text(event, &[fields.object, "fieldPath"]).into()
}

fn event_source(event: &Value, fields: &EventFields, _now: Timestamp) -> Value {
    let either = |a: &'static str, fallbacks: [&'static str; 2]| {
        let own = text(event, &[fields.source, a]).to_owned();
        fallbacks.iter().fold(own, |found, key| if found.is_empty() { text(event, &[key]).to_owned() } else { found })
    };
    let component = either("component", ["reportingComponent", "reportingController"]);
    let instance = either("host", ["reportingInstance", "reportingInstance"]);
    if instance.is_empty() { component.into() } else { format!("{component}, {instance}").into() }
}

fn event_message(event: &Value, fields: &EventFields, _now: Timestamp) -> Value {
    text(event, &[fields.message]).trim().into()
}

fn event_count(event: &Value, fields: &EventFields, _now: Timestamp) -> Value {
    let series = at(event, &["series"]);
    if !series.is_null() {
        return int(series, &["count"]).into();
    }
    int(event, &[fields.count]).max(1).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The cells of a kind by heading, wide ones included.
    fn cells(group: &str, kind: &str, object: &Value) -> Vec<(String, Value)> {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let cell = |c: &Column| match c.cell {
            Cell::Compute(compute) => compute(object, now),
            Cell::Path(_) => Value::Null,
        };
        columns(group, kind).unwrap().iter().map(|c| (c.name.clone(), cell(c))).collect()
    }

    fn are(group: &str, kind: &str, object: &Value, expected: &[(&str, Value)]) {
        let expected: Vec<(String, Value)> = expected.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(cells(group, kind, object), expected);
    }

    #[test]
    fn nodes() {
        let node = json!({"metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "gpu"}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "addresses": [{"type": "InternalIP", "address": "127.1.1.1"}],
                "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Linux", "kernelVersion": "6.1", "containerRuntimeVersion": "dormouse://0.1"}}});
        are(
            "",
            "Node",
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

    #[test]
    fn workloads() {
        let template = json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y:1"}]}});
        let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}}, "template": template},
            "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1}});
        are(
            "apps",
            "Deployment",
            &deployment,
            &[
                ("Name", json!("d")),
                ("Ready", json!("2/3")),
                ("Up-to-date", json!(1)),
                ("Available", json!(0)),
                ("Age", json!("<unknown>")),
                ("Containers", json!("a,b")),
                ("Images", json!("x,y:1")),
                ("Selector", json!("app=d")),
            ],
        );
        are(
            "apps",
            "ReplicaSet",
            &deployment,
            &[
                ("Name", json!("d")),
                ("Desired", json!(3)),
                ("Current", json!(3)),
                ("Ready", json!(2)),
                ("Age", json!("<unknown>")),
                ("Containers", json!("a,b")),
                ("Images", json!("x,y:1")),
                ("Selector", json!("app=d")),
            ],
        );
    }

    #[test]
    fn events_of_both_groups() {
        let core = json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "message": " no such image\n",
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"}, "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "2026-01-01T00:50:00Z", "lastTimestamp": "2026-01-01T00:59:00Z", "count": 4});
        let expected = |last: &str, first: &str, count: i64| {
            vec![
                ("Last Seen", json!(last)),
                ("Type", json!("Warning")),
                ("Reason", json!("Failed")),
                ("Object", json!("pod/p")),
                ("Subobject", json!("spec.containers{c}")),
                ("Source", json!("kubelet, n")),
                ("Message", json!("no such image")),
                ("First Seen", json!(first)),
                ("Count", json!(count)),
                ("Name", json!("e")),
            ]
        };
        are("", "Event", &core, &expected("60s", "10m", 4));
        let new = json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "note": "no such image", "reportingController": "kubelet",
            "regarding": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"}, "reportingInstance": "n", "eventTime": "2026-01-01T00:50:00.000000Z"});
        are("events.k8s.io", "Event", &new, &expected("10m", "10m", 1));
        let mut series = new;
        series["series"] = json!({"count": 7, "lastObservedTime": "2026-01-01T00:59:30.000000Z"});
        are("events.k8s.io", "Event", &series, &expected("30s", "10m", 7));
    }

    #[test]
    fn small_ones() {
        are(
            "",
            "ConfigMap",
            &json!({"metadata": {"name": "c"}, "data": {"a": "b"}, "binaryData": {"c": "ZA=="}}),
            &[("Name", json!("c")), ("Data", json!(2)), ("Age", json!("<unknown>"))],
        );
        are(
            "",
            "Secret",
            &json!({"metadata": {"name": "s"}, "type": "Opaque"}),
            &[("Name", json!("s")), ("Type", json!("Opaque")), ("Data", json!(0)), ("Age", json!("<unknown>"))],
        );
        let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"},
            {"kind": "Group", "name": "g"}, {"kind": "Group", "name": "h"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]});
        are(
            "rbac.authorization.k8s.io",
            "RoleBinding",
            &binding,
            &[
                ("Name", json!("b")),
                ("Role", json!("Role/r")),
                ("Age", json!("<unknown>")),
                ("Users", json!("u")),
                ("Groups", json!("g, h")),
                ("ServiceAccounts", json!("n/s")),
            ],
        );
        assert!(columns("rbac.authorization.k8s.io", "Role").is_none());
        assert_eq!(plain()[1].name, "Created At");
    }
}
