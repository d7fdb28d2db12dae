//! Actions: everything the controllers can do, complete enough to be done without further thinking.
//!
//! # For the executor
//!
//! 1. Of a plan, execute the actions whose [`Action::owner`] is yours (or [`Owner::Each`]). Drop the others.
//! 2. Start an action only if no action with the same [`ActionKey::target`] is under way; else drop it: it will be planned again.
//!    (The planner already leaves out actions on targets that are in `memory.in_flight`.) Different targets run concurrently.
//! 3. Call [`NodeState::started`](crate::state::NodeState::started) before sending, and
//!    [`NodeState::finished`](crate::state::NodeState::finished) with the [`ActionOutcome`](crate::memory::ActionOutcome) afterwards; then
//!    plan again. Whatever happens (time-out, panic, shutdown), `finished` must be called or the whole memory be dropped.
//! 4. **Answers of the API server are observations**: apply the object that a create, replace, patch or delete returned to the
//!    index (unless the index has a newer one of that UID) *before* calling `finished` with `ActionOutcome::Object`. On 409 GET the
//!    object, apply it (or its absence), then report `ActionOutcome::Conflict`. On 404, 410, or another UID under that name: apply the
//!    absence, report `ActionOutcome::Gone`. On a lost answer of a replace, patch or delete GET the object and apply it, then report
//!    [`FailureClass::Lost`](crate::memory::FailureClass). On a lost answer of a create report it at once; the planner then waits
//!    for the watch.
//! 5. Back-off, deadlines and retries are the planner's: never retry inside an action.
//! 6. [`Action::event`], if any, is sent after the action succeeded, best effort. [`Action::log`] says what to log.
//! 7. [`Action::timeout`] bounds the whole action.
//!
//! | [`Do`] | Wire | Success, and the outcome to report |
//! |---|---|---|
//! | `ReadGpus` | `GET url`; on 404 `GET old_url` | 2xx, JSON array of text → `Gpus` (also when empty) |
//! | `ReadGpuMemory` | `GET url` | 2xx, JSON object of numbers → `GpuMemory` |
//! | `ListInstances` | `GET url` | 2xx, the list → `Instances` in the order of the list |
//! | `ReadSleep` | `GET base_url/is_sleeping` | 2xx, `{"is_sleeping": bool}` → `Sleeping` |
//! | `Sleep` | `POST base_url/sleep` (with `?level=` only if the level is not 1), then `GET /is_sleeping` | both 2xx and the second says true → `Sleeping(true)`; second says false → `Sleeping(false)`, which counts as a failure |
//! | `Wake` | `POST base_url/wake_up`, then `GET /is_sleeping` until false | → `Sleeping(false)`; still true at the time-out → `Failed` |
//! | `CreateInstance` | `PUT url` with `body` | 2xx → `Done`; **409 → `Failed{Refused}`** (exists, or unknown GPU: the planner lists and sees) |
//! | `DeleteInstance` | `DELETE url` | 2xx → `Done`; 404 → `Gone` |
//! | `Relay` | `POST url`, empty body | 2xx → `Done` |
//! | `CreatePod` | POST of `object` | the created object → `Object`; 422 etc. → `Failed{Refused}` with the API server's `message` |
//! | `ReplacePod` | PUT of `object` as it is: it carries UID and resourceVersion | the new object → `Object`; 409 → `Conflict` |
//! | `DeletePod` | DELETE with preconditions `pod.uid` and `pod.rv`, propagation `Background` | the object → `Object`, a Status → `Done`; 404 → `Gone`; 409 → `Conflict` |
//! | `PatchPod` | JSON merge patch of `patch`, which carries the UID | the new object → `Object`; 404 → `Gone` |
//! | `PatchPodStatus` | strategic merge patch of `patch`, which carries the UID, on `status` | the new object → `Object`; 404 → `Gone` |
//! | `SetConfigStatus` | PUT to `status` of `object` | `Object`; 404 → `Gone`; 409 → `Conflict` |
//!
//! Engine and launcher URLs are `http://<ip>:<port>`, IPv6 in brackets (actuation 3.12).

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::ids::{ContainerId, GpuUuid, InstanceId, Uid};
use crate::state::Binding;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Who it is: the same need gives the same key in every plan.
    pub key: ActionKey,
    /// Which controller does it.
    pub owner: Owner,
    /// What to do.
    pub what: Do,
    /// Container start that the answer will be about; kept with what is learned.
    pub container: Option<ContainerId>,
    /// Bound on the whole action.
    pub timeout: Duration,
    /// For logs and metrics: on whose behalf.
    pub subject: Subject,
    /// What to log.
    pub log: Log,
    /// Event to send after success.
    pub event: Option<EventSpec>,
}

