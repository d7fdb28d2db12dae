//! Whether the figures are the server's, or the client's own (perf contract 8.8, 8.9, 0.2 item 14).
//!
//! The worker has measured itself while it measured the server. A run is `certified` when what it did itself is small beside what
//! it shows; else it is `client-bound`, with the reasons. Small is two milliseconds, or a hundredth of the median time to the first
//! token, whichever is more: that much at the 99th percentile. Of few requests there is no such percentile, and one slip of a busy
//! machine says nothing: the five largest are passed over, or half of them.

use dormouse_perf_load::worker::{Overhead, PhaseTime};
use dormouse_perf_metrics::Metric;
use dormouse_perf_metrics::summary::{Summary, Value};
use dormouse_perf_report::json::Json;

use crate::config::tree::Object;

/// A millisecond in nanoseconds.
const MS: f64 = 1e6;
/// What is small in any case.
const SMALL: f64 = 2.0 * MS;
/// So much of its time a thread may have waited for others of its own.
const SHARE: f64 = 0.02;
/// So much it may have been kept from running: each of a thousand events a second that waits a tenth of a millisecond is a tenth of the
/// time, and no figure is off by more than that.
const KEPT: f64 = 0.25;
/// From here on the thread itself is what is slow.
const BUSY: f64 = 0.95;

/// What may be said of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Why the client is what was measured; none: it is not.
    pub reasons: Vec<String>,
    /// What it measured of itself.
    pub generator: Json,
}

impl Verdict {
    /// Of the profiling phases of a run, and what was measured in them; `polls`: the worker took its whole core on purpose.
    #[must_use]
    pub fn of(phases: &[&PhaseTime], summary: &Summary, polls: bool) -> Self {
        let mut all = Overhead::default();
        for phase in phases {
            let one = &phase.overhead;
            // The bounds are the same: nothing fails.
            let _ = all.lateness.add(&one.lateness).and_then(|()| all.lag.add(&one.lag)).and_then(|()| all.opening.add(&one.opening));
            all.starved += one.starved;
            all.stalled += one.stalled;
            all.cpu += one.cpu;
            all.waited += one.waited;
            all.wall += one.wall;
        }
        let median = [Metric::TimeToFirstToken, Metric::RequestLatency].into_iter().find_map(|metric| match summary.get(metric) {
            Some(Value::Stats(stats)) => Some(stats.percentiles[4]),
            _ => None,
        });
        let allowed = (median.unwrap_or(0.0) * 0.01).max(SMALL);
        let mut reasons = Vec::new();
        let late = tail(&all.lateness);
        if late > allowed {
            reasons.push(format!("requests left up to {} after they could (allowed: {})", ms(late), ms(allowed)));
        }
        let lag = tail(&all.lag);
        if lag > allowed {
            reasons.push(format!("the loop that reads woke up to {} late (allowed: {})", ms(lag), ms(allowed)));
        }
        let share = |part: u64| float(part) / float(all.wall.max(1));
        for (part, most, what) in [
            (all.waited, KEPT, "other programs kept the client from running"),
            (all.starved, SHARE, "the client waited for its data set"),
            (all.stalled, SHARE, "the client waited for its records to be written"),
        ] {
            if share(part) > most && float(part) > 50.0 * allowed {
                reasons.push(format!("{what} for {:.1} % of the time", share(part) * 100.0));
            }
        }
        if share(all.cpu) > BUSY && !polls {
            reasons.push(format!("the client's thread was busy for {:.0} % of the time: it can send no more", share(all.cpu) * 100.0));
        }
        Self { reasons, generator: generator(&all, phases, summary, allowed) }
    }

    /// Whether the figures are the server's.
    #[must_use]
    pub fn is_certified(&self) -> bool {
        self.reasons.is_empty()
    }

    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.is_certified() { "certified" } else { "client-bound" }
    }
}

#[allow(clippy::cast_precision_loss, reason = "nanoseconds of a run, and counts")]
fn float(value: u64) -> f64 {
    value as f64
}

