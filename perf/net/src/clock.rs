//! Nanoseconds of the machine's monotonic clock, and which wall time they are.
//!
//! Everything is measured and planned in monotonic time. Wall time is what people and files want: one pair of both is read when
//! a [`Clock`] is made, and every later wall time is that pair plus what passed since, so that no step of the wall clock gets into a
//! measurement.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Monotonic nanoseconds, the same for every process of this machine.
#[must_use]
#[inline]
pub fn now() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Wall time by monotonic time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    monotonic: u64,
    wall: u64,
}

impl Clock {
    /// Reads both clocks.
    #[must_use]
    pub fn start() -> Self {
        // Whatever keeps the thread between two readings is an error of every wall time: the closest of a few pairs is taken.
        let pair = |_| {
            let before = now();
            let wall = nanoseconds(clock_gettime(ClockId::Realtime));
            let after = now();
            (after - before, Self { monotonic: before + (after - before) / 2, wall })
        };
        let closest = (0..5).map(pair).min_by_key(|(apart, _)| *apart);
        closest.map_or(Self { monotonic: 0, wall: 0 }, |(_, clock)| clock)
    }

    /// Nanoseconds since the Unix epoch at a monotonic time.
    #[must_use]
    #[inline]
    pub fn wall(&self, monotonic: u64) -> u64 {
        self.wall.wrapping_add(monotonic.wrapping_sub(self.monotonic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_wall_time_with_it() {
        let clock = Clock::start();
        let (a, b) = (now(), now());
        assert!(b >= a);
        assert_eq!(clock.wall(a + 7) - clock.wall(a), 7);
        let year_2020 = 1_577_836_800_000_000_000;
        assert!(clock.wall(a) > year_2020);
        // Before its start as well.
        assert!(clock.wall(a.saturating_sub(1_000_000_000)) < clock.wall(a));
    }
}
