//! The plan of a node: what is to be done now (specification 9.3).
//!
//! [`plan`] goes through the node once, in a fixed order, and collects actions:
//!
//! 1. [`ledger`]: which engine occupies which GPU, as far as it is known;
//! 2. [`pairs`]: who is bound to whom; providers whose requester is gone are released ([`release`]), pairs are brought to serve
//!    ([`serve`], [`wake`]), requesters without a provider get one ([`seek`], [`seek_direct`], [`seek_launcher`],
//!    [`launcher_choice`]);
//! 3. [`sweep`]: what nobody is bound to is tidied up;
//! 4. [`population`]: launchers are made, marked and deleted as the policies want;
//! 5. sleepers beyond the budget go.
//!
//! Each step plans at most the *next* thing for a target and stops there; what follows depends on the answer. Nothing is
//! concluded from an action being planned or under way, except that its target is left alone and that the GPUs it may occupy
//! count as occupied.

mod draft;
mod launcher_choice;
mod ledger;
mod pairs;
mod population;
mod record;
mod release;
mod room;
mod seek;
mod seek_direct;
mod seek_launcher;
mod serve;
mod sweep;
mod view;
mod wake;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::action::{Action, EngineRef, Target, Verb};
use crate::ids::{GpuUuid, Uid};
use crate::limits::{Limits, later, since};
use crate::memory::{Failure, FailureClass};
use crate::planned::{Plan, Problem};
use crate::state::NodeState;

/// What is to be done now on this node. Deterministic; permuting anything in the input changes nothing.
#[must_use]
pub fn plan(state: &NodeState, now: Timestamp) -> Plan {
    let mut planner = Planner::new(state, now);
    planner.pairs();
    planner.sweep();
    if state.populate {
        planner.population();
    }
    planner.sleepers_beyond_budget();
    planner.facts();
    planner.plan
}

/// A plan in the making.
struct Planner<'s> {
    state: &'s NodeState,
    limits: &'s Limits,
    now: Timestamp,
    plan: Plan,
    /// Targets with an action under way or planned.
    busy: BTreeSet<Target>,
    /// What occupies the GPUs.
    ledger: ledger::Ledger,
    /// Which requester is next on a GPU; nobody else may begin there.
    claims: BTreeMap<GpuUuid, Uid>,
    /// Providers that a requester has chosen or waits for: not for others, not to be deleted.
    reserved: BTreeSet<Uid>,
    /// Sleeping engines that a requester has chosen: not to be deleted.
    chosen: BTreeSet<EngineRef>,
    /// Launchers that are being created for requesters, by `LauncherConfig`.
    creating: BTreeMap<String, u32>,
    /// How many of the launchers that are being created for the population a requester waits for, by `LauncherConfig`.
    coming_taken: BTreeMap<String, usize>,
}

impl<'s> Planner<'s> {
    fn new(state: &'s NodeState, now: Timestamp) -> Self {
        let busy = state.memory.in_flight.keys().map(|key| key.target.clone()).collect();
        Self {
            state,
            limits: &state.limits,
            now,
            plan: Plan::default(),
            busy,
            ledger: ledger::Ledger::new(state),
            claims: BTreeMap::new(),
            reserved: BTreeSet::new(),
            chosen: BTreeSet::new(),
            creating: BTreeMap::new(),
            coming_taken: BTreeMap::new(),
        }
    }

    /// Puts an action into the plan unless its target is busy or it is too early to try again.
    fn emit(&mut self, action: Action) {
        let poll = matches!(action.key.verb, Verb::ReadGpus | Verb::ReadGpuMemory | Verb::ReadSleep | Verb::ListInstances | Verb::Relay);
        self.emit_at_pace(action, poll);
    }

    /// As [`Planner::emit`], for a question whose answer nobody waits for.
    fn emit_idle(&mut self, action: Action) {
        self.emit_at_pace(action, false);
    }

    fn emit_at_pace(&mut self, action: Action, poll: bool) {
        if self.busy.contains(&action.key.target) {
            return;
        }
        if let Some(failure) = self.state.memory.failures.get(&action.key) {
            let again = self.again(failure, action.key.verb, poll);
            if self.now < again {
                self.wake_at(again);
                return;
            }
        }
        self.busy.insert(action.key.target.clone());
        self.plan.actions.push(action);
    }

    /// When something that failed may be tried again.
    fn again(&self, failure: &Failure, verb: Verb, poll: bool) -> Timestamp {
        let mut pause = if poll { self.limits.poll(since(failure.first, failure.last)) } else { self.limits.backoff(failure.attempts) };
        if failure.class == FailureClass::Lost && matches!(verb, Verb::CreateDirect | Verb::CreateLauncher) {
            // It may have been created: give the watch time to tell.
            pause = pause.max(self.limits.lost_create_delay);
        }
        later(failure.last, pause)
    }

    /// Looks again at this instant; the earliest wins.
    fn wake_at(&mut self, at: Timestamp) {
        if at > self.now {
            self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// Whether `since` lies at least `patience` back; if not, looks again when it does.
    fn passed(&mut self, since: Timestamp, patience: Duration) -> bool {
        let end = later(since, patience);
        if self.now >= end {
            return true;
        }
        self.wake_at(end);
        false
    }

    /// Whether an action on this target is under way or planned.
    fn is_busy(&self, target: &Target) -> bool {
        self.busy.contains(target)
    }

    /// Something keeps this requester from being served, and its status says so.
    fn problem(&mut self, requester: &Uid, text: String) {
        self.note(requester, text, true);
    }

    fn note(&mut self, requester: &Uid, text: String, shown: bool) {
        self.plan.problems.entry(requester.clone()).or_default().push(Problem { text, shown });
    }
}
