//! Launchers in stock: as many as the policies want, made from the present templates, stuck ones marked (actuation 4).
//!
//! For each `LauncherConfig`: count what is there, what is being created and what requesters are creating for themselves; delete
//! stale and excess ones, cheapest first; create what is missing, when nothing is on its way out; publish phases. An unbound
//! launcher that a requester waits for is not excess.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::emitted::Emitted;
use super::room::{Room, stock_in_flight};
use super::view::View;
use crate::action::{Action, DeletePodReason, Log, Owner, Subject, Target, Verb};
use crate::json::{list, text};
use crate::limits::{CREATES_AT_ONCE, later};
use crate::planned::{Facts, LauncherPhase, Stock};
use crate::state::{Desired, Launcher, Lc, RequesterKind, Taint};
use crate::{template, write};

/// What it costs to delete a launcher: the cheapest goes first, so the order of the fields is the policy (gap `a19`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DeletionCost<'s> {
    /// It is not stuck: one that is stuck is of no use.
    sound: bool,
    /// It is ready: one that is not ready cannot serve yet.
    ready: bool,
    /// It has instances; one that has not told may have.
    filled: bool,
    /// How many: the fewest go first.
    instances: usize,
    /// When one of them was last in use: the longest ago goes first.
    used: Option<Timestamp>,
    /// By name.
    name: &'s str,
}

impl<'s> DeletionCost<'s> {
    fn of(view: View<'_>, launcher: &'s Launcher) -> Self {
        // One that has not told may hold many.
        let instances = view.state.instances(launcher).map_or(usize::MAX, BTreeMap::len);
        Self {
            sound: !phase(view, launcher).stuck(),
            ready: launcher.pod.ready,
            filled: instances > 0,
            instances,
            used: launcher.last_used.values().max().copied(),
            name: &launcher.pod.name,
        }
    }
}

/// All that the populator does on this node.
pub(super) fn population(view: View<'_>, room: &Room, out: &mut Emitted<'_>, facts: &mut Facts) {
    let mut names: BTreeSet<&str> = view.state.wanted.keys().map(String::as_str).collect();
    names.extend(view.state.launchers.values().map(|launcher| launcher.lc.as_str()));
    for name in names {
        let launchers: Vec<&Launcher> = view.state.launchers.values().filter(|launcher| launcher.lc == name).collect();
        mark(view, out, &launchers);
        let lc = view.state.configs.lcs.get(name);
        if lc.is_some() || !launchers.is_empty() {
            facts.launchers.insert(name.to_owned(), phases(view, &launchers));
        }
        // Hands off while the config is missing or malformed, whether or not a policy names it (gap `a53`).
        if let Some(lc) = lc.filter(|lc| lc.template.is_ok())
            && let Some(stock) = populate(view, room, out, lc, launchers)
        {
            facts.stock.insert(name.to_owned(), stock);
        }
    }
}

