//! What was scraped as files (perf contract 6.8, 6.3, 6.4), in the peer's order and shape.
//!
//! * [`server`]: the metrics of servers as JSON, CSV and lines;
//! * [`gpu`]: those of GPUs, as a member of the summary, as rows of its table and as lines;
//! * [`text`]: times, cells, endpoints and units.

use dormouse_perf_metrics::Window;
use dormouse_perf_report::json::{Json, Members};

use crate::collect::History;

pub mod gpu;
pub mod server;
pub mod text;

/// A phase of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// It warmed up only.
    pub warmup: bool,
    /// It ended before its time.
    pub was_cancelled: bool,
    /// When it was.
    pub window: Window,
}

/// What files say of the run beside what was scraped.
#[derive(Clone, Debug)]
pub struct About {
    /// The version that readers of `aiperf_version` see.
    pub version: String,
    /// Which run it is.
    pub benchmark_id: String,
    /// Its configuration as it stands in the other files.
    pub input_config: Json,
    /// Its phases, in their order.
    pub phases: Vec<Phase>,
    /// Slices of this length, if any.
    pub slice_ns: Option<u64>,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset_seconds: i32,
}

impl About {
    /// All phases that were measured, as one; the warm-ups, as one.
    #[must_use]
    pub fn window(&self, warmup: bool) -> Option<Window> {
        let phases = self.phases.iter().filter(|phase| phase.warmup == warmup);
        phases.map(|phase| phase.window).reduce(|a, b| Window { start_ns: a.start_ns.min(b.start_ns), end_ns: a.end_ns.max(b.end_ns) })
    }

    /// The beginning and the end of what was measured, for people.
    fn times(&self) -> [(String, Json); 2] {
        let window = self.window(false).or_else(|| self.window(true)).unwrap_or_default();
        let time = |ns| Json::String(text::local_time(ns, self.utc_offset_seconds));
        [member("start_time", time(window.start_ns)), member("end_time", time(window.end_ns))]
    }
}

/// An endpoint, and what it said.
#[derive(Debug, Default)]
pub struct Endpoint {
    /// Its address as it was scraped.
    pub url: String,
    /// It answered at least once.
    pub reached: bool,
    /// Everything that it said.
    pub history: History,
    /// Why it was not read when it was asked, and how often.
    pub failures: Vec<(String, u64)>,
}

fn member(name: &str, value: Json) -> (String, Json) {
    (name.to_owned(), value)
}

fn urls<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> Json {
    Json::Array(endpoints.map(|e| Json::String(text::without_user(&e.url))).collect())
}

fn labels(labels: &[(String, String)]) -> Json {
    Json::Object(labels.iter().map(|(name, value)| (name.clone(), Json::String(value.clone()))).collect())
}

/// The members that can be told: no number, no member.
fn floats<const N: usize>(figures: [(&str, f64); N]) -> Members {
    figures.into_iter().filter(|(_, value)| value.is_finite()).map(|(name, value)| member(name, Json::float(value))).collect()
}
