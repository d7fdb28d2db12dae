//! What the launcher counts, for `GET /metrics`.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) route: &'static str,
    pub(crate) code: u16,
}

/// Labels of an exit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Exit {
    pub(crate) code: i32,
}

/// The counters of one launcher.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) requests: Family<Request, Counter>,
    pub(crate) exits: Family<Exit, Counter>,
    pub(crate) start: Histogram,
    pub(crate) stop: Histogram,
    pub(crate) instances: Gauge,
    pub(crate) watchers: Gauge,
}

impl Metrics {
    /// Counters at zero, and the registry that shows them.
    pub(crate) fn new() -> (Self, Arc<Registry>) {
        let metrics = Self {
            requests: Family::default(),
            exits: Family::default(),
            start: Histogram::new(exponential_buckets(0.0005, 2.0, 12)),
            stop: Histogram::new(exponential_buckets(0.005, 2.0, 13)),
            instances: Gauge::default(),
            watchers: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("dormouse_launcher");
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("exits", "Engines that ended by themselves, by exit code", metrics.exits.clone());
        registry.register_with_unit("start", "Time from an accepted creation to a running process", Unit::Seconds, metrics.start.clone());
        registry.register_with_unit("stop", "Time from a deletion to the last process gone", Unit::Seconds, metrics.stop.clone());
        registry.register("instances", "Instances, ended ones included", metrics.instances.clone());
        registry.register("watchers", "Open watch and follow streams", metrics.watchers.clone());
        (metrics, Arc::new(registry))
    }
}
