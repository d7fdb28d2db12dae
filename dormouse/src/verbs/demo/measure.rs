//! From stamps to figures. PURE.
//!
//! Programs stamp on the machine's monotonic clock, the kubelet on the wall clock with microseconds; one offset,
//! read once, joins the two. What is measured of one actuation:
//!
//! ```text
//! container started ── control ── [engine start or wake] ── control ── become-ready answered ── probe ── Ready
//! ```

use dormouse_runtime::monotonic::{self, Stamp};
use jiff::Timestamp;

/// Wall clock less monotonic clock, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offset(i64);

impl Offset {
    /// From one reading of both.
    pub(super) fn new(wall: Timestamp, monotonic_us: u64) -> Self {
        Self(wall.as_microsecond() - i64::try_from(monotonic_us).unwrap_or(i64::MAX))
    }

    /// The stamps of a start that was seen from outside.
    pub(super) fn start(self, begin: Timestamp, end: Timestamp) -> [Stamp; 2] {
        [("start_begin", begin), ("start_end", end)].map(|(event, at)| self.stamp(event, at))
    }

    /// A stamp of something that happened at this wall time.
    pub(super) fn stamp(self, event: &str, at: Timestamp) -> Stamp {
        let monotonic_us = u64::try_from(self.monotonic(at)).unwrap_or(0);
        Stamp { event: event.to_owned(), monotonic_us, detail: serde_json::Map::new() }
    }

    /// A wall time in monotonic microseconds.
    fn monotonic(self, wall: Timestamp) -> i64 {
        wall.as_microsecond() - self.0
    }
}

/// What an engine did to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Start,
    Wake,
}

impl Work {
    fn events(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("start_begin", "start_end"),
            Self::Wake => ("wake_begin", "wake_end"),
        }
    }
}

/// One actuation, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub t_actuation: f64,
    /// What was ours; `None` where there is no actuation.
    pub control: Option<f64>,
    pub engine: f64,
    pub probe_wait: f64,
    pub first_token: f64,
    /// Bytes that the engine had to move.
    pub bytes: u64,
}

/// The stamps of a log.
pub(super) fn stamps(log: &str) -> Vec<Stamp> {
    log.lines().filter_map(monotonic::parse).collect()
}

/// Begin, end and bytes of the last such work in an engine's log.
fn last(stamps: &[Stamp], work: Work) -> Option<(i64, i64, u64)> {
    let (begin, end) = work.events();
    let at = stamps.iter().rposition(|s| s.event == end)?;
    let ended = &stamps[at];
    let begun = stamps[..at].iter().rev().find(|s| s.event == begin)?;
    let us = |s: &Stamp| i64::try_from(s.monotonic_us).unwrap_or(i64::MAX);
    Some((us(begun), us(ended), ended.detail.get("weight_bytes").and_then(serde_json::Value::as_u64).unwrap_or(0)))
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of a demo")]
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

/// A start without actuation: container started to ready.
pub(super) fn plain(offset: Offset, started: Timestamp, ready: Timestamp, engine: &[Stamp], first_token: f64) -> Option<Sample> {
    let (begin, end, bytes) = last(engine, Work::Start)?;
    let ready = offset.monotonic(ready);
    Some(Sample {
        t_actuation: seconds(ready - offset.monotonic(started)),
        control: None,
        engine: seconds(end - begin),
        probe_wait: seconds(ready - end),
        first_token,
        bytes,
    })
}

/// An actuation: `started` and `ready` of the requester, its stamps and the engine's.
pub(super) fn actuated(
    offset: Offset,
    started: Timestamp,
    ready: Timestamp,
    requester: &[Stamp],
    engine: &[Stamp],
    work: Work,
    first_token: f64,
) -> Option<Sample> {
    let (begin, end, bytes) = last(engine, work)?;
    let answered = requester.iter().rev().find(|s| s.event == "become_ready_answered")?;
    let answered = i64::try_from(answered.monotonic_us).ok()?;
    let (started, ready) = (offset.monotonic(started), offset.monotonic(ready));
    Some(Sample {
        t_actuation: seconds(ready - started),
        control: Some(seconds(answered - started - (end - begin))),
        engine: seconds(end - begin),
        probe_wait: seconds(ready - answered),
        first_token,
        bytes,
    })
}

/// Percentile by nearest rank; `values` need not be sorted. `None` when empty.
pub(super) fn percentile(values: &[f64], p: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most thousands of samples")]
    let rank = ((p / 100.0) * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(&str, u64)]) -> Vec<Stamp> {
        stamps(
            &lines
                .iter()
                .map(|(e, us)| format!("x {}{{\"event\":\"{e}\",\"monotonic_us\":{us},\"weight_bytes\":8}}\n", monotonic::STAMP_PREFIX))
                .collect::<String>(),
        )
    }

    #[test]
    fn control_is_what_the_engine_did_not_take() {
        let wall = |us: i64| Timestamp::from_microsecond(1_000_000_000 + us).unwrap();
        let offset = Offset::new(wall(0), 0);
        let engine = log(&[("wake_begin", 1), ("wake_end", 2), ("wake_begin", 1_100_000), ("wake_end", 1_300_000)]);
        let requester = log(&[("become_ready_answered", 1_310_000)]);
        let s = actuated(offset, wall(1_000_000), wall(1_500_000), &requester, &engine, Work::Wake, 0.0).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(s.t_actuation, 0.5) && near(s.control.unwrap(), 0.11) && near(s.engine, 0.2) && near(s.probe_wait, 0.19), "{s:?}");
        assert_eq!(s.bytes, 8);
    }

    #[test]
    fn ranks_are_values_that_occurred() {
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 50.0), Some(2.0));
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 99.0), Some(3.0));
        assert_eq!(percentile(&[], 50.0), None);
    }
}
