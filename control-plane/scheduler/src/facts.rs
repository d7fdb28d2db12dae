//! What the scheduler knows of Pods and nodes: a small extract, made once per object, so that the index stays small and
//! decisions parse nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_names::annotation::NODE_HELD;
use dormouse_placement::{Amounts, NodeRules, amounts, requests};
use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::spread::Spread;
use crate::terms::{Kind, Labels, Rules};

/// How many Pods a node takes that does not say.
const PODS: i128 = 110;

/// What is known of a Pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PodFacts {
    /// Namespace.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
    /// UID.
    pub(crate) uid: String,
    /// The node it is bound to, if any.
    pub(crate) node: Option<String>,
    /// Higher goes first.
    pub(crate) priority: i32,
    /// Succeeded or Failed: holds nothing any more.
    pub(crate) terminal: bool,
    /// Waits for scheduling gates.
    pub(crate) gated: bool,
    /// Being deleted.
    pub(crate) deleting: bool,
    /// Whether it has condition `PodScheduled`, whatever that says.
    pub(crate) told: bool,
    /// What it asks of its place.
    pub(crate) wants: Wants,
}

/// All that decides where a Pod may go; two Pods that want the same fare the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wants {
    /// Its effective requests, and one of `pods`; thousandths.
    pub(crate) requests: Amounts,
    /// Ports of the node.
    pub(crate) ports: Vec<HostPort>,
    /// Which nodes it admits and prefers.
    pub(crate) nodes: NodeRules,
    /// Taints it bears.
    pub(crate) tolerations: Vec<Toleration>,
    /// How its kind is to be spread.
    pub(crate) spreads: Vec<Spread>,
    /// What others see of it, and its rules about others.
    pub(crate) kind: Arc<Kind>,
    /// Required rules that cannot be judged here, in words. While there is one the Pod waits.
    pub(crate) unknown: Vec<String>,
}

/// A port of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPort {
    /// Number.
    pub(crate) port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub(crate) protocol: String,
    /// Address of the node; `0.0.0.0` is every address.
    pub(crate) ip: String,
}

impl HostPort {
    /// Whether both cannot be had at once.
    #[must_use]
    pub(crate) fn clashes(&self, other: &Self) -> bool {
        let every = |port: &Self| port.ip == "0.0.0.0";
        self.port == other.port && self.protocol == other.protocol && (self.ip == other.ip || every(self) || every(other))
    }
}

impl PodFacts {
    /// Extracts the facts of a Pod.
    #[must_use]
    pub(crate) fn of(pod: &Pod) -> Self {
        let (meta, spec) = (&pod.metadata, pod.spec.as_ref());
        let status = pod.status.as_ref();
        let conditions = status.and_then(|s| s.conditions.as_ref());
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            node: spec.and_then(|s| s.node_name.clone()).filter(|n| !n.is_empty()),
            priority: spec.and_then(|s| s.priority).unwrap_or(0),
            terminal: matches!(status.and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed")),
            gated: spec.and_then(|s| s.scheduling_gates.as_ref()).is_some_and(|g| !g.is_empty()),
            deleting: meta.deletion_timestamp.is_some(),
            told: conditions.into_iter().flatten().any(|c| c.type_ == "PodScheduled"),
            wants: spec.map(|spec| Wants::of(meta, spec)).unwrap_or_default(),
        }
    }

    /// `namespace/name`.
    #[must_use]
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Wants {
    fn of(meta: &ObjectMeta, spec: &PodSpec) -> Self {
        let namespace = meta.namespace.clone().unwrap_or_default();
        let labels = meta.labels.clone().unwrap_or_default();
        let mut requests = requests(spec);
        requests.insert("pods".to_owned(), 1_000);
        let mut unknown = unserved(meta, spec);
        let controller = spreading_controller(meta);
        let (spreads, unread) = Spread::all(spec, &labels, controller.as_deref());
        unknown.extend(unread);
        let (rules, unread) = Rules::of(spec.affinity.as_ref(), &namespace, &labels);
        match unread.as_slice() {
            [] => {}
            [one] => unknown.push(format!("parsing pod: {one}")),
            several => unknown.push(format!("parsing pod: [{}]", several.join(", "))),
        }
        let deleting = meta.deletion_timestamp.is_some();
        Self {
            requests,
            ports: ports(spec),
            nodes: NodeRules::of(spec),
            tolerations: spec.tolerations.clone().unwrap_or_default(),
            spreads,
            kind: Arc::new(Kind { namespace, labels, deleting, controller, rules }),
            unknown,
        }
    }

    /// Whether another Pod, once it is placed, can make room for this one: by being where this one must be, or by raising the
    /// count that this one must not be far above.
    pub(crate) fn waits_for_others(&self) -> bool {
        !self.kind.rules.affinity.is_empty() || self.spreads.iter().any(|s| s.hard)
    }
}

/// UID of the controller whose Pods kube-scheduler spreads by itself.
fn spreading_controller(meta: &ObjectMeta) -> Option<String> {
    let owner = meta.owner_references.iter().flatten().find(|o| o.controller == Some(true))?;
    let kind = (owner.api_version.as_str(), owner.kind.as_str());
    let spread = [("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet"), ("v1", "ReplicationController")].contains(&kind);
    spread.then(|| owner.uid.clone())
}

/// Ports of the node that the Pod takes for as long as it runs. With the node's network every port of a container is one.
fn ports(spec: &PodSpec) -> Vec<HostPort> {
    let host_network = spec.host_network == Some(true);
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = sidecars.chain(&spec.containers).flat_map(|c: &Container| c.ports.iter().flatten());
    let or = |given: Option<&String>, default: &str| given.filter(|s| !s.is_empty()).map_or(default, String::as_str).to_owned();
    ports
        .filter_map(|p| {
            let port = p.host_port.filter(|n| *n > 0).or_else(|| host_network.then_some(p.container_port))?;
            (port > 0).then(|| HostPort { port, protocol: or(p.protocol.as_ref(), "TCP"), ip: or(p.host_ip.as_ref(), "0.0.0.0") })
        })
        .collect()
}

/// What the Pod requires and this control plane has not. Claims in kube-scheduler's words for claims that are not there.
fn unserved(meta: &ObjectMeta, spec: &PodSpec) -> Vec<String> {
    let mut all = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        if let Some(claim) = &volume.persistent_volume_claim {
            all.push(format!("persistentvolumeclaim \"{}\" not found", claim.claim_name));
        } else if volume.ephemeral.is_some() {
            let claim = format!("{}-{}", meta.name.as_deref().unwrap_or_default(), volume.name);
            all.push(format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{claim}\""));
        }
    }
    let claims: Vec<&str> = spec.resource_claims.iter().flatten().map(|c| c.name.as_str()).collect();
    if !claims.is_empty() {
        all.push(format!("resource claims are not served here: {}", claims.join(", ")));
    }
    if spec.scheduling_group.is_some() {
        all.push("scheduling groups are not served here".to_owned());
    }
    all
}

