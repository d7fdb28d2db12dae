//! One connection as far as it goes: flush, answer, read, in that order, until nothing can be done before the next event.

use std::net::Shutdown;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use dormouse_perf_net::{now, read, write};

use super::{WRITES, Worker};
use crate::conn::{Conn, Job, State};
use crate::draft;
use crate::fault::Fault;
use crate::gate::Ticket;
use crate::job::{Order, Origin};
use crate::request::{Bad, Head, MAX_BODY, MAX_HEAD, Method, Step};
use crate::routes::{self, Plain, REDIRECTED, endpoint};
use crate::scan::{self, Asked};
use crate::script::End;
use crate::stats::{Outcome, Record};

/// What a step of a connection came to.
enum Went {
    /// There may be more to do.
    On,
    /// Something has to come first.
    Waits,
    /// It is over.
    Gone(End),
}

impl Worker {
    /// Drives a connection until it waits, and keeps it, or until it is over.
    pub(super) fn drive(&mut self, mut conn: Box<Conn>) {
        loop {
            match self.step(&mut conn) {
                Went::On => {}
                Went::Waits => return self.conns.put(conn),
                Went::Gone(end) => return self.gone(*conn, end),
            }
        }
    }

    fn step(&mut self, conn: &mut Conn) -> Went {
        if !conn.out.is_empty() {
            match write(&conn.stream, &conn.out) {
                Ok(Some(n)) => {
                    conn.out.drain(..n);
                    conn.since = now();
                    return Went::On;
                }
                Ok(None) => return Went::Waits,
                Err(_) => return Went::Gone(End::Close),
            }
        }
        match conn.then.take() {
            Some(End::Close) if conn.draining => {
                conn.since = now();
                if conn.stream.shutdown(Shutdown::Write).is_err() {
                    return Went::Gone(End::Close);
                }
            }
            Some(End::Keep | End::Hang) | None => {}
            Some(end) => return Went::Gone(end),
        }
        if conn.draining {
            return self.drain(conn);
        }
        match conn.job.as_mut().map(|job| &mut job.state) {
            // Whoever closes its side while it waits for an answer does not want it any more.
            Some(_) if conn.left => Went::Gone(End::Close),
            Some(State::Queued(_) | State::Hanging) => Went::Waits,
            Some(State::Serving(_)) => self.answer(conn),
            None if !conn.pending.is_empty() => {
                let pending = std::mem::take(&mut conn.pending);
                let (went, used) = self.requests(conn, &pending, now());
                conn.pending = pending;
                conn.pending.drain(..used);
                if matches!(went, Went::Waits) && conn.readable { self.read(conn) } else { went }
            }
            None if conn.readable => self.read(conn),
            None if self.stopping => Went::Gone(End::Close),
            None => Went::Waits,
        }
    }

    /// Reads once and looks at what came.
    fn read(&mut self, conn: &mut Conn) -> Went {
        let mut scratch = std::mem::take(&mut self.scratch);
        let went = match read(&conn.stream, &mut scratch) {
            Ok(None) => {
                conn.readable = false;
                Went::Waits
            }
            Ok(Some(0)) | Err(_) => Went::Gone(End::Close),
            Ok(Some(n)) => {
                let at = now();
                // Less than there was room for is all there was; an end is one more read.
                conn.readable = n == scratch.len() || conn.left;
                if !conn.reading {
                    (conn.reading, conn.since) = (true, at);
                }
                if conn.pending.is_empty() {
                    let (went, used) = self.requests(conn, &scratch[..n], at);
                    conn.pending.extend_from_slice(&scratch[used..n]);
                    went
                } else {
                    conn.pending.extend_from_slice(&scratch[..n]);
                    Went::On
                }
            }
        };
        self.scratch = scratch;
        // What is understood is taken at once, so that more than this can only be a head or a line without an end.
        if conn.pending.len() > MAX_HEAD + MAX_BODY {
            return Went::Gone(End::Close);
        }
        if matches!(went, Went::Waits) && conn.readable { Went::On } else { went }
    }

