//! The life of one Pod as a state machine. Pure: [`Machine::step`] takes an [`Event`] and the time, changes the state and
//! returns [`Action`]s; the executor ([`crate::node`]) carries them out and feeds what happened back as events.
//!
//! Nothing is concluded from an action having been asked for: a container runs when [`Event::Started`] says so and has
//! ended when [`Event::Exited`] does. Events of an earlier run of a container carry its attempt number and are ignored.
//! Same state, same events, same times: same actions and the same status.

pub mod backoff;
mod change;
mod container;
mod pod;
pub mod probe;
mod status;
mod stop;
#[cfg(test)]
mod tests;

use std::time::Duration;

use dormouse_names::Programs;
use jiff::Timestamp;

pub use change::Update;
pub use container::{Exit, Role};
pub use pod::Machine;
pub use status::{Facts, Timeline};

/// A moment on both clocks: the wall for what is shown, a monotonic one for what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall time.
    pub wall: Timestamp,
    /// Time since any fixed moment; never goes back.
    pub mono: Duration,
}

/// What the machine is told about its surroundings once.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Restarts of containers, and images that resolve to nothing.
    pub restart: backoff::Policy,
    /// Programs, of which some wait for others when they are told to end.
    pub programs: Programs,
}

/// Why a container could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its image resolves to nothing.
    Image,
    /// Its environment or command cannot be made: a ConfigMap is missing, say.
    Config,
    /// Its mounts cannot be shown to it.
    Mount,
    /// It was created and could not be executed.
    Start,
    /// What it was to run in has gone: not its fault, and no restart is counted.
    Sandbox,
}

/// A life-cycle hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// After the start.
    PostStart,
    /// Before the stop signal.
    PreStop,
}

/// What a container's processes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The stop signal (SIGTERM unless the container names another) to its process group.
    Stop,
    /// SIGKILL to everything that descends from it.
    Kill,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node does not take the Pod.
    Rejected {
        /// `status.reason`.
        reason: String,
        /// `status.message`.
        message: String,
    },
    /// Volumes, address and shim are there.
    Prepared,
    /// They could not be made; they will be tried again.
    PrepareFailed {
        /// Reason of the event.
        reason: &'static str,
        /// What went wrong.
        message: String,
    },
    /// What the containers ran in is gone although nobody ended it; they report their ends themselves.
    Lost,
    /// A container runs.
    Started {
        /// Which.
        container: usize,
        /// Of which attempt.
        attempt: u32,
        /// Its id, 64 hexadecimal digits.
        id: String,
        /// `imageID` without scheme.
        image: String,
    },
    /// A container could not be started.
    StartFailed {
        /// Which.
        container: usize,
        /// Of which attempt.
        attempt: u32,
        /// At what.
        failure: Failure,
        /// Why.
        message: String,
    },
    /// A container ended, and with it everything that descended from it.
    Exited {
        /// Which.
        container: usize,
        /// Of which attempt.
        attempt: u32,
        /// How.
        exit: Exit,
        /// What it left as its last word.
        message: Option<String>,
    },
    /// A probe has run.
    Probed {
        /// Of which container.
        container: usize,
        /// Of which attempt.
        attempt: u32,
        /// Which probe.
        kind: probe::ProbeKind,
        /// `Err` with the text for the event when it failed.
        outcome: Result<(), String>,
    },
    /// A hook has run.
    HookDone {
        /// Of which container.
        container: usize,
        /// Of which attempt.
        attempt: u32,
        /// Which hook.
        hook: Hook,
        /// `Err` when it failed.
        outcome: Result<(), String>,
    },
    /// The Pod object changed.
    Updated(Update),
    /// The plane ends: stop everything within this grace and write nothing but status.
    Stop(Duration),
    /// A deadline has passed.
    Tick,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make volumes, address and shim.
    Prepare,
    /// Start a container.
    Start {
        /// Which.
        container: usize,
        /// Number of this attempt, from 0; the restart count.
        attempt: u32,
    },
    /// Signal a running container.
    Signal {
        /// Which.
        container: usize,
        /// Of which attempt.
        attempt: u32,
        /// With what.
        signal: Signal,
    },
    /// Run a probe.
    Probe {
        /// Of which container.
        container: usize,
        /// Of which attempt.
        attempt: u32,
        /// Which.
        kind: probe::ProbeKind,
        /// How long it may take.
        timeout: Duration,
    },
    /// Run a hook.
    Hook {
        /// Of which container.
        container: usize,
        /// Of which attempt.
        attempt: u32,
        /// Which.
        hook: Hook,
        /// How long it may take.
        timeout: Option<Duration>,
    },
    /// Write an Event.
    Record(Record),
    /// Every container has ended for good: end the shim, remove the volumes, give devices back.
    Release,
    /// The Pod was being deleted and has ended: the object may go.
    Delete,
}

/// An Event of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whether it is a `Warning` (else `Normal`).
    pub warning: bool,
    /// `reason`.
    pub reason: &'static str,
    /// `message`.
    pub message: String,
    /// Container it is about.
    pub container: Option<usize>,
}