/// Deletes and creates launchers of a `LauncherConfig`. Gives what was counted; `None`: hands off.
fn populate(view: View<'_>, room: &Room, out: &mut Emitted<'_>, lc: &Lc, launchers: Vec<&Launcher>) -> Option<Stock> {
    let desired = match view.state.wanted.get(&lc.name) {
        Some(Desired::HandsOff) => return None,
        Some(Desired::Count(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
        None => 0,
    };
    if !view.state.node.exists {
        return None;
    }
    let leaving = launchers.iter().any(|launcher| launcher.pod.deleting.is_some());
    let (bound, free): (Vec<_>, Vec<_>) =
        launchers.into_iter().filter(|launcher| launcher.pod.live()).partition(|launcher| launcher.binding.is_some());
    let (stale, mut current): (Vec<_>, Vec<_>) = free.into_iter().partition(|launcher| is_stale(view, launcher, lc));
    let deleted = delete_stale(view, room, out, &stale);
    let coming = room.launchers_coming(view, &lc.name);
    let needed = desired.max(bound.len() + seekers(view, &lc.name).min(current.len() + coming));
    // One that is being created may be among those that are seen already: it counts against creating, not for deleting.
    let count = bound.len() + current.len() + stale.len();
    if count > needed {
        current.sort_by_cached_key(|launcher| DeletionCost::of(view, launcher));
        let excess = (count - needed).saturating_sub(deleted);
        for launcher in current.iter().filter(|launcher| !room.is_reserved(&launcher.pod.uid)).take(excess) {
            delete(view, out, launcher, DeletePodReason::Excess);
        }
    } else if count + coming < needed && !leaving && may_place(view, lc) {
        create(view, out, lc, needed - count - coming);
    }
    Some(Stock { current: count, stale: stale.len(), coming, desired, needed })
}

/// Made from another template. What the peer made is stale too, but see [`delete_stale`].
fn is_stale(view: View<'_>, launcher: &Launcher, lc: &Lc) -> bool {
    let current = lc.template.as_ref().ok().map(|built| built.hash.as_str());
    launcher.template_hash.as_deref() != current || launcher.config_hash != view.config_hash(lc)
}

/// Stale launchers go at once, those of the peer one by one and those with instances last, so that a take-over does not throw away
/// every sleeper (actuation 2.7). Returns how many are going.
fn delete_stale(view: View<'_>, room: &Room, out: &mut Emitted<'_>, stale: &[&Launcher]) -> usize {
    let (foreign, ours): (Vec<&Launcher>, Vec<&Launcher>) = stale.iter().partition(|launcher| launcher.is_foreign());
    let cheapest = foreign.into_iter().min_by_key(|launcher| DeletionCost::of(view, launcher));
    let mut going = 0;
    for launcher in ours.into_iter().chain(cheapest) {
        if !room.is_reserved(&launcher.pod.uid) {
            delete(view, out, launcher, DeletePodReason::Stale);
            going += 1;
        }
    }
    going
}

/// Live requesters of this node that are without a launcher and want one of this config.
fn seekers(view: View<'_>, name: &str) -> usize {
    let bound: BTreeSet<_> = view.state.launchers.values().filter_map(|launcher| launcher.binding.as_ref().map(|b| &b.uid)).collect();
    let wants = |kind: &RequesterKind| {
        let spec = kind.isc().and_then(|isc| view.state.configs.isc(isc));
        spec.is_some_and(|spec| spec.launcher_config == name)
    };
    let requesters = view.state.requesters.values();
    requesters.filter(|requester| requester.pod.live() && !bound.contains(&requester.pod.uid) && wants(&requester.kind)).count()
}

/// Whether a launcher could start here now: only creation depends on it, never keeping (gap `a20`).
fn may_place(view: View<'_>, lc: &Lc) -> bool {
    let node = &view.state.node;
    let Ok(built) = &lc.template else { return false };
    if view.state.limits.populate_unschedulable_nodes {
        return !node.is_gone();
    }
    let tolerations = list(&built.pod, &["spec", "tolerations"]);
    let tolerated = node.taints.iter().all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)));
    !node.is_gone() && !node.unschedulable && node.ready && tolerated
}

fn create(view: View<'_>, out: &mut Emitted<'_>, lc: &Lc, missing: usize) {
    let Ok(built) = &lc.template else { return };
    let under_way: BTreeSet<u32> = stock_in_flight(view, &lc.name).collect();
    let room = CREATES_AT_ONCE.saturating_sub(under_way.len());
    for ordinal in (0u32..).filter(|ordinal| !under_way.contains(ordinal)).take(missing.min(room)) {
        let object = template::on_node(built, &view.state.node);
        let target = Target::NewLauncher(lc.name.clone(), ordinal);
        let mut action = view.create_pod(target, Verb::CreateLauncher, object, None, Some(&lc.name));
        action.key.detail.clone_from(&built.hash);
        action.log = Log {
            done: "Created launcher pod",
            failed: "Failed to create launcher pod",
            fields: vec![("node", view.state.node.name.clone()), ("config", lc.name.clone())],
            ..Log::default()
        };
        emit(out, action);
    }
}

