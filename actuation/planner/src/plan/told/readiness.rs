//! Telling a stub whether its server serves; its readiness probe passes that on (actuation 3.6, 3.8).

use crate::action::{Action, Actuation, Do, Path, Subject};
use crate::plan::emitted::Emitted;
use crate::plan::view::View;
use crate::state::Requester;

/// Tells the stub, unless it was told since its container started or the kubelet already sees it so (gap `a10`).
pub(in crate::plan) fn relay(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester, ready: bool, subject: &Subject) {
    let told = view.state.stub(requester).and_then(|stub| stub.relayed);
    let as_wanted = match told {
        Some((told, _)) => told == ready,
        None => requester.pod.container.ready == ready,
    };
    if !as_wanted && let Some(action) = draft(view, requester, ready, subject.clone()) {
        out.emit(action);
    }
}

/// A requester that is leaving may end now: its engine sleeps, or it has none. Told once.
pub(in crate::plan) fn may_end(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester) {
    let told = view.state.stub(requester).and_then(|stub| stub.relayed);
    if requester.pod.deleting.is_none() || told.is_some_and(|(ready, _)| !ready) {
        return;
    }
    if let Some(action) = draft(view, requester, false, view.subject(Some(&requester.id()), None)) {
        out.emit(action);
    }
}

/// The call of a stub that can be reached. The first *ready* is the end of an actuation.
fn draft(view: View<'_>, requester: &Requester, ready: bool, subject: Subject) -> Option<Action> {
    let since = requester.pod.container.running_since?;
    let (ip, port) = (requester.pod.ip.as_ref()?, *requester.admin_port.as_ref().ok()?);
    let isc = subject.isc.clone().unwrap_or_default();
    let mut action = view.relay(requester, ip, port, ready, subject);
    let history = view.state.memory.stubs.get(&requester.pod.uid).map(|stub| stub.history.clone()).unwrap_or_default();
    if ready
        && !history.was_ready
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
