//! Linux: epoll for sockets, a timerfd for the end of the wait, an eventfd as the bell.
//!
//! epoll's own time-out is rounded to milliseconds where the kernel is older than 5.11, and delayed by the thread's timer slack
//! everywhere. A timerfd has neither fault and needs a call only when the next deadline comes before what it is set to. It and the eventfd are never
//! read: an edge comes with every expiry and with every write.

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

use super::{Bell, Event, Sleep, Waker};

const RUNG: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

#[derive(Debug)]
struct Counter(OwnedFd);

impl Bell for Counter {
    fn ring(&self) -> io::Result<()> {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            // The counter is full: then it has rung.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set to; past once it has expired.
    armed: u64,
    batch: usize,
    waker: Waker,
}

/// Events as the kernel writes them. They hold pointers, and would keep the loop from being moved to another thread: whoever waits
/// brings them along.
#[derive(Default)]
pub(crate) struct Raw(Vec<epoll::Event>);

impl Debug for Raw {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({})", self.0.len())
    }
}

impl Poller {
    pub(crate) fn new(batch: usize) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        epoll::add(&epoll, &bell, EventData::new_u64(RUNG), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll, timer, armed: 0, batch: batch.max(1), waker: Waker::new(Counter(bell)) })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(crate) fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token), interest)?)
    }

    pub(crate) fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Appends what happened; `true` when the bell rang.
    pub(crate) fn poll(&mut self, raw: &mut Raw, out: &mut Vec<Event>, sleep: Sleep, now: u64) -> io::Result<bool> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = match sleep {
            Sleep::No => Some(&AT_ONCE),
            Sleep::Forever => None,
            Sleep::Until(at) => {
                // A timer that is still to come before `at` only costs one vain wake-up; one that is past has to be set anew.
                if self.armed <= now || at < self.armed {
                    self.arm(at)?;
                }
                None
            }
        };
        raw.0.clear();
        raw.0.reserve(self.batch);
        match epoll::wait(&self.epoll, spare_capacity(&mut raw.0), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut woken = false;
        for event in &raw.0 {
            // The event is packed: its fields are copied, never referred to.
            let (token, flags) = (event.data.u64(), event.flags);
            match token {
                RUNG => woken |= self.waker.take(),
                TIMER => {}
                token => {
                    let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
                    out.push(Event {
                        token,
                        readable: broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
                        writable: broken || flags.contains(EventFlags::OUT),
                        closed: broken || flags.contains(EventFlags::RDHUP),
                    });
                }
            }
        }
        Ok(woken)
    }

    fn arm(&mut self, at: u64) -> io::Result<()> {
        // Zero would disarm it.
        let at = at.max(1);
        let seconds = i64::try_from(at / 1_000_000_000).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: seconds, tv_nsec: i64::try_from(at % 1_000_000_000).unwrap_or(0) };
        let setting = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        self.armed = at;
        Ok(())
    }
}