/// What a node offers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeFacts {
    /// Name.
    pub(crate) name: String,
    /// Labels.
    pub(crate) labels: Labels,
    /// Cordoned.
    pub(crate) unschedulable: bool,
    /// Taints.
    pub(crate) taints: Vec<Taint>,
    /// What Pods may ask for in all; thousandths.
    pub(crate) allocatable: Amounts,
    /// What processes of Pods whose objects are gone still hold; thousandths. It counts as requested.
    pub(crate) held: Amounts,
}

impl NodeFacts {
    /// Extracts the facts of a node.
    #[must_use]
    pub(crate) fn of(node: &Node) -> Self {
        let (meta, status) = (&node.metadata, node.status.as_ref());
        let mut allocatable = amounts(status.and_then(|s| s.capacity.as_ref()));
        allocatable.extend(amounts(status.and_then(|s| s.allocatable.as_ref())));
        allocatable.entry("pods".to_owned()).or_insert(PODS * 1_000);
        let held = meta.annotations.as_ref().and_then(|a| a.get(NODE_HELD));
        // Only kubelets of ours write it; what is no such map says nothing.
        let held: Option<BTreeMap<String, Quantity>> = held.and_then(|text| serde_json::from_str(text).ok());
        Self {
            name: meta.name.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            unschedulable: node.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false),
            taints: node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default(),
            allocatable,
            held: amounts(held.as_ref()),
        }
    }

    /// How much may be asked for of a resource; thousandths.
    pub(crate) fn allocatable(&self, name: &str) -> i128 {
        self.allocatable.get(name).copied().unwrap_or(0)
    }

    /// How much leftovers hold of a resource; thousandths.
    pub(crate) fn held(&self, name: &str) -> i128 {
        self.held.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it")]

    use serde_json::{Value, json};

    use super::*;

    fn wants(spec: Value) -> Wants {
        let mut whole = json!({"containers": []});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        PodFacts::of(&serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": whole})).unwrap()).wants
    }

    fn port(port: i32, protocol: &str, ip: &str) -> HostPort {
        HostPort { port, protocol: protocol.to_owned(), ip: ip.to_owned() }
    }

    #[test]
    fn ports_are_those_that_last() {
        let with = |n: i32| json!([{"containerPort": 80, "hostPort": n}]);
        let got = wants(json!({
            "initContainers": [{"name": "i", "ports": with(1)}, {"name": "s", "restartPolicy": "Always", "ports": with(2)}],
            "containers": [{"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1"}]}]}));
        assert_eq!(got.ports, [port(2, "TCP", "0.0.0.0"), port(53, "UDP", "127.0.0.1")]);
        let network = wants(json!({"hostNetwork": true, "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}));
        assert_eq!(network.ports, [port(80, "TCP", "0.0.0.0")]);
    }

    #[test]
    fn ports_clash_by_number_protocol_and_address() {
        let a = port(80, "TCP", "10.0.0.1");
        assert!(a.clashes(&a) && a.clashes(&port(80, "TCP", "0.0.0.0")) && port(80, "TCP", "0.0.0.0").clashes(&a));
        assert!(
            !a.clashes(&port(80, "TCP", "10.0.0.2"))
                && !a.clashes(&port(80, "UDP", "10.0.0.1"))
                && !a.clashes(&port(81, "TCP", "10.0.0.1"))
        );
    }

    #[test]
    fn what_is_not_served_is_named() {
        assert!(wants(json!({"volumes": [{"name": "e", "emptyDir": {}}]})).unknown.is_empty());
        let got = wants(json!({
            "volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "b", "ephemeral": {}}],
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "x"}, {"name": "nic"}], "schedulingGroup": {"podGroupName": "g"}}));
        assert_eq!(
            got.unknown,
            [
                "persistentvolumeclaim \"data\" not found",
                "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-b\"",
                "resource claims are not served here: gpu, nic",
                "scheduling groups are not served here"
            ]
        );
    }

    #[test]
    fn what_leftovers_hold_is_read_as_requests() {
        let node = |held: &str| {
            NodeFacts::of(&serde_json::from_value(json!({"metadata": {"name": "a", "annotations": {NODE_HELD: held}}})).unwrap()).held
        };
        assert_eq!(
            node(r#"{"nvidia.com/gpu": "2", "cpu": "500m"}"#),
            [("cpu".to_owned(), 500), ("nvidia.com/gpu".to_owned(), 2_000)].into()
        );
        assert!(node("[]").is_empty() && node("{").is_empty());
    }
}
