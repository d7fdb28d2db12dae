//! The worker: one thread that has the sockets, carries out what the timing manager says, and stamps what comes.
//!
//! It decides nothing about load: a [`crate::timing::Dispatcher`] says what leaves when. It computes no metric: each request that has ended is
//! handed on as a [`Done`]. What it measures beside is itself: how late it was, how long it waited for data or for whoever takes
//! its records, how long the system let it wait for a processor ([`Overhead`]).
//!
//! | Room | Idea |
//! |---|---|
//! | `control` | what other threads may ask of it, and see of it |
//! | `done` | what is told of a request, of a phase, of the worker itself |
//! | `pool` | connections: opened, ready, idle, gone |
//! | `request` | one request on its way, and its session |
//! | `run` | the loop |
//! | `io` | what sockets say |

mod control;
mod done;
mod io;
mod overhead;
mod pool;
mod request;
mod run;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::answer::Field;
use crate::exchange::{Ask, Failure, Limits};
use crate::script::Script;
use crate::seeds::Seed;
use crate::target::Target;
use crate::timing::PhasePlan;
use crate::transport::Trust;

pub use control::{Command, Control, Live};
pub use done::{Done, Ended, PhaseTime, Wire};
pub use overhead::Overhead;
pub use run::Worker;

/// How connections are used (perf contract 4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Any request takes any that is idle.
    #[default]
    Pooled,
    /// Each request has its own.
    Never,
    /// Each session has its own.
    Sticky,
}

/// What is the same for all requests. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where they go; sessions take turns.
    pub targets: Vec<Arc<Target>>,
    /// How their answers are read.
    pub ask: Ask,
    /// Where in one its text is, if that was said.
    pub field: Option<Field>,
    /// How much of one is taken.
    pub limits: Limits,
    /// How connections are used.
    pub reuse: Reuse,
    /// Most connections at a time.
    pub connections: Option<usize>,
    /// Connections are opened before they are needed.
    pub preconnect: bool,
    /// How long one may be idle and still be used.
    pub keep_alive: u64,
    /// How long a request may take, from its start.
    pub timeout: u64,
    /// How long a stream may be silent.
    pub idle_timeout: Option<u64>,
    /// Trust in servers under TLS.
    pub trust: Option<Trust>,
    /// What is answered is kept as it came.
    pub record: bool,
    /// The last stretch before a send is polled.
    pub spin: std::time::Duration,
    /// Of chance.
    pub seed: Seed,
    /// Of the names of requests and sessions, which are no part of a workload: another one for each run.
    pub names: u64,
    /// Whether a session goes on behind this failure.
    pub goes_on: fn(&Failure) -> bool,
}

/// Where the worker's sessions come from and its records go.
#[derive(Debug)]
pub struct Channels {
    /// Sessions, in the order in which they are to begin; some at a time, because each handing over wakes somebody.
    pub supply: Receiver<Vec<Arc<dyn Script>>>,
    /// Requests that have ended.
    pub done: SyncSender<Vec<Done>>,
}

/// What a run is: its phases, one after the other.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In their order.
    pub phases: Vec<PhasePlan>,
}