/// Identity of an action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionKey {
    /// What it acts on. Actions on one target are sequential.
    pub target: Target,
    /// What it does there.
    pub verb: Verb,
    /// Tells apart needs with the same target and verb, such as a create from a changed patch. Never shown.
    pub detail: String,
}

/// What an action acts on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A Pod object in the API.
    Pod(Uid),
    /// The stub of a requester.
    Stub(Uid),
    /// The API of a launcher as a whole.
    Launcher(Uid),
    /// One engine.
    Engine(EngineRef),
    /// A provider that is to be made for this requester.
    NewProvider(Uid),
    /// A launcher that is to be made for the population of this `LauncherConfig`, with an ordinal.
    NewLauncher(String, u32),
    /// A custom resource, by plural and name.
    Config(Cow<'static, str>, String),
}

/// An engine: the one of a direct provider (`instance` is `None`), or an instance of a launcher.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineRef {
    /// UID of the provider.
    pub provider: Uid,
    /// The instance.
    pub instance: Option<InstanceId>,
}

impl EngineRef {
    /// The engine of a direct provider.
    #[must_use]
    pub fn direct(provider: &Uid) -> Self {
        Self { provider: provider.clone(), instance: None }
    }

    /// An instance of a launcher.
    #[must_use]
    pub fn instance(provider: &Uid, instance: &InstanceId) -> Self {
        Self { provider: provider.clone(), instance: Some(instance.clone()) }
    }
}

/// What an action does (actuation 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Ask a stub for its GPUs.
    ReadGpus,
    /// Ask a stub for the memory in use.
    ReadGpuMemory,
    /// Ask a launcher for its instances.
    ListInstances,
    /// Ask an engine whether it sleeps.
    ReadSleep,
    /// Wake an engine.
    Wake,
    /// Put an engine to sleep.
    Sleep,
    /// Create an instance.
    CreateInstance,
    /// Delete an instance.
    DeleteInstance,
    /// Tell a stub that its server is (not) ready.
    Relay,
    /// Create a direct provider, born bound. **Commit point.**
    CreateDirect,
    /// Create a launcher: born bound (**commit point**) or for the population.
    CreateLauncher,
    /// Bind a provider to a requester. **Commit point.**
    Bind,
    /// Release a provider from its requester. **Commit point.**
    Unbind,
    /// Put label `sleeping=false`, routing labels and annotations on a launcher.
    Route,
    /// Take routing labels and annotations off a launcher.
    Deroute,
    /// Correct label `sleeping` of a direct provider.
    SetSleepingLabel,
    /// Write status, accelerators, labels and finalizer of a requester.
    SetRequester,
    /// Take the provider finalizer off.
    DropProviderFinalizer,
    /// Delete a Pod.
    DeletePod,
    /// Set or clear the label `launcher-stuck`.
    SetStuck,
    /// Open a requester's readiness gate: make the condition true that it names.
    SetServing,
    /// Shut it. Apart from opening, so that a failure of the one is not taken for one of the other.
    UnsetServing,
    /// Write the status of a custom resource.
    SetConfigStatus,
}

/// Which controller executes an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The dual-pods controller.
    DualPods,
    /// The launcher populator.
    Populator,
    /// Every controller for itself: a read whose answer each process keeps in its own memory.
    Each,
}

impl Owner {
    /// Field manager of its writes.
    #[must_use]
    pub fn manager(self) -> &'static str {
        match self {
            Self::DualPods | Self::Each => dormouse_apis::names::DUAL_PODS_CONTROLLER,
            Self::Populator => dormouse_apis::names::LAUNCHER_POPULATOR,
        }
    }
}

/// A Pod at a known version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID: precondition.
    pub uid: Uid,
    /// resourceVersion: precondition of writes.
    pub rv: String,
}

