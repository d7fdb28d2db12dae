//! What a phase is to do.

use std::sync::Arc;

use crate::arrivals::{Pattern, Rate};

/// One stretch of load with its own parameters. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct PhasePlan {
    /// Its name; no two have the same.
    pub name: String,
    /// It only warms up.
    pub warmup: bool,
    /// What makes requests leave.
    pub load: Load,
    /// Sessions at a time; without one there is no limit.
    pub concurrency: Option<u32>,
    /// Requests whose first token has not come.
    pub prefill: Option<u32>,
    /// Requests at a time, of whatever sessions.
    pub in_flight: Option<u32>,
    /// How long sessions take from one to all of them.
    pub concurrency_ramp: Option<u64>,
    /// The same of `prefill`.
    pub prefill_ramp: Option<u64>,
    /// When nothing more is sent.
    pub stop: Stop,
    /// How long answers are waited for behind the end of a duration; without one, for ever.
    pub grace: Option<u64>,
    /// Requests that are given up on purpose.
    pub cancel: Option<Cancel>,
    /// As the peer does: what is so late is not sent, and the schedule begins anew; a moment without a free place is passed over.
    pub drop_late: Option<u64>,
}

impl PhasePlan {
    /// A phase of this name and load, with no limit and no end.
    #[must_use]
    pub fn new(name: &str, load: Load) -> Self {
        Self {
            name: name.to_owned(),
            warmup: false,
            load,
            concurrency: None,
            prefill: None,
            in_flight: None,
            concurrency_ramp: None,
            prefill_ramp: None,
            stop: Stop::default(),
            grace: None,
            cancel: None,
            drop_late: None,
        }
    }
}

/// What makes requests leave.
#[derive(Clone, Debug)]
pub enum Load {
    /// An answer lets the next one leave.
    Closed,
    /// The clock does.
    Open {
        /// Requests in a second.
        rate: Rate,
        /// How they vary around it.
        pattern: Pattern,
    },
    /// The times at which sessions begin are given, ascending.
    Schedule(Arc<[Planned]>),
    /// Users who think between their turns (perf contract 2.6).
    Users {
        /// How many there are at a time.
        users: u32,
        /// Turns in a second, of all together.
        rate: f64,
        /// Mean number of turns of a session.
        turns: f64,
    },
}

/// The beginning of a session that was planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// When, from the start of the phase.
    pub at: u64,
    /// How many turns it has at most.
    pub turns: Option<u32>,
    /// Of whom, where that has a number.
    pub user: Option<u64>,
}

/// When nothing more is sent. Each that is given is a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// Requests.
    pub requests: Option<u64>,
    /// Sessions that were begun; their turns are all sent.
    pub sessions: Option<u64>,
    /// Nanoseconds from the start.
    pub duration: Option<u64>,
}

/// Requests that are given up on purpose (perf contract 2.10).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cancel {
    /// How many of a hundred.
    pub percent: f64,
    /// How long after the last byte was sent.
    pub delay: u64,
}