    fn drain(&mut self, conn: &mut Conn) -> Went {
        match read(&conn.stream, &mut self.scratch) {
            Ok(Some(0)) | Err(_) => Went::Gone(End::Close),
            Ok(Some(_)) => Went::On,
            Ok(None) => Went::Waits,
        }
    }

    /// Takes the next request out of `input`, as far as it has come; says how much of it was taken.
    fn requests(&mut self, conn: &mut Conn, input: &[u8], at: u64) -> (Went, usize) {
        let mut used = 0;
        loop {
            match conn.reader.step(&input[used..]) {
                Ok((Step::More, taken)) => return (Went::Waits, used + taken),
                Ok((Step::Head, taken)) => {
                    used += taken;
                    if let Some(went) = self.head(conn, input.len() == used, at) {
                        return (went, used);
                    }
                }
                Ok((Step::Complete(head, body), taken)) => {
                    used += taken;
                    conn.reading = used < input.len();
                    conn.since = at;
                    if std::mem::take(&mut conn.discard) {
                        if !head.keep_alive {
                            return (Went::Gone(End::Close), used);
                        }
                        continue;
                    }
                    return (self.request(conn, &head, &body, at), used);
                }
                Err(Bad { status, why }) => {
                    self.shared.stats.refused.fetch_add(1, Ordering::Relaxed);
                    Plain::error(None, status, why).push(false, true, false, &mut conn.out);
                    (conn.then, conn.draining) = (Some(End::Close), true);
                    return (Went::On, input.len());
                }
            }
        }
    }

    /// What is decided when a head has come: the request's number and fault, and whether it is answered without its body.
    fn head(&mut self, conn: &mut Conn, body_to_come: bool, at: u64) -> Option<Went> {
        let head = conn.reader.head()?;
        let served = endpoint(&head.path).filter(|e| head.method == Method::Post && self.shared.knobs.endpoints.contains(e));
        if let Some(endpoint) = served {
            let mut plan = self.shared.odds.plan(self.shared.numbers.fetch_add(1, Ordering::Relaxed));
            match &head.fault {
                Some(Ok(fault)) => plan.fault = Some(*fault),
                Some(Err(why)) => {
                    // A test that misspells its fault is told so.
                    self.shared.stats.refused.fetch_add(1, Ordering::Relaxed);
                    Plain::error(Some(endpoint), 400, why).push(false, true, head.version10, &mut conn.out);
                    (conn.then, conn.draining) = (Some(End::Close), true);
                    return Some(Went::On);
                }
                None => {}
            }
            if head.path.starts_with(REDIRECTED) {
                plan.fault = plan.fault.filter(|fault| !matches!(fault, Fault::Redirect(_)));
            }
            if plan.fault == Some(Fault::EarlyAnswer) {
                let asked = Asked { stream: head.accepts_stream, include_usage: true, ..Asked::default() };
                let head = head.clone();
                conn.plan = Some(plan);
                conn.discard = true;
                self.order(conn, endpoint, &head, &asked, None, at);
                return Some(Went::On);
            }
            conn.plan = Some(plan);
        }
        if head.expects_continue && body_to_come {
            conn.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            // It leaves before anything else is read, and the reader goes on where it is.
            return Some(Went::On);
        }
        None
    }

    /// A complete request.
    fn request(&mut self, conn: &mut Conn, head: &Head, body: &[u8], at: u64) -> Went {
        let served = endpoint(&head.path).filter(|_| conn.plan.is_some());
        let Some(endpoint) = served else {
            let answer = routes::plain(head, &self.shared.knobs, &self.shared.stats);
            return say(conn, head, &answer);
        };
        let asked = match scan::read(body) {
            Ok(asked) => asked,
            Err(why) => return self.refuse(conn, head, &Plain::error(Some(endpoint), 400, &why)),
        };
        if let Some(why) = self.shared.knobs.refuses(&asked) {
            return self.refuse(conn, head, &Plain::error(Some(endpoint), 404, &why));
        }
        let prompt = body.get(asked.prompt.clone()).unwrap_or_default();
        let shared = self.shared.cache.as_ref().map(|cache| cache.lock().unwrap_or_else(PoisonError::into_inner).share(prompt));
        self.order(conn, endpoint, head, &asked, shared, at);
        Went::On
    }

