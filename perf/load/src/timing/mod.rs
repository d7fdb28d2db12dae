//! The timing manager, pure: what may leave when (perf contract 2.1 to 2.8).
//!
//! A [`PhasePlan`] says how a phase is loaded, a [`Dispatcher`] carries it out as a state machine: whoever has the sockets asks
//! [`Dispatcher::next`] what to do now, and tells it of every answer. It holds no clock: each call brings the time. What it says
//! depends on nothing but the plan, the seed and what it was told.
//!
//! Every request has two times. *Intended* is when it was to leave by the plan, however full the server was: latency from there is
//! what a user would have felt. *Due* is when it could leave: the plan's time, or the moment in which a place became free. What
//! lies between due and the first byte is the client's own fault, and is measured as such.

mod dispatcher;
mod limit;
mod plan;
mod starts;

pub use dispatcher::{Dispatcher, Next, Returned, SessionId};
pub use limit::Limit;
pub use plan::{Cancel, Load, PhasePlan, Planned, Stop};

/// A second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;
