//! One node as data: what the API says, what stubs, launchers and engines answered, what the limits are.
//!
//! [`NodeState`] is the whole input of [`crate::plan()`]. It has two halves that must not be confused:
//!
//! - what is in the **API** (`node`, `requesters`, `directs`, `launchers`, `configs`, `wanted`, `gpu_map`): made by
//!   [`crate::observe`] from watched objects, replaced object by object, and the same after a restart;
//! - what was **answered or is under way** (`memory`): folded in by [`NodeState::finished`] and friends, and lost with the
//!   process. Dropping it at any moment must lead to the same final state.
//!
//! Identity of a Pod is its UID; a Pod of the same name with another UID is another Pod. All collections are ordered maps, so
//! that no decision can depend on the order of arrival.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{ContainerId, GpuUuid, InstanceId, Uid};
use crate::limits::Limits;
use crate::memory::Memory;

/// Everything that decides what is to be done on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeState {
    /// The focus namespace.
    pub namespace: String,
    /// The node itself.
    pub node: NodeInfo,
    /// The ConfigMap `gpu-map`, all nodes.
    pub gpu_map: Arc<GpuMap>,
    /// Scheduled requesters of this node.
    pub requesters: BTreeMap<Uid, Requester>,
    /// Direct providers of this node, bound or not.
    pub directs: BTreeMap<Uid, Direct>,
    /// Launchers meant for this node, bound or not, scheduled or not.
    pub launchers: BTreeMap<Uid, Launcher>,
    /// Configuration objects of the namespace.
    pub configs: Arc<Configs>,
    /// Population policy for this node: `LauncherConfig` to wanted number.
    pub wanted: BTreeMap<String, Desired>,
    /// Budgets and thresholds that a flag reaches.
    pub limits: Arc<Limits>,
    /// Whether the population part is planned. `false` where no populator runs, so that its actions do not hold anything up.
    pub populate: bool,
    /// Answers, failures, actions under way.
    pub memory: Memory,
}

/// The node object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Name.
    pub name: String,
    /// Value of its label `kubernetes.io/hostname`; absent: the label is missing (gap `a36`).
    pub hostname: Option<String>,
    /// Whether the object exists.
    pub exists: bool,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Condition `Ready`; a node that reports none counts as ready.
    pub ready: bool,
    /// Taints with an effect that keeps Pods away (`NoSchedule`, `NoExecute`).
    pub taints: Vec<Taint>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `status.allocatable`, quantities as written.
    pub allocatable: BTreeMap<String, String>,
}

impl NodeInfo {
    /// Whether it is absent or on its way out. On such a node nothing is begun: the deletion of its Pods will tell.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        !self.exists || self.deleting
    }
}

/// One taint of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, empty when absent.
    pub value: String,
    /// Effect.
    pub effect: String,
}

/// The ConfigMap `gpu-map`, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuMap {
    /// Whether the ConfigMap exists.
    pub available: bool,
    /// GPU UUID to node and index.
    pub by_uuid: BTreeMap<GpuUuid, (String, u32)>,
}

/// Configuration objects of the focus namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configs {
    /// `InferenceServerConfig`s by name.
    pub iscs: BTreeMap<String, Isc>,
    /// `LauncherConfig`s by name.
    pub lcs: BTreeMap<String, Lc>,
}

impl Configs {
    /// The content of the `InferenceServerConfig` of this name, if it exists and can be used.
    #[must_use]
    pub fn isc(&self, name: &str) -> Option<&IscSpec> {
        self.iscs.get(name)?.spec.as_ref().ok()
    }
}

/// An `InferenceServerConfig` as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isc {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: Uid,
    /// Its content, or why it cannot be used.
    pub spec: Result<IscSpec, String>,
}

/// `InferenceServerConfig.spec`, usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IscSpec {
    /// Port of the engine.
    pub port: u16,
    /// Command line without the port.
    pub options: String,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Labels and annotations of the launcher while it serves.
    pub routing: Routing,
    /// Name of the `LauncherConfig`.
    pub launcher_config: String,
}

