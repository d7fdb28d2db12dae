//! What the frame counts: keys queued, calls that did not come back, events that were not written.
//!
//! Counted always; shown where a program registers them. Handles are cheap: counting is one atomic addition.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::Reason;

type Labels = [(&'static str, &'static str); 2];

/// The counters of a process.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    enqueued: Family<Labels, Counter>,
    reconciles: Family<Labels, Counter>,
    calls: Family<Labels, Counter>,
    events: Family<Labels, Counter>,
}

impl Metrics {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("dormouse_queue_adds", "Times a key was queued, by reason", self.enqueued.clone());
        registry.register("dormouse_queue_failures", "Reconciles that failed and come again", self.reconciles.clone());
        registry.register("dormouse_api_calls_refused", "Calls that were not begun or not answered in time", self.calls.clone());
        registry.register("dormouse_events", "Events by what became of them", self.events.clone());
    }

    /// The counters of one controller's queue.
    #[must_use]
    pub fn queue(&self, controller: &'static str) -> QueueCounts {
        let by = |reason: Reason| self.enqueued.get_or_create(&[("controller", controller), ("reason", reason.as_str())]).clone();
        let failed = self.reconciles.get_or_create(&[("controller", controller), ("result", "failed")]).clone();
        QueueCounts { enqueued: Reason::ALL.map(by), failed }
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
#[derive(Debug, Clone, Default)]
pub struct QueueCounts {
    enqueued: [Counter; Reason::ALL.len()],
    failed: Counter,
}

impl QueueCounts {
    /// A key was queued, by a queue of the frame or by a loop that keeps its own.
    pub fn enqueued(&self, reason: Reason) {
        self.enqueued[reason as usize].inc();
    }

    pub(crate) fn failed(&self) {
        self.failed.inc();
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
