//! What sockets say, and what becomes of requests by it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_perf_net::{self as net, Turn};

use crate::exchange::{Answered, Break, Failure, Outcome, Progress};
use crate::script::Answer;
use crate::timing::{Load, Returned};
use crate::transport::Got;

use super::Reuse;
use super::done::Done;
use super::pool::{Conn, ConnId, State};
use super::request::Request;
use super::run::{Worker, timer};

/// Redirects one behind the other.
const REDIRECTS: u32 = 10;
/// A stream that is silent for so long is worth a word.
const SILENCE: u64 = 30_000_000_000;

impl Worker {
    pub(super) fn sockets(&mut self, turn: &Turn) {
        for event in &turn.events {
            let Some(id) = self.pool.of_token(event.token) else { continue };
            if self.pool.get(id).is_some_and(|conn| conn.state != State::Ready) {
                self.stand(id);
            } else if event.writable {
                self.write(id);
            }
            if event.readable && self.pool.get(id).is_some_and(|conn| conn.state == State::Ready) {
                self.read(id, event.closed);
            }
        }
        self.serve_queue();
    }

    /// Finds a request a connection, or has one opened.
    pub(super) fn launch(&mut self, slot: usize) {
        let now = net::now();
        let Some(request) = self.requests[slot].as_ref() else { return };
        let target = Arc::clone(&request.target);
        let session = request.session;
        let found = match self.settings.reuse {
            Reuse::Never => None,
            // For a second attempt a fresh one.
            _ if request.reconnected => None,
            Reuse::Pooled => self.pool.take_idle(&target.origin, now),
            Reuse::Sticky => {
                let own = self.sessions[session].as_mut().and_then(|session| session.connection.take());
                own.filter(|id| self.pool.get(*id).is_some_and(|conn| conn.target.origin == target.origin))
            }
        };
        if let Some(id) = found {
            self.attach(slot, id);
            self.write(id);
        } else if self.settings.connections.is_some_and(|most| self.pool.len() >= most) {
            self.queue.push_back(slot);
        } else {
            match self.pool.open(&self.events, &target, Some(slot), now) {
                Ok(id) => self.attach(slot, id),
                Err(error) => {
                    let words = format!("cannot connect to {}: {error}", target.origin);
                    self.fail(slot, now, Failure::connect(words), false);
                }
            }
        }
        self.keep_a_spare(&target, now);
    }

    /// In an open loop the next request finds a connection that stands.
    fn keep_a_spare(&mut self, target: &Arc<crate::target::Target>, now: u64) {
        let wanted = self.settings.preconnect
            && self.settings.reuse == Reuse::Pooled
            && !matches!(self.phase.plan.load, Load::Closed)
            && self.phase.plan.concurrency.is_none_or(|most| self.pool.len() < most as usize)
            && self.settings.connections.is_none_or(|most| self.pool.len() < most);
        if wanted && !self.pool.has_idle(&target.origin) && self.pool.opening() == 0 {
            // If it cannot be had now, the request that needs it will say so.
            let _ = self.pool.open(&self.events, target, None, now);
        }
    }

    fn attach(&mut self, slot: usize, id: ConnId) {
        let ask = self.pool.ask();
        let Some(conn) = self.pool.get_mut(id) else { return };
        conn.request = Some(slot);
        conn.exchange.restart(ask);
        if let Some(request) = self.requests[slot].as_mut() {
            request.connection = Some(id);
            request.wire.reused = conn.served > 0;
        }
    }

    fn serve_queue(&mut self) {
        while let Some(slot) = self.queue.front().copied() {
            let Some(request) = self.requests[slot].as_ref().filter(|request| request.connection.is_none()) else {
                self.queue.pop_front();
                continue;
            };
            let free = self.settings.connections.is_none_or(|most| self.pool.len() < most);
            if !free && !self.pool.has_idle(&request.target.origin) {
                return;
            }
            self.queue.pop_front();
            self.launch(slot);
        }
    }