/// Labels and annotations that make a serving launcher an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A `LauncherConfig` as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Lc {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: Uid,
    /// Generation, for the status.
    pub generation: Option<i64>,
    /// Cap on instances per launcher, the awake one included; at least 1.
    pub max_instances: usize,
    /// The launcher Pod for any node and its hash, or why there is none.
    pub template: Result<Arc<LauncherTemplate>, String>,
    /// The object as it is in the API, for its status.
    pub object: Arc<Value>,
}

/// The node-independent launcher Pod of a `LauncherConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct LauncherTemplate {
    /// The Pod, complete but for the node.
    pub pod: Value,
    /// Hash of what the author of the `LauncherConfig` can change.
    pub hash: String,
}

/// What the population policies want of one `LauncherConfig` on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// So many launchers, bound ones included.
    Count(u32),
    /// Neither create nor delete: the `LauncherConfig` is missing or malformed, or the policy cannot be read.
    HandsOff,
}

/// What every Pod has.
#[derive(Clone, Debug, PartialEq)]
pub struct PodMeta {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: Uid,
    /// `resourceVersion` of `object`.
    pub rv: String,
    /// When it was created.
    pub created: Timestamp,
    /// Deletion timestamp.
    pub deleting: Option<Timestamp>,
    /// Phase `Succeeded` or `Failed`.
    pub terminal: bool,
    /// `status.podIP`.
    pub ip: Option<String>,
    /// Condition `Ready`.
    pub ready: bool,
    /// Last change of condition `Ready`, else the creation.
    pub ready_changed: Timestamp,
    /// Time of condition `PodScheduled` = `True`.
    pub scheduled: Option<Timestamp>,
    /// Sum of the restart counts of all containers.
    pub restarts: u64,
    /// Why a container cannot be started at all, in the kubelet's words: its image, its configuration.
    pub stuck: Option<String>,
    /// The container `inference-server`.
    pub container: ContainerInfo,
    /// The object as it is in the API; the writers start from it.
    pub object: Arc<Value>,
}

/// State of the container `inference-server`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerInfo {
    /// `containerID` of the present (or last) start.
    pub id: Option<ContainerId>,
    /// Since when it runs; `None` when it does not.
    pub running_since: Option<Timestamp>,
    /// The kubelet's view of its readiness.
    pub ready: bool,
}

impl PodMeta {
    /// Neither being deleted nor in a terminal phase.
    #[must_use]
    pub fn live(&self) -> bool {
        self.deleting.is_none() && !self.terminal
    }

    /// Whether the container `inference-server` runs.
    #[must_use]
    pub fn running(&self) -> bool {
        self.container.running_since.is_some()
    }

    /// Its address, while the container `inference-server` runs: where that can be called.
    #[must_use]
    pub fn reached_at(&self) -> Option<&str> {
        self.ip.as_deref().filter(|_| self.running())
    }

    /// Since when a Pod that is not ready has been so.
    #[must_use]
    pub fn not_ready_since(&self) -> Timestamp {
        self.ready_changed.max(self.created)
    }

    /// Something restarted and the Pod is not ready (actuation 3.5, step 6a).
    #[must_use]
    pub fn in_trouble(&self) -> bool {
        self.restarts > 0 && !self.ready
    }
}

/// A server-requesting Pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Requester {
    /// The Pod.
    pub pod: PodMeta,
    /// What it asks for.
    pub kind: RequesterKind,
    /// Port of its SPI, or why there is none.
    pub admin_port: Result<u16, String>,
    /// Whether it carries the requester finalizer.
    pub has_finalizer: bool,
    /// Whether it uses annotations with the old prefix; its status is then written under both.
    pub old_prefix: bool,
    /// Its readiness gate [`SERVING`](dormouse_names::condition::SERVING), if it has it.
    pub gate: Option<Gate>,
    /// What we wrote on it.
    pub written: Written,
}

