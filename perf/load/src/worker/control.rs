//! What other threads may ask of a worker, and see of it while it runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_perf_net::Waker;

use crate::arrivals::Rate;

/// What may be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Nothing more is sent, and what is on its way is given up.
    Cancel,
    /// Nothing more is sent in this phase.
    Finish,
    /// The same, and what is on its way is not waited for.
    CutOff,
    /// So many sessions at a time.
    Concurrency(u32),
    /// Another rate.
    Rate(Rate),
}

/// The handle of a worker.
#[derive(Clone, Debug)]
pub struct Control {
    waker: Waker,
    commands: Arc<Mutex<Vec<Command>>>,
    hungry: Arc<AtomicBool>,
    /// What can be seen.
    pub live: Arc<Live>,
}

/// Counts of the phase under way; each may be read at any time.
#[derive(Debug, Default)]
pub struct Live {
    /// Its number; phases begin at 0.
    pub phase: AtomicU64,
    /// When it began, monotonic nanoseconds; 0 before the first.
    pub started: AtomicU64,
    /// Requests that left.
    pub sent: AtomicU64,
    /// Those that have come back.
    pub returned: AtomicU64,
    /// Those of them that failed.
    pub failed: AtomicU64,
    /// Those that have not.
    pub in_flight: AtomicU64,
}

impl Control {
    pub(super) fn new(waker: Waker) -> Self {
        Self { waker, commands: Arc::default(), hungry: Arc::default(), live: Arc::default() }
    }

    /// Asks for something; it is done at once.
    pub fn ask(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.wake();
    }

    /// A session was supplied: whoever supplies them says so each time. It costs nothing unless the worker waits for one.
    pub fn supplied(&self) {
        if self.hungry.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// When it cannot be woken it wakes by itself, a moment later.
    fn wake(&self) {
        let _ = self.waker.wake();
    }

    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_hungry(&self) {
        self.hungry.store(true, Ordering::Release);
    }
}

impl Live {
    pub(super) fn begin(&self, phase: usize, now: u64) {
        for count in [&self.sent, &self.returned, &self.failed, &self.in_flight] {
            count.store(0, Ordering::Relaxed);
        }
        self.phase.store(phase as u64, Ordering::Relaxed);
        self.started.store(now, Ordering::Relaxed);
    }
}