fn ms(ns: f64) -> String {
    format!("{:.2} ms", ns / MS)
}

/// The 99th percentile; where there are few the five largest are passed over, or half of them.
fn tail(histogram: &hdrhistogram::Histogram<u64>) -> f64 {
    let n = histogram.len();
    if n < 4 {
        return 0.0;
    }
    let passed = (n / 100).max((n / 2).min(5));
    float(histogram.value_at_quantile(float(n - passed) / float(n)))
}

fn generator(all: &Overhead, phases: &[&PhaseTime], summary: &Summary, allowed: f64) -> Json {
    let spread = |histogram: &hdrhistogram::Histogram<u64>| {
        let mut object = Object::new();
        if !histogram.is_empty() {
            object.put("mean_ms", histogram.mean() / MS);
            for (name, quantile) in [("p50_ms", 0.5), ("p99_ms", 0.99)] {
                object.put(name, float(histogram.value_at_quantile(quantile)) / MS);
            }
            object.put("max_ms", float(histogram.max()) / MS);
        }
        object
    };
    let (sent, missed) = phases.iter().fold((0, 0), |(sent, missed), phase| (sent + phase.sent, missed + phase.missed));
    let seconds: f64 = phases.iter().map(|phase| float(phase.end.saturating_sub(phase.start)) * 1e-9).sum();
    let mut object = Object::new();
    object.put_any("opening_burst", spread(&all.opening));
    object.put_any("scheduling_error", spread(&all.lateness));
    object.put_any("loop_lag", spread(&all.lag));
    object.put("allowed_ms", allowed / MS);
    object.put("cpu_share", float(all.cpu) / float(all.wall.max(1)));
    object.put("kept_from_running_share", float(all.waited) / float(all.wall.max(1)));
    object.put("waited_for_data_ms", float(all.starved) / MS);
    object.put("waited_for_records_ms", float(all.stalled) / MS);
    object.put("requests_sent", sent);
    object.put("schedule_missed", missed);
    if seconds > 0.0 {
        object.put("sent_per_second", float(sent) / seconds);
    }
    if let Some(done) = summary.single(Metric::RequestThroughput) {
        object.put("completed_per_second", done);
    }
    object.json()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(change: impl FnOnce(&mut Overhead)) -> PhaseTime {
        let mut overhead = Overhead { wall: 10_000_000_000, cpu: 1_000_000_000, ..Overhead::default() };
        for _ in 0..1000 {
            overhead.lateness.record(50_000).unwrap();
            overhead.lag.record(60_000).unwrap();
        }
        change(&mut overhead);
        PhaseTime { end: 10_000_000_000, sent: 1000, overhead, ..PhaseTime::default() }
    }

    fn reasons(change: impl FnOnce(&mut Overhead)) -> Vec<String> {
        Verdict::of(&[&phase(change)], &Summary::default(), false).reasons
    }

    #[test]
    fn what_is_small_beside_the_figures_is_no_reason() {
        assert!(reasons(|_| {}).is_empty());
        // Of a thousand five are not the 99th percentile.
        assert!(reasons(|o| o.lateness.record_n(90_000_000, 5).unwrap()).is_empty());
        assert!(reasons(|o| o.waited = 100_000_000).is_empty());
    }

    #[test]
    fn each_thing_that_the_client_did_is_named() {
        for (change, word) in [
            ((|o: &mut Overhead| o.lateness.record_n(5_000_000, 50).unwrap()) as fn(&mut Overhead), "after they could"),
            (|o| o.lag.record_n(5_000_000, 50).unwrap(), "woke up"),
            (|o| o.waited = 3_000_000_000, "kept the client from running"),
            (|o| o.starved = 3_000_000_000, "data set"),
            (|o| o.stalled = 3_000_000_000, "records"),
            (|o| o.cpu = 9_900_000_000, "busy"),
        ] {
            let said = reasons(change);
            assert!(said.len() == 1 && said[0].contains(word), "{said:?}");
        }
    }
}
