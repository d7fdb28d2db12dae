//! The memory of a node as far as it still holds: facts about another start of a container count for nothing.

use std::collections::BTreeMap;

use crate::action::{ActionKey, EngineRef, Target, Verb};
use crate::ids::{GpuUuid, InstanceId, Uid};
use crate::memory::{Instance, LauncherMemory, Sleep, StubMemory};
use crate::state::{Direct, Launcher, NodeState, PodMeta, Requester};

/// A provider of either kind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Provider<'s> {
    /// Direct.
    Direct(&'s Direct),
    /// Launcher.
    Launcher(&'s Launcher),
}

impl<'s> Provider<'s> {
    pub(super) fn pod(self) -> &'s PodMeta {
        match self {
            Self::Direct(direct) => &direct.pod,
            Self::Launcher(launcher) => &launcher.pod,
        }
    }

    pub(super) fn has_finalizer(self) -> bool {
        match self {
            Self::Direct(direct) => direct.has_finalizer,
            Self::Launcher(launcher) => launcher.has_finalizer,
        }
    }

    /// The bound instance, as far as it is recorded.
    pub(super) fn instance(self) -> Option<&'s InstanceId> {
        match self {
            Self::Direct(_) => None,
            Self::Launcher(launcher) => launcher.recorded.as_ref().ok().map(|recorded| &recorded.instance),
        }
    }

    /// The GPUs it is bound for.
    pub(super) fn gpus(self, state: &NodeState) -> Vec<GpuUuid> {
        match self {
            Self::Direct(direct) => state.direct_gpus(direct),
            Self::Launcher(launcher) => launcher.recorded.as_ref().map(|recorded| recorded.gpus.clone()).unwrap_or_default(),
        }
    }
}

/// What is known of the instance that a launcher is bound for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoundInstance {
    /// The launcher has not told, or what it told may have changed.
    Unlisted,
    /// It has no such instance.
    Absent,
    /// Its process has ended.
    Stopped,
    /// Its process runs.
    Running,
}

impl NodeState {
    /// What a requester's stub answered, if it is still the same start of its container. What it answered before the API told
    /// of any start was said by the first one, as long as nothing was restarted.
    #[must_use]
    pub fn stub(&self, requester: &Requester) -> Option<&StubMemory> {
        let pod = &requester.pod;
        let same = |stub: &&StubMemory| stub.container == pod.container.id || (stub.container.is_none() && pod.restarts == 0);
        self.memory.stubs.get(&pod.uid).filter(same)
    }

    /// What a launcher answered, if it is still the same start of its container.
    #[must_use]
    pub fn told(&self, launcher: &Launcher) -> Option<&LauncherMemory> {
        self.memory.launchers.get(&launcher.pod.uid).filter(|memory| memory.container == launcher.pod.container.id)
    }

    /// The instances of a launcher, if it has told.
    #[must_use]
    pub fn instances(&self, launcher: &Launcher) -> Option<&BTreeMap<InstanceId, Instance>> {
        self.told(launcher)?.instances.known()
    }

    /// Whether an engine sleeps, if that is known.
    #[must_use]
    pub fn sleep(&self, engine: &EngineRef, provider: &PodMeta) -> Option<Sleep> {
        let memory = self.memory.engines.get(engine)?;
        if memory.container != provider.container.id {
            return None;
        }
        memory.sleep.known().copied()
    }

    /// What is known of the bound instance of a launcher.
    pub(super) fn bound_state(&self, launcher: &Launcher, instance: &InstanceId) -> BoundInstance {
        let Some(memory) = self.told(launcher) else { return BoundInstance::Unlisted };
        let Some(instances) = memory.instances.known() else { return BoundInstance::Unlisted };
        let under_way = Target::Engine(EngineRef::instance(&launcher.pod.uid, instance));
        match instances.get(instance) {
            Some(instance) if instance.stopped => BoundInstance::Stopped,
            Some(_) => BoundInstance::Running,
            None if memory.stale || self.in_flight(&under_way) => BoundInstance::Unlisted,
            None => BoundInstance::Absent,
        }
    }

    /// Whether an action on this target is under way.
    pub(super) fn in_flight(&self, target: &Target) -> bool {
        let first = ActionKey { target: target.clone(), verb: Verb::ReadGpus, detail: String::new() };
        self.memory.in_flight.range(first..).next().is_some_and(|(key, _)| key.target == *target)
    }

    /// Whether a provider is being bound to, or made for, this requester.
    pub(super) fn binding_under_way(&self, requester: &Uid) -> bool {
        self.in_flight(&Target::NewProvider(requester.clone()))
            || self.memory.in_flight.keys().any(|key| key.verb == Verb::Bind && key.detail == requester.as_str())
    }

    /// GPUs of a direct provider: as annotated, else its indices looked up in `gpu-map`.
    pub(super) fn direct_gpus(&self, direct: &Direct) -> Vec<GpuUuid> {
        if !direct.gpus.is_empty() {
            return direct.gpus.clone();
        }
        let by_index: BTreeMap<u32, &GpuUuid> =
            self.gpu_map.by_uuid.iter().filter(|(_, (node, _))| *node == self.node.name).map(|(uuid, (_, index))| (*index, uuid)).collect();
        direct.indices.iter().filter_map(|index| by_index.get(index).map(|uuid| (*uuid).clone())).collect()
    }
}
