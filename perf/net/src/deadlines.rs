//! What is due when: points in time with a token each, in a total order.
//!
//! Equal times keep the order in which they were set, so that two runs of the same plan do the same. A deadline that is no
//! longer wanted is taken out at once: limits of hours, set for each of a hundred thousand requests a second, must not stay.

use std::collections::BTreeMap;

/// A deadline that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When it was to be, in monotonic nanoseconds.
    pub at: u64,
    /// What its owner gave.
    pub token: u64,
}

/// Names one deadline, also after it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    at: u64,
    number: u64,
}

/// The deadlines of one loop.
#[derive(Debug, Default)]
pub struct Deadlines {
    waiting: BTreeMap<TimerId, u64>,
    number: u64,
}

impl Deadlines {
    /// Adds one.
    pub fn set(&mut self, at: u64, token: u64) -> TimerId {
        self.number += 1;
        let id = TimerId { at, number: self.number };
        self.waiting.insert(id, token);
        id
    }

    /// Takes one out; `false` when it has come, or was taken out already.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        self.waiting.remove(&id).is_some()
    }

    /// When the next one is.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(id, _)| id.at)
    }

    /// The next one, if its time has come by `now`.
    pub fn pop(&mut self, now: u64) -> Option<Due> {
        let first = self.waiting.first_entry().filter(|first| first.key().at <= now)?;
        let at = first.key().at;
        Some(Due { at, token: first.remove() })
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Set(u64),
        Cancel(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..50_u64).prop_map(Step::Set),
            1 => (0..40_usize).prop_map(Step::Cancel),
            2 => (0..20_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Against a list that is searched: nothing comes early, late, twice, out of order, or after it was cancelled.
        #[test]
        fn deadlines_come_in_order(steps in prop::collection::vec(step(), 0..120)) {
            let (mut deadlines, mut now) = (Deadlines::default(), 0);
            let (mut ids, mut model) = (Vec::new(), Vec::<Due>::new());
            for step in steps {
                match step {
                    Step::Set(after) => {
                        let due = Due { at: now + after, token: ids.len() as u64 };
                        ids.push(deadlines.set(due.at, due.token));
                        model.push(due);
                    }
                    Step::Cancel(which) => {
                        if let Some(id) = ids.get(which) {
                            let there = model.iter().position(|due| due.token == which as u64);
                            prop_assert_eq!(deadlines.cancel(*id), there.is_some());
                            there.map(|at| model.remove(at));
                        }
                    }
                    Step::Pass(by) => {
                        now += by;
                        let came: Vec<Due> = std::iter::from_fn(|| deadlines.pop(now)).collect();
                        // A stable sort: what was set first stays first.
                        model.sort_by_key(|due| due.at);
                        let (past, rest) = model.iter().copied().partition(|due| due.at <= now);
                        model = rest;
                        let past: Vec<Due> = past;
                        prop_assert_eq!(came, past);
                    }
                }
                prop_assert_eq!(deadlines.next(), model.iter().map(|due| due.at).min());
                prop_assert_eq!((deadlines.len(), deadlines.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }
}
