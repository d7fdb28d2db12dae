//! Launchers in stock: as many as the policies want, made from the present templates, stuck ones marked (section 4).
//!
//! For each `LauncherConfig`: count what is there, what is being created and what requesters are creating for themselves; delete
//! stale and excess ones, cheapest first; create what is missing, when nothing is on its way out; publish phases. An unbound
//! launcher that a requester waits for is not excess.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::Planner;
use super::launcher_choice::is_foreign;
use crate::action::{Action, DeletePodReason, Log, Owner, Subject, Target, Verb};
use crate::json::{list, text};
use crate::limits::later;
use crate::planned::{LauncherPhase, Stock};
use crate::state::{Desired, Launcher, Lc, RequesterKind};
use crate::{template, write};

/// Cheapest first: stuck, not ready, without instances, fewest instances, longest unused, name (G19).
type Cost<'s> = (bool, bool, bool, usize, Option<Timestamp>, &'s str);

impl<'s> Planner<'s> {
    pub(super) fn population(&mut self) {
        let mut names: BTreeSet<&'s str> = self.state.wanted.keys().map(String::as_str).collect();
        names.extend(self.state.launchers.values().map(|launcher| launcher.lc.as_str()));
        for name in names {
            self.populate(name);
        }
    }

    fn populate(&mut self, name: &'s str) {
        let launchers: Vec<&'s Launcher> = self.state.launchers.values().filter(|launcher| launcher.lc == name).collect();
        let lc = self.state.configs.lcs.get(name);
        self.publish(name, lc, &launchers);
        // Hands off while the config is missing or malformed, whether or not a policy names it (G53).
        let Some(lc) = lc.filter(|lc| lc.template.is_ok()) else { return };
        let desired = match self.state.wanted.get(name) {
            Some(Desired::HandsOff) => return,
            Some(Desired::Count(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
            None => 0,
        };
        if !self.state.node.exists {
            return;
        }
        let leaving = launchers.iter().filter(|launcher| launcher.pod.deleting.is_some()).count();
        let (bound, free): (Vec<_>, Vec<_>) =
            launchers.into_iter().filter(|launcher| launcher.pod.live()).partition(|launcher| launcher.binding.is_some());
        let (stale, mut current): (Vec<_>, Vec<_>) = free.into_iter().partition(|launcher| self.stale(launcher, lc));
        let deleted = self.delete_stale(&stale);
        let coming = self.in_creation(name);
        let seekers = self.seekers(name);
        let needed = desired.max(bound.len() + seekers.min(current.len() + coming));
        // One that is being created may be among those that are seen already: it counts against creating, not for deleting.
        let count = bound.len() + current.len() + stale.len();
        let stock = Stock { current: count, stale: stale.len(), coming, desired, needed };
        self.plan.facts.stock.insert(name.to_owned(), stock);
        if count > needed {
            current.sort_by(|one, other| self.cost(one).cmp(&self.cost(other)));
            let spare = |launcher: &&&'s Launcher| !self.reserved.contains(&launcher.pod.uid);
            let excess: Vec<&'s Launcher> =
                current.iter().filter(spare).take(count - needed - deleted.min(count - needed)).copied().collect();
            for launcher in excess {
                self.delete_launcher(launcher, DeletePodReason::Excess);
            }
        } else if count + coming < needed && leaving == 0 && self.may_place(lc) {
            self.create_launchers(lc, needed - count - coming);
        }
    }

    /// Made from another template. What the peer made is stale too, but see [`Planner::delete_stale`].
    fn stale(&self, launcher: &Launcher, lc: &Lc) -> bool {
        let current = lc.template.as_ref().ok().map(|built| built.hash.as_str());
        launcher.template_hash.as_deref() != current || launcher.config_hash != self.config_hash(lc)
    }

    /// Stale launchers go at once, those of the peer one by one and those with instances last, so that a take-over does not
    /// throw away every sleeper (2.7). Returns how many are going.
    fn delete_stale(&mut self, stale: &[&'s Launcher]) -> usize {
        let (mut foreign, ours): (Vec<&'s Launcher>, Vec<&'s Launcher>) = stale.iter().partition(|launcher| is_foreign(launcher));
        foreign.sort_by(|one, other| self.cost(one).cmp(&self.cost(other)));
        let mut going = 0;
        for launcher in ours.into_iter().chain(foreign.into_iter().take(1)) {
            if !self.reserved.contains(&launcher.pod.uid) {
                self.delete_launcher(launcher, DeletePodReason::Stale);
                going += 1;
            }
        }
        going
    }

    fn cost(&self, launcher: &'s Launcher) -> Cost<'s> {
        let instances = self.state.instances(launcher);
        // One that has not told may hold many.
        let count = instances.map_or(usize::MAX, BTreeMap::len);
        let used = launcher.last_used.values().max().copied();
        (!self.phase(launcher).stuck(), launcher.pod.ready, count > 0, count, used, &launcher.pod.name)
    }

    /// Launchers of this config that are being created, for the population or for a requester.
    fn in_creation(&self, name: &str) -> usize {
        let keys = self.state.memory.in_flight.keys();
        let stock = keys.filter(|key| matches!(&key.target, Target::NewLauncher(of, _) if of == name)).count();
        let bound = self.launchers_coming().get(name).copied().unwrap_or(0);
        stock + usize::try_from(bound).unwrap_or(0)
    }

    /// Live requesters of this node that are without a launcher and want one of this config.
    fn seekers(&self, name: &str) -> usize {
        let bound: BTreeSet<_> = self.state.launchers.values().filter_map(|launcher| launcher.binding.as_ref().map(|b| &b.uid)).collect();
        let wants = |kind: &RequesterKind| {
            let isc = kind.isc().and_then(|isc| self.state.configs.iscs.get(isc));
            isc.and_then(|isc| isc.spec.as_ref().ok()).is_some_and(|spec| spec.launcher_config == name)
        };
        let requesters = self.state.requesters.values();
        requesters.filter(|requester| requester.pod.live() && !bound.contains(&requester.pod.uid) && wants(&requester.kind)).count()
    }

    /// Whether a launcher could start here now: only creation depends on it, never keeping (G20).
    fn may_place(&self, lc: &Lc) -> bool {
        let node = &self.state.node;
        let Ok(built) = &lc.template else { return false };
        let tolerations = list(&built.pod, &["spec", "tolerations"]);
        let tolerated = node.taints.iter().all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)));
        node.exists && !node.deleting && !node.unschedulable && node.ready && tolerated
    }

    fn create_launchers(&mut self, lc: &'s Lc, missing: usize) {
        let Ok(built) = &lc.template else { return };
        let under_way: BTreeSet<u32> = self
            .state
            .memory
            .in_flight
            .keys()
            .filter_map(|key| match &key.target {
                Target::NewLauncher(of, ordinal) if *of == lc.name => Some(*ordinal),
                _ => None,
            })
            .collect();
        let room = self.limits.creates_at_once.saturating_sub(under_way.len());
        let ordinals = (0u32..).filter(|ordinal| !under_way.contains(ordinal)).take(missing.min(room));
        for ordinal in ordinals.collect::<Vec<_>>() {
            let object = template::on_node(built, &self.state.node);
            let target = Target::NewLauncher(lc.name.clone(), ordinal);
            let mut action = self.create_pod(target, Verb::CreateLauncher, object, None, Some(&lc.name));
            action.key.detail.clone_from(&built.hash);
            action.log = Log {
                done: "Created launcher pod",
                failed: "Failed to create launcher pod",
                fields: vec![("node", self.state.node.name.clone()), ("config", lc.name.clone())],
                ..Log::default()
            };
            self.emit_populator(action);
        }
    }

    fn delete_launcher(&mut self, launcher: &'s Launcher, reason: DeletePodReason) {
        let subject = Subject { provider: Some(launcher.pod.name.clone()), ..Subject::default() };
        let action = self.delete_pod(&launcher.pod, reason, subject);
        self.emit_populator(action);
    }

    fn emit_populator(&mut self, mut action: Action) {
        action.owner = Owner::Populator;
        self.emit(action);
    }

    /// Counts phases, marks and unmarks stuck launchers, and looks again when one may become stuck (4.5).
    fn publish(&mut self, name: &str, lc: Option<&'s Lc>, launchers: &[&'s Launcher]) {
        let mut phases: BTreeMap<LauncherPhase, u32> = LauncherPhase::ALL.iter().map(|phase| (*phase, 0)).collect();
        for launcher in launchers {
            let phase = self.phase(launcher);
            *phases.entry(phase).or_default() += 1;
            if launcher.pod.deleting.is_some() {
                continue;
            }
            if phase == LauncherPhase::Unbound
                && let Some(at) = self.stuck_at(launcher)
            {
                self.wake_at(at);
            }
            self.mark(launcher, phase);
        }
        if lc.is_some() || !launchers.is_empty() {
            self.plan.facts.launchers.insert(name.to_owned(), phases);
        }
    }

