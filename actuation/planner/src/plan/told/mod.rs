//! What requesters and their users are told: why one is not served ([`Told`]), by its stub whether it is ([`readiness`]), and
//! what is written on it ([`written`]).
//!
//! All that says *this requester is served*, or is not, is said here.

pub(super) mod readiness;
pub(super) mod written;

use std::collections::BTreeMap;

use super::emitted::Wakes;
use super::view::View;
use crate::action::{ActionKey, Target, Verb};
use crate::ids::Uid;
use crate::limits;
use crate::memory::Failure;
use crate::planned::Problem;
use crate::state::Requester;
use crate::status;

/// By requester: what keeps it from being served.
#[derive(Default)]
pub(super) struct Told {
    problems: BTreeMap<Uid, Vec<Problem>>,
}

impl Told {
    /// Something keeps this requester from being served, and its status says so.
    pub(super) fn problem(&mut self, requester: &Uid, text: String) {
        self.note(requester, text, true);
    }

    /// Something keeps this requester from being served; its status says so if it is `shown`.
    pub(super) fn note(&mut self, requester: &Uid, text: String, shown: bool) {
        self.problems.entry(requester.clone()).or_default().push(Problem { text, shown });
    }

    /// A failing GET of the stub, in the words of the contract.
    pub(super) fn failing_get(&mut self, view: View<'_>, wakes: &mut Wakes, requester: &Requester, verb: Verb, url: &str) {
        let Some(failure) = view.failure(Target::Stub(requester.pod.uid.clone()), verb) else { return };
        let shown = wakes.passed(failure.first, limits::REPORT_AFTER);
        self.note(&requester.pod.uid, format!("GET {url:?} fails: {}", failure.error), shown);
    }

    /// Something that was tried in vain; shown when it lasts.
    pub(super) fn failing(&mut self, wakes: &mut Wakes, requester: &Uid, what: &str, failure: &Failure) {
        let shown = wakes.passed(failure.first, limits::REPORT_AFTER);
        self.note(requester, format!("{what}: {}{}", failure.error, status::tries(failure.attempts)), shown);
    }

    /// A create of a Pod for this requester, if it has failed; `desired` and `what` are the Pod in two wordings. `true`: the API
    /// server finds it invalid, and would again.
    pub(super) fn failed_create(&mut self, view: View<'_>, requester: &Uid, key: &ActionKey, (desired, what): (&str, &str)) -> bool {
        let Some(failure) = view.state.memory.failures.get(key) else { return false };
        let invalid = status::is_invalid_pod(&failure.error);
        let text = if invalid { format!("{desired} {}", failure.error) } else { format!("failed to create {what}: {}", failure.error) };
        self.problem(requester, text);
        invalid
    }

    /// The requester waits for something; shown when it has lasted since its container started.
    pub(super) fn waits(&mut self, wakes: &mut Wakes, requester: &Requester, why: String) {
        let since = requester.pod.container.running_since.unwrap_or(requester.pod.created);
        let shown = wakes.passed(since, limits::REPORT_WAIT_AFTER);
        self.note(&requester.pod.uid, why, shown);
    }

    /// The texts that the status of this requester shows, each once, sorted.
    fn shown(&self, requester: &Uid) -> Vec<String> {
        let problems = self.problems.get(requester).into_iter().flatten();
        let mut texts: Vec<String> = problems.filter(|problem| problem.shown).map(|problem| problem.text.clone()).collect();
        texts.sort();
        texts.dedup();
        texts
    }

    /// All problems, each once, sorted.
    pub(super) fn finish(mut self) -> BTreeMap<Uid, Vec<Problem>> {
        for problems in self.problems.values_mut() {
            problems.sort();
            problems.dedup();
        }
        self.problems
    }
}
