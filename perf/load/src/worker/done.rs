//! What is told of a request that has ended, of a phase, and of the whole.

use std::sync::Arc;

use crate::exchange::Answered;
use crate::script::{Answer, Script};
use crate::target::Target;

use super::Overhead;

/// A request that has ended. Times are monotonic nanoseconds.
#[derive(Debug)]
pub struct Done {
    /// Of which phase.
    pub phase: usize,
    /// Its number in that phase.
    pub credit: u64,
    /// What its session says.
    pub script: Arc<dyn Script>,
    /// Which turn of it.
    pub turn: usize,
    /// What was answered before, where that was woven in.
    pub before: Vec<Option<Answer>>,
    /// Its own name.
    pub request: uuid::Uuid,
    /// Its session's.
    pub session: Arc<str>,
    /// Where it went.
    pub target: Arc<Target>,
    /// When it was to leave.
    pub intended: u64,
    /// When it could.
    pub due: u64,
    /// When it was taken up: what it took is counted from here.
    pub start: u64,
    /// What its connection did.
    pub wire: Wire,
    /// What came.
    pub answered: Answered,
    /// It was given up on purpose, or with the run.
    pub cancelled: bool,
    /// It was cut off at the end of its phase, or of the run: how long it would have taken nobody knows.
    pub censored: bool,
    /// It was sent again on a fresh connection.
    pub reconnected: bool,
    /// How often it was sent elsewhere.
    pub redirected: u32,
}

/// What a connection did for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// It had served one before.
    pub reused: bool,
    /// When it began to be opened, and when it stood, for this request.
    pub connect: Option<(u64, u64)>,
    /// The first byte of the request was given to the system.
    pub first_write: Option<u64>,
    /// The last one was.
    pub sent: Option<u64>,
    /// In so many writes.
    pub writes: u32,
    /// Bytes of its body.
    pub body: usize,
}

/// When a phase was, in monotonic nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct PhaseTime {
    /// It began.
    pub start: u64,
    /// Its last request was over.
    pub end: u64,
    /// Requests that left.
    pub sent: u64,
    /// Ticks, or planned times, that found no free place.
    pub missed: u64,
    /// Requests that were cut off at its end.
    pub censored: u64,
    /// It was cancelled.
    pub cancelled: bool,
    /// What the worker measured of itself.
    pub overhead: Overhead,
}

/// All phases that were begun.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// In their order.
    pub phases: Vec<PhaseTime>,
    /// Nothing more was wanted before everything was done.
    pub cancelled: bool,
    /// Streams that said nothing for so long that it is worth a word.
    pub silent: u64,
}
