//! What is known beside the API: answers of stubs, launchers and engines, failures, actions under way.
//!
//! All of it is lost with the process and can be asked for again. Two rules keep it honest:
//!
//! - it is changed only by *answers* ([`NodeState::finished`], [`NodeState::instances_streamed`]), and an effect that was sent
//!   makes what was known about its target unknown until it is answered;
//! - every fact about a process carries the container start (`containerID`) it was learned from, and counts for nothing when
//!   that container is another one now.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::action::{ActionKey, EngineRef};
use crate::ids::{ContainerId, GpuUuid, InstanceId, Uid};
#[cfg(doc)]
use crate::state::NodeState;

/// Something observed: known with the time of the answer, or unknown. Failures to observe stand in [`Memory::failures`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Obs<T> {
    /// Never answered, or no longer true.
    #[default]
    Unknown,
    /// Answered.
    Known {
        /// The answer.
        value: T,
        /// When it came.
        at: Timestamp,
    },
}

impl<T> Obs<T> {
    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Unknown => None,
            Self::Known { value, .. } => Some(value),
        }
    }
}

/// Sleep state of an engine as its answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sleep {
    /// It said that it does not sleep.
    Awake,
    /// It said that it sleeps when it was only asked. Something sent by an earlier process may still wake it.
    Asleep,
    /// It was told to sleep, said yes, and then said that it sleeps: nothing sent earlier can still wake it.
    Settled,
}

impl Sleep {
    /// Asleep, in whatever way that is known.
    #[must_use]
    pub fn asleep(self) -> bool {
        self != Self::Awake
    }
}

/// Failures of one action since it last succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How many in a row.
    pub attempts: u32,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// Kind of the last.
    pub class: FailureClass,
    /// Text of the last, at most [`ERROR_TEXT_MAX`] bytes (gap `a39`).
    pub error: String,
}

/// Longest error text that is kept.
pub const ERROR_TEXT_MAX: usize = 1024;

/// What is known about a call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Answered and refused (4xx): it was not done, and the same call will be refused again.
    Refused,
    /// Not done for a reason that may pass: connection refused, 5xx, 429.
    Transient,
    /// No answer: it may or may not have been done.
    Lost,
}

/// All that is known beside the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// By requester.
    pub stubs: BTreeMap<Uid, StubMemory>,
    /// By engine: a direct provider, or an instance of a launcher.
    pub engines: BTreeMap<EngineRef, EngineMemory>,
    /// By launcher.
    pub launchers: BTreeMap<Uid, LauncherMemory>,
    /// By action: failures since its last success.
    pub failures: BTreeMap<ActionKey, Failure>,
    /// Actions started and not yet reported back, with the count at their start.
    pub in_flight: BTreeMap<ActionKey, u64>,
    /// Inference servers that are known: requesters, and requesters that a provider is bound to, with their names.
    pub servers: BTreeMap<Uid, String>,
    /// Counts starts and ends of actions, to tell which of two answers about one launcher is the younger.
    pub clock: u64,
}

/// What a requester's stub answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StubMemory {
    /// Container start that the facts below are about.
    pub container: Option<ContainerId>,
    /// Its GPUs.
    pub gpus: Obs<Vec<GpuUuid>>,
    /// MiB in use by GPU.
    pub gpu_memory: Obs<BTreeMap<GpuUuid, u64>>,
    /// The readiness it was last told, and when.
    pub relayed: Option<(bool, Timestamp)>,
    /// How its provider came about.
    pub history: History,
}

/// How a requester's provider came about, for the latency metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// A provider Pod was created for it.
    pub made_provider: bool,
    /// An instance was created for it.
    pub made_instance: bool,
    /// So many instances or providers were deleted to make room for it.
    pub deleted: u32,
    /// It was told once that it is ready.
    pub was_ready: bool,
}

