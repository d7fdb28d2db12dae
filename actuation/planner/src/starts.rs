//! Which start of a container a fact is about.
//!
//! Every answer of a stub, a launcher or an engine tells of one start of its container. Both sides of that rule stand here: what
//! is kept of an answer, and what of the kept still holds. Facts about another start than the present one count for nothing.

use std::collections::BTreeMap;

use crate::action::EngineRef;
use crate::ids::{ContainerId, InstanceId, Uid};
use crate::memory::{EngineMemory, Instance, LauncherMemory, Memory, Sleep, StubMemory};
use crate::state::{Launcher, NodeState, PodMeta, Requester};

/// The start that a stub's answer is about, when `known` was the start that the API told of as it was asked. A stub can be asked
/// before the API tells of any start: then it is the first one that answers, as long as nothing was restarted.
fn asked<'c>(pod: Option<&'c PodMeta>, known: Option<&'c ContainerId>) -> Option<&'c ContainerId> {
    known.or_else(|| pod.filter(|pod| pod.restarts == 0)?.container.id.as_ref())
}

impl NodeState {
    /// What a requester's stub answered, if it is still the same start of its container.
    #[must_use]
    pub fn stub(&self, requester: &Requester) -> Option<&StubMemory> {
        let pod = &requester.pod;
        self.memory.stubs.get(&pod.uid).filter(|stub| asked(Some(pod), stub.container.as_ref()) == pod.container.id.as_ref())
    }

    /// Memory about a stub, for what it answered when `known` was its start.
    pub(crate) fn stub_memory(&mut self, uid: &Uid, known: Option<&ContainerId>) -> &mut StubMemory {
        let pod = self.requesters.get(uid).map(|requester| &requester.pod);
        if let Some(stub) = self.memory.stubs.get_mut(uid) {
            // What it answered before may turn out to be about this very start.
            stub.container = asked(pod, stub.container.as_ref()).cloned();
        }
        let start = asked(pod, known);
        let stub = self.memory.stubs.entry(uid.clone()).or_default();
        if stub.container.as_ref() != start {
            *stub = StubMemory { container: start.cloned(), history: std::mem::take(&mut stub.history), ..StubMemory::default() };
        }
        stub
    }

    /// What a launcher answered, if it is still the same start of its container.
    #[must_use]
    pub fn told_by(&self, launcher: &Launcher) -> Option<&LauncherMemory> {
        self.memory.launchers.get(&launcher.pod.uid).filter(|memory| memory.container == launcher.pod.container.id)
    }

    /// The instances of a launcher, if it has told.
    #[must_use]
    pub fn instances(&self, launcher: &Launcher) -> Option<&BTreeMap<InstanceId, Instance>> {
        self.told_by(launcher)?.instances.known()
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
}

impl Memory {
    /// Memory about an engine, emptied when it is about another start of its container.
    pub(crate) fn engine(&mut self, engine: &EngineRef, container: Option<&ContainerId>) -> &mut EngineMemory {
        let memory = self.engines.entry(engine.clone()).or_default();
        if memory.container.as_ref() != container {
            *memory = EngineMemory { container: container.cloned(), ..EngineMemory::default() };
        }
        memory
    }

    /// Memory about a launcher, emptied when it is about another start of its container. What was seen there stays seen: an
    /// instance that the new start does not have is dead.
    pub(crate) fn launcher(&mut self, uid: &Uid, container: Option<&ContainerId>) -> &mut LauncherMemory {
        let memory = self.launchers.entry(uid.clone()).or_default();
        if memory.container.as_ref() != container {
            self.engines.retain(|engine, _| engine.provider != *uid);
            let seen = std::mem::take(&mut memory.seen);
            *memory = LauncherMemory { container: container.cloned(), seen, ..LauncherMemory::default() };
        }
        memory
    }
}
