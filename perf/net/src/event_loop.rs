//! The loop: one wait for sockets, deadlines and the waker.
//!
//! A [`Turn`] is what one wait found, in buffers that are used again. Its owner handles all of it before the next wait; nothing
//! is called back, so that the state of the connections is in the owner's hands alone.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::clock::now;
use crate::deadlines::{Deadlines, Due, TimerId};
use crate::poller::{Event, Poller, Raw, Sleep, Waker};

/// How a loop waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The last stretch before a deadline in which the loop polls instead of sleeping: 50 to 100 µs hide the wake-up of a
    /// thread, for one core. Zero: it always sleeps.
    pub spin: Duration,
    /// How many events one wait takes at most.
    pub batch: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { spin: Duration::ZERO, batch: 256 }
    }
}

/// What one wait found.
#[derive(Debug, Default)]
pub struct Turn {
    /// Sockets that changed.
    pub events: Vec<Event>,
    /// Deadlines that have come, in order.
    pub due: Vec<Due>,
    /// Whether another thread rang.
    pub woken: bool,
    /// Monotonic nanoseconds right after the wait.
    pub now: u64,
    raw: Raw,
}

/// Sockets, deadlines and a waker of one thread; it may be made in another one.
#[derive(Debug)]
pub struct EventLoop {
    poller: Poller,
    deadlines: Deadlines,
    spin: u64,
}

impl EventLoop {
    /// A loop that waits for nothing yet.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new(options: Options) -> io::Result<Self> {
        let spin = u64::try_from(options.spin.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { poller: Poller::new(options.batch)?, deadlines: Deadlines::default(), spin })
    }

    /// What ends a wait from other threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.poller.waker()
    }

    /// Tells of every change of a socket from now on. The two highest tokens are the loop's own. What the socket is now is told
    /// as the first change.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        self.poller.add(socket, token)
    }

    /// Tells nothing of it any more. Closing the last descriptor of a socket does the same.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        self.poller.remove(socket)
    }

    /// Sets a deadline in monotonic nanoseconds; one that is past comes with the next wait.
    pub fn set(&mut self, at: u64, token: u64) -> TimerId {
        self.deadlines.set(at, token)
    }

    /// Takes a deadline out; `false` when it has come already.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        self.deadlines.cancel(id)
    }

    /// Waits until there is an event, a deadline or a ring, and puts what there is into `turn`. It may return with nothing,
    /// after a signal for one.
    ///
    /// # Errors
    /// What the system says of the wait itself; the loop cannot go on.
    pub fn wait(&mut self, turn: &mut Turn) -> io::Result<()> {
        turn.events.clear();
        turn.due.clear();
        turn.woken = false;
        let mut now = now();
        loop {
            let sleep = match self.deadlines.next() {
                None => Sleep::Forever,
                Some(at) if at <= now.saturating_add(self.spin) => Sleep::No,
                Some(at) => Sleep::Until(at - self.spin),
            };
            turn.woken = self.poller.poll(&mut turn.raw, &mut turn.events, sleep, now)?;
            now = crate::clock::now();
            turn.due.extend(std::iter::from_fn(|| self.deadlines.pop(now)));
            turn.now = now;
            let spinning = self.spin > 0 && self.deadlines.next().is_some_and(|at| at <= now.saturating_add(self.spin));
            if turn.woken || !turn.events.is_empty() || !turn.due.is_empty() || !spinning {
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }
}
