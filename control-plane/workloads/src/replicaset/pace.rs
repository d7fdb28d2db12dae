//! PURE: how fast a set replaces Pods that fail at once.
//!
//! A Pod that fails within [`EARLY`] of its creation says more of its node or its template than of itself: another one would
//! fail as well. After the first, a set waits 1 s before it makes Pods again, then twice as long each time, up to 5 min,
//! until one of its Pods is ready. Pods that fail while the set waits already belong to the same attempt.

use std::time::Duration;

use jiff::Timestamp;

/// A Pod that has failed by this age failed at once.
const EARLY: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The pace of one set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Attempts in a row that failed at once.
    attempts: u32,
    /// No Pod is made before.
    until: Option<Timestamp>,
}

impl Pace {
    /// A Pod made at `created` was seen to have failed.
    pub(super) fn failed(&mut self, created: Timestamp, now: Timestamp) {
        // Stamps have whole seconds: the Pod may be a second younger than it looks.
        let age = Duration::try_from(now.duration_since(created)).unwrap_or(Duration::ZERO);
        if age > EARLY + Duration::from_secs(1) || self.wait(now).is_some() {
            return;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << self.attempts.min(16)).min(LONGEST_WAIT);
        self.attempts = self.attempts.saturating_add(1);
        self.until = now.checked_add(wait).ok();
    }

    /// How long no Pod is made yet.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let left = Duration::try_from(self.until?.duration_since(now)).ok()?;
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn waits_double_up_to_five_minutes() {
        let (mut pace, mut now, mut waits) = (Pace::default(), 0, Vec::new());
        for _ in 0..12 {
            pace.failed(at(now), at(now + 100));
            let wait = pace.wait(at(now + 100)).unwrap();
            waits.push(wait.as_secs());
            now += 100 + i64::try_from(wait.as_millis()).unwrap();
            assert_eq!(pace.wait(at(now)), None);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn one_attempt_counts_once_and_old_pods_not_at_all() {
        let mut pace = Pace::default();
        pace.failed(at(0), at(7_000));
        assert_eq!(pace, Pace::default());
        (0..100).for_each(|_| pace.failed(at(0), at(1_000)));
        assert_eq!(pace.wait(at(1_000)), Some(FIRST_WAIT));
        assert_eq!(pace.wait(at(1_400)), Some(Duration::from_millis(600)));
    }
}