/// What to do, with all data. See the table at the top of the module.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    /// See the table.
    ReadGpus {
        /// The requester.
        requester: PodRef,
        /// `http://<ip>:<admin port>/v1/dual-pods/accelerators`.
        url: String,
        /// The older path, for a 404.
        old_url: String,
    },
    /// See the table.
    ReadGpuMemory {
        /// The requester.
        requester: PodRef,
        /// `…/v1/dual-pods/accelerator-memory-usage`.
        url: String,
    },
    /// See the table.
    ListInstances {
        /// The launcher.
        launcher: PodRef,
        /// `http://<ip>:8001/v2/vllm/instances`.
        url: String,
    },
    /// See the table.
    ReadSleep {
        /// The engine.
        engine: EngineRef,
        /// Its provider.
        provider: PodRef,
        /// `http://<ip>:<engine port>`.
        base_url: String,
    },
    /// See the table.
    Sleep {
        /// The engine.
        engine: EngineRef,
        /// Its provider.
        provider: PodRef,
        /// `http://<ip>:<engine port>`.
        base_url: String,
        /// Level; 1 is what the engine does when no level is given.
        level: u8,
    },
    /// See the table.
    Wake {
        /// The engine.
        engine: EngineRef,
        /// Its provider.
        provider: PodRef,
        /// `http://<ip>:<engine port>`.
        base_url: String,
    },
    /// See the table.
    CreateInstance {
        /// The instance to be.
        engine: EngineRef,
        /// The launcher.
        launcher: PodRef,
        /// `http://<ip>:8001/v2/vllm/instances/<id>`.
        url: String,
        /// `{"options","gpu_uuids","env_vars","annotations"}`.
        body: Value,
    },
    /// See the table.
    DeleteInstance {
        /// The instance.
        engine: EngineRef,
        /// The launcher.
        launcher: PodRef,
        /// `http://<ip>:8001/v2/vllm/instances/<id>`.
        url: String,
        /// Why.
        reason: DeleteInstanceReason,
        /// The requester that it makes room for.
        for_requester: Option<Uid>,
    },
    /// See the table.
    Relay {
        /// The requester.
        requester: PodRef,
        /// `…/v1/become-ready` or `…/v1/become-unready`.
        url: String,
        /// Which of the two.
        ready: bool,
        /// On the first *ready*: what to observe in `fma_actuation_seconds` and log as `Observed actuation latency`.
        first: Option<Actuation>,
    },
    /// See the table.
    CreatePod {
        /// The object, with `metadata.namespace` and `generateName`.
        object: Value,
        /// Its binding, unless it is made for the population.
        binding: Option<Binding>,
        /// Its `LauncherConfig`, for launchers; label of `fma_launcher_create_seconds`.
        lc: Option<String>,
    },
    /// See the table.
    ReplacePod {
        /// Which Pod, at which version. The same stands in `object`.
        pod: PodRef,
        /// The whole new object.
        object: Value,
    },
    /// See the table.
    DeletePod {
        /// Which Pod, at which version.
        pod: PodRef,
        /// Why.
        reason: DeletePodReason,
        /// The requester that it makes room for.
        for_requester: Option<Uid>,
    },
    /// See the table.
    PatchPod {
        /// Which Pod; its version is no precondition.
        pod: PodRef,
        /// JSON merge patch, with `metadata.uid`.
        patch: Value,
    },
    /// See the table.
    PatchPodStatus {
        /// Which Pod; its version is no precondition.
        pod: PodRef,
        /// Strategic merge patch, with `metadata.uid`.
        patch: Value,
    },
    /// See the table.
    SetConfigStatus {
        /// Plural of the kind, such as `launcherconfigs`.
        plural: Cow<'static, str>,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// The whole object with the new status.
        object: Value,
    },
}

/// Why a Pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeletePodReason {
    /// Requester: its provider is being deleted or has ended.
    ProviderGone,
    /// Requester: its instance has stopped or vanished.
    InstanceDead,
    /// Requester: the recorded routing metadata cannot be applied.
    OutdatedRouting,
    /// Requester: its node is cordoned and it has no provider.
    NodeUnschedulable,
    /// Provider: restarted, not ready, and its requester is gone.
    Trouble,
    /// Provider: it has ended.
    Terminal,
    /// Provider: its engine could not be put to sleep in time.
    WillNotSleep,
    /// Direct provider: never came up before its requester left (gap `a27`).
    NeverStarted,
    /// Direct provider: sleeper beyond the budget.
    SleeperLimit,
    /// Launcher: made from an older template.
    Stale,
    /// Launcher: more than wanted.
    Excess,
}