/// What an engine answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineMemory {
    /// Container start of the provider that the facts below are about.
    pub container: Option<ContainerId>,
    /// Whether it sleeps.
    pub sleep: Obs<Sleep>,
    /// When it was first asked without an answer, for the start-up deadline; cleared by the first answer.
    pub waiting_since: Option<Timestamp>,
    /// Wakes that failed in a row.
    pub failed_wakes: u32,
    /// It has answered at least once: it did start.
    pub answered: bool,
}

/// What a launcher answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LauncherMemory {
    /// Container start that the facts below are about.
    pub container: Option<ContainerId>,
    /// Its instances.
    pub instances: Obs<BTreeMap<InstanceId, Instance>>,
    /// Annotation `vllm-instance-signature` at the time of the last list.
    pub signature: Option<String>,
    /// Whether its watch stream is followed, so that `instances` needs no polling.
    pub followed: bool,
    /// Something happened that makes a new list necessary.
    pub stale: bool,
    /// Instances that were seen while this requester was bound, and that we did not delete ourselves.
    pub seen: BTreeSet<(Uid, InstanceId)>,
    /// Instances that were created, deleted or streamed, and when last.
    pub touched: BTreeMap<InstanceId, Touch>,
    /// Instances whose last starts all ended before they answered, at most [`DEATHS_MAX`].
    pub deaths: BTreeMap<InstanceId, Deaths>,
}

/// Most instances of a launcher whose failed starts are remembered.
pub const DEATHS_MAX: usize = 64;

/// Starts of an instance that ended before it answered, since it last did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deaths {
    /// How many in a row.
    pub count: u32,
    /// The last of them.
    pub last: Timestamp,
    /// How the last ended: an exit code, or a signal as a negative number; `None` where the launcher does not tell.
    pub exit_code: Option<i64>,
}

/// The last event about an instance, other than a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Count of [`Memory::clock`] at that event.
    pub at: u64,
    /// Whether it ended the instance.
    pub gone: bool,
}

/// An instance as its launcher reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Whether its process has ended.
    pub stopped: bool,
    /// How it ended, where the launcher tells.
    pub exit_code: Option<i64>,
    /// Command line.
    pub options: String,
    /// GPUs in order; `None` when it was created without any.
    pub gpus: Option<Vec<GpuUuid>>,
    /// Environment, what the launcher injected included.
    pub env: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Position in the launcher's list, which is in the order of creation.
    pub order: u64,
    /// When it was first seen.
    pub first_seen: Timestamp,
}

/// An instance in an answer of the launcher, before it is folded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceReport {
    /// ID.
    pub id: InstanceId,
    /// Whether its process has ended.
    pub stopped: bool,
    /// How it ended, where the launcher tells.
    pub exit_code: Option<i64>,
    /// Command line.
    pub options: String,
    /// GPUs in order.
    pub gpus: Option<Vec<GpuUuid>>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// One event of a launcher's watch stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceEvent {
    /// `CREATED`, also for those that exist when the stream opens.
    Created(InstanceReport),
    /// `STOPPED`.
    Stopped(InstanceReport),
    /// `DELETED`.
    Deleted(InstanceId),
}

/// How an action ended. See [`crate::action::Do`] for which of these each action yields.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionOutcome {
    /// Done; nothing more to tell.
    Done,
    /// Done; this is the object as the API has it now. It must have been applied to the index *before* this is reported.
    Object(Value),
    /// The target does not exist (any more): 404, 410, or another UID under the name.
    Gone,
    /// 409: the object is newer than the plan knew. The newer one must have been applied to the index before this is reported.
    Conflict,
    /// GPUs of a requester.
    Gpus(Vec<GpuUuid>),
    /// MiB in use by GPU.
    GpuMemory(BTreeMap<GpuUuid, u64>),
    /// Instances of a launcher.
    Instances(Vec<InstanceReport>),
    /// Answer of `/is_sleeping`.
    Sleeping(bool),
    /// It failed.
    Failed {
        /// What is known about it.
        class: FailureClass,
        /// Why.
        error: String,
    },
}
