//! A link that concurrent transfers share fairly. PURE: time comes in as an argument.
//!
//! The idea: each of n active transfers gets 1/n of the bandwidth, so all of them have received the same number of
//! bytes since any moment at which they were all active. One counter, `service`, says how many bytes a transfer that
//! was there from the beginning would have got. A transfer of N bytes that joins at service S is done when the counter
//! reaches S + N; the next to finish is the smallest such value. Each event costs O(log n), whatever the number of bytes.
//!
//! Counters are fixed-point integers, so that the result is the same on every machine. A completion is reported at the
//! first whole nanosecond at which it holds; that is the only rounding that accumulates (1 ns of bandwidth per event).
//!
//! Invariants: the link never idles while a transfer is active (work conservation), never exceeds its bandwidth, and of
//! two transfers that start together the smaller does not end later. Time that goes backwards is taken as standing still.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU64;

/// Nanoseconds since an origin of the caller's choice.
pub type Nanos = u64;

/// Name of a transfer, unique for the life of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(u64);

/// Binary digits of a byte's fraction in `service`.
const FRACTION: u32 = 16;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A link; see the module.
#[derive(Clone, Debug)]
pub struct Link {
    /// Fixed-point bytes per second.
    rate: u128,
    now: Nanos,
    service: u128,
    /// (service value at which it is done, transfer), ordered.
    active: BTreeSet<(u128, TransferId)>,
    ends_at: HashMap<TransferId, u128>,
    finished: Vec<(TransferId, Nanos)>,
    next: u64,
}

