//! What is emitted: actions, and when to look again.
//!
//! At most one action for each target; none on a target with an action under way; none that failed before it may be tried again.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::action::{Action, Target, Verb};
use crate::limits::{self, later, since};
use crate::memory::{Failure, FailureClass, Memory};

/// Actions and wakes of a plan in the making.
pub(crate) struct Emitted<'s> {
    memory: &'s Memory,
    pub(super) busy: Busy,
    actions: Vec<Action>,
    pub(super) wakes: Wakes,
}

/// Targets with an action under way or planned.
pub(super) struct Busy(BTreeSet<Target>);

impl Busy {
    /// Whether an action on this target is under way or planned.
    pub(super) fn contains(&self, target: &Target) -> bool {
        self.0.contains(target)
    }
}

/// When time alone may change the plan.
pub(super) struct Wakes {
    now: Timestamp,
    next: Option<Timestamp>,
}

impl Wakes {
    /// Looks again at this instant; the earliest wins.
    pub(super) fn at(&mut self, at: Timestamp) {
        if at > self.now {
            self.next = Some(self.next.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// Whether it is this late; if not, looks again when it is.
    pub(super) fn reached(&mut self, at: Timestamp) -> bool {
        self.at(at);
        self.now >= at
    }

    /// Whether `since` lies at least `patience` back; if not, looks again when it does.
    pub(super) fn passed(&mut self, since: Timestamp, patience: Duration) -> bool {
        self.reached(later(since, patience))
    }
}

impl<'s> Emitted<'s> {
    pub(crate) fn new(memory: &'s Memory, now: Timestamp) -> Self {
        let busy = memory.in_flight.keys().map(|key| key.target.clone()).collect();
        Self { memory, busy: Busy(busy), actions: Vec::new(), wakes: Wakes { now, next: None } }
    }

    /// The actions in their order, and when to look again.
    pub(crate) fn finish(self) -> (Vec<Action>, Option<Timestamp>) {
        (self.actions, self.wakes.next)
    }

    /// How many actions there are so far.
    pub(super) fn count(&self) -> usize {
        self.actions.len()
    }

    /// Puts an action into the plan unless its target is busy or it is too early to try again.
    pub(crate) fn emit(&mut self, action: Action) {
        let poll = matches!(action.key.verb, Verb::ReadGpus | Verb::ReadGpuMemory | Verb::ReadSleep | Verb::ListInstances | Verb::Relay);
        self.emit_at_pace(action, poll);
    }

    /// As [`Emitted::emit`], for a question whose answer nobody waits for.
    pub(super) fn emit_idle(&mut self, action: Action) {
        self.emit_at_pace(action, false);
    }

    fn emit_at_pace(&mut self, action: Action, poll: bool) {
        if self.busy.contains(&action.key.target) {
            return;
        }
        if let Some(failure) = self.memory.failures.get(&action.key)
            && !self.wakes.reached(again(failure, action.key.verb, poll))
        {
            return;
        }
        self.busy.0.insert(action.key.target.clone());
        self.actions.push(action);
    }
}

/// When something that failed may be tried again.
fn again(failure: &Failure, verb: Verb, poll: bool) -> Timestamp {
    let mut pause = if poll { limits::poll(since(failure.first, failure.last)) } else { limits::backoff(failure.attempts) };
    if failure.class == FailureClass::Lost && matches!(verb, Verb::CreateDirect | Verb::CreateLauncher) {
        // It may have been created: give the watch time to tell.
        pause = pause.max(limits::LOST_CREATE_DELAY);
    }
    later(failure.last, pause)
}