fn delete(view: View<'_>, out: &mut Emitted<'_>, launcher: &Launcher, reason: DeletePodReason) {
    let subject = Subject { provider: Some(launcher.pod.name.clone()), ..Subject::default() };
    emit(out, view.delete_pod(&launcher.pod, reason, subject));
}

fn emit(out: &mut Emitted<'_>, mut action: Action) {
    action.owner = Owner::Populator;
    out.emit(action);
}

/// How many launchers are in each phase.
fn phases(view: View<'_>, launchers: &[&Launcher]) -> BTreeMap<LauncherPhase, u32> {
    let mut phases: BTreeMap<LauncherPhase, u32> = LauncherPhase::ALL.iter().map(|phase| (*phase, 0)).collect();
    for launcher in launchers {
        *phases.entry(phase(view, launcher)).or_default() += 1;
    }
    phases
}

/// Marks and unmarks stuck launchers, and looks again when one may become stuck (actuation 4.5).
fn mark(view: View<'_>, out: &mut Emitted<'_>, launchers: &[&Launcher]) {
    for launcher in launchers.iter().filter(|launcher| launcher.pod.deleting.is_none()) {
        let phase = phase(view, launcher);
        if phase == LauncherPhase::Unbound
            && let Some(at) = stuck_at(view, launcher)
        {
            out.wakes.at(at);
        }
        if phase.stuck() != launcher.stuck_label {
            label(view, out, launcher, phase);
        }
    }
}

fn label(view: View<'_>, out: &mut Emitted<'_>, launcher: &Launcher, phase: LauncherPhase) {
    let patch = write::stuck_patch(&launcher.pod.uid, phase.stuck());
    let mut action = view.patch_pod(&launcher.pod, Verb::SetStuck, patch);
    action.key.detail = phase.stuck().to_string();
    action.log.done = "Patched stuck label on launcher Pod";
    action.log.gone = "Launcher Pod gone before stuck-label patch";
    action.log.fields = vec![("name", launcher.pod.name.clone()), ("phase", phase.as_str().to_owned())];
    if phase.stuck() {
        let message = format!("Launcher is stuck ({}); leaving it in place for investigation", phase.as_str());
        action.event = view.event(&launcher.pod, "LauncherStuck", message);
    }
    emit(out, action);
}

/// Phase of a launcher, first match.
fn phase(view: View<'_>, launcher: &Launcher) -> LauncherPhase {
    let lc = view.state.configs.lcs.get(&launcher.lc).filter(|lc| lc.template.is_ok());
    if launcher.binding.is_some() {
        LauncherPhase::Bound
    } else if lc.is_none_or(|lc| is_stale(view, launcher, lc)) {
        LauncherPhase::Stale
    } else if stuck_at(view, launcher).is_none_or(|at| view.now < at) {
        LauncherPhase::Unbound
    } else if launcher.pod.scheduled.is_some() {
        LauncherPhase::StuckStarting
    } else {
        LauncherPhase::StuckScheduling
    }
}

/// When a launcher that is not ready counts as stuck.
fn stuck_at(view: View<'_>, launcher: &Launcher) -> Option<Timestamp> {
    let (pod, limits) = (&launcher.pod, &view.state.limits);
    if pod.ready {
        return None;
    }
    Some(match pod.scheduled {
        Some(at) => later(at, limits.stuck_starting),
        None => later(pod.created, limits.stuck_scheduling),
    })
}

fn tolerates(toleration: &Value, taint: &Taint) -> bool {
    let (key, effect) = (text(toleration, &["key"]).unwrap_or_default(), text(toleration, &["effect"]).unwrap_or_default());
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    if text(toleration, &["operator"]) == Some("Exists") {
        return key.is_empty() || key == taint.key;
    }
    key == taint.key && text(toleration, &["value"]).unwrap_or_default() == taint.value
}
