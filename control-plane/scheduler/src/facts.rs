//! What the scheduler knows of Pods and nodes: a small extract, so that the index stays small.

use std::collections::BTreeMap;

use dormouse_machinery::quantity::Quantity as Parsed;
use k8s_openapi::api::core::v1::{Affinity, Node, Pod, PodSpec, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by resource name in thousandths (`1` CPU is 1,000), rounded up.
pub type Resources = BTreeMap<String, i64>;

/// What a Pod asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// The node it is bound to, if any.
    pub node: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Requests, summed as the kubelet sums them: containers and sidecars together, or the largest init container.
    pub requests: Resources,
    /// Labels a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Affinity to nodes and to other Pods; of it node affinity is honoured.
    pub affinity: Option<Affinity>,
    /// Taints it bears.
    pub tolerations: Vec<Toleration>,
    /// Succeeded or Failed: holds nothing any more.
    pub terminal: bool,
    /// Waits for scheduling gates.
    pub gated: bool,
    /// Being deleted.
    pub deleting: bool,
}

/// What a node offers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeFacts {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Cordoned.
    pub unschedulable: bool,
    /// Taints.
    pub taints: Vec<Taint>,
    /// What Pods may ask for in all.
    pub allocatable: Resources,
}

fn amount(q: &Quantity) -> i64 {
    // What the API server let in parses; anything else counts as nothing rather than stopping the scheduler.
    Parsed::parse(&q.0).map(|q| q.milli_value()).unwrap_or(0)
}

fn amounts(map: Option<&BTreeMap<String, Quantity>>) -> Resources {
    map.into_iter().flatten().map(|(k, q)| (k.clone(), amount(q))).collect()
}

fn add(into: &mut Resources, more: &Resources) {
    for (k, v) in more {
        *into.entry(k.clone()).or_default() += v;
    }
}

fn at_least(into: &mut Resources, other: &Resources) {
    for (k, v) in other {
        let e = into.entry(k.clone()).or_default();
        *e = (*e).max(*v);
    }
}

/// The effective requests of a Pod: sum over containers and sidecars, or what the largest init container needs
/// beside the sidecars started before it, whichever is more; plus overhead and one Pod.
fn requests(spec: &PodSpec) -> Resources {
    let of = |c: &k8s_openapi::api::core::v1::Container| amounts(c.resources.as_ref().and_then(|r| r.requests.as_ref()));
    let (mut sidecars, mut init) = (Resources::new(), Resources::new());
    for c in spec.init_containers.iter().flatten() {
        if c.restart_policy.as_deref() == Some("Always") {
            add(&mut sidecars, &of(c));
            at_least(&mut init, &sidecars);
        } else {
            let mut here = of(c);
            add(&mut here, &sidecars);
            at_least(&mut init, &here);
        }
    }
    let mut all = sidecars;
    for c in &spec.containers {
        add(&mut all, &of(c));
    }
    at_least(&mut all, &init);
    add(&mut all, &amounts(spec.overhead.as_ref()));
    all.insert("pods".to_owned(), 1_000);
    all
}

impl PodFacts {
    /// Extracts the facts of a Pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let (meta, spec) = (&pod.metadata, pod.spec.as_ref());
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            node: spec.and_then(|s| s.node_name.clone()).filter(|n| !n.is_empty()),
            priority: spec.and_then(|s| s.priority).unwrap_or(0),
            requests: spec.map(requests).unwrap_or_default(),
            node_selector: spec.and_then(|s| s.node_selector.clone()).unwrap_or_default(),
            affinity: spec.and_then(|s| s.affinity.clone()),
            tolerations: spec.and_then(|s| s.tolerations.clone()).unwrap_or_default(),
            terminal: matches!(phase, Some("Succeeded" | "Failed")),
            gated: spec.and_then(|s| s.scheduling_gates.as_ref()).is_some_and(|g| !g.is_empty()),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }

    /// `namespace/name`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl NodeFacts {
    /// Extracts the facts of a node.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let status = node.status.as_ref();
        let mut allocatable = amounts(status.and_then(|s| s.capacity.as_ref()));
        allocatable.extend(amounts(status.and_then(|s| s.allocatable.as_ref())));
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            unschedulable: node.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false),
            taints: node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default(),
            allocatable,
        }
    }
}