    fn refuse(&self, conn: &mut Conn, head: &Head, answer: &Plain) -> Went {
        conn.plan = None;
        self.shared.stats.refused.fetch_add(1, Ordering::Relaxed);
        say(conn, head, answer)
    }

    /// Makes the job of a request, and begins it if there is a place.
    fn order(&mut self, conn: &mut Conn, endpoint: crate::args::Endpoint, head: &Head, asked: &Asked<'_>, shared: Option<usize>, at: u64) {
        let Some(plan) = conn.plan.take() else { return };
        let stats = &self.shared.stats;
        let record = Record {
            number: plan.number,
            arrival: at,
            first_content: None,
            last_content: None,
            lateness: 0,
            writes: 0,
            lateness_sum: 0,
            tokens: 0,
            status: plan.fault.map_or(200, draft::status),
            fault: plan.fault,
            outcome: Outcome::Answered,
        };
        let created = stats.clock.wall(at) / 1_000_000_000;
        let origin = Origin { endpoint, path: &head.path, close: !head.keep_alive, version10: head.version10, created };
        let order = Order::new(&self.shared.knobs, origin, asked, plan, shared);
        let record = Record { tokens: order.tokens(), ..record };
        stats.arrived.fetch_add(1, Ordering::Relaxed);
        stats.in_flight.up(at);
        let state = match self.shared.gate.enter(Ticket { worker: self.index, token: conn.token }, at) {
            Some(start) => {
                stats.in_service.up(at);
                State::Serving(order.script(&self.shared.knobs, start))
            }
            None => State::Queued(Box::new(order)),
        };
        conn.job = Some(Job { record, state });
    }

    /// Does the writes that are due, each as one.
    fn answer(&mut self, conn: &mut Conn) -> Went {
        let mut at = now();
        let mut writes = 0;
        loop {
            let Some(Job { record, state: State::Serving(script) }) = &mut conn.job else { return Went::On };
            let due = script.due();
            if due > at || writes == WRITES {
                if conn.timer.is_none() {
                    conn.timer = Some(self.event_loop.set(due, conn.token));
                }
                return Went::Waits;
            }
            writes += 1;
            self.out.clear();
            let wrote = script.write(&mut self.text, &mut self.out);
            // What leaves is stamped before it does: the client may have it before the call returns.
            let before = now();
            if !self.out.is_empty() {
                let late = before.saturating_sub(due);
                record.lateness = record.lateness.max(late);
                record.lateness_sum = record.lateness_sum.saturating_add(late);
                record.writes = record.writes.saturating_add(1);
            }
            if wrote.content {
                let since = before.saturating_sub(record.arrival);
                record.first_content.get_or_insert(since);
                record.last_content = Some(since);
            }
            let sent = if self.out.is_empty() { Ok(Some(0)) } else { write(&conn.stream, &self.out) };
            let Ok(sent) = sent else { return Went::Gone(End::Close) };
            conn.out.extend_from_slice(&self.out[sent.unwrap_or(0)..]);
            at = now();
            match wrote.end {
                Some(End::Hang) => {
                    if let Some(job) = &mut conn.job {
                        job.state = State::Hanging;
                    }
                    conn.since = at;
                    return Went::On;
                }
                Some(end) => {
                    self.finish(conn, Outcome::Answered, at);
                    conn.then = Some(end);
                    return Went::On;
                }
                None if !conn.out.is_empty() => {
                    conn.since = at;
                    return Went::On;
                }
                None => {}
            }
        }
    }
}

/// Answers at once.
fn say(conn: &mut Conn, head: &Head, answer: &Plain) -> Went {
    answer.push(head.method == Method::Head, !head.keep_alive, head.version10, &mut conn.out);
    conn.then = Some(if head.keep_alive { End::Keep } else { End::Close });
    Went::On
}
