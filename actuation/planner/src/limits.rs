//! Budgets, deadlines, patience: what the operator may turn is in [`Limits`], the rest are figures of this crate.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Which sleeping instance goes first when room is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReclaimOrder {
    /// The one whose use ended longest ago.
    #[default]
    Lru,
    /// The one that was made first, as the peer does; its suite relies on it.
    Fifo,
}

/// Budgets and switches that a flag reaches. `Default` gives what `dormouse` runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sleeping engines per GPU next to an awake one, direct providers and instances of launchers together.
    pub sleepers_per_gpu: u32,
    /// Whether the stub is asked for the memory in use before a wake.
    pub check_gpu_memory: bool,
    /// Order of reclaim.
    pub reclaim: ReclaimOrder,
    /// A launcher that is not scheduled for this long is stuck.
    pub stuck_scheduling: Duration,
    /// A launcher that is scheduled and not ready for this long is stuck.
    pub stuck_starting: Duration,
    /// Launchers are also made where they could not start: on cordoned, tainted and unready nodes, as the peer does.
    pub populate_unschedulable_nodes: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sleepers_per_gpu: 1,
            check_gpu_memory: true,
            reclaim: ReclaimOrder::Lru,
            stuck_scheduling: Duration::from_secs(120),
            stuck_starting: Duration::from_secs(450),
            populate_unschedulable_nodes: false,
        }
    }
}

impl Limits {
    /// How many sleepers a GPU may carry next to an awake engine.
    #[must_use]
    pub fn sleeper_limit(&self) -> usize {
        usize::try_from(self.sleepers_per_gpu).unwrap_or(usize::MAX)
    }

    /// MiB that may be in use on a GPU before a wake (actuation 3.11.1): what so many sleepers are taken to keep.
    #[must_use]
    pub fn wake_memory_limit_mib(&self) -> u64 {
        u64::from(self.sleepers_per_gpu) * 4096
    }
}

/// Level of a sleep call; the peer's engines take 1 when none is given.
pub(crate) const SLEEP_LEVEL: u8 = 1;
/// How long a launcher that is not ready is waited for before another one is made (gap `a7`).
pub(crate) const LAUNCHER_PATIENCE: Duration = Duration::from_secs(120);
/// How long a sleeping direct provider that is not ready is waited for before another one is made (gap `a11`).
pub(crate) const DIRECT_PATIENCE: Duration = Duration::from_secs(30);
/// How long `/sleep` is tried before the instance (or the direct provider) is deleted (gap `a8`).
pub(crate) const SLEEP_PATIENCE: Duration = Duration::from_secs(60);
/// How long the launcher is asked to list or delete before its Pod is deleted while unbinding (gaps `a8`, `a9`).
pub(crate) const LAUNCHER_API_PATIENCE: Duration = Duration::from_secs(120);
/// How long an instance may take to answer for the first time (gap `a49`).
pub(crate) const STARTUP_DEADLINE: Duration = Duration::from_secs(1800);
/// Failed wakes after which the instance is replaced by a fresh one.
pub(crate) const WAKE_ATTEMPTS: u32 = 3;
/// A failure that repeats itself for this long is shown in the requester's status.
pub(crate) const REPORT_AFTER: Duration = Duration::from_secs(1);
/// A scheduled requester that has no address for this long: its kubelet is not well.
pub(crate) const REPORT_WITHOUT_IP: Duration = Duration::from_secs(5);
/// A wait (for a GPU, for a launcher) that lasts this long is shown in the requester's status.
pub(crate) const REPORT_WAIT_AFTER: Duration = Duration::from_secs(30);
/// First step of the back-off; doubles with each attempt.
const BACKOFF_BASE: Duration = Duration::from_millis(5);
/// Longest back-off of writes and effects.
const BACKOFF_CAP: Duration = Duration::from_secs(20);
/// How long after its first start that ended without an answer an instance is started again; doubles with each.
const RESTART_BASE: Duration = Duration::from_secs(1);
/// Longest pause before an instance is started again.
const RESTART_CAP: Duration = Duration::from_secs(120);
/// Longest interval of a poll (stub, engine, launcher).
pub(crate) const POLL_CAP: Duration = Duration::from_secs(1);
/// How long after a create whose answer was lost no second create is sent.
pub(crate) const LOST_CREATE_DELAY: Duration = Duration::from_secs(5);
/// Interval at which a bound launcher is listed that neither streams nor has a notifier.
pub(crate) const LIST_INTERVAL: Duration = Duration::from_secs(5);
/// An answer about GPU memory in use counts for this long.
pub(crate) const MEMORY_FRESH: Duration = Duration::from_secs(1);
/// Creates of the populator in flight at once, for each node and `LauncherConfig`.
pub(crate) const CREATES_AT_ONCE: usize = 4;

/// Time-outs that the executor puts on the calls, by purpose (gap `a30`).
pub(crate) mod timeout {
    use std::time::Duration;

    /// Queries: stub, `/is_sleeping`, instance lists.
    pub(crate) const QUERY: Duration = Duration::from_secs(5);
    /// `/sleep` and `/wake_up`, confirmation included.
    pub(crate) const SLEEP_OR_WAKE: Duration = Duration::from_secs(60);
    /// Creation and deletion of an instance.
    pub(crate) const INSTANCE: Duration = Duration::from_secs(30);
    /// Calls to the API server.
    pub(crate) const API: Duration = Duration::from_secs(30);
}

/// Pause after `attempts` failures in a row.
pub(crate) fn backoff(attempts: u32) -> Duration {
    doubled(BACKOFF_BASE, attempts).min(BACKOFF_CAP)
}

/// Pause before an instance is started again after so many starts in a row that ended without an answer.
pub(crate) fn restart(deaths: u32) -> Duration {
    doubled(RESTART_BASE, deaths).min(RESTART_CAP)
}

/// Pause between two polls of something that has not answered for `waited`: a tenth of it, so that the answer is seen at most so
/// much later than it could be given.
pub(crate) fn poll(waited: Duration) -> Duration {
    (waited / 10).clamp(BACKOFF_BASE, POLL_CAP)
}

/// `base * 2^(times-1)`.
fn doubled(base: Duration, times: u32) -> Duration {
    base.saturating_mul(1u32 << times.saturating_sub(1).min(31))
}

/// `at` plus `by`, held at the end of time.
#[must_use]
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// How long ago `at` is; zero when it lies ahead.
#[must_use]
pub fn since(at: Timestamp, now: Timestamp) -> Duration {
    let passed: SignedDuration = now.duration_since(at);
    Duration::try_from(passed).unwrap_or(Duration::ZERO)
}
