//! Everywhere else: mio, which is kqueue on macOS and the BSDs. Time-outs are as fine as the system's.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::{Bell, Event, Sleep, Waker};

const RUNG: Token = Token(usize::MAX);

/// mio's events can be moved to another thread and stay with the loop.
#[derive(Debug, Default)]
pub(crate) struct Raw;

impl Bell for mio::Waker {
    fn ring(&self) -> io::Result<()> {
        self.wake()
    }
}

#[derive(Debug)]
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    waker: Waker,
}

impl Poller {
    pub(crate) fn new(batch: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = mio::Waker::new(poll.registry(), RUNG)?;
        Ok(Self { poll, events: Events::with_capacity(batch.max(1)), waker: Waker::new(bell) })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(crate) fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let token = usize::try_from(token).map_err(io::Error::other)?;
        let socket = socket.as_fd().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&socket), Token(token), Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&socket.as_fd().as_raw_fd()))
    }

    /// Appends what happened; `true` when the bell rang.
    pub(crate) fn poll(&mut self, _raw: &mut Raw, out: &mut Vec<Event>, sleep: Sleep, now: u64) -> io::Result<bool> {
        let timeout = match sleep {
            Sleep::No => Some(Duration::ZERO),
            Sleep::Until(at) => Some(Duration::from_nanos(at.saturating_sub(now))),
            Sleep::Forever => None,
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut woken = false;
        for event in &self.events {
            if event.token() == RUNG {
                woken |= self.waker.take();
                continue;
            }
            let broken = event.is_error();
            let closed = broken || event.is_read_closed() || event.is_write_closed();
            out.push(Event {
                token: event.token().0 as u64,
                readable: closed || event.is_readable(),
                writable: broken || event.is_writable(),
                closed,
            });
        }
        Ok(woken)
    }
}
