//! A number of places that may grow with time.

/// How many there may be at a time: a limit, a ramp to it, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    full: Option<u32>,
    /// From when, and how long: one at its beginning, all at its end, in steps of one.
    ramp: Option<(u64, u64)>,
}

impl Limit {
    /// So many, from a ramp on if it has one.
    #[must_use]
    pub fn new(full: Option<u32>, start: u64, ramp: Option<u64>) -> Self {
        Self { full, ramp: ramp.filter(|length| *length > 0).map(|length| (start, length)) }
    }

    /// So many from now on.
    pub fn set(&mut self, full: u32) {
        *self = Self { full: Some(full), ramp: None };
    }

    /// Whether there is room beside so many.
    #[must_use]
    pub fn has_room(&self, taken: u32, now: u64) -> bool {
        self.at(now).is_none_or(|limit| taken < limit)
    }

    /// How many there may be; `None` is no limit.
    #[must_use]
    pub fn at(&self, now: u64) -> Option<u32> {
        let full = self.full?;
        let Some((start, length)) = self.ramp else { return Some(full) };
        let steps = u128::from(full.saturating_sub(1)) * u128::from(now.saturating_sub(start)) / u128::from(length);
        Some(u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1).min(full.max(1)))
    }

    /// Since when there are as many as now, if time alone has brought them.
    #[must_use]
    pub fn since(&self, now: u64) -> Option<u64> {
        let (full, (start, length)) = self.full.zip(self.ramp)?;
        let steps = u64::from(full.saturating_sub(1)).max(1);
        let taken = u64::from(self.at(now)?).saturating_sub(1);
        let after = (u128::from(taken) * u128::from(length)).div_ceil(u128::from(steps));
        Some(start.saturating_add(u64::try_from(after).unwrap_or(u64::MAX)))
    }

    /// When there will be one more, if time alone brings it.
    #[must_use]
    pub fn next_step(&self, now: u64) -> Option<u64> {
        let (full, (start, length)) = self.full.zip(self.ramp)?;
        let steps = u64::from(full.saturating_sub(1));
        let taken = u64::from(self.at(now)?);
        if taken > steps {
            return None;
        }
        let after = u128::from(taken) * u128::from(length);
        Some(start.saturating_add(u64::try_from(after.div_ceil(u128::from(steps.max(1)))).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_goes_from_one_to_all_in_steps_of_one() {
        let limit = Limit::new(Some(10), 1000, Some(3000));
        let at = |t: u64| limit.at(1000 + t).unwrap();
        assert_eq!([at(0), at(333), at(334), at(800), at(1500), at(2999), at(3000), at(9000)], [1, 1, 2, 3, 5, 9, 10, 10]);
        let mut now = 1000;
        let mut steps = 0;
        while let Some(next) = limit.next_step(now) {
            assert!(next > now && limit.at(next) == limit.at(now).map(|n| n + 1), "{now} {next}");
            assert_eq!((limit.since(next), limit.since(next + 1)), (Some(next), Some(next)));
            (now, steps) = (next, steps + 1);
        }
        assert_eq!(steps, 9);
        assert_eq!(Limit::new(Some(1), 0, Some(5)).next_step(0), None);
        assert_eq!((Limit::new(None, 0, Some(5)).at(0), Limit::new(Some(3), 0, None).at(0)), (None, Some(3)));
    }
}