    /// A connection that was being opened goes on with that.
    fn stand(&mut self, id: ConnId) {
        let Some(conn) = self.pool.get_mut(id) else { return };
        let stands = match conn.state {
            State::Connecting => net::connected(conn.transport.socket()),
            State::Agreeing | State::Ready => Ok(true),
        };
        let agreed = stands.and_then(|stands| {
            if !stands {
                return Ok(false);
            }
            conn.state = State::Agreeing;
            conn.transport.agree()
        });
        match agreed {
            Ok(false) => {}
            Ok(true) => {
                let now = net::now();
                self.pool.stands(id, now);
                let Some(conn) = self.pool.get(id) else { return };
                let opened = conn.opened;
                match conn.request {
                    None => self.pool.rest(id, now),
                    Some(slot) => {
                        if let Some(request) = self.requests[slot].as_mut() {
                            request.wire.connect = Some((opened, now));
                        }
                        self.write(id);
                    }
                }
            }
            Err(error) => self.did_not_stand(id, &error),
        }
    }

    fn did_not_stand(&mut self, id: ConnId, error: &io::Error) {
        let Some(conn) = self.pool.close(id) else { return };
        let slot = conn.request;
        match self.pool.open_elsewhere(&self.events, &conn) {
            Some(Ok(other)) => {
                if let Some(slot) = slot {
                    self.attach(slot, other);
                }
            }
            // Nobody waited for one that was opened ahead.
            _ => {
                if let Some(slot) = slot {
                    let words = format!("cannot connect to {}: {error}", conn.target.origin);
                    self.fail(slot, net::now(), Failure::connect(words), false);
                }
            }
        }
    }

