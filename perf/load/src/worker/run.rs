//! The loop.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{TryRecvError, TrySendError};

use dormouse_perf_net::{self as net, Due, EventLoop, TimerId, Turn};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::exchange::Break;
use crate::script::Script;
use crate::timing::{Dispatcher, Load, Next, PhasePlan};

use super::control::{Command, Control};
use super::done::{Done, Ended, PhaseTime, Wire};
use super::overhead::{BEAT, Meter, Overhead};
use super::pool::Pool;
use super::request::{Request, Session};
use super::{Channels, Plan, Reuse, Settings};

/// Records that are handed on together.
const BATCH: usize = 256;
/// Requests that leave before sockets are looked at again.
const BURST: usize = 256;
/// How long connections that are opened ahead are waited for.
const PATIENCE: u64 = 5_000_000_000;
/// How long the first conversations may take to be all there once the first of them is.
const SUPPLY: u64 = 200_000_000;
/// In an open loop so many connections are there before the first request.
const AHEAD: usize = 16;

/// What a deadline is for, in the highest bits of its token.
pub(super) mod timer {
    pub(in crate::worker) const DISPATCH: u64 = 1 << 60;
    pub(in crate::worker) const BEAT: u64 = 2 << 60;
    pub(in crate::worker) const LAST: u64 = 3 << 60;
    pub(in crate::worker) const TIMEOUT: u64 = 4 << 60;
    pub(in crate::worker) const CANCEL: u64 = 5 << 60;
    pub(in crate::worker) const KIND: u64 = 0xf << 60;
}

/// The thread that has the sockets.
#[derive(Debug)]
pub struct Worker {
    pub(super) settings: Settings,
    pub(super) events: EventLoop,
    pub(super) control: Control,
    channels: Channels,
    /// What was supplied and has not begun.
    scripts: VecDeque<Arc<dyn Script>>,
    pub(super) pool: Pool,
    pub(super) requests: Vec<Option<Request>>,
    free_requests: Vec<usize>,
    pub(super) sessions: Vec<Option<Session>>,
    free_sessions: Vec<usize>,
    /// Requests for which there may be no connection yet.
    pub(super) queue: VecDeque<usize>,
    pub(super) batch: Vec<Done>,
    pub(super) buffer: Vec<u8>,
    names: ChaCha12Rng,
    chance: ChaCha12Rng,
    pub(super) ended: Ended,
    begun: u64,
    pub(super) phase: Phase,
}

/// The phase under way.
#[derive(Debug)]
pub(super) struct Phase {
    index: usize,
    pub(super) plan: PhasePlan,
    pub(super) dispatcher: Dispatcher,
    pub(super) start: u64,
    credits: u64,
    /// A session is to begin, and nothing was supplied.
    pending: Option<(Next, u64)>,
    dispatch_timer: Option<(TimerId, u64)>,
    pub(super) overhead: Overhead,
    pub(super) censored: u64,
    pub(super) last: u64,
    next_look: u64,
}

impl Phase {
    fn new(index: usize, plan: PhasePlan, settings: &Settings, start: u64) -> Self {
        Self {
            index,
            dispatcher: Dispatcher::new(plan.clone(), start, settings.seed),
            plan,
            start,
            credits: 0,
            pending: None,
            dispatch_timer: None,
            overhead: Overhead::default(),
            censored: 0,
            last: start,
            next_look: start,
        }
    }
}

