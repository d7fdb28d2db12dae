//! The values of one sample, scrape by scrape, of which only the changes are kept: most of what a server tells stays as it is.

/// Values by row; a row without one is a hole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Column {
    /// Row and value, where it differs from the row before; NaN is a hole.
    changes: Vec<(u32, f64)>,
    /// The row behind the last that was set.
    end: u32,
}

impl Column {
    /// Sets the value of a row that is behind all that were set; says how many changes that is.
    pub(crate) fn set(&mut self, row: u32, value: f64) -> usize {
        if row < self.end {
            return 0;
        }
        let before = self.changes.len();
        if row > self.end && self.last().is_some_and(|last| !last.is_nan()) {
            self.changes.push((self.end, f64::NAN));
        }
        if self.last().is_none_or(|last| last.to_bits() != value.to_bits()) {
            self.changes.push((row, value));
        }
        self.end = row + 1;
        self.changes.len() - before
    }

    fn last(&self) -> Option<f64> {
        self.changes.last().map(|(_, value)| *value)
    }

    /// How many changes are kept.
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Of each of these rows, which ascend.
    pub(crate) fn at(&self, rows: impl Iterator<Item = u32>) -> impl Iterator<Item = Option<f64>> {
        let mut next = 0;
        rows.map(move |row| {
            while self.changes.get(next).is_some_and(|(from, _)| *from <= row) {
                next += 1;
            }
            let (_, value) = next.checked_sub(1).and_then(|at| self.changes.get(at))?;
            (row < self.end && !value.is_nan()).then_some(*value)
        })
    }

    /// The same with only these rows, which ascend, numbered anew.
    pub(crate) fn thinned(&self, rows: &[u32]) -> Self {
        let mut thin = Self::default();
        for (row, value) in (0..).zip(self.at(rows.iter().copied())) {
            if let Some(value) = value {
                thin.set(row, value);
            }
        }
        thin.changes.shrink_to_fit();
        thin
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_set_is_there(values in proptest::collection::vec(proptest::option::of(-3_i8..3), 0..40), every in 1_usize..4) {
            let mut column = Column::default();
            let values: Vec<Option<f64>> = values.into_iter().map(|v| v.map(f64::from)).collect();
            let mut changes = 0;
            for (row, value) in (0..).zip(&values) {
                changes += value.map_or(0, |value| column.set(row, value));
            }
            prop_assert_eq!(changes, column.len());
            prop_assert_eq!(column.at(0..u32::try_from(values.len()).unwrap()).collect::<Vec<_>>(), values.clone());
            let rows: Vec<u32> = (0..u32::try_from(values.len()).unwrap()).step_by(every).collect();
            let wanted: Vec<_> = values.iter().copied().step_by(every).collect();
            let thin = column.thinned(&rows);
            prop_assert_eq!(thin.at(0..u32::try_from(rows.len()).unwrap()).collect::<Vec<_>>(), wanted);
            prop_assert!(thin.len() <= column.len());
        }
    }
}
