//! The state machine of one phase.
//!
//! | Load | A session begins | Its next turn leaves |
//! |---|---|---|
//! | closed | when there is a place | when its delay is over |
//! | open | with a tick of the clock, when there is a place | with a tick, before any new session |
//! | schedule, users | at its time, when there is a place | at its time, or when its delay is over |
//!
//! A tick or a time that finds no place is kept, and counted as missed; nothing is thrown away unless the plan says so.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha12Rng;

use crate::arrivals::{Arrivals, Rate};
use crate::seeds::Seed;

use super::limit::Limit;
use super::plan::{Load, PhasePlan};
use super::starts::Starts;

/// Names a running session, by whoever runs it.
pub type SessionId = usize;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Begin a session with its first turn.
    Start {
        /// When it was to leave.
        intended: u64,
        /// Since when it could.
        due: u64,
        /// How many turns it has at most.
        turns: Option<u32>,
        /// Of whom, where that has a number.
        user: Option<u64>,
    },
    /// Send the next turn of a session.
    Continue {
        /// Which.
        session: SessionId,
        /// When it was to leave.
        intended: u64,
        /// Since when it could.
        due: u64,
    },
    /// Nothing until then, or until something is told.
    Wait(Option<u64>),
    /// Everything was sent and has come back.
    Over,
}

/// A turn that has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Of which session.
    pub session: SessionId,
    /// When.
    pub at: u64,
    /// Its first token had come, and was told.
    pub had_token: bool,
    /// When the next turn may leave; none is the session's end.
    pub next: Option<u64>,
}

/// One phase on its way.
#[derive(Debug)]
pub struct Dispatcher {
    plan: PhasePlan,
    start: u64,
    /// Ticks of an open loop.
    ticks: Option<Ticks>,
    /// Beginnings that are planned.
    starts: Option<Starts>,
    /// Turns whose time has come, with that time.
    ready: VecDeque<(u64, SessionId)>,
    /// Turns whose time has not.
    later: BTreeMap<(u64, u64), SessionId>,
    serial: u64,
    sessions: Limit,
    prefill: Limit,
    active: u32,
    flying: u32,
    prefilling: u32,
    sent: u64,
    begun: u64,
    missed: u64,
    /// Since when a place could have been taken that was not there before.
    freed: u64,
    blocked: bool,
    /// Nothing more is sent.
    closed: bool,
}

/// The ticks of an open loop: absolute times, one ahead.
#[derive(Debug)]
struct Ticks {
    arrivals: Arrivals<ChaCha12Rng>,
    origin: u64,
    next: u64,
}

impl Ticks {
    fn new(rate: Rate, plan: &PhasePlan, origin: u64, seed: Seed) -> Option<Self> {
        let Load::Open { pattern, .. } = &plan.load else { return None };
        let name = match pattern {
            crate::arrivals::Pattern::Gamma(_) => "timing.request.gamma_interval",
            _ => "timing.request.poisson_interval",
        };
        let stream = if plan.warmup { seed.stream_of(name, 1) } else { seed.stream(name) };
        let mut ticks = Self { arrivals: Arrivals::new(rate, *pattern, stream), origin, next: origin };
        ticks.advance();
        Some(ticks)
    }

    fn advance(&mut self) {
        self.next = self.arrivals.next().map_or(u64::MAX, |after| self.origin.saturating_add(after));
    }
}

impl Dispatcher {
    /// A phase that begins at `start`.
    #[must_use]
    pub fn new(plan: PhasePlan, start: u64, seed: Seed) -> Self {
        let ticks = match &plan.load {
            Load::Open { rate, .. } => Ticks::new(rate.clone(), &plan, start, seed),
            _ => None,
        };
        let starts = match &plan.load {
            Load::Schedule(list) => Some(Starts::of(list.clone())),
            Load::Users { users, rate, turns } => Some(Starts::users(*users, *rate, *turns)),
            Load::Closed | Load::Open { .. } => None,
        };
        Self {
            start,
            ticks,
            starts,
            ready: VecDeque::new(),
            later: BTreeMap::new(),
            serial: 0,
            sessions: Limit::new(plan.concurrency, start, plan.concurrency_ramp),
            prefill: Limit::new(plan.prefill, start, plan.prefill_ramp),
            active: 0,
            flying: 0,
            prefilling: 0,
            sent: 0,
            begun: 0,
            missed: 0,
            freed: start,
            blocked: false,
            closed: false,
            plan,
        }
    }

