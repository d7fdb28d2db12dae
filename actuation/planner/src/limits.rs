//! What the operator may turn: budgets, deadlines, patience.
//!
//! All of it is data for the planner; nothing here is read from flags or the environment.

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

/// Budgets, deadlines and switches. `Default` gives what `dormouse` runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Sleeping engines per GPU next to an awake one, direct providers and instances of launchers together.
    pub sleepers_per_gpu: u32,
    /// Memory of a GPU that all sleepers on it together may keep, MiB; `None` for no such bound.
    pub sleeper_budget_mib: Option<u64>,
    /// What one sleeper is taken to keep of a GPU, MiB. Used with `sleeper_budget_mib`.
    pub sleeper_footprint_mib: u64,
    /// Whether the stub is asked for the memory in use before a wake.
    pub check_gpu_memory: bool,
    /// Order of reclaim.
    pub reclaim: ReclaimOrder,
    /// Whether, as in the peer, the launcher that loses most instances is reclaimed first.
    pub reclaim_most_first: bool,
    /// Level of a sleep call; the peer's engines take 1 when none is given.
    pub sleep_level: u8,
    /// Label keys that the nominal hash of direct providers leaves out.
    pub ignored_labels: Vec<String>,
    /// How long a launcher that is not ready is waited for before another one is made (G7).
    pub launcher_patience: Duration,
    /// How long a sleeping direct provider that is not ready is waited for before another one is made (G11).
    pub direct_patience: Duration,
    /// How long `/sleep` is tried before the instance (or the direct provider) is deleted (G8).
    pub sleep_patience: Duration,
    /// How long the launcher is asked to list or delete before its Pod is deleted while unbinding (G8, G9).
    pub launcher_api_patience: Duration,
    /// How long an instance may take to answer for the first time (G49); `None` for ever.
    pub startup_deadline: Option<Duration>,
    /// Failed wakes after which the instance is replaced by a fresh one.
    pub wake_attempts: u32,
    /// A failure that repeats itself for this long is shown in the requester's status.
    pub report_after: Duration,
    /// A wait (for a GPU, for a launcher) that lasts this long is shown in the requester's status.
    pub report_wait_after: Duration,
    /// First step of the back-off; doubles with each attempt.
    pub backoff_base: Duration,
    /// Longest back-off of writes and effects.
    pub backoff_cap: Duration,
    /// How long after its first start that ended without an answer an instance is started again; doubles with each.
    pub restart_base: Duration,
    /// Longest pause before an instance is started again.
    pub restart_cap: Duration,
    /// Longest interval of a poll (stub, engine, launcher).
    pub poll_cap: Duration,
    /// How long after a create whose answer was lost no second create is sent.
    pub lost_create_delay: Duration,
    /// Interval at which a bound launcher is listed that neither streams nor has a notifier.
    pub list_interval: Duration,
    /// A launcher that is not scheduled for this long is stuck.
    pub stuck_scheduling: Duration,
    /// A launcher that is scheduled and not ready for this long is stuck.
    pub stuck_starting: Duration,
    /// Creates of the populator in flight at once, for each node and `LauncherConfig`.
    pub creates_at_once: usize,
    /// Time-outs of the calls.
    pub timeouts: CallTimeouts,
}

/// Time-outs that the executor puts on the calls, by purpose (G30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTimeouts {
    /// Queries: stub, `/is_sleeping`, instance lists.
    pub query: Duration,
    /// `/sleep`, confirmation included.
    pub sleep: Duration,
    /// `/wake_up`, confirmation included.
    pub wake: Duration,
    /// Creation of an instance.
    pub create_instance: Duration,
    /// Deletion of an instance.
    pub delete_instance: Duration,
    /// Calls to the API server.
    pub api: Duration,
}

impl Default for CallTimeouts {
    fn default() -> Self {
        Self {
            query: Duration::from_secs(5),
            sleep: Duration::from_secs(60),
            wake: Duration::from_secs(60),
            create_instance: Duration::from_secs(30),
            delete_instance: Duration::from_secs(30),
            api: Duration::from_secs(30),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sleepers_per_gpu: 1,
            sleeper_budget_mib: None,
            sleeper_footprint_mib: 4096,
            check_gpu_memory: true,
            reclaim: ReclaimOrder::Lru,
            reclaim_most_first: false,
            sleep_level: 1,
            ignored_labels: Vec::new(),
            launcher_patience: Duration::from_secs(120),
            direct_patience: Duration::from_secs(30),
            sleep_patience: Duration::from_secs(60),
            launcher_api_patience: Duration::from_secs(120),
            startup_deadline: Some(Duration::from_secs(1800)),
            wake_attempts: 3,
            report_after: Duration::from_secs(1),
            report_wait_after: Duration::from_secs(30),
            backoff_base: Duration::from_millis(5),
            backoff_cap: Duration::from_secs(20),
            restart_base: Duration::from_secs(1),
            restart_cap: Duration::from_secs(120),
            poll_cap: Duration::from_secs(1),
            lost_create_delay: Duration::from_secs(5),
            list_interval: Duration::from_secs(5),
            stuck_scheduling: Duration::from_secs(120),
            stuck_starting: Duration::from_secs(450),
            creates_at_once: 4,
            timeouts: CallTimeouts::default(),
        }
    }
}

impl Limits {
    /// How many sleepers a GPU may carry next to an awake engine, count and memory budget taken together.
    #[must_use]
    pub fn sleeper_limit(&self) -> usize {
        let by_count = usize::try_from(self.sleepers_per_gpu).unwrap_or(usize::MAX);
        match self.sleeper_budget_mib {
            None => by_count,
            Some(budget) => {
                let by_memory = budget / self.sleeper_footprint_mib.max(1);
                by_count.min(usize::try_from(by_memory).unwrap_or(usize::MAX))
            }
        }
    }

    /// MiB that may be in use on a GPU before a wake (3.11.1).
    #[must_use]
    pub fn wake_memory_limit_mib(&self) -> u64 {
        u64::from(self.sleepers_per_gpu) * 4096
    }

    /// Pause after `attempts` failures in a row: `backoff_base * 2^(attempts-1)`, at most `backoff_cap`.
    #[must_use]
    pub fn backoff(&self, attempts: u32) -> Duration {
        doubled(self.backoff_base, attempts).min(self.backoff_cap)
    }

    /// Pause before an instance is started again after so many starts in a row that ended without an answer.
    #[must_use]
    pub fn restart(&self, deaths: u32) -> Duration {
        doubled(self.restart_base, deaths).min(self.restart_cap)
    }

    /// Pause between two polls of something that has not answered for `waited`: a tenth of it, so that the answer is seen at
    /// most so much later than it could be given; at least `backoff_base`, at most `poll_cap`.
    #[must_use]
    pub fn poll(&self, waited: Duration) -> Duration {
        (waited / 10).clamp(self.backoff_base, self.poll_cap.max(self.backoff_base))
    }
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
