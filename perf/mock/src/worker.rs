//! A thread that serves: its loop, its connections, and what it shares with the others.
//!
//! A connection is driven by [`Worker::drive`] until it can do nothing: it reads one request, answers it, and reads the next. The first
//! worker also accepts and deals connections out by turns, so that every thread has as many as the others.

mod drive;

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_perf_net::{EventLoop, Options, Turn, Waker, accept, now, sharpen_timers};

use crate::answer::Text;
use crate::cache::PrefixCache;
use crate::conn::{Conn, LIMIT, Slots, State};
use crate::gate::{Gate, Ticket};
use crate::job::Knobs;
use crate::plan::Odds;
use crate::script::End;
use crate::stats::{Outcome, Stats};

/// Tokens that no connection has.
const LISTENER: u64 = u64::MAX - 2;
const ACCEPT_AGAIN: u64 = u64::MAX - 3;
const STOP: u64 = u64::MAX - 4;

const SECOND: u64 = 1_000_000_000;
/// A request comes, and an answer is taken, within this time.
const SLOW: u64 = 60 * SECOND;
/// How long a fault keeps a connection open without a word.
const HANG: u64 = 3600 * SECOND;
/// What an end has to be taken in by the client.
const DRAIN: u64 = 2 * SECOND;
/// What is in flight at the end may still leave.
const GRACE: u64 = SECOND / 4;
const READ: usize = 256 << 10;
/// After so many writes to one connection the others have their turn.
const WRITES: usize = 64;

/// What all threads have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) knobs: Knobs,
    pub(crate) odds: Odds,
    pub(crate) gate: Gate,
    pub(crate) stats: Stats,
    pub(crate) cache: Option<Mutex<PrefixCache>>,
    pub(crate) numbers: AtomicU64,
    pub(crate) stop: AtomicBool,
    pub(crate) max_connections: usize,
    pub(crate) idle_ns: u64,
    pub(crate) spin: std::time::Duration,
}

/// What one thread is told by the others.
#[derive(Debug)]
pub(crate) enum Mail {
    Conn(TcpStream),
    /// A place for the request of this connection, from this time on.
    Granted(u64, u64),
}

/// Where to tell it.
#[derive(Debug)]
pub(crate) struct Post {
    mail: Mutex<Vec<Mail>>,
    waker: Waker,
}

impl Post {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { mail: Mutex::default(), waker }
    }

    fn send(&self, mail: Mail) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        // It only fails when the loop is gone, and then nobody reads it.
        let _ = self.waker.wake();
    }
}

/// One thread.
#[derive(Debug)]
pub(crate) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    posts: Arc<Vec<Post>>,
    event_loop: EventLoop,
    listener: Option<std::net::TcpListener>,
    conns: Slots,
    /// Places that requests of this thread got in this turn.
    granted: VecDeque<(u64, u64)>,
    dealt: usize,
    stopping: bool,
    scratch: Vec<u8>,
    out: Vec<u8>,
    text: Text,
}

