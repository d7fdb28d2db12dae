//! What a plan is made from: a node at an instant. Every step reads it, none changes it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::action::{ActionKey, EngineRef, Subject, Target, Verb};
use crate::hashes;
use crate::ids::{GpuUuid, InstanceId, Uid};
use crate::memory::Failure;
use crate::state::{Binding, Direct, Launcher, Lc, NodeState, PodMeta, Requester, RequesterKind};

/// A node at an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'s> {
    pub(super) state: &'s NodeState,
    pub(super) now: Timestamp,
}

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

    pub(super) fn binding(self) -> Option<&'s Binding> {
        match self {
            Self::Direct(direct) => direct.binding.as_ref(),
            Self::Launcher(launcher) => launcher.binding.as_ref(),
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
    pub(super) fn gpus(self, view: View<'_>) -> Vec<GpuUuid> {
        match self {
            Self::Direct(direct) => view.direct_gpus(direct),
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

impl<'s> View<'s> {
    /// What is known of the bound instance of a launcher.
    pub(super) fn bound_state(self, launcher: &Launcher, instance: &InstanceId) -> BoundInstance {
        let Some(memory) = self.state.told_by(launcher) else { return BoundInstance::Unlisted };
        let Some(instances) = memory.instances.known() else { return BoundInstance::Unlisted };
        match instances.get(instance) {
            Some(instance) if instance.stopped => BoundInstance::Stopped,
            Some(_) => BoundInstance::Running,
            None if memory.stale || self.instance_busy(launcher, instance) => BoundInstance::Unlisted,
            None => BoundInstance::Absent,
        }
    }

    /// Whether an instance is being created or deleted right now: asking for a list would tell nothing.
    pub(super) fn instance_busy(self, launcher: &Launcher, id: &InstanceId) -> bool {
        self.in_flight(&Target::Engine(EngineRef::instance(&launcher.pod.uid, id)))
    }

    /// Whether an action on this target is under way.
    pub(super) fn in_flight(self, target: &Target) -> bool {
        let first = ActionKey { target: target.clone(), verb: Verb::ReadGpus, detail: String::new() };
        self.state.memory.in_flight.range(first..).next().is_some_and(|(key, _)| key.target == *target)
    }

    /// Whether a provider is being bound to, or made for, this requester.
    pub(super) fn binding_under_way(self, requester: &Uid) -> bool {
        self.in_flight(&Target::NewProvider(requester.clone()))
            || self.state.memory.in_flight.keys().any(|key| key.verb == Verb::Bind && key.detail == requester.as_str())
    }

    /// How this has failed since it last succeeded.
    pub(super) fn failure(self, target: Target, verb: Verb) -> Option<&'s Failure> {
        self.state.memory.failures.get(&ActionKey { target, verb, detail: String::new() })
    }

    /// Since when this has failed every time.
    pub(super) fn failing_since(self, target: &Target, verb: Verb) -> Option<Timestamp> {
        self.failure(target.clone(), verb).map(|failure| failure.first)
    }

    /// Whether a binding is on its way out: its requester is gone, or leaving.
    pub(super) fn is_released(self, binding: &Binding) -> bool {
        self.state.requesters.get(&binding.uid).is_none_or(|requester| !requester.pod.live())
    }

    /// The GPUs that a requester's stub has told.
    pub(super) fn reported_gpus(self, requester: &Requester) -> Option<&'s Vec<GpuUuid>> {
        self.state.stub(requester).and_then(|stub| stub.gpus.known())
    }

    /// GPUs of a direct provider: as annotated, else its indices looked up in `gpu-map`.
    pub(super) fn direct_gpus(self, direct: &Direct) -> Vec<GpuUuid> {
        if !direct.gpus.is_empty() {
            return direct.gpus.clone();
        }
        let (node, by_uuid) = (&self.state.node.name, &self.state.gpu_map.by_uuid);
        let by_index: BTreeMap<u32, &GpuUuid> =
            by_uuid.iter().filter(|(_, (of, _))| of == node).map(|(uuid, (_, index))| (*index, uuid)).collect();
        direct.indices.iter().filter_map(|index| by_index.get(index).map(|uuid| (*uuid).clone())).collect()
    }

    /// The hash that launchers of this `LauncherConfig` on this node carry.
    pub(super) fn config_hash(self, lc: &Lc) -> Option<String> {
        let built = lc.template.as_ref().ok()?;
        Some(hashes::template_on_node(&built.hash, &self.state.node.name))
    }

    /// The name of an engine's Pod, for texts.
    pub(super) fn provider_name(self, engine: &EngineRef) -> &'s str {
        let uid = &engine.provider;
        let name = self.state.directs.get(uid).map(|direct| &direct.pod.name);
        let name = name.or_else(|| self.state.launchers.get(uid).map(|launcher| &launcher.pod.name));
        name.map_or("a Pod that is being created", String::as_str)
    }

    /// On whose behalf something is done.
    pub(super) fn subject(self, requester: Option<&Binding>, provider: Option<Provider<'_>>) -> Subject {
        let isc = match provider {
            Some(Provider::Launcher(launcher)) => launcher.recorded.as_ref().ok().and_then(|recorded| recorded.isc.clone()),
            _ => None,
        };
        let wanted = requester.and_then(|binding| self.state.requesters.get(&binding.uid)).and_then(|r| r.kind.isc());
        Subject {
            requester: requester.cloned(),
            provider: provider.map(|provider| provider.pod().name.clone()),
            instance: provider.and_then(Provider::instance).cloned(),
            isc: isc.or_else(|| wanted.map(str::to_owned)),
        }
    }
}

impl Requester {
    /// Its identity in binding records.
    #[must_use]
    pub fn id(&self) -> Binding {
        Binding { uid: self.pod.uid.clone(), name: self.pod.name.clone() }
    }
}

impl RequesterKind {
    /// The `InferenceServerConfig` it names.
    pub(super) fn isc(&self) -> Option<&str> {
        match self {
            Self::Launcher { isc } => Some(isc),
            Self::Direct { .. } | Self::Contradictory => None,
        }
    }
}

impl Launcher {
    /// Whether another controller made this launcher: its hashes say nothing to us.
    pub(super) fn is_foreign(&self) -> bool {
        self.config_hash.as_deref().is_some_and(|hash| !hashes::ours(hash))
    }
}
