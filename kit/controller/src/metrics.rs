//! What the frame counts: keys queued, calls that did not come back, events that were not written.
//!
//! Counted always; shown where a program registers them. Handles are cheap: counting is one atomic addition.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Reason;

type Labels = [(&'static str, &'static str); 2];
type Name = [(&'static str, &'static str); 1];
type Durations = Family<Name, Histogram, fn() -> Histogram>;

/// 10 ns to 1,000 s, as client-go's adapter has them.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(1e-8, 10.0, 12))
}

/// The counters of a process.
#[derive(Debug, Clone)]
pub struct Metrics {
    enqueued: Family<Labels, Counter>,
    adds: Family<Name, Counter>,
    depth: Family<Name, Gauge>,
    retries: Family<Name, Counter>,
    waited: Durations,
    worked: Durations,
    calls: Family<Labels, Counter>,
    events: Family<Labels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enqueued: Family::default(),
            adds: Family::default(),
            depth: Family::default(),
            retries: Family::default(),
            waited: Durations::new_with_constructor(durations),
            worked: Durations::new_with_constructor(durations),
            calls: Family::default(),
            events: Family::default(),
        }
    }
}

impl Metrics {
    /// Shows them; those of queues under client-go's names, and the reasons under ours.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("workqueue_adds", "Total number of adds handled by workqueue", self.adds.clone());
        registry.register("workqueue_depth", "Current depth of workqueue", self.depth.clone());
        registry.register("workqueue_retries", "Total number of retries handled by workqueue", self.retries.clone());
        let waited = "How long in seconds an item stays in workqueue before being requested";
        registry.register("workqueue_queue_duration_seconds", waited, self.waited.clone());
        let worked = "How long in seconds processing an item from workqueue takes";
        registry.register("workqueue_work_duration_seconds", worked, self.worked.clone());
        registry.register("dormouse_queue_adds", "Times a key was queued, by reason", self.enqueued.clone());
        registry.register("dormouse_api_calls_refused", "Calls that were not begun or not answered in time", self.calls.clone());
        registry.register("dormouse_events", "Events by what became of them", self.events.clone());
    }

    /// The counters of one controller's queue.
    #[must_use]
    pub fn queue(&self, controller: &'static str) -> QueueCounts {
        let by = |reason: Reason| self.enqueued.get_or_create(&[("controller", controller), ("reason", reason.as_str())]).clone();
        let name = [("name", controller)];
        QueueCounts {
            enqueued: Reason::ALL.map(by),
            adds: self.adds.get_or_create(&name).clone(),
            depth: self.depth.get_or_create(&name).clone(),
            retries: self.retries.get_or_create(&name).clone(),
            waited: self.waited.get_or_create(&name).clone(),
            worked: self.worked.get_or_create(&name).clone(),
        }
    }

    /// The counters of one controller's client.
    #[must_use]
    pub fn calls(&self, controller: &'static str) -> CallCounts {
        let by = |result| self.calls.get_or_create(&[("controller", controller), ("result", result)]).clone();
        CallCounts { timed_out: by("timed_out"), fenced: by("fenced") }
    }

    /// The counters of one recorder.
    #[must_use]
    pub fn events(&self, component: &'static str) -> EventCounts {
        let by = |result| self.events.get_or_create(&[("component", component), ("result", result)]).clone();
        EventCounts { written: by("written"), dropped: by("dropped"), filtered: by("filtered"), failed: by("failed") }
    }
}

/// Counters of a queue.
#[derive(Debug, Clone)]
pub struct QueueCounts {
    enqueued: [Counter; Reason::ALL.len()],
    adds: Counter,
    depth: Gauge,
    retries: Counter,
    waited: Histogram,
    worked: Histogram,
}

impl Default for QueueCounts {
    /// Counters that nobody sees.
    fn default() -> Self {
        Self {
            enqueued: std::array::from_fn(|_| Counter::default()),
            adds: Counter::default(),
            depth: Gauge::default(),
            retries: Counter::default(),
            waited: durations(),
            worked: durations(),
        }
    }
}

impl QueueCounts {
    /// A key was queued, by a queue of the frame or by a loop that keeps its own.
    pub fn enqueued(&self, reason: Reason) {
        self.enqueued[reason as usize].inc();
        self.adds.inc();
    }

    /// So many keys wait.
    pub fn depth(&self, keys: usize) {
        self.depth.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// A key has waited so long and is worked on.
    pub fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    /// The work on a key has taken so long.
    pub fn worked(&self, time: Duration) {
        self.worked.observe(time.as_secs_f64());
    }

    pub(crate) fn retried(&self) {
        self.retries.inc();
    }
}

/// Counters of a client.
#[derive(Debug, Clone, Default)]
pub struct CallCounts {
    /// Calls without an answer in time.
    pub timed_out: Counter,
    /// Calls that were not begun, for want of the lease.
    pub fenced: Counter,
}

/// Counters of a recorder.
#[derive(Debug, Clone, Default)]
pub struct EventCounts {
    /// Made or counted on.
    pub written: Counter,
    /// For want of room in the queue.
    pub dropped: Counter,
    /// One source told too much of one object.
    pub filtered: Counter,
    /// The API did not take them.
    pub failed: Counter,
}