impl Worker {
    /// A worker, and the handle that others have of it.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new(settings: Settings, channels: Channels) -> io::Result<(Self, Control)> {
        let events = EventLoop::new(net::Options { spin: settings.spin, ..net::Options::default() })?;
        let control = Control::new(events.waker());
        let pool = Pool::new(&settings);
        let none = PhasePlan { stop: crate::timing::Stop { requests: Some(0), ..Default::default() }, ..PhasePlan::new("", Load::Closed) };
        let worker = Self {
            phase: Phase::new(0, none, &settings, net::now()),
            chance: settings.seed.stream("timing.request.cancellation"),
            events,
            control: control.clone(),
            channels,
            scripts: VecDeque::new(),
            pool,
            requests: Vec::new(),
            free_requests: Vec::new(),
            sessions: Vec::new(),
            free_sessions: Vec::new(),
            queue: VecDeque::new(),
            batch: Vec::new(),
            buffer: vec![0; 256 << 10],
            names: ChaCha12Rng::seed_from_u64(settings.names),
            ended: Ended::default(),
            begun: 0,
            settings,
        };
        Ok((worker, control))
    }

    /// Runs all phases, on this thread.
    ///
    /// # Errors
    /// The wait itself failed: nothing can be measured any more.
    pub fn run(mut self, plan: &Plan) -> io::Result<Ended> {
        net::sharpen_timers();
        let mut turn = Turn::default();
        for (index, phase) in plan.phases.iter().enumerate() {
            self.open_ahead(phase, &mut turn)?;
            self.fill_up(phase, &mut turn)?;
            if self.ended.cancelled {
                break;
            }
            self.play(index, phase, &mut turn)?;
        }
        self.hand_on();
        Ok(self.ended)
    }

    /// Opens what the phase will need at once, and waits for it: no request of it pays for that.
    fn open_ahead(&mut self, plan: &PhasePlan, turn: &mut Turn) -> io::Result<()> {
        if !self.settings.preconnect || self.settings.reuse != Reuse::Pooled || self.settings.targets.is_empty() {
            return Ok(());
        }
        let cap = plan.concurrency.map_or(usize::MAX, |n| n as usize).min(plan.in_flight.map_or(usize::MAX, |n| n as usize));
        let requests = plan.stop.requests.or(plan.stop.sessions).map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let most = if matches!(plan.load, Load::Closed) { cap } else { cap.min(AHEAD) };
        let wanted = most.min(requests).min(self.settings.connections.unwrap_or(usize::MAX)).min(1 << 20);
        let begin = net::now();
        for n in self.pool.len()..wanted {
            let target = Arc::clone(&self.settings.targets[n % self.settings.targets.len()]);
            if self.pool.open(&self.events, &target, None, begin).is_err() {
                break;
            }
        }
        let limit = self.events.set(begin + PATIENCE, timer::DISPATCH);
        while self.pool.opening() > 0 && net::now() < begin + PATIENCE {
            self.events.wait(turn)?;
            self.obey(turn.now);
            if self.ended.cancelled {
                break;
            }
            self.sockets(turn);
        }
        self.events.cancel(limit);
        Ok(())
    }

    /// Waits until what the phase begins with is there: a data set that is still being made is no load.
    fn fill_up(&mut self, plan: &PhasePlan, turn: &mut Turn) -> io::Result<()> {
        let wanted = plan.concurrency.map_or(1, |n| n as usize).clamp(1, 1024);
        let wanted = plan.stop.requests.and_then(|n| usize::try_from(n).ok()).map_or(wanted, |n| n.min(wanted));
        let begin = net::now();
        let (soon, latest) = (begin + SUPPLY, begin + PATIENCE * 60);
        loop {
            self.control.is_hungry();
            match self.channels.supply.try_recv() {
                Ok(scripts) => self.scripts.extend(scripts),
                // Whoever asks for the next one is told.
                Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => {
                    let limit = if self.scripts.is_empty() { latest } else { soon };
                    let now = net::now();
                    if now >= limit || self.ended.cancelled {
                        return Ok(());
                    }
                    let timer = self.events.set(limit.min(now + BEAT), timer::DISPATCH);
                    self.events.wait(turn)?;
                    self.events.cancel(timer);
                    self.obey(turn.now);
                    self.sockets(turn);
                }
            }
            if self.scripts.len() >= wanted {
                return Ok(());
            }
        }
    }

    fn play(&mut self, index: usize, plan: &PhasePlan, turn: &mut Turn) -> io::Result<()> {
        let start = net::now();
        let meter = Meter::read(start);
        self.phase = Phase::new(index, plan.clone(), &self.settings, start);
        self.control.live.begin(index, start);
        let beat = self.events.set(start + BEAT, timer::BEAT);
        let mut beat = Some(beat);
        let last = self.phase.dispatcher.last_moment().map(|at| self.events.set(at, timer::LAST));
        while !self.dispatch() {
            self.events.wait(turn)?;
            if turn.woken {
                self.obey(turn.now);
            }
            self.sockets(turn);
            for due in &turn.due {
                match due.token & timer::KIND {
                    timer::BEAT => beat = Some(self.beat(*due, turn.now)),
                    timer::LAST => self.cut_off(net::now(), "the phase ended before its answer"),
                    timer::DISPATCH => self.phase.dispatch_timer = None,
                    kind => self.deadline(kind, due.token & !timer::KIND),
                }
            }
            let live = &self.control.live;
            live.sent.store(self.phase.dispatcher.sent(), Ordering::Relaxed);
            live.in_flight.store(u64::from(self.phase.dispatcher.in_flight()), Ordering::Relaxed);
        }
        let waiting = beat.into_iter().chain(last).chain(self.phase.dispatch_timer.take().map(|(id, _)| id));
        for id in waiting.collect::<Vec<_>>() {
            self.events.cancel(id);
        }
        self.end_sessions();
        let end = net::now();
        meter.since(end, &mut self.phase.overhead);
        let phase = &mut self.phase;
        self.ended.phases.push(PhaseTime {
            start,
            end: phase.last.max(start),
            sent: phase.dispatcher.sent(),
            missed: phase.dispatcher.missed(),
            censored: phase.censored,
            cancelled: self.ended.cancelled,
            overhead: std::mem::take(&mut phase.overhead),
        });
        self.hand_on();
        Ok(())
    }

    /// Does what other threads have asked for.
    fn obey(&mut self, now: u64) {
        for command in self.control.take() {
            let dispatcher = &mut self.phase.dispatcher;
            match command {
                Command::Cancel => {
                    dispatcher.close();
                    self.ended.cancelled = true;
                    self.cut_off(net::now(), "the run was interrupted");
                }
                Command::Finish => dispatcher.close(),
                Command::CutOff => self.cut_off(net::now(), "the search was over before its answer"),
                Command::Concurrency(n) => dispatcher.set_concurrency(n, now),
                Command::Rate(rate) => dispatcher.set_rate(rate, now, self.settings.seed),
            }
        }
    }

    /// Sends everything that may leave; `true` when the phase is over.
    fn dispatch(&mut self) -> bool {
        for _ in 0..BURST {
            let now = net::now();
            let next = match self.phase.pending.take() {
                Some((next, since)) => match self.supply() {
                    _ if self.phase.dispatcher.is_closed() => {
                        // It was counted as sent, and never will be.
                        self.phase.dispatcher.returned(crate::timing::Returned { session: 0, at: now, had_token: false, next: None });
                        continue;
                    }
                    Some(script) => {
                        self.phase.overhead.starved += now - since;
                        self.start(next, &script);
                        continue;
                    }
                    None => {
                        self.phase.pending = Some((next, since));
                        return false;
                    }
                },
                None => self.phase.dispatcher.next(now),
            };
            match next {
                Next::Start { .. } => match self.supply() {
                    Some(script) => self.start(next, &script),
                    None => self.phase.pending = Some((next, now)),
                },
                Next::Continue { session, intended, due } => self.go_on(session, intended, due),
                Next::Over => return true,
                Next::Wait(until) => {
                    self.wake_at(until);
                    return false;
                }
            }
        }
        self.wake_at(Some(net::now()));
        false
    }

    fn wake_at(&mut self, until: Option<u64>) {
        if self.phase.dispatch_timer.map(|(_, at)| at) == until {
            return;
        }
        if let Some((id, _)) = self.phase.dispatch_timer.take() {
            self.events.cancel(id);
        }
        self.phase.dispatch_timer = until.map(|at| (self.events.set(at, timer::DISPATCH), at));
    }

    /// The next conversation, if it is there.
    fn supply(&mut self) -> Option<Arc<dyn Script>> {
        if let Some(script) = self.scripts.pop_front() {
            return Some(script);
        }
        for _ in 0..2 {
            match self.channels.supply.try_recv() {
                Ok(scripts) => {
                    self.scripts.extend(scripts);
                    if let Some(script) = self.scripts.pop_front() {
                        return Some(script);
                    }
                }
                // Whoever supplies rings from now on, and it may have done so just before.
                Err(TryRecvError::Empty) => self.control.is_hungry(),
                Err(TryRecvError::Disconnected) => {
                    self.phase.dispatcher.close();
                    return None;
                }
            }
        }
        None
    }

    fn start(&mut self, next: Next, script: &Arc<dyn Script>) {
        let Next::Start { intended, due, turns, user } = next else { return };
        let name: Arc<str> = match (&self.phase.plan.load, user) {
            (_, Some(user)) => user.to_string().into(),
            (Load::Schedule(_), None) => printable(&format!("fixed-schedule-{}", script.id())).into(),
            _ => self.name().to_string().into(),
        };
        let target = Arc::clone(&self.settings.targets[usize::try_from(self.begun).unwrap_or(0) % self.settings.targets.len()]);
        self.begun += 1;
        let most = turns.map_or(usize::MAX, |n| n as usize);
        let turns = script.turns().min(most).max(1);
        let session =
            Session { script: Arc::clone(script), name, turn: 0, turns, answers: Vec::new(), target, connection: None, planned: intended };
        let id = match self.free_sessions.pop() {
            Some(id) => {
                self.sessions[id] = Some(session);
                id
            }
            None => {
                self.sessions.push(Some(session));
                self.sessions.len() - 1
            }
        };
        self.go_on(id, intended, due);
    }

    fn name(&mut self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.names.random()).into_uuid()
    }

    /// Sends a session's next turn.
    fn go_on(&mut self, id: usize, intended: u64, due: u64) {
        let request = self.name();
        let cancel = self.phase.plan.cancel.filter(|_| !self.phase.plan.warmup);
        let cancel_after = cancel.filter(|cancel| self.chance.random::<f64>() * 100.0 < cancel.percent).map(|cancel| cancel.delay);
        let Some(session) = self.sessions.get_mut(id).and_then(Option::as_mut) else { return };
        session.planned = intended;
        let mut body = Vec::new();
        session.script.body(session.turn, &session.answers, &mut body);
        let target = Arc::clone(&session.target);
        let mut bytes = Vec::with_capacity(body.len() + 512);
        let mut text = uuid::Uuid::encode_buffer();
        let close = self.settings.reuse == Reuse::Never;
        target.write_head(&mut bytes, request.hyphenated().encode_lower(&mut text), &session.name, body.len(), close);
        bytes.extend_from_slice(&body);
        let credit = self.phase.credits;
        self.phase.credits += 1;
        let start = net::now();
        let request = Request {
            session: id,
            credit,
            intended,
            due,
            start,
            id: request,
            target,
            bytes,
            written: 0,
            wire: Wire { body: body.len(), ..Wire::default() },
            connection: None,
            had_token: false,
            reconnected: false,
            redirected: 0,
            cancel_after,
            cancel_timer: None,
            timeout: None,
            heard: start,
            silence_told: false,
        };
        let opening = matches!(self.phase.plan.load, Load::Closed) && due <= self.phase.start;
        let overhead = &mut self.phase.overhead;
        let _ = if opening { &mut overhead.opening } else { &mut overhead.lateness }.record(start.saturating_sub(due).max(1));
        let slot = match self.free_requests.pop() {
            Some(slot) => {
                self.requests[slot] = Some(request);
                slot
            }
            None => {
                self.requests.push(Some(request));
                self.requests.len() - 1
            }
        };
        let timeout = self.events.set(start.saturating_add(self.settings.timeout), timer::TIMEOUT | slot as u64);
        if let Some(request) = self.requests[slot].as_mut() {
            request.timeout = Some(timeout);
        }
        self.launch(slot);
    }

    /// Takes a request out; its deadlines are gone.
    pub(super) fn take_request(&mut self, slot: usize) -> Option<Request> {
        let request = self.requests.get_mut(slot)?.take()?;
        for id in [request.timeout, request.cancel_timer].into_iter().flatten() {
            self.events.cancel(id);
        }
        self.free_requests.push(slot);
        Some(request)
    }

    pub(super) fn end_session(&mut self, id: usize) {
        if let Some(session) = self.sessions.get_mut(id).and_then(Option::take) {
            self.free_sessions.push(id);
            if let Some(connection) = session.connection {
                self.pool.close(connection);
            }
        }
    }

    fn end_sessions(&mut self) {
        for id in 0..self.sessions.len() {
            self.end_session(id);
        }
    }

    /// What is on its way is not waited for.
    fn cut_off(&mut self, now: u64, why: &str) {
        self.phase.dispatcher.close();
        for slot in 0..self.requests.len() {
            if self.requests[slot].is_some() {
                self.phase.censored += 1;
                self.give_up(slot, now, Break::Cancelled(why.to_owned()), true);
            }
        }
    }

    fn deadline(&mut self, kind: u64, slot: u64) {
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        let now = net::now();
        // A place may have been taken anew in the same turn: then its deadline is still to come.
        let Some(request) = self.requests.get(slot).and_then(Option::as_ref) else { return };
        match kind {
            timer::TIMEOUT if now >= request.start.saturating_add(self.settings.timeout) => {
                #[allow(clippy::cast_precision_loss, reason = "for people")]
                let seconds = self.settings.timeout as f64 * 1e-9;
                self.give_up(slot, now, Break::TimedOut(format!("the request timed out after {seconds} s")), false);
            }
            timer::CANCEL
                if request.cancel_timer.is_some()
                    && request.wire.sent.is_some_and(|sent| now >= sent + request.cancel_after.unwrap_or(0)) =>
            {
                #[allow(clippy::cast_precision_loss, reason = "for people")]
                let seconds = request.cancel_after.unwrap_or(0) as f64 * 1e-9;
                self.give_up(slot, now, Break::Cancelled(format!("Request cancelled {seconds:.3}s after being sent")), false);
            }
            _ => {}
        }
    }

    fn beat(&mut self, due: Due, now: u64) -> TimerId {
        let _ = self.phase.overhead.lag.record(now.saturating_sub(due.at).max(1));
        self.hand_on();
        // Commands are looked at even if nobody could ring.
        self.obey(now);
        if now >= self.phase.next_look {
            self.phase.next_look = now + 100_000_000;
            self.look_for_silence(now);
        }
        self.events.set(now.max(due.at + BEAT), timer::BEAT)
    }

    /// Hands the records on, and waits where whoever takes them is behind: that is measured.
    pub(super) fn hand_on(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        match self.channels.done.try_send(batch) {
            // Nobody takes them any more: the run is being ended.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(batch)) => {
                let since = net::now();
                let _ = self.channels.done.send(batch);
                self.phase.overhead.stalled += net::now() - since;
            }
        }
    }

    pub(super) fn record(&mut self, done: Done) {
        self.batch.push(done);
        if self.batch.len() >= BATCH {
            self.hand_on();
        }
    }

    pub(super) fn phase_index(&self) -> usize {
        self.phase.index
    }
}

/// As a header field takes it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '_' }).collect()
}
