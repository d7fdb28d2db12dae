//! Delays between restarts of a container, as the kubelet computes them. Pure.
//!
//! The first restart is at once; then each must wait until `delay` has passed since the container ended, and the delay
//! doubles from `base` to `max`. A container that ran for `reset` since its last restart begins anew.

use std::time::Duration;

/// The three figures of a back-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// First delay.
    pub base: Duration,
    /// Largest delay.
    pub max: Duration,
    /// After so long without a failure the delays begin anew.
    pub reset: Duration,
}

impl Default for Policy {
    /// The kubelet's: 10 s doubling to 5 min, reset after 10 min.
    fn default() -> Self {
        Self { base: Duration::from_secs(10), max: Duration::from_secs(300), reset: Duration::from_secs(600) }
    }
}

impl Policy {
    /// For things that are tried again until they work: from 100 ms doubling to 10 s.
    pub(crate) const RETRY: Self = Self { base: Duration::from_millis(100), max: Duration::from_secs(10), reset: Duration::from_secs(60) };
}

/// Where one container stands.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    policy: Policy,
    entry: Option<(Duration, Duration)>,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, entry: None }
    }

    /// Earliest moment of a restart after an end at `ended`, and the delay that makes it so; `None`: at once.
    #[must_use]
    pub fn blocked_until(&self, ended: Duration) -> Option<(Duration, Duration)> {
        let (delay, updated) = self.entry?;
        (ended.saturating_sub(updated) <= self.policy.reset).then_some((ended + delay, delay))
    }

    /// Notes a restart at `now` that follows an end at `ended`, and returns the delay that now holds.
    pub fn next(&mut self, ended: Duration, now: Duration) -> Duration {
        let delay = match self.entry {
            Some((delay, updated)) if ended.saturating_sub(updated) <= self.policy.reset => (delay * 2).min(self.policy.max),
            _ => self.policy.base,
        };
        self.entry = Some((delay, now));
        delay
    }

    /// Forgets every failure.
    pub fn clear(&mut self) {
        self.entry = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_restart_at_once_then_doubling_to_the_limit_then_anew() {
        let mut b = Backoff::new(Policy::default());
        let mut now = Duration::from_secs(100);
        let mut delays = Vec::new();
        for _ in 0..8 {
            let ended = now + Duration::from_secs(1);
            let (at, delay) = b.blocked_until(ended).unwrap_or((ended, Duration::ZERO));
            delays.push(delay.as_secs());
            now = at;
            b.next(ended, now);
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
        let ended = now + Duration::from_secs(601);
        assert_eq!(b.blocked_until(ended), None);
        assert_eq!(b.next(ended, ended), Duration::from_secs(10));
    }
}
