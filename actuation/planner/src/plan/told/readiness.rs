//! Saying that a requester is served, or is not: to its stub, whose readiness probe passes that on (actuation 3.6, 3.8), and
//! by the condition of its readiness gate, where its template names one (actuation 3.17): the Pod is Ready then without
//! waiting for a probe.
//!
//! The gate opens last, after the engine is awake, routed to, and the stub was told; it shuts first, before traffic is
//! turned away. What is not known leaves it as it stands.

use dormouse_apis::names::SERVER_CONTAINER;
use dormouse_names::condition::SERVING;

use super::Told;
use crate::action::{Action, Actuation, Do, Path, Subject};
use crate::memory::FailureClass;
use crate::plan::emitted::Emitted;
use crate::plan::view::View;
use crate::state::{Gate, Requester};

/// So often a gate that should be shut before something else is tried to be shut.
const TRIES: u32 = 8;

/// Its engine is awake and traffic goes there.
pub(in crate::plan) fn serves(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, subject: &Subject) {
    relay(view, out, requester, true, subject);
    if was_told(view, requester) == Some(true) {
        set_gate(view, told, out, requester, true, subject);
    }
}

/// It is known not to be served.
pub(in crate::plan) fn idles(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, subject: &Subject) {
    set_gate(view, told, out, requester, false, subject);
}

/// It will not be served any more: the gate shuts before anything else is done about it. `false`: not yet. Who may not shut it, or
/// cannot for long, is not held up.
pub(in crate::plan) fn withdrawn(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester, subject: &Subject) -> bool {
    if requester.gate.is_none_or(|gate| !gate.open) {
        return true;
    }
    let action = view.set_serving(requester, false, subject.clone());
    let failure = view.state.memory.failures.get(&action.key);
    let hopeless = failure.is_some_and(|f| f.class == FailureClass::Refused || f.attempts >= TRIES);
    out.emit(action);
    hopeless
}

/// A gate beside a probe gains nothing, and is a mistake of whoever wrote the template.
pub(in crate::plan) fn warn(told: &mut Told, requester: &Requester) {
    if requester.gate.is_some_and(|gate| gate.beside_probe) {
        let text = format!(
            "the readiness gate {SERVING:?} stands beside a readiness or startup probe of container {SERVER_CONTAINER:?}, and the Pod waits for both; leave the probe out"
        );
        told.problem(&requester.pod.uid, text);
    }
}

/// Tells the stub, unless it was told since its container started or is seen to be so: by an open gate, which follows the stub, or
/// without a gate by the kubelet (gap `a10`).
pub(in crate::plan) fn relay(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester, ready: bool, subject: &Subject) {
    let as_wanted = match (was_told(view, requester), requester.gate) {
        (Some(told), _) => told == ready,
        // A container without a probe is ready whatever its stub was told.
        (None, Some(gate)) => !ready && !gate.open,
        (None, None) => requester.pod.container.ready == ready,
    };
    if !as_wanted && let Some(action) = draft(view, requester, ready, subject.clone()) {
        out.emit(action);
    }
}

/// A requester that is leaving may end now: its engine sleeps, or it has none. Told once.
pub(in crate::plan) fn may_end(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester) {
    if requester.pod.deleting.is_none() || was_told(view, requester) == Some(false) {
        return;
    }
    if let Some(action) = draft(view, requester, false, view.subject(Some(&requester.id()), None)) {
        out.emit(action);
    }
}

/// What its stub was told since its container started.
fn was_told(view: View<'_>, requester: &Requester) -> Option<bool> {
    view.state.stub(requester).and_then(|stub| stub.relayed).map(|(ready, _)| ready)
}

fn set_gate(view: View<'_>, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, open: bool, subject: &Subject) {
    let Some(gate) = requester.gate else { return };
    if gate.open == open {
        return;
    }
    let action = view.set_serving(requester, open, subject.clone());
    if let Some(failure) = view.state.memory.failures.get(&action.key) {
        let what = format!("failed to set the condition {SERVING:?} (it takes the right to patch pods/status)");
        if failure.class == FailureClass::Refused {
            told.problem(&requester.pod.uid, format!("{what}: {}", failure.error));
        } else {
            told.failing(&mut out.wakes, &requester.pod.uid, &what, failure);
        }
    }
    out.emit(action);
}

/// The call of a stub that can be reached. The first *ready* is the end of an actuation.
fn draft(view: View<'_>, requester: &Requester, ready: bool, subject: Subject) -> Option<Action> {
    let since = requester.pod.container.running_since?;
    let (ip, port) = (requester.pod.ip.as_ref()?, *requester.admin_port.as_ref().ok()?);
    let isc = subject.isc.clone().unwrap_or_default();
    let mut action = view.relay(requester, ip, port, ready, subject);
    let history = view.state.memory.stubs.get(&requester.pod.uid).map(|stub| stub.history.clone()).unwrap_or_default();
    // An open gate shows that it was counted before this controller started.
    let counted = history.was_ready || requester.gate.is_some_and(|gate: Gate| gate.open);
    if ready
        && !counted
        && let Do::Relay { first, .. } = &mut action.what
    {
        let path = match (history.made_provider, history.made_instance) {
            (true, _) => Path::Cold,
            (false, true) => Path::Warm,
            (false, false) => Path::Hot,
        };
        *first = Some(Actuation { path, deleted: history.deleted, isc, since });
    }
    Some(action)
}
