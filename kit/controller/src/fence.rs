//! A fence: no call begins after the renew deadline of the lease that allows it.
//!
//! The time is that of a clock which runs while the process is stopped and while the machine sleeps: a process that wakes
//! up late finds the fence shut before it has heard of anything. Whoever performs calls asks before each of them. What has
//! passed the fence and not left the process when that is stopped leaves it late: against this stand the preconditions of
//! each write, UID and version.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dormouse_runtime::monotonic::BootClock;

/// The lease is not held (any longer), so nothing may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease is not held")]
pub struct Fenced;

/// Asked before each call. Cheap to clone; all clones open and shut together.
#[derive(Debug, Clone, Default)]
pub struct Fence(Option<Arc<Guarded>>);

#[derive(Debug)]
struct Guarded {
    clock: BootClock,
    /// Calls may begin before this, in microseconds of the clock; 0: none may.
    begin_before: AtomicU64,
    /// How much later a call must have ended.
    grace: Duration,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Fence {
    /// The fence of a program that takes no lease: always open.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A fence that is shut until it is opened. A call that begins while it is open must end `grace` after it shuts.
    #[must_use]
    pub fn shut(clock: BootClock, grace: Duration) -> Self {
        Self(Some(Arc::new(Guarded { clock, begin_before: AtomicU64::new(0), grace })))
    }

    /// Opens it until `until`; `None` shuts it.
    pub(crate) fn open(&self, until: Option<Duration>) {
        if let Some(guarded) = &self.0 {
            guarded.begin_before.store(until.map_or(0, micros), Ordering::Release);
        }
    }

    /// Whether a call may begin, and the longest that it may take; `None`: no bound of this fence's.
    ///
    /// # Errors
    /// [`Fenced`] when it may not.
    pub fn ask(&self) -> Result<Option<Duration>, Fenced> {
        let Some(guarded) = &self.0 else { return Ok(None) };
        let left = guarded.begin_before.load(Ordering::Acquire).saturating_sub(micros(guarded.clock.now()));
        if left == 0 { Err(Fenced) } else { Ok(Some(Duration::from_micros(left) + guarded.grace)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_while_the_lease_lasts_and_bounds_each_call() {
        let now = Arc::new(AtomicU64::new(5));
        let clock = Arc::clone(&now);
        let s = Duration::from_secs;
        let fence = Fence::shut(BootClock::new(move || s(clock.load(Ordering::Relaxed))), s(5));
        assert_eq!(fence.ask(), Err(Fenced));
        fence.clone().open(Some(s(15)));
        assert_eq!(fence.ask(), Ok(Some(s(15))));
        now.store(14, Ordering::Relaxed);
        assert_eq!(fence.ask(), Ok(Some(s(6))));
        now.store(15, Ordering::Relaxed);
        assert_eq!(fence.ask(), Err(Fenced), "late by its own clock, whatever it has heard");
        assert_eq!(Fence::none().ask(), Ok(None));
    }
}
