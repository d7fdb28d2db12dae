//! What differs between systems: three methods, `add`, `remove` and `poll`, and a waker.

#[cfg(target_os = "linux")]
mod epoll;
#[cfg(any(not(target_os = "linux"), test))]
mod other;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
pub(crate) use epoll::{Poller, Raw};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{Poller, Raw};

/// Something has changed at a socket since the last event of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What its owner gave.
    pub token: u64,
    /// There may be something to read, an end or an error included.
    pub readable: bool,
    /// There may be room to write, or an error.
    pub writable: bool,
    /// The peer has closed its side, or the connection is broken. What it sent before can still be read.
    pub closed: bool,
}

/// Until when a poll may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// Not at all.
    No,
    /// Until a monotonic time in nanoseconds.
    Until(u64),
    /// Until something happens.
    Forever,
}

/// The system's part of a waker.
trait Bell: Debug + Send + Sync {
    /// Makes the poll return, this one or the next.
    fn ring(&self) -> io::Result<()>;
}

/// Ends the wait of a loop from any thread. Calls before the loop has noticed the first are one, and cost no system call.
#[derive(Debug, Clone)]
pub struct Waker {
    rung: Arc<AtomicBool>,
    bell: Arc<dyn Bell>,
}

impl Waker {
    fn new(bell: impl Bell + 'static) -> Self {
        Self { rung: Arc::default(), bell: Arc::new(bell) }
    }

    /// Wakes the loop: its wait, or the next one, says `woken`.
    ///
    /// # Errors
    /// What the system says; the loop is then asleep for as long as it was going to be.
    pub fn wake(&self) -> io::Result<()> {
        if self.rung.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.bell.ring().inspect_err(|_| self.rung.store(false, Ordering::Release))
    }

    /// Whether it was rung since the last time. The flag falls before the loop looks at what it was woken for.
    fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }
}
