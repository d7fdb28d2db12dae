//! One thread, many sockets, many deadlines: what the load path and the mock server run on.
//!
//! An [`EventLoop`] belongs to one thread and waits for three things at once: sockets that became ready, deadlines that have come,
//! and a [`Waker`] in the hands of other threads. Everything is measured on one clock, nanoseconds of the machine's monotonic
//! time ([`now`]).
//!
//! - **Readiness is edge-triggered**, on every system: an [`Event`] says that something has changed since the last one. Whoever
//!   gets it reads until a read would block or fills less than its buffer, and writes until a write would block. In exchange a socket is registered once and
//!   never again, whatever its owner waits for.
//! - **Deadlines are points in time**, not durations; they are told in the order of time, and of registration where the time is
//!   the same. On Linux a timerfd ends the wait, which no timer slack delays; `spin` polls the last stretch instead of sleeping through it.
//! - **Systems**: epoll, timerfd and eventfd on Linux; mio (kqueue) elsewhere, behind the same three methods, and tested on Linux too.
//!
//! Nothing here knows HTTP or what is measured.

mod clock;
mod deadlines;
mod event_loop;
mod poller;
mod tcp;

pub use clock::{Clock, now};
pub use deadlines::{Deadlines, Due, TimerId};
pub use event_loop::{EventLoop, Options, Turn};
pub use poller::{Event, Waker};
pub use tcp::{Listen, accept, connect, connected, listen, raise_file_limit, read, reset, sharpen_timers, write};