/// The loop that a worker is going to have, made before its thread so that others can wake it.
pub(crate) fn event_loop(shared: &Shared) -> io::Result<EventLoop> {
    EventLoop::new(Options { spin: shared.spin, ..Options::default() })
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        posts: Arc<Vec<Post>>,
        event_loop: EventLoop,
        listener: Option<std::net::TcpListener>,
    ) -> Self {
        Self {
            index,
            shared,
            posts,
            event_loop,
            listener,
            conns: Slots::default(),
            granted: VecDeque::new(),
            dealt: 0,
            stopping: false,
            scratch: vec![0; READ],
            out: Vec::new(),
            text: Text::default(),
        }
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        sharpen_timers();
        if let Some(listener) = &self.listener {
            self.event_loop.add(listener, LISTENER)?;
        }
        let mut turn = Turn::default();
        loop {
            self.event_loop.wait(&mut turn)?;
            for event in &turn.events {
                if event.token == LISTENER {
                    self.accept();
                } else if let Some(mut conn) = self.conns.take(event.token) {
                    conn.readable |= event.readable;
                    conn.left |= event.closed;
                    self.drive(conn);
                }
            }
            for due in &turn.due {
                match due.token {
                    ACCEPT_AGAIN => self.accept(),
                    STOP => return Ok(()),
                    token if token & LIMIT != 0 => self.check(token & !LIMIT),
                    token => {
                        if let Some(mut conn) = self.conns.take(token) {
                            conn.timer = None;
                            self.drive(conn);
                        }
                    }
                }
            }
            if turn.woken {
                self.read_mail();
            }
            while let Some((token, start)) = self.granted.pop_front() {
                self.granted(token, start);
            }
            if self.stopping && self.conns.len() == 0 {
                return Ok(());
            }
        }
    }

    fn read_mail(&mut self) {
        let mail = self.posts.get(self.index).map(|post| std::mem::take(&mut *post.mail.lock().unwrap_or_else(PoisonError::into_inner)));
        for mail in mail.unwrap_or_default() {
            match mail {
                Mail::Conn(stream) => self.take_in(stream),
                Mail::Granted(token, start) => self.granted(token, start),
            }
        }
        if self.shared.stop.load(Ordering::Acquire) && !self.stopping {
            self.stopping = true;
            self.listener = None;
            self.event_loop.set(now() + GRACE, STOP);
            for token in self.conns.tokens() {
                if let Some(conn) = self.conns.take(token) {
                    if conn.job.is_some() || !conn.out.is_empty() { self.conns.put(conn) } else { self.gone(*conn, End::Close) }
                }
            }
        }
    }

    fn accept(&mut self) {
        loop {
            let Some(listener) = &self.listener else { return };
            match accept(listener) {
                Ok(Some(stream)) => {
                    let level = &self.shared.stats.connections;
                    if usize::try_from(level.now()).unwrap_or(0) >= self.shared.max_connections {
                        continue;
                    }
                    level.up(now());
                    self.shared.stats.accepted.fetch_add(1, Ordering::Relaxed);
                    let to = self.dealt % self.posts.len();
                    self.dealt += 1;
                    if to == self.index { self.take_in(stream) } else { self.posts[to].send(Mail::Conn(stream)) }
                }
                Ok(None) => return,
                Err(_) => {
                    // No descriptor is left: it stays in the queue, and of that no event comes.
                    self.event_loop.set(now() + SECOND / 20, ACCEPT_AGAIN);
                    return;
                }
            }
        }
    }

    fn take_in(&mut self, stream: TcpStream) {
        let token = self.conns.add(Box::new(Conn::new(stream, now())));
        let Some(mut conn) = self.conns.take(token) else { return };
        if self.stopping || self.event_loop.add(&conn.stream, token).is_err() {
            return self.gone(*conn, End::Close);
        }
        conn.limit = Some(self.event_loop.set(now() + self.look_again(), token | LIMIT));
        // What it has to say is told by the first event.
        conn.readable = false;
        self.conns.put(conn);
    }

    /// How often limits are looked at.
    fn look_again(&self) -> u64 {
        (self.shared.idle_ns / 4).clamp(SECOND / 100, 10 * SECOND)
    }

    /// Ends a connection that has come to a limit.
    fn check(&mut self, token: u64) {
        let Some(mut conn) = self.conns.take(token) else { return };
        conn.limit = None;
        let still = now().saturating_sub(conn.since);
        let limit = match &conn.job {
            _ if conn.draining => DRAIN,
            _ if !conn.out.is_empty() || conn.reading => SLOW,
            None => self.shared.idle_ns,
            Some(job) if matches!(job.state, State::Hanging) => HANG,
            Some(_) => u64::MAX,
        };
        if still >= limit {
            return self.gone(*conn, End::Close);
        }
        conn.limit = Some(self.event_loop.set(now() + self.look_again(), token | LIMIT));
        self.conns.put(conn);
    }

    /// A waiting request has a place.
    fn granted(&mut self, token: u64, start: u64) {
        let Some(mut conn) = self.conns.take(token) else { return self.leave(start) };
        match conn.job.take() {
            Some(mut job) => {
                job.state = match job.state {
                    State::Queued(order) => {
                        self.shared.stats.in_service.up(start);
                        State::Serving(order.script(&self.shared.knobs, start))
                    }
                    other => other,
                };
                conn.job = Some(job);
                self.drive(conn);
            }
            None => {
                self.conns.put(conn);
                self.leave(start);
            }
        }
    }

    /// Hands a place on.
    fn leave(&mut self, at: u64) {
        if let Some((Ticket { worker, token }, start)) = self.shared.gate.leave(at) {
            if worker == self.index { self.granted.push_back((token, start)) } else { self.posts[worker].send(Mail::Granted(token, start)) }
        }
    }

    /// The answer of a job has left, or its client has.
    fn finish(&mut self, conn: &mut Conn, outcome: Outcome, at: u64) {
        let Some(mut job) = conn.job.take() else { return };
        job.record.outcome = outcome;
        let stats = &self.shared.stats;
        stats.in_flight.down(at);
        stats.record(self.index, job.record);
        if matches!(job.state, State::Queued(_)) {
            self.shared.gate.withdraw(Ticket { worker: self.index, token: conn.token });
        } else {
            stats.in_service.down(at);
            self.leave(at);
        }
        conn.since = at;
    }

    /// Forgets a connection, and its request if it has one.
    fn gone(&mut self, mut conn: Conn, end: End) {
        let at = now();
        self.finish(&mut conn, Outcome::Disconnected, at);
        for timer in [conn.timer.take(), conn.limit.take()].into_iter().flatten() {
            self.event_loop.cancel(timer);
        }
        self.conns.forget(conn.token);
        self.shared.stats.connections.down(at);
        match end {
            End::Reset => dormouse_perf_net::reset(conn.stream),
            _ => drop(conn),
        }
    }
}
