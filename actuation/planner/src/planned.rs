//! What a plan is.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::action::{Action, Duality, EngineRef};
use crate::ids::{GpuUuid, Uid};

/// What is to be done now, when to look again without being asked, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// To be started now, in order of importance; at most one for each target.
    pub actions: Vec<Action>,
    /// The next instant at which time alone may change the plan.
    pub wake_at: Option<Timestamp>,
    /// By requester: what keeps it from being served.
    pub problems: BTreeMap<Uid, Vec<Problem>>,
    /// For metrics and for `dormouse status`.
    pub facts: Facts,
}

/// Something that keeps a requester from being served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Text as in the status.
    pub text: String,
    /// Whether it stands in the status; waits that are still short do not.
    pub shown: bool,
}

/// Figures that follow from the state of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Pairs of requester and launcher instance.
    pub duality: Vec<Duality>,
    /// Launchers of this node by `LauncherConfig` and phase: `fma_launcher_pod_count`, summed over nodes.
    pub launchers: BTreeMap<String, BTreeMap<LauncherPhase, u32>>,
    /// What was counted of the launchers of each `LauncherConfig`: log `Analyzed key` when it changes.
    pub stock: BTreeMap<String, Stock>,
    /// What occupies each GPU.
    pub gpus: BTreeMap<GpuUuid, GpuFacts>,
}

/// What was counted of the launchers of a `LauncherConfig` on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Live launchers, bound ones and stale ones included.
    pub current: usize,
    /// Unbound ones from another template.
    pub stale: usize,
    /// Being created.
    pub coming: usize,
    /// Wanted by the policies.
    pub desired: usize,
    /// Wanted by policies and requesters together.
    pub needed: usize,
}

/// What occupies a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuFacts {
    /// Engines that are awake or not known to be asleep.
    pub awake: Vec<EngineRef>,
    /// Engines that are known to be asleep.
    pub asleep: Vec<EngineRef>,
}

/// Phase of a launcher (actuation 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LauncherPhase {
    /// Serves a requester.
    Bound,
    /// Made from another template.
    Stale,
    /// Ready, or still within its time.
    Unbound,
    /// Scheduled and not ready for too long.
    StuckStarting,
    /// Not scheduled for too long.
    StuckScheduling,
}

impl LauncherPhase {
    /// All phases, in their order (actuation 4.5).
    pub const ALL: [Self; 5] = [Self::Bound, Self::Stale, Self::Unbound, Self::StuckStarting, Self::StuckScheduling];

    /// Label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Stale => "stale",
            Self::Unbound => "unbound",
            Self::StuckStarting => "stuck_starting",
            Self::StuckScheduling => "stuck_scheduling",
        }
    }

    /// Whether it is one of the two stuck ones.
    #[must_use]
    pub fn stuck(self) -> bool {
        matches!(self, Self::StuckStarting | Self::StuckScheduling)
    }
}