/// Why an instance is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeleteInstanceReason {
    /// Its process has ended.
    Stopped,
    /// Its content is no longer wanted by any `InferenceServerConfig`.
    Obsolete,
    /// It says no usable port.
    NoPort,
    /// Its port is needed.
    PortConflict,
    /// Room in the launcher is needed.
    Capacity,
    /// Room on a GPU is needed.
    SleeperLimit,
    /// It could not be put to sleep in time.
    WillNotSleep,
    /// It could not be woken; a fresh one replaces it.
    WillNotWake,
    /// It did not answer within the start-up deadline; a fresh one replaces it.
    NeverStarted,
    /// What the launcher was bound for cannot be read.
    Unreadable,
}

/// On whose behalf an action is done. The executor logs `node`, `serverUID`, `requesterName`, `instanceID`, `providerName`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Requester: UID and name.
    pub requester: Option<Binding>,
    /// Name of the provider.
    pub provider: Option<String>,
    /// Instance.
    pub instance: Option<InstanceId>,
    /// Name of the `InferenceServerConfig`, label `isc_name` of `fma_http_latency_seconds`.
    pub isc: Option<String>,
}

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Error.
    Error,
    /// Normal: `V(0)` to `V(2)`.
    Info,
    /// `V(3)` to `V(5)`.
    Debug,
}

/// What to log when an action ends. Empty texts are not logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// On success.
    pub done: &'static str,
    /// When the target was gone.
    pub gone: &'static str,
    /// On failure; logged with the error.
    pub failed: &'static str,
    /// Level of `done`.
    pub level: Level,
    /// Further keys and values.
    pub fields: Vec<(&'static str, String)>,
}

impl Default for Log {
    fn default() -> Self {
        Self { done: "", gone: "", failed: "", level: Level::Info, fields: Vec::new() }
    }
}

/// An Event to send about a Pod; type `Warning`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSpec {
    /// About this Pod.
    pub pod: PodRef,
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

/// One actuation, when its first ready is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actuation {
    /// How the provider came about.
    pub path: Path,
    /// How many instances or providers were deleted for it.
    pub deleted: u32,
    /// Name of the `InferenceServerConfig`; empty for direct ones.
    pub isc: String,
    /// Start of the requester's container: the actuation began then.
    pub since: Timestamp,
}

/// How a provider came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// A Pod had to be made.
    Cold,
    /// An instance had to be made.
    Warm,
    /// A sleeper was woken.
    Hot,
}

impl Path {
    /// Label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Hot => "hot",
        }
    }
}

impl Action {
    /// Label `purpose` of `fma_http_latency_seconds`; `None` for calls to the API server.
    #[must_use]
    pub fn purpose(&self) -> Option<&'static str> {
        Some(match &self.what {
            Do::ReadGpus { .. } => "get_gpu_uuids",
            Do::ReadGpuMemory { .. } => "get_accel_memory_usage",
            Do::ListInstances { .. } => "list_instances",
            Do::ReadSleep { .. } => "query_sleeping",
            Do::Sleep { .. } => "sleep",
            Do::Wake { .. } => "wake",
            Do::CreateInstance { .. } => "create_instance",
            Do::DeleteInstance { .. } => "delete_instance",
            Do::Relay { ready: true, .. } => "relay_ready",
            Do::Relay { ready: false, .. } => "relay_unready",
            Do::CreatePod { .. }
            | Do::ReplacePod { .. }
            | Do::DeletePod { .. }
            | Do::PatchPod { .. }
            | Do::PatchPodStatus { .. }
            | Do::SetConfigStatus { .. } => {
                return None;
            }
        })
    }
}

/// Base URL of a Pod's port; IPv6 addresses in brackets (gap `a37`).
#[must_use]
pub fn base_url(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("http://[{ip}]:{port}") } else { format!("http://{ip}:{port}") }
}

/// GPUs of an awake engine and who it serves: input of `fma_duality`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duality {
    /// The requester.
    pub requester: Uid,
    /// Its name.
    pub requester_name: String,
    /// Name of the launcher Pod.
    pub provider: String,
    /// The instance.
    pub instance: InstanceId,
    /// Its GPUs.
    pub gpus: Vec<GpuUuid>,
}
