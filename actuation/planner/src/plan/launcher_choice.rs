//! Which launcher a requester gets (3.7.2, selectOrReclaim).
//!
//! In this order: one that holds the wanted instance asleep; one that does and is just being released; one with room; one where
//! room can be made; one that is being released; one that is still starting, within patience; none. Within each kind the choice is a total order that the sort keys spell out. Nothing is
//! deleted here: room is made after the binding, so that the choice cannot change under way.

use std::cmp::Reverse;

use super::Planner;
use super::ledger::{Age, instance_age};
use crate::action::{EngineRef, Target, Verb};
use crate::hashes;
use crate::ids::{GpuUuid, InstanceId, Uid};
use crate::instance::{self, Wanted};
use crate::memory::Instance;
use crate::state::{Binding, IscSpec, Launcher, Lc};

/// What was found.
#[derive(Clone, Debug)]
pub(super) enum Choice<'s> {
    /// It holds the wanted instance, under this ID.
    Hot(&'s Launcher, InstanceId),
    /// It has room for it.
    Room(&'s Launcher),
    /// Room can be made.
    Reclaim(&'s Launcher),
    /// It will be free in a moment: its requester is gone.
    Releasing(&'s Launcher),
    /// It is starting, or about to answer.
    Starting(&'s Launcher),
    /// One is being created.
    Coming,
    /// Nothing.
    None,
}

impl<'s> Choice<'s> {
    pub(super) fn launcher(&self) -> Option<&'s Launcher> {
        match self {
            Self::Hot(launcher, _)
            | Self::Room(launcher)
            | Self::Reclaim(launcher)
            | Self::Releasing(launcher)
            | Self::Starting(launcher) => Some(launcher),
            Self::Coming | Self::None => None,
        }
    }
}

/// What a launcher offers.
enum Offer {
    Hot(Age, InstanceId),
    Room { free: usize, same_gpu: usize },
    Reclaim { lost: usize, oldest: Option<Age> },
    Later,
    Nothing,
}

impl<'s> Planner<'s> {
    pub(super) fn choose(&mut self, lc: &'s Lc, spec: &IscSpec, wanted: &Wanted, gpus: &[GpuUuid]) -> Choice<'s> {
        match self.best(lc, spec, wanted, gpus) {
            // It is being written right now and can be had a moment later.
            Choice::Hot(launcher, _) | Choice::Room(launcher) | Choice::Reclaim(launcher)
                if self.state.in_flight(&Target::Pod(launcher.pod.uid.clone())) =>
            {
                Choice::Starting(launcher)
            }
            choice => choice,
        }
    }

    fn best(&mut self, lc: &'s Lc, spec: &IscSpec, wanted: &Wanted, gpus: &[GpuUuid]) -> Choice<'s> {
        let (mut hot, mut room, mut reclaim, mut later) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for launcher in self.eligible(lc) {
            let name = (&launcher.pod.name, &launcher.pod.uid);
            match self.offer(launcher, lc, spec, wanted, gpus) {
                Offer::Hot(age, id) => hot.push(((Reverse(age), name), launcher, id)),
                Offer::Room { free, same_gpu } => room.push(((Reverse(free), same_gpu, name), launcher)),
                Offer::Reclaim { lost, oldest } => {
                    let lost = if self.limits.reclaim_most_first { usize::MAX - lost } else { lost };
                    reclaim.push(((lost, oldest, name), launcher));
                }
                Offer::Later => later.push(((Reverse(launcher.pod.ready), launcher.pod.created, name), launcher)),
                Offer::Nothing => {}
            }
        }
        hot.sort_by(|one, other| one.0.cmp(&other.0));
        room.sort_by(|one, other| one.0.cmp(&other.0));
        reclaim.sort_by(|one, other| one.0.cmp(&other.0));
        later.sort_by(|one, other| one.0.cmp(&other.0));
        let (soon_hot, soon) = self.releasing(lc, spec, gpus);
        if let Some((_, launcher, id)) = hot.into_iter().next() {
            Choice::Hot(launcher, id)
        } else if let Some(launcher) = soon_hot {
            Choice::Releasing(launcher)
        } else if let Some((_, launcher)) = room.into_iter().next() {
            Choice::Room(launcher)
        } else if let Some((_, launcher)) = reclaim.into_iter().next() {
            Choice::Reclaim(launcher)
        } else if let Some(launcher) = soon {
            Choice::Releasing(launcher)
        } else if let Some((_, launcher)) = later.into_iter().next() {
            Choice::Starting(launcher)
        } else if self.take_coming(&lc.name) {
            Choice::Coming
        } else {
            Choice::None
        }
    }

    /// Unbound live launchers of this `LauncherConfig`, made from its present template; and those that the peer made, for the
    /// sake of the sleepers they hold.
    fn eligible(&self, lc: &'s Lc) -> Vec<&'s Launcher> {
        let current = self.config_hash(lc);
        let state = self.state;
        let made_from = |launcher: &Launcher| launcher.config_hash.is_some() && launcher.config_hash == current;
        let eligible = state.launchers.values().filter(|launcher| {
            launcher.binding.is_none()
                && launcher.lc == lc.name
                && launcher.pod.live()
                && (made_from(launcher) || is_foreign(launcher))
                && !self.taken().contains(&launcher.pod.uid)
        });
        eligible.collect()
    }

    /// Launchers that are being released without trouble: the first that holds the wanted instance, and the first at all.
    fn releasing(&self, lc: &'s Lc, spec: &IscSpec, gpus: &[GpuUuid]) -> (Option<&'s Launcher>, Option<&'s Launcher>) {
        let current = self.config_hash(lc);
        let state = self.state;
        let mut soon: Vec<&'s Launcher> = state
            .launchers
            .values()
            .filter(|launcher| {
                let pod = &launcher.pod;
                let usable = pod.live() && pod.ready && !self.taken().contains(&pod.uid) && launcher.config_hash == current;
                let engine = launcher.recorded.as_ref().ok().map(|recorded| EngineRef::instance(&pod.uid, &recorded.instance));
                usable && launcher.binding.as_ref().is_some_and(|binding| self.is_released(binding)) && self.goes_well(engine)
            })
            .collect();
        soon.sort_by_key(|launcher| (&launcher.pod.name, &launcher.pod.uid));
        let holds = |launcher: &&&'s Launcher| {
            let instances = state.instances(launcher).into_iter().flatten();
            instances.into_iter().any(|(_, instance)| !instance.stopped && instance::same_content(instance, spec, gpus))
        };
        (soon.iter().find(holds).copied(), soon.first().copied())
    }

    /// Whether a binding is on its way out: its requester is gone, or leaving.
    pub(super) fn is_released(&self, binding: &Binding) -> bool {
        self.state.requesters.get(&binding.uid).is_none_or(|requester| !requester.pod.live())
    }

    /// Whether nothing has failed yet in putting this engine to sleep.
    pub(super) fn goes_well(&self, engine: Option<EngineRef>) -> bool {
        engine.is_some_and(|engine| {
            let target = Target::Engine(engine);
            [Verb::Sleep, Verb::DeleteInstance].iter().all(|verb| self.failing_since(&target, *verb).is_none())
        })
    }

    fn offer(&mut self, launcher: &'s Launcher, lc: &Lc, spec: &IscSpec, wanted: &Wanted, gpus: &[GpuUuid]) -> Offer {
        let pod = &launcher.pod;
        // Bounded patience: one that is stuck, or not ready for too long, is as good as none (G7).
        if !pod.ready && (launcher.stuck_label || self.passed(pod.ready_changed.max(pod.created), self.limits.launcher_patience)) {
            return Offer::Nothing;
        }
        let told = self.state.told(launcher).filter(|memory| !memory.stale && pod.running() && pod.ip.is_some());
        let Some(instances) = told.and_then(|memory| memory.instances.known()) else {
            let unanswered = self.failing_since(&Target::Launcher(pod.uid.clone()), Verb::ListInstances);
            let hopeless = unanswered.is_some_and(|since| self.passed(since, self.limits.launcher_patience));
            return if hopeless || is_foreign(launcher) { Offer::Nothing } else { Offer::Later };
        };
        let matching = instances
            .iter()
            .filter(|(id, instance)| self.reusable(&pod.uid, id, instance, spec, gpus))
            .map(|(id, instance)| {
                (instance_age(launcher, &EngineRef::instance(&pod.uid, id), instance, crate::limits::ReclaimOrder::Lru), id)
            })
            .max();
        if let Some((age, id)) = matching {
            return Offer::Hot(age, id.clone());
        }
        if is_foreign(launcher) {
            return Offer::Nothing;
        }
        // Being tidied up: what has ended under our ID would look like a death, what says no port may hold ours.
        if instances.contains_key(&wanted.id) || instances.values().any(|instance| !instance.stopped && instance.port().is_none()) {
            return Offer::Later;
        }
        let victims = self.victims(launcher, wanted.port, lc.max_instances);
        if victims.is_empty() {
            let shares = |instance: &&Instance| instance.gpus.iter().flatten().any(|gpu| gpus.contains(gpu));
            return Offer::Room {
                free: lc.max_instances.saturating_sub(instances.len()),
                same_gpu: instances.values().filter(shares).count(),
            };
        }
        let age = |id: &InstanceId| {
            let instance = instances.get(id)?;
            Some(instance_age(launcher, &EngineRef::instance(&pod.uid, id), instance, self.limits.reclaim))
        };
        Offer::Reclaim { lost: victims.len(), oldest: victims.iter().filter_map(|(id, _)| age(id)).min() }
    }

    fn reusable(&self, launcher: &Uid, id: &InstanceId, instance: &Instance, spec: &IscSpec, gpus: &[GpuUuid]) -> bool {
        !instance.stopped
            && instance.port() == Some(spec.port)
            && instance::same_content(instance, spec, gpus)
            && !self.is_busy(&Target::Engine(EngineRef::instance(launcher, id)))
    }

    /// Takes one of the launchers that the populator is creating.
    fn take_coming(&mut self, lc: &str) -> bool {
        let coming = self.state.memory.in_flight.keys().filter(|key| matches!(&key.target, Target::NewLauncher(of, _) if of == lc)).count();
        let taken = self.coming_taken.entry(lc.to_owned()).or_default();
        if *taken < coming {
            *taken += 1;
            return true;
        }
        false
    }
}

/// Whether another controller made this launcher: its hashes say nothing to us.
pub(super) fn is_foreign(launcher: &Launcher) -> bool {
    launcher.config_hash.as_deref().is_some_and(|hash| !hashes::ours(hash))
}
