//! Which engine occupies which GPU.
//!
//! One ledger for direct providers and instances of launchers. An engine that is not *known* to be asleep or gone occupies its
//! GPUs: one that has not answered, one that is being created or woken, one whose Pod is being deleted but still runs. On a GPU
//! with an occupant nothing else is woken or created (safety property b). Sleepers are counted against the budget.

use std::collections::{BTreeMap, BTreeSet};

use super::reclaim::Age;
use super::view::{BoundInstance, View};
use crate::action::{ActionKey, EngineRef, Target, Verb};
use crate::ids::{GpuUuid, Uid};
use crate::memory::Sleep;
use crate::state::{Direct, Launcher, PodMeta};

/// An engine that holds GPU memory, or may.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its GPUs.
    pub(super) gpus: BTreeSet<GpuUuid>,
    /// What it does; `None` when that is not known.
    pub(super) sleep: Option<Sleep>,
    /// The requester it is bound to.
    pub(super) bound: Option<Uid>,
    /// Whether its Pod is on its way out already.
    pub(super) leaving: bool,
    /// Its place in the order of reclaim: the smallest goes first.
    pub(super) age: Age,
}

impl Entry {
    /// Awake, or not known to be asleep for good: a bound engine that sleeps when asked may still be woken by a call that an
    /// earlier process sent.
    pub(super) fn occupies(&self) -> bool {
        match self.sleep {
            None | Some(Sleep::Awake) => true,
            Some(Sleep::Asleep) => self.bound.is_some(),
            Some(Sleep::Settled) => false,
        }
    }

    /// Asleep and nobody's.
    pub(super) fn spare(&self) -> bool {
        !self.occupies() && self.bound.is_none()
    }
}

/// All engines of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<EngineRef, Entry>,
}

impl Ledger {
    pub(super) fn new(view: View<'_>) -> Self {
        let mut ledger = Self::default();
        for direct in view.state.directs.values() {
            ledger.add_direct(view, direct);
        }
        for launcher in view.state.launchers.values() {
            ledger.add_launcher(view, launcher);
        }
        for key in view.state.memory.in_flight.keys() {
            ledger.add_coming(view, key);
        }
        ledger
    }

    fn add_direct(&mut self, view: View<'_>, direct: &Direct) {
        if ended(&direct.pod) {
            return;
        }
        let engine = EngineRef::direct(&direct.pod.uid);
        let entry = Entry {
            gpus: view.direct_gpus(direct).into_iter().collect(),
            sleep: view.state.sleep(&engine, &direct.pod),
            bound: direct.binding.as_ref().map(|binding| binding.uid.clone()),
            leaving: direct.pod.deleting.is_some(),
            age: Age::direct(direct),
        };
        self.entries.insert(engine, entry);
    }

    fn add_launcher(&mut self, view: View<'_>, launcher: &Launcher) {
        if ended(&launcher.pod) || !launcher.pod.running() {
            return;
        }
        let bound = launcher.binding.as_ref().map(|binding| binding.uid.clone());
        let recorded = launcher.recorded.as_ref().ok();
        for (id, instance) in view.state.instances(launcher).into_iter().flatten() {
            if instance.stopped {
                continue;
            }
            let engine = EngineRef::instance(&launcher.pod.uid, id);
            let entry = Entry {
                gpus: instance.gpus.iter().flatten().cloned().collect(),
                sleep: view.state.sleep(&engine, &launcher.pod),
                bound: if recorded.is_some_and(|recorded| recorded.instance == *id) { bound.clone() } else { None },
                leaving: launcher.pod.deleting.is_some(),
                age: Age::instance(launcher, &engine, instance, view.state.limits.reclaim),
            };
            self.entries.insert(engine, entry);
        }
        // The bound instance may run though the launcher has not told yet.
        if let (Some(recorded), Some(bound)) = (recorded, bound) {
            let engine = EngineRef::instance(&launcher.pod.uid, &recorded.instance);
            if !self.entries.contains_key(&engine) && view.bound_state(launcher, &recorded.instance) == BoundInstance::Unlisted {
                let age = Age::of_pod(&launcher.pod, &engine);
                let gpus = recorded.gpus.iter().cloned().collect();
                self.entries.insert(engine, Entry { gpus, sleep: None, bound: Some(bound), leaving: false, age });
            }
        }
    }

    /// A direct provider that is being created will be awake.
    fn add_coming(&mut self, view: View<'_>, key: &ActionKey) {
        let (Verb::CreateDirect, Target::NewProvider(uid)) = (key.verb, &key.target) else { return };
        let Some(requester) = view.state.requesters.get(uid) else { return };
        let Some(gpus) = view.reported_gpus(requester) else { return };
        let engine = EngineRef::direct(uid);
        let age = Age::of_pod(&requester.pod, &engine);
        let gpus = gpus.iter().cloned().collect();
        self.entries.insert(engine, Entry { gpus, sleep: None, bound: Some(uid.clone()), leaving: false, age });
    }

    /// Engines that hold memory of this GPU.
    pub(super) fn on<'l>(&'l self, gpu: &'l GpuUuid) -> impl Iterator<Item = (&'l EngineRef, &'l Entry)> {
        self.entries.iter().filter(move |(_, entry)| entry.gpus.contains(gpu))
    }

    /// Every GPU that something holds memory of.
    pub(super) fn gpus(&self) -> BTreeSet<GpuUuid> {
        self.entries.values().flat_map(|entry| entry.gpus.iter().cloned()).collect()
    }
}

/// No process of this Pod can hold a GPU any more.
fn ended(pod: &PodMeta) -> bool {
    pod.terminal || (pod.deleting.is_some() && !pod.running())
}
