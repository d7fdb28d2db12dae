//! Where the records manager leaves what the screen wants to know of each request, and the screen's thread fetches it.
//!
//! Nothing is queued: a record goes into histograms and counts, and fetching them is an exchange of two of these, so that whoever
//! makes records never waits for whoever draws.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dormouse_perf_load::worker::Done;
use dormouse_perf_metrics::{Metric, Row};
use dormouse_perf_report::records::Problem;
use hdrhistogram::Histogram;

use crate::words;

/// Times that are shown, in the order of their lines.
pub(super) const TIMES: [Metric; 3] = [Metric::TimeToFirstToken, Metric::InterTokenLatency, Metric::RequestLatency];
/// Kinds of failures that are told apart: a server may put a number into each of its messages.
const PROBLEMS: usize = 64;
/// What the rest of them is called.
const OTHERS: &str = "other errors";
/// An hour in microseconds: what took longer is shown as that.
const LONGEST: u64 = 3_600_000_000;

/// What ended since it was last fetched.
#[derive(Debug)]
pub(super) struct Slot {
    /// Microseconds of those that succeeded, by [`TIMES`].
    pub(super) times: [Histogram<u64>; 3],
    /// Microseconds from when a request could leave to when it did.
    pub(super) lateness: Histogram<u64>,
    /// Tokens that were answered; none: nobody counts them.
    pub(super) tokens: Option<u64>,
    /// By phase: records, and those of them that failed.
    pub(super) phases: Vec<(u64, u64)>,
    /// Failures in words.
    pub(super) problems: BTreeMap<String, u64>,
    /// The first request that is measured is in here, and nothing of a warm-up any more.
    pub(super) anew: bool,
}

impl Slot {
    /// Nothing, of so many phases.
    pub(super) fn new(phases: usize) -> Self {
        Self {
            times: std::array::from_fn(|_| histogram()),
            lateness: histogram(),
            tokens: None,
            phases: vec![(0, 0); phases],
            problems: BTreeMap::new(),
            anew: false,
        }
    }

    /// Nothing again; its room is kept.
    pub(super) fn clear(&mut self) {
        self.forget();
        self.phases.iter_mut().for_each(|counts| *counts = (0, 0));
        self.problems.clear();
        self.anew = false;
    }

    fn forget(&mut self) {
        self.times.iter_mut().for_each(Histogram::reset);
        self.lateness.reset();
        self.tokens = None;
    }

    fn record(&mut self, seen: &Ended<'_>) {
        if let Some(counts) = self.phases.get_mut(seen.phase) {
            counts.0 += 1;
            counts.1 += u64::from(seen.problem.is_some());
        }
        put(&mut self.lateness, seen.late / 1000);
        for (times, metric) in self.times.iter_mut().zip(TIMES) {
            if let Some(ns) = seen.row.values.get(metric) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time, and a float saturates")]
                let us = (ns * 1e-3).round() as u64;
                put(times, us);
            }
        }
        if let Some(tokens) = seen.row.values.get(Metric::OutputSequenceLength) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
            let tokens = tokens as u64;
            *self.tokens.get_or_insert(0) += tokens;
        }
        if let Some(problem) = seen.problem {
            count(&mut self.problems, words::problem(problem), 1);
        }
    }
}

/// So many more of a kind of failure.
pub(super) fn count(problems: &mut BTreeMap<String, u64>, words: String, more: u64) {
    let known = problems.len() < PROBLEMS || problems.contains_key(&words);
    *problems.entry(if known { words } else { OTHERS.to_owned() }).or_default() += more;
}

fn put(histogram: &mut Histogram<u64>, us: u64) {
    // It grows with what comes, and an hour is no size.
    let _ = histogram.record(us.min(LONGEST));
}

/// To three digits; it grows with what comes.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"))
}

/// A request that ended, as the screen sees it.
#[derive(Clone, Copy, Debug)]
struct Ended<'a> {
    phase: usize,
    late: u64,
    row: &'a Row,
    problem: Option<&'a Problem>,
}

/// The place between the two threads.
#[derive(Debug)]
pub(crate) struct Tap {
    warmups: Vec<bool>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    slot: Slot,
    measured: bool,
}

impl Tap {
    /// Of a run with these phases, of which some warm up.
    pub(crate) fn new(warmups: Vec<bool>) -> Self {
        let slot = Slot::new(warmups.len());
        Self { warmups, held: Mutex::new(Held { slot, measured: false }) }
    }

    /// A request has ended, and this is its record.
    pub(crate) fn record(&self, done: &Done, row: &Row, problem: Option<&Problem>) {
        self.put(Ended { phase: done.phase, late: done.start.saturating_sub(done.due), row, problem: problem.filter(|_| !done.censored) });
    }

    fn put(&self, ended: Ended<'_>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *held;
        if !held.measured && self.warmups.get(ended.phase) == Some(&false) {
            // Figures of a warm-up are shown while there are no others.
            held.measured = true;
            held.slot.forget();
            held.slot.anew = true;
        }
        held.slot.record(&ended);
    }

    /// Exchanges what came for `empty`.
    pub(super) fn fetch(&self, empty: &mut Slot) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut held.slot, empty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ms: f64) -> Row {
        let mut row = Row::default();
        row.values.set(Metric::RequestLatency, ms * 1e6);
        row.values.set(Metric::OutputSequenceLength, 7.0);
        row
    }

    #[test]
    fn figures_begin_anew_with_the_first_request_that_is_measured() {
        let tap = Tap::new(vec![true, false]);
        let (slow, fast) = (row(900.0), row(20.0));
        let ended = |phase, row| Ended { phase, late: 5000, row, problem: None };
        tap.put(ended(0, &slow));
        let mut slot = Slot::new(2);
        tap.fetch(&mut slot);
        assert_eq!((slot.times[2].len(), slot.anew, slot.tokens), (1, false, Some(7)));
        slot.clear();
        tap.put(ended(0, &slow));
        tap.put(ended(1, &fast));
        tap.fetch(&mut slot);
        assert_eq!((slot.times[2].len(), slot.times[0].len(), slot.anew), (1, 0, true));
        assert_eq!(slot.phases, [(1, 0), (1, 0)]);
        assert!((slot.times[2].mean() - 20_000.0).abs() < 20.0);
        assert_eq!(slot.lateness.max(), 5);
    }

    #[test]
    fn failures_without_number_do_not_fill_the_memory() {
        let tap = Tap::new(vec![false]);
        let row = Row { failed: true, ..Row::default() };
        for n in 0..1000 {
            let problem = Problem { code: Some(500), class: None, message: format!("request {n} failed") };
            tap.put(Ended { phase: 0, late: 0, row: &row, problem: Some(&problem) });
        }
        let mut slot = Slot::new(1);
        tap.fetch(&mut slot);
        assert_eq!((slot.problems.len(), slot.problems[OTHERS]), (PROBLEMS + 1, 1000 - PROBLEMS as u64));
        assert_eq!(slot.phases, [(1000, 1000)]);
    }
}