    fn write(&mut self, id: ConnId) {
        let Some(conn) = self.pool.get_mut(id) else { return };
        let Some(request) = conn.request.and_then(|slot| self.requests[slot].as_mut()) else {
            // What TLS has to say without us.
            let _ = conn.transport.flush();
            return;
        };
        if request.wire.sent.is_some() {
            return;
        }
        if request.wire.first_write.is_none() {
            // With a connection at hand it is the start.
            request.wire.first_write =
                Some(if request.wire.connect.is_none() && request.redirected == 0 { request.start } else { net::now() });
        }
        let written = loop {
            if request.written == request.bytes.len() {
                break conn.transport.flush();
            }
            match conn.transport.write(&request.bytes[request.written..]) {
                Ok(Some(n)) => {
                    request.written += n;
                    request.wire.writes += 1;
                }
                Ok(None) => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        match written {
            Ok(false) => {}
            Ok(true) => {
                let now = net::now();
                request.wire.sent = Some(now);
                if let (Some(after), Some(slot)) = (request.cancel_after, conn.request) {
                    request.cancel_timer = Some(self.events.set(now + after, timer::CANCEL | slot as u64));
                }
            }
            // The server may have said why before it closed: that is read first.
            Err(error) => {
                self.read(id, true);
                if self.pool.get(id).is_some() {
                    self.broke(id, net::now(), &error);
                }
            }
        }
    }

    fn read(&mut self, id: ConnId, closed: bool) {
        loop {
            let Some(conn) = self.pool.get_mut(id) else { return };
            let got = conn.transport.read(&mut self.buffer);
            let now = net::now();
            let (n, last) = match got {
                Ok(Got::Nothing) => return,
                Ok(Got::Bytes(n)) => (n, false),
                // With the end behind it there is one more read.
                Ok(Got::Last(n)) => (n, !closed),
                Ok(Got::End) => return self.end(id, now),
                Err(error) => return self.broke(id, now, &error),
            };
            let Some(slot) = conn.request else {
                // Nobody asked.
                self.pool.close(id);
                return;
            };
            let progress = conn.exchange.read(now, &self.buffer[..n]);
            if let Some(request) = self.requests[slot].as_mut() {
                (request.heard, request.silence_told) = (now, false);
                if !request.had_token && conn.exchange.has_content() {
                    request.had_token = true;
                    self.phase.dispatcher.first_token(now);
                }
            }
            match progress {
                Progress::More => {}
                Progress::Complete { .. } => self.complete(slot, id),
                Progress::Hopeless => {
                    let answered = self.close(id);
                    self.over(slot, answered, false, false);
                }
            }
            if last {
                return;
            }
        }
    }

    /// The server has closed the connection.
    fn end(&mut self, id: ConnId, now: u64) {
        let Some(conn) = self.pool.get_mut(id) else { return };
        let Some(slot) = conn.request else {
            self.pool.close(id);
            return;
        };
        if self.may_send_again(slot, id) {
            return self.send_again(slot, id);
        }
        if let Some(conn) = self.pool.get_mut(id) {
            conn.exchange.end(now);
        }
        let answered = self.close(id);
        self.over(slot, answered, false, false);
    }

    fn broke(&mut self, id: ConnId, now: u64, error: &io::Error) {
        let Some(slot) = self.pool.get(id).and_then(|conn| conn.request) else {
            self.pool.close(id);
            return;
        };
        if self.may_send_again(slot, id) {
            return self.send_again(slot, id);
        }
        if let Some(conn) = self.pool.get_mut(id) {
            conn.exchange.broken(now, Break::Connection(error.to_string()));
        }
        let answered = self.close(id);
        self.over(slot, answered, false, false);
    }

    /// HTTP lets a server close a connection that is idle at any time: what was just sent on one that has served before, and was
    /// not answered by a byte, was not read. On a fresh one nothing is ever sent twice.
    fn may_send_again(&self, slot: usize, id: ConnId) -> bool {
        let Some(conn) = self.pool.get(id) else { return false };
        let first = self.requests[slot].as_ref().is_some_and(|request| !request.reconnected);
        first && conn.served > 0 && !conn.exchange.has_begun()
    }

    fn send_again(&mut self, slot: usize, id: ConnId) {
        self.pool.close(id);
        if let Some(request) = self.requests[slot].as_mut() {
            request.reconnected = true;
            self.begin_anew(slot);
            self.launch(slot);
        }
    }

    fn begin_anew(&mut self, slot: usize) {
        let Some(request) = self.requests[slot].as_mut() else { return };
        request.connection = None;
        request.written = 0;
        let wire = &mut request.wire;
        (wire.first_write, wire.sent, wire.connect, wire.reused) = (None, None, None, false);
        if let Some(timer) = request.cancel_timer.take() {
            self.events.cancel(timer);
        }
    }

    fn close(&mut self, id: ConnId) -> Answered {
        self.pool.close(id).map(|mut conn: Conn| conn.exchange.take()).unwrap_or_default()
    }

    /// An answer has come to its end.
    fn complete(&mut self, slot: usize, id: ConnId) {
        let sent = self.requests[slot].as_ref().is_some_and(|request| request.wire.sent.is_some());
        let Some(conn) = self.pool.get_mut(id) else { return };
        let answered = conn.exchange.take();
        conn.served += 1;
        conn.request = None;
        let reusable = answered.reusable && sent && self.settings.reuse != Reuse::Never;
        let mut own = None;
        if !reusable {
            self.pool.close(id);
        } else if self.settings.reuse == Reuse::Pooled {
            self.pool.rest(id, answered.stamps.end.unwrap_or_else(net::now));
        } else {
            own = Some(id);
        }
        let session = self.requests[slot].as_ref().map(|request| request.session);
        if let (Some(own), Some(session)) = (own, session.and_then(|id| self.sessions[id].as_mut())) {
            session.connection = Some(own);
        }
        self.over(slot, answered, false, false);
    }

    /// Nobody waits for this request any more.
    pub(super) fn give_up(&mut self, slot: usize, now: u64, why: Break, censored: bool) {
        let cancelled = matches!(why, Break::Cancelled(_));
        let connection = self.requests[slot].as_ref().and_then(|request| request.connection);
        let answered = match connection.and_then(|id| self.pool.get_mut(id).map(|conn| (id, conn))) {
            Some((id, conn)) => {
                conn.exchange.broken(now, why);
                self.close(id)
            }
            None => failed(Failure::unsent(why), now),
        };
        self.over(slot, answered, cancelled, censored);
    }

    fn fail(&mut self, slot: usize, now: u64, failure: Failure, cancelled: bool) {
        self.over(slot, failed(failure, now), cancelled, false);
    }

    /// A request has come to its end, or is to go elsewhere.
    fn over(&mut self, slot: usize, mut answered: Answered, cancelled: bool, censored: bool) {
        let at = answered.stamps.end.unwrap_or_else(net::now);
        if let Outcome::Moved { status, to } = &answered.outcome {
            match self.follow(slot, *status, to) {
                Ok(()) => return,
                Err(failure) => answered.outcome = Outcome::Failed(failure),
            }
        }
        let Some(request) = self.take_request(slot) else { return };
        let live = &self.control.live;
        live.returned.fetch_add(1, Ordering::Relaxed);
        if matches!(answered.outcome, Outcome::Failed(_)) {
            live.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.phase.last = self.phase.last.max(at);
        let next = self.turn_over(&request, &answered, at);
        self.phase.dispatcher.returned(Returned { session: request.session, at, had_token: request.had_token, next });
        let Some(session) = self.sessions[request.session].as_ref() else { return };
        let turn = session.turn - 1;
        let before = if turn > 0 && session.script.keeps_answers() {
            session.answers[..turn.min(session.answers.len())].to_vec()
        } else {
            Vec::new()
        };
        let done = Done {
            phase: self.phase_index(),
            credit: request.credit,
            script: Arc::clone(&session.script),
            turn,
            before,
            request: request.id,
            session: Arc::clone(&session.name),
            target: request.target,
            intended: request.intended,
            due: request.due,
            start: request.start,
            wire: request.wire,
            answered,
            cancelled,
            censored,
            reconnected: request.reconnected,
            redirected: request.redirected,
        };
        if next.is_none() || self.phase.dispatcher.is_closed() {
            self.end_session(request.session);
        }
        self.record(done);
    }

    /// A session goes on behind a turn: when the next one may leave.
    fn turn_over(&mut self, request: &Request, answered: &Answered, at: u64) -> Option<u64> {
        let session = self.sessions[request.session].as_mut()?;
        session.turn += 1;
        let more = session.turn < session.turns
            && match &answered.outcome {
                Outcome::Failed(failure) => (self.settings.goes_on)(failure),
                _ => true,
            };
        if !more {
            return None;
        }
        if session.script.keeps_answers() {
            let well = answered.outcome == Outcome::Success;
            let answer = || Answer { text: answered.text.clone(), reasoning: answered.reasoning.clone(), tools: answered.tools.clone() };
            session.answers.push(well.then(answer));
        }
        let time = session.script.turn(session.turn);
        Some(match &self.phase.plan.load {
            Load::Users { users, rate, .. } => {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a gap of some seconds")]
                let gap = (f64::from(*users) / rate * 1e9) as u64;
                session.planned.saturating_add(gap).max(at)
            }
            Load::Schedule(_) => match (time.at, time.delay) {
                (Some(planned), _) => self.phase.start.saturating_add(planned).max(at),
                (None, delay) => at.saturating_add(delay.unwrap_or(0)),
            },
            Load::Closed | Load::Open { .. } => at.saturating_add(time.delay.unwrap_or(0)),
        })
    }

    /// Sends the same request elsewhere, with method and body; its clock goes on.
    fn follow(&mut self, slot: usize, status: u16, to: &str) -> Result<(), Failure> {
        let Some(request) = self.requests[slot].as_mut() else { return Ok(()) };
        if request.redirected >= REDIRECTS {
            return Err(Failure::too_many_redirects(status, to));
        }
        let target = request.target.moved(to).map_err(|error| Failure::nowhere(status, error.to_string()))?;
        if target.is_tls() && self.settings.trust.is_none() {
            return Err(Failure::nowhere(status, format!("the server points to {to}, which is under TLS when this address was not")));
        }
        let body = request.bytes.split_off(request.bytes.len() - request.wire.body);
        let mut text = uuid::Uuid::encode_buffer();
        let name = self.sessions[request.session].as_ref().map(|session| Arc::clone(&session.name));
        request.bytes.clear();
        target.write_head(
            &mut request.bytes,
            request.id.hyphenated().encode_lower(&mut text),
            name.as_deref().unwrap_or_default(),
            body.len(),
            self.settings.reuse == Reuse::Never,
        );
        request.bytes.extend_from_slice(&body);
        request.redirected += 1;
        request.target = Arc::new(target);
        self.begin_anew(slot);
        self.launch(slot);
        Ok(())
    }

    /// Streams that say nothing: a word, and an end where one is wanted.
    pub(super) fn look_for_silence(&mut self, now: u64) {
        for slot in 0..self.requests.len() {
            let Some(request) = self.requests[slot].as_mut() else { continue };
            let silent = now.saturating_sub(request.heard.max(request.wire.sent.unwrap_or(request.start)));
            if let Some(limit) = self.settings.idle_timeout.filter(|limit| silent >= *limit) {
                #[allow(clippy::cast_precision_loss, reason = "for people")]
                let seconds = limit as f64 * 1e-9;
                self.give_up(slot, now, Break::TimedOut(format!("nothing came for {seconds} s")), false);
            } else if silent >= SILENCE && !request.silence_told {
                request.silence_told = true;
                self.ended.silent += 1;
            }
        }
    }
}

fn failed(failure: Failure, now: u64) -> Answered {
    let mut answered = Answered { outcome: Outcome::Failed(failure), ..Answered::default() };
    answered.stamps.end = Some(now);
    answered
}
