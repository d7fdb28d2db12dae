//! What users see while a model is woken: the benchmark's load beside the control plane, on one clock.
//!
//! Requests leave fifty times a second, whether the engine sleeps or not, from half a second before the model is wanted. What each met
//! is laid beside what the control plane did: the scale, the requester's container, its readiness.

use std::io::Write as _;

use anyhow::Context;
use dormouse_perf_metrics::Metric;
use dormouse_perf_metrics::record::Row;
use dormouse_perf_profile::files::Names;
use dormouse_perf_profile::signals::Signals;
use dormouse_perf_profile::system_controller::{look, measure, prepare};
use dormouse_perf_profile::trust::Verdict;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::measure::percentile;

/// Requests in a second, and seconds.
const RATE: u32 = 50;
const SECONDS: u32 = 2;

/// What requests met. Moments are Unix nanoseconds.
pub(super) struct Seen {
    rows: Vec<Row>,
    censored: u64,
    verdict: Verdict,
}

/// Sends requests to an engine for some seconds; blocks as long.
///
/// # Errors
/// What kept it from beginning.
pub(super) fn run(base: &str, model: &str) -> anyhow::Result<Seen> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut prompts = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    for n in 0..100 {
        writeln!(prompts, "{{\"text\":\"Who are you, and what is {n}?\"}}")?;
    }
    let document = json!({
        "benchmark": {
            "models": {"items": [{"name": model}]},
            "endpoint": {"urls": [base], "type": "chat", "streaming": true, "use_server_token_count": true, "timeout": 2.0},
            "datasets": [{"name": "main", "type": "file", "path": prompts.path(), "format": "single_turn", "prompts": {"osl": {"mean": 8}}}],
            "phases": [{
                "name": "profiling", "kind": "profiling", "type": "constant", "rate": RATE, "duration": SECONDS, "grace_period": 1.0,
            }],
            "gpu_telemetry": {"enabled": false}, "server_metrics": {"enabled": false}, "runtime": {"ui": "none"},
        },
        "random_seed": 1, "dormouse": {"log_level": "error"},
    });
    let prepared = prepare(serde_json::from_value(document)?)?;
    look(&prepared)?;
    let measured = measure(&prepared, &Names::new(folder.path(), None), &Signals::none(), |_| {})?;
    let phase = measured.recorded.phases.first().context("nothing was sent")?;
    let times: Vec<_> = measured.ended.phases.iter().collect();
    let rows: Vec<Row> = phase.rows.iter().collect();
    let summary = dormouse_perf_metrics::Summary::of(&rows, None, &[], dormouse_perf_metrics::Stamps::Whole);
    Ok(Seen { rows, censored: phase.counts.censored, verdict: Verdict::of(&times, &summary, false) })
}

/// The same beside what the control plane did. Times are seconds from the scale.
#[derive(Debug)]
pub(super) struct Load {
    sent: usize,
    failed_asleep: usize,
    failed_ready: usize,
    container: f64,
    ready: f64,
    first_taken: Option<f64>,
    first_answered: Option<f64>,
    first_tokens: Vec<f64>,
    verdict: &'static str,
}

impl Seen {
    /// Lays it beside what the control plane did.
    pub(super) fn beside(&self, scaled: Timestamp, container: Timestamp, ready: Timestamp) -> Load {
        let ns = |at: Timestamp| u64::try_from(at.as_nanosecond()).unwrap_or(0);
        #[allow(clippy::cast_precision_loss, reason = "seconds for people")]
        let since = |at: u64| (i128::from(at) - scaled.as_nanosecond()) as f64 * 1e-9;
        let good = || self.rows.iter().filter(|row| !row.failed);
        let failed = |from: u64, to: u64| self.rows.iter().filter(|row| row.failed && (from..to).contains(&row.start_ns)).count();
        Load {
            sent: self.rows.len() + usize::try_from(self.censored).unwrap_or(0),
            failed_asleep: failed(0, ns(ready)),
            failed_ready: failed(ns(ready), u64::MAX),
            container: since(ns(container)),
            ready: since(ns(ready)),
            first_taken: good().map(|row| row.start_ns).min().map(since),
            first_answered: good().map(|row| row.end_ns).min().map(since),
            first_tokens: good().filter_map(|row| Some(row.values.get(Metric::TimeToFirstToken)? * 1e-9)).collect(),
            verdict: self.verdict.word(),
        }
    }
}

impl Load {
    /// A model that is awake must answer.
    pub(super) fn problem(&self) -> Option<String> {
        if self.first_answered.is_none() {
            return Some("no request was answered while the model was woken".to_owned());
        }
        (self.failed_ready > 0).then(|| format!("{} requests failed after the requester was Ready", self.failed_ready))
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "requests_per_second": RATE, "sent": self.sent, "failed_before_ready": self.failed_asleep, "failed_after_ready": self.failed_ready,
            "seconds_from_scale": {
                "container": self.container, "ready": self.ready, "first_taken": self.first_taken, "first_answered": self.first_answered,
            },
            "first_token_seconds": {"p50": percentile(&self.first_tokens, 50.0), "p99": percentile(&self.first_tokens, 99.0)},
            "verdict": self.verdict,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let ms = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |s| format!("{:.0} ms", s * 1e3));
        format!(
            "\nUnder load ({RATE} requests a second all the while, {}): from the scale on, container after {}, Ready after {}; the first request \
             that was served had left after {} and was answered after {}.\n  {} sent, {} refused while it slept, {} failed after Ready; first token \
             {} (p50), {} (p99).\n",
            self.verdict,
            ms(Some(self.container)),
            ms(Some(self.ready)),
            ms(self.first_taken),
            ms(self.first_answered),
            self.sent,
            self.failed_asleep,
            self.failed_ready,
            ms(percentile(&self.first_tokens, 50.0)),
            ms(percentile(&self.first_tokens, 99.0)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_laid_beside_the_control_plane() {
        let at = |ms: i64| Timestamp::from_millisecond(1_000_000 + ms).unwrap();
        let row = |start: u64, end: u64, failed: bool| {
            let ns = |ms: u64| (1_000_000 + ms) * 1_000_000;
            Row { start_ns: ns(start), end_ns: ns(end), failed, ..Row::default() }
        };
        let verdict = Verdict { reasons: Vec::new(), generator: serde_json::from_str("{}").unwrap() };
        let seen = Seen {
            rows: vec![row(0, 1, true), row(1100, 1102, true), row(1200, 1230, false), row(1400, 1401, true)],
            censored: 1,
            verdict,
        };
        let load = seen.beside(at(1000), at(1010), at(1250));
        assert_eq!((load.sent, load.failed_asleep, load.failed_ready), (5, 2, 1));
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-6, "{got} {want}");
        near(load.ready, 0.25);
        near(load.first_taken.unwrap(), 0.2);
        near(load.first_answered.unwrap(), 0.23);
        assert!(load.problem().unwrap().contains("1 requests failed"));
        assert!(load.text().contains("answered after 230 ms"), "{}", load.text());
    }
}