    fn mark(&mut self, launcher: &'s Launcher, phase: LauncherPhase) {
        if phase.stuck() == launcher.stuck_label {
            return;
        }
        let patch = write::stuck_patch(&launcher.pod.uid, phase.stuck());
        let mut action = self.patch_pod(&launcher.pod, Verb::SetStuck, patch);
        action.key.detail = phase.stuck().to_string();
        action.log.done = "Patched stuck label on launcher Pod";
        action.log.gone = "Launcher Pod gone before stuck-label patch";
        action.log.fields = vec![("name", launcher.pod.name.clone()), ("phase", phase.as_str().to_owned())];
        if phase.stuck() {
            let message = format!("Launcher is stuck ({}); leaving it in place for investigation", phase.as_str());
            action.event = self.event(&launcher.pod, "LauncherStuck", message);
        }
        self.emit_populator(action);
    }

    /// Phase of a launcher, first match.
    pub(super) fn phase(&self, launcher: &Launcher) -> LauncherPhase {
        let lc = self.state.configs.lcs.get(&launcher.lc).filter(|lc| lc.template.is_ok());
        if launcher.binding.is_some() {
            LauncherPhase::Bound
        } else if lc.is_none_or(|lc| self.stale(launcher, lc)) {
            LauncherPhase::Stale
        } else if self.stuck_at(launcher).is_none_or(|at| self.now < at) {
            LauncherPhase::Unbound
        } else if launcher.pod.scheduled.is_some() {
            LauncherPhase::StuckStarting
        } else {
            LauncherPhase::StuckScheduling
        }
    }

    /// When a launcher that is not ready counts as stuck.
    fn stuck_at(&self, launcher: &Launcher) -> Option<Timestamp> {
        let pod = &launcher.pod;
        if pod.ready {
            return None;
        }
        Some(match pod.scheduled {
            Some(at) => later(at, self.limits.stuck_starting),
            None => later(pod.created, self.limits.stuck_scheduling),
        })
    }
}

fn tolerates(toleration: &Value, taint: &crate::state::Taint) -> bool {
    let (key, effect) = (text(toleration, &["key"]).unwrap_or_default(), text(toleration, &["effect"]).unwrap_or_default());
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    if text(toleration, &["operator"]) == Some("Exists") {
        return key.is_empty() || key == taint.key;
    }
    key == taint.key && text(toleration, &["value"]).unwrap_or_default() == taint.value
}