/// The readiness gate of a requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The condition is `True`.
    pub open: bool,
    /// Its container has a readiness or startup probe as well, so that the Pod waits for both.
    pub beside_probe: bool,
}

/// Flavour of a requester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequesterKind {
    /// Wants a provider made from itself by this patch.
    Direct {
        /// The Go template of the patch.
        patch: String,
    },
    /// Wants an instance in a launcher.
    Launcher {
        /// Name of the `InferenceServerConfig`; may be empty, which is a problem.
        isc: String,
    },
    /// Has both annotations (gap `a40`).
    Contradictory,
}

/// What the controller wrote on a requester.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Annotation `status`.
    pub status: Option<String>,
    /// Annotation `status` under the old prefix.
    pub old_status: Option<String>,
    /// Annotation `accelerators`.
    pub accelerators: Option<String>,
    /// Label `dual`.
    pub dual: Option<String>,
    /// Label `instance`.
    pub instance: Option<String>,
}

/// The binding record of a provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// UID of the requester.
    pub uid: Uid,
    /// Name of the requester.
    pub name: String,
}

/// A direct provider: runs one engine for its whole life.
#[derive(Clone, Debug, PartialEq)]
pub struct Direct {
    /// The Pod.
    pub pod: PodMeta,
    /// The requester it serves.
    pub binding: Option<Binding>,
    /// Whether it carries the provider finalizer, new or old.
    pub has_finalizer: bool,
    /// Annotation `nominal`.
    pub nominal: String,
    /// Its GPUs: annotation `accelerators`.
    pub gpus: Vec<GpuUuid>,
    /// Its GPU indices: `CUDA_VISIBLE_DEVICES`.
    pub indices: Vec<u32>,
    /// Port of its engine, or why there is none.
    pub port: Result<u16, String>,
    /// Label `sleeping`.
    pub sleeping_label: Option<String>,
    /// When it was last in use.
    pub last_used: Timestamp,
}

/// A launcher: hosts engine instances, at most one of them awake and bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Launcher {
    /// The Pod.
    pub pod: PodMeta,
    /// The requester it serves.
    pub binding: Option<Binding>,
    /// What was recorded at the binding; meaningless without `binding`.
    pub recorded: Result<Recorded, String>,
    /// Whether it carries the provider finalizer, new or old.
    pub has_finalizer: bool,
    /// Name of its `LauncherConfig`.
    pub lc: String,
    /// Annotation `launcher-populator-template-hash`.
    pub template_hash: Option<String>,
    /// Annotation `launcher-config-hash`.
    pub config_hash: Option<String>,
    /// Annotation `vllm-instance-signature`: changes whenever the notifier saw a change.
    pub signature: Option<String>,
    /// Label `launcher-stuck` is `true`.
    pub stuck_label: bool,
    /// Label `sleeping`.
    pub sleeping_label: Option<String>,
    /// When its instances were last in use, from annotation `dormouse.dev/last-used`.
    pub last_used: BTreeMap<InstanceId, Timestamp>,
}

/// What a bound launcher remembers of its binding.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The bound instance.
    pub instance: InstanceId,
    /// Port of its engine.
    pub port: u16,
    /// Body of the call that creates it.
    pub config: Value,
    /// GPUs in `config`.
    pub gpus: Vec<GpuUuid>,
    /// Name of its `InferenceServerConfig`, from `config`.
    pub isc: Option<String>,
    /// Labels and annotations to be on the Pod while the instance serves.
    pub routing: Routing,
    /// How much of `routing` is on the Pod.
    pub applied: Applied,
}

/// How much of the routing metadata is on the Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Every label and annotation, with equal values. Also when there are none and the Pod is labelled not sleeping.
    Full,
    /// Some keys, or all with other values.
    Partial,
    /// No key at all. Also when there are none and the Pod is labelled sleeping.
    None,
}
