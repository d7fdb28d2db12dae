//! Who is bound to whom, and what that calls for.
//!
//! A requester is a live server only while it exists under the UID in the binding record, is not being deleted and is in no
//! terminal phase; otherwise its provider is released (gaps `a3`, `a44`). Releases come first, because they free GPUs; then bound pairs,
//! because they have a claim on theirs; then requesters without a provider. Within each group the order is that of age, then
//! UID.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::emitted::Emitted;
use super::release::{is_quiet, release};
use super::room::Room;
use super::told::{Told, readiness, written};
use super::view::{Provider, View};
use super::{seek, serve, serve_instance};
use crate::action::{DeletePodReason, EngineRef};
use crate::ids::Uid;
use crate::memory::Sleep;
use crate::state::{Applied, Binding, Requester};

/// Plans for all bindings and all requesters.
pub(super) fn pairs(view: View<'_>, room: &mut Room, told: &mut Told, out: &mut Emitted<'_>) {
    let pairs = bound(view, out);
    let mut order: Vec<&Requester> = view.state.requesters.values().collect();
    order.sort_by_key(|requester| (requester.pod.created, &requester.pod.uid));
    let (live, leaving): (Vec<_>, Vec<_>) = order.into_iter().partition(|requester| requester.pod.live());
    for requester in &live {
        readiness::warn(told, requester);
    }
    for requester in leaving {
        leave(view, out, requester, pairs.get(&requester.pod.uid).copied());
    }
    let (mut paired, mut seeking) = (Vec::new(), Vec::new());
    for requester in live {
        match pairs.get(&requester.pod.uid) {
            Some(provider) => paired.push((requester, *provider)),
            None => seeking.push(requester),
        }
    }
    for (requester, provider) in &paired {
        room.claim(&provider.gpus(view), &requester.pod.uid);
    }
    for (requester, provider) in paired {
        pair(view, room, told, out, requester, provider);
    }
    for requester in seeking {
        seek::seek(view, room, told, out, requester);
    }
}

/// The provider of each requester that exists and has one. All other bound providers are released: their requester is absent, or
/// has another provider that is kept (gap `a23`).
fn bound<'s>(view: View<'s>, out: &mut Emitted<'_>) -> BTreeMap<&'s Uid, Provider<'s>> {
    let directs = view.state.directs.values().map(Provider::Direct);
    let launchers = view.state.launchers.values().map(Provider::Launcher);
    let mut bound: BTreeMap<&Uid, Vec<(&Binding, Provider<'s>)>> = BTreeMap::new();
    for provider in directs.chain(launchers) {
        if let Some(binding) = provider.binding() {
            bound.entry(&binding.uid).or_default().push((binding, provider));
        }
    }
    let mut pairs = BTreeMap::new();
    for (uid, providers) in bound {
        let requester = view.state.requesters.get(uid);
        let kept = providers.iter().map(|(_, provider)| KeepScore::of(view, requester, *provider)).min();
        for (binding, provider) in providers {
            if requester.is_some() && kept.as_ref().is_some_and(|kept| kept.uid == &provider.pod().uid) {
                pairs.insert(uid, provider);
            } else {
                release(view, out, binding, provider);
            }
        }
    }
    pairs
}

/// Which of several providers that are bound to one requester is kept: the smallest, so the order of the fields is the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct KeepScore<'s> {
    /// It is being deleted or has ended: one that lives is kept before it.
    leaving: bool,
    /// Its engine does not serve: what serves is kept.
    idle: bool,
    /// The requester does not name it: what the requester names is kept.
    unnamed: bool,
    /// It is not ready: the one that is furthest is kept.
    unready: bool,
    /// When it was made: the oldest is kept.
    created: Timestamp,
    /// No two are equal.
    uid: &'s Uid,
}

impl<'s> KeepScore<'s> {
    fn of(view: View<'_>, requester: Option<&Requester>, provider: Provider<'s>) -> Self {
        let pod = provider.pod();
        let serves = match provider {
            Provider::Direct(_) => pod.ready && view.state.sleep(&EngineRef::direct(&pod.uid), pod) == Some(Sleep::Awake),
            Provider::Launcher(launcher) => {
                let applied = launcher.recorded.as_ref().is_ok_and(|recorded| recorded.applied == Applied::Full);
                applied && launcher.sleeping_label.as_deref() == Some("false")
            }
        };
        let named = requester.is_some_and(|requester| requester.written.dual.as_deref() == Some(pod.name.as_str()));
        Self { leaving: !pod.live(), idle: !serves, unnamed: !named, unready: !pod.ready, created: pod.created, uid: &pod.uid }
    }
}

/// A requester that is being deleted or has ended.
fn leave(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester, provider: Option<Provider<'_>>) {
    match provider {
        Some(provider) => {
            let subject = view.subject(Some(&requester.id()), Some(provider));
            if readiness::withdrawn(view, out, requester, &subject) {
                release(view, out, &requester.id(), provider);
            }
            if is_quiet(view, provider) {
                readiness::may_end(view, out, requester);
            }
        }
        None if view.binding_under_way(&requester.pod.uid) => {}
        None => readiness::may_end(view, out, requester),
    }
    written::leaving(view, out, requester, provider);
}

/// A live requester and the provider that is bound to it.
fn pair(view: View<'_>, room: &Room, told: &mut Told, out: &mut Emitted<'_>, requester: &Requester, provider: Provider<'_>) {
    if !provider.pod().live() {
        provider_leaves(view, out, requester, provider);
    } else if view.state.node.is_gone() {
        return;
    } else {
        match provider {
            Provider::Direct(direct) => serve::direct(view, room, told, out, requester, direct),
            Provider::Launcher(launcher) => serve_instance::serve(view, room, told, out, requester, launcher),
        }
    }
    written::pair(view, told, out, requester, provider);
}

/// A provider goes away though its requester is alive: the requester goes first, so that its set makes another one.
fn provider_leaves(view: View<'_>, out: &mut Emitted<'_>, requester: &Requester, provider: Provider<'_>) {
    // The finalizer holds the requester until the engine is gone; it has to be there before the deletion.
    if provider.pod().running() && !requester.has_finalizer {
        return;
    }
    let subject = view.subject(Some(&requester.id()), Some(provider));
    if readiness::withdrawn(view, out, requester, &subject) {
        out.emit(view.delete_pod(&requester.pod, DeletePodReason::ProviderGone, subject));
    }
}