    /// What to do at `now`, one thing at a time: it is asked again until it says to wait. What it says to send counts as sent.
    pub fn next(&mut self, now: u64) -> Next {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let at = first.key().0;
            self.ready.push_back((at, first.remove()));
        }
        if self.is_all_sent(now) {
            self.closed = true;
            return if self.flying == 0 { Next::Over } else { Next::Wait(None) };
        }
        let until = match self.plan.load {
            Load::Closed => self.closed_loop(now),
            Load::Open { .. } => self.open_loop(now),
            Load::Schedule(_) | Load::Users { .. } => self.scheduled(now),
        };
        match until {
            Ok(next) => next,
            Err(until) => Next::Wait(until.into_iter().chain(self.end_of_sending()).min()),
        }
    }

    /// A request of this phase has its first token.
    pub fn first_token(&mut self, at: u64) {
        self.prefilling = self.prefilling.saturating_sub(1);
        self.free(at);
    }

    /// A turn has come back, well or not.
    pub fn returned(&mut self, turn: Returned) {
        self.flying = self.flying.saturating_sub(1);
        if !turn.had_token {
            self.prefilling = self.prefilling.saturating_sub(1);
        }
        match turn.next.filter(|_| !self.closed) {
            Some(at) if at <= turn.at => self.ready.push_back((turn.at, turn.session)),
            Some(at) => {
                self.serial += 1;
                self.later.insert((at, self.serial), turn.session);
            }
            None => self.active = self.active.saturating_sub(1),
        }
        self.free(turn.at);
    }

    /// Nothing more is sent.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing more is sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// So many sessions at a time from now on; those that are too many end in their own time.
    pub fn set_concurrency(&mut self, sessions: u32, now: u64) {
        self.sessions.set(sessions);
        self.free(now);
    }

    /// Another rate from now on, of an open loop.
    pub fn set_rate(&mut self, rate: Rate, now: u64, seed: Seed) {
        self.ticks = Ticks::new(rate, &self.plan, now, seed).or_else(|| self.ticks.take());
    }

    /// When answers are no more waited for.
    #[must_use]
    pub fn last_moment(&self) -> Option<u64> {
        Some(self.end_of_sending()?.saturating_add(self.plan.grace?))
    }

    /// Requests that were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Requests that have not come back.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.flying
    }

    /// Ticks, or times, that found no place.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    fn free(&mut self, at: u64) {
        self.freed = self.freed.max(at);
    }

    fn end_of_sending(&self) -> Option<u64> {
        Some(self.start.saturating_add(self.plan.stop.duration?))
    }

    fn is_all_sent(&self, now: u64) -> bool {
        let begun_all =
            self.plan.stop.sessions.is_some_and(|n| self.begun >= n) || self.starts.as_ref().is_some_and(|s| s.peek().is_none());
        self.closed
            || self.plan.stop.requests.is_some_and(|n| self.sent >= n)
            || self.end_of_sending().is_some_and(|end| now >= end)
            || (begun_all && self.active == 0)
    }

    fn may_begin(&self) -> bool {
        self.plan.stop.sessions.is_none_or(|n| self.begun < n)
    }

    /// Whether one more request may be on its way.
    fn has_room(&self, now: u64) -> bool {
        self.plan.in_flight.is_none_or(|n| self.flying < n) && self.prefill.has_room(self.prefilling, now)
    }

    fn has_room_for_session(&self, now: u64) -> bool {
        self.has_room(now) && self.sessions.has_room(self.active, now)
    }

    /// What time alone may bring.
    fn steps(&self, now: u64) -> Option<u64> {
        [self.sessions.next_step(now), self.prefill.next_step(now)].into_iter().flatten().min()
    }

    fn next_later(&self) -> Option<u64> {
        self.later.first_key_value().map(|((at, _), _)| *at)
    }

    fn closed_loop(&mut self, now: u64) -> Result<Next, Option<u64>> {
        // A place may be there because one became free, or because a ramp has brought it.
        let brought = [self.sessions.since(now), self.prefill.since(now)].into_iter().flatten().max();
        self.free(brought.unwrap_or(0));
        if self.has_room(now)
            && let Some((at, session)) = self.ready.pop_front()
        {
            return Ok(self.go_on(session, at, at.max(self.freed)));
        }
        if self.may_begin() && self.has_room_for_session(now) {
            let due = self.freed;
            return Ok(self.begin(due, due, None, None));
        }
        Err([self.steps(now), self.next_later()].into_iter().flatten().min())
    }

    fn open_loop(&mut self, now: u64) -> Result<Next, Option<u64>> {
        loop {
            let Some(ticks) = &mut self.ticks else { return Err(None) };
            if let Some(late) = self.plan.drop_late
                && ticks.next.saturating_add(late) < now
            {
                // The whole schedule moves.
                ticks.origin = ticks.origin.saturating_add(now - ticks.next);
                ticks.next = now;
            }
            let tick = ticks.next;
            if tick > now {
                self.blocked = false;
                return Err(Some(tick));
            }
            let found = if self.has_room(now)
                && let Some((at, session)) = self.ready.pop_front()
            {
                Some(self.go_on(session, tick.max(at), self.due(tick.max(at))))
            } else if self.may_begin() && self.has_room_for_session(now) {
                Some(self.begin(tick, self.due(tick), None, None))
            } else {
                None
            };
            match found {
                Some(next) => {
                    self.missed += u64::from(self.blocked);
                    self.tick();
                    return Ok(next);
                }
                None if self.plan.drop_late.is_some() => {
                    self.missed += 1;
                    self.tick();
                }
                None => {
                    self.blocked = true;
                    return Err([self.steps(now), self.next_later()].into_iter().flatten().min());
                }
            }
        }
    }

    fn tick(&mut self) {
        if let Some(ticks) = &mut self.ticks {
            ticks.advance();
        }
    }

    fn due(&self, planned: u64) -> u64 {
        if self.blocked { planned.max(self.freed) } else { planned }
    }

    fn scheduled(&mut self, now: u64) -> Result<Next, Option<u64>> {
        let planned = self.starts.as_ref().filter(|_| self.may_begin()).and_then(Starts::peek);
        let first = planned.map(|planned| (self.start.saturating_add(planned.at), planned));
        // Of a turn and a beginning whose times have come the earlier one.
        let turn = self.ready.front().copied().filter(|(at, _)| first.is_none_or(|(first, _)| *at <= first));
        if let Some((at, session)) = turn {
            if self.has_room(now) {
                self.ready.pop_front();
                self.missed += u64::from(self.blocked);
                return Ok(self.go_on(session, at, self.due(at)));
            }
        } else if let Some((at, planned)) = first.filter(|(at, _)| *at <= now) {
            if self.has_room_for_session(now) {
                self.missed += u64::from(self.blocked);
                if let Some(starts) = &mut self.starts {
                    starts.advance();
                }
                return Ok(self.begin(at, self.due(at), planned.turns, planned.user));
            }
        } else {
            self.blocked = false;
            return Err([first.map(|(at, _)| at), self.next_later()].into_iter().flatten().min());
        }
        self.blocked = true;
        Err(self.steps(now))
    }

    fn begin(&mut self, intended: u64, due: u64, turns: Option<u32>, user: Option<u64>) -> Next {
        self.begun += 1;
        self.active += 1;
        self.leave();
        Next::Start { intended, due, turns, user }
    }

    fn go_on(&mut self, session: SessionId, intended: u64, due: u64) -> Next {
        self.leave();
        Next::Continue { session, intended, due }
    }

    fn leave(&mut self) {
        self.sent += 1;
        self.flying += 1;
        self.prefilling += 1;
    }
}

#[cfg(test)]
mod tests;