impl Link {
    /// An idle link with this bandwidth.
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            rate: u128::from(bytes_per_second.get()) << FRACTION,
            now: 0,
            service: 0,
            active: BTreeSet::new(),
            ends_at: HashMap::new(),
            finished: Vec::new(),
            next: 1,
        }
    }

    /// Transfers under way.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    /// Begins a transfer of `bytes` at `at`.
    pub fn start(&mut self, at: Nanos, bytes: u64) -> TransferId {
        self.advance(at);
        let id = TransferId(self.next);
        self.next += 1;
        if bytes == 0 {
            self.finished.push((id, self.now));
            return id;
        }
        let end = self.service + (u128::from(bytes) << FRACTION);
        self.active.insert((end, id));
        self.ends_at.insert(id, end);
        id
    }

    /// Ends a transfer early; whether it was still under way.
    pub fn cancel(&mut self, at: Nanos, id: TransferId) -> bool {
        self.advance(at);
        match self.ends_at.remove(&id) {
            Some(end) => self.active.remove(&(end, id)),
            None => false,
        }
    }

    /// When the next transfer ends if none starts or is cancelled before.
    pub fn next_completion(&self) -> Option<Nanos> {
        let (end, _) = self.active.first()?;
        let missing = end - self.service;
        let share = self.active.len() as u128 * NANOS_PER_SECOND;
        let wait = missing.saturating_mul(share).div_ceil(self.rate);
        Some(self.now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// Lets time pass to `to`, ending transfers on the way at their exact times.
    pub fn advance(&mut self, to: Nanos) {
        while let Some(at) = self.next_completion().filter(|at| *at <= to) {
            self.serve_until(at);
            while let Some(&(end, id)) = self.active.first().filter(|(end, _)| *end <= self.service) {
                self.active.remove(&(end, id));
                self.ends_at.remove(&id);
                self.finished.push((id, at));
            }
        }
        self.serve_until(to);
    }

    /// Transfers that ended since the last call, with their times, in the order of their ends.
    pub fn take_finished(&mut self) -> Vec<(TransferId, Nanos)> {
        std::mem::take(&mut self.finished)
    }

    fn serve_until(&mut self, to: Nanos) {
        let elapsed = to.saturating_sub(self.now);
        self.now = self.now.max(to);
        if self.active.is_empty() {
            // Nobody measures against the counter: start again, so that it never grows without end.
            self.service = 0;
            return;
        }
        let share = self.active.len() as u128 * NANOS_PER_SECOND;
        self.service = self.service.saturating_add(self.rate.saturating_mul(u128::from(elapsed)) / share);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GB: u64 = 1_000_000_000;

    fn link(gb_per_second: u64) -> Link {
        Link::new(NonZeroU64::new(gb_per_second * GB).unwrap())
    }

    fn drain(l: &mut Link) -> Vec<(TransferId, Nanos)> {
        while let Some(at) = l.next_completion() {
            l.advance(at);
        }
        l.take_finished()
    }

    #[test]
    fn one_transfer_takes_bytes_over_bandwidth() {
        let mut l = link(50);
        let id = l.start(1000, 8 * GB);
        assert_eq!(drain(&mut l), [(id, 160_001_000)]);
        assert_eq!(l.next_completion(), None);
    }

    #[test]
    fn two_share_and_the_survivor_speeds_up() {
        let mut l = link(10);
        let a = l.start(0, 10 * GB);
        let b = l.start(500_000_000, 2 * GB + GB / 2);
        // a alone 0.5 s (5 GB), then both at 5 GB/s for 0.5 s (b done), then a alone with 2.5 GB left.
        assert_eq!(drain(&mut l), [(b, GB), (a, GB + GB / 4)]);
    }

    #[test]
    fn cancelling_gives_the_bandwidth_back() {
        let mut l = link(10);
        let a = l.start(0, 10 * GB);
        let b = l.start(0, 10 * GB);
        assert!(l.cancel(GB, b));
        assert!(!l.cancel(GB, b));
        assert_eq!(drain(&mut l), [(a, GB + GB / 2)]);
    }

    #[test]
    fn nothing_to_move_is_done_at_once_and_time_never_runs_back() {
        let mut l = link(10);
        let a = l.start(7, 0);
        let b = l.start(3, 10);
        l.advance(100);
        assert_eq!(l.take_finished(), [(a, 7), (b, 8)]);
    }

    proptest! {
        #[test]
        fn work_is_conserved(
            rate in 1..100_000u64,
            jobs in prop::collection::vec((0..5_000u64, 0..100_000u64), 1..40),
        ) {
            let mut jobs = jobs;
            jobs.sort_unstable();
            let bps = rate * 1_000_000; // so that one byte is between 10 ns and 1 us
            let mut l = Link::new(NonZeroU64::new(bps).unwrap());
            let ids: Vec<_> = jobs.iter().map(|(at, bytes)| l.start(*at * 1000, *bytes)).collect();
            let ends: HashMap<_, _> = drain(&mut l).into_iter().collect();
            prop_assert_eq!(ends.len(), jobs.len(), "every transfer ends once");
            let exact = |bytes: u64| u128::from(bytes) * NANOS_PER_SECOND;

            // The link serves one queue's worth of work in any order: its busy periods end when a first-in-first-out
            // server would be idle, to within a nanosecond per event.
            let mut fifo_end: u128 = 0; // in nanoseconds times bps
            let mut busy_ends = Vec::new();
            for (k, (at, bytes)) in jobs.iter().enumerate() {
                let at = u128::from(*at * 1000) * u128::from(bps);
                if k > 0 && at > fifo_end { busy_ends.push(fifo_end); }
                fifo_end = fifo_end.max(at) + exact(*bytes);
            }
            busy_ends.push(fifo_end);
            let slack = 2 * jobs.len() as u128 + 2;
            for end in busy_ends {
                let end = end / u128::from(bps);
                prop_assert!(
                    ends.values().any(|e| u128::from(*e) + slack >= end && u128::from(*e) <= end + slack),
                    "no transfer ends where a busy period does ({end}): {ends:?}"
                );
            }
            for (k, (at, bytes)) in jobs.iter().enumerate() {
                let alone = u64::try_from(exact(*bytes).div_ceil(u128::from(bps))).unwrap();
                prop_assert!(ends[&ids[k]] >= at * 1000 + alone, "faster than the bandwidth");
                for (j, (at2, bytes2)) in jobs.iter().enumerate() {
                    if at == at2 && bytes < bytes2 { prop_assert!(ends[&ids[k]] <= ends[&ids[j]]); }
                }
            }
        }
    }
}
