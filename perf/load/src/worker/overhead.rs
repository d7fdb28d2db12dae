//! What a worker measures of itself: whether its figures are the server's, or its own (perf contract 8.9).

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// How often a worker looks whether it is late, in nanoseconds.
pub(super) const BEAT: u64 = 10_000_000;

/// A phase's own measurements; times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Overhead {
    /// The same of those with which a closed loop begins: they leave together, one behind the other.
    pub opening: Histogram<u64>,
    /// From when a request could leave to when it did.
    pub lateness: Histogram<u64>,
    /// From when the loop wanted to wake to when it did.
    pub lag: Histogram<u64>,
    /// It waited for the next conversation.
    pub starved: u64,
    /// It waited for whoever takes its records.
    pub stalled: u64,
    /// It computed.
    pub cpu: u64,
    /// It could have computed, and another program did.
    pub waited: u64,
    /// The whole phase.
    pub wall: u64,
}

impl Default for Overhead {
    fn default() -> Self {
        Self { opening: histogram(), lateness: histogram(), lag: histogram(), starved: 0, stalled: 0, cpu: 0, waited: 0, wall: 0 }
    }
}

/// Up to an hour, to three digits.
fn histogram() -> Histogram<u64> {
    // The bounds are constants that the library takes; if it did not, one that grows by itself does.
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3)
        .or_else(|_| Histogram::new(3))
        .unwrap_or_else(|_| unreachable!("three digits are allowed"))
}

/// What the system says of this thread at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    cpu: u64,
    waited: u64,
    at: u64,
}

impl Meter {
    pub(super) fn read(now: u64) -> Self {
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        let cpu = u64::try_from(cpu.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(cpu.tv_nsec).unwrap_or(0);
        Self { cpu, waited: run_delay().unwrap_or(0), at: now }
    }

    /// What has passed since, into a phase's measurements.
    pub(super) fn since(self, now: u64, overhead: &mut Overhead) {
        let then = Self::read(now);
        overhead.cpu = then.cpu.saturating_sub(self.cpu);
        overhead.waited = then.waited.saturating_sub(self.waited);
        overhead.wall = then.at.saturating_sub(self.at);
    }
}

/// How long this thread was ready to run and did not: Linux counts it.
fn run_delay() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}
