//! Who is bound to whom, and what that calls for.
//!
//! A requester is a live server only while it exists under the UID in the binding record, is not being deleted and is in no
//! terminal phase; otherwise its provider is released (G3, G44). Releases come first, because they free GPUs; then bound pairs,
//! because they have a claim on theirs; then requesters without a provider. Within each group the order is that of age, then
//! UID.

use std::collections::{BTreeMap, BTreeSet};

use super::Planner;
use super::view::{BoundInstance, Provider};
use crate::action::{DeletePodReason, Duality, EngineRef, Verb};
use crate::ids::Uid;
use crate::memory::Sleep;
use crate::planned::GpuFacts;
use crate::state::{Applied, Binding, Requester};
use crate::write;

impl<'s> Planner<'s> {
    /// Plans for all bindings and all requesters.
    pub(super) fn pairs(&mut self) {
        let mut bound: BTreeMap<&'s Uid, Vec<Provider<'s>>> = BTreeMap::new();
        let state = self.state;
        for direct in state.directs.values() {
            if let Some(binding) = &direct.binding {
                bound.entry(&binding.uid).or_default().push(Provider::Direct(direct));
            }
        }
        for launcher in state.launchers.values() {
            if let Some(binding) = &launcher.binding {
                bound.entry(&binding.uid).or_default().push(Provider::Launcher(launcher));
            }
        }
        let mut pairs: BTreeMap<&'s Uid, Provider<'s>> = BTreeMap::new();
        for (uid, providers) in bound {
            let requester = state.requesters.get(uid);
            let kept = self.keep(requester, &providers);
            for (index, provider) in providers.into_iter().enumerate() {
                if requester.is_some() && index == kept {
                    pairs.insert(uid, provider);
                } else {
                    // Its requester is absent, or has another provider that is kept (G23).
                    self.release_orphan(uid, provider);
                }
            }
        }
        let mut order: Vec<&'s Requester> = state.requesters.values().collect();
        order.sort_by_key(|requester| (requester.pod.created, &requester.pod.uid));
        let (live, leaving): (Vec<_>, Vec<_>) = order.into_iter().partition(|requester| requester.pod.live());
        for requester in leaving {
            self.leave(requester, pairs.get(&requester.pod.uid).copied());
        }
        let (paired, seeking): (Vec<_>, Vec<_>) = live.into_iter().partition(|requester| pairs.contains_key(&requester.pod.uid));
        for requester in &paired {
            if let Some(provider) = pairs.get(&requester.pod.uid) {
                self.claim(&provider.gpus(state), &requester.pod.uid);
            }
        }
        for requester in paired {
            if let Some(provider) = pairs.get(&requester.pod.uid) {
                self.pair(requester, *provider);
            }
        }
        for requester in seeking {
            self.seek(requester);
        }
    }

    /// Of several providers bound to one requester, the one that serves, else the one that the requester names, else the one
    /// that is furthest; then by age and UID.
    fn keep(&self, requester: Option<&Requester>, providers: &[Provider<'s>]) -> usize {
        let rank = |provider: &Provider<'s>| {
            let pod = provider.pod();
            let serves = match provider {
                Provider::Direct(direct) => pod.ready && self.state.sleep(&EngineRef::direct(&pod.uid), &direct.pod) == Some(Sleep::Awake),
                Provider::Launcher(launcher) => launcher
                    .recorded
                    .as_ref()
                    .is_ok_and(|recorded| recorded.applied == Applied::Full && launcher.sleeping_label.as_deref() == Some("false")),
            };
            let named = requester.is_some_and(|requester| requester.written.dual.as_deref() == Some(pod.name.as_str()));
            // Descending, but the oldest first.
            (!pod.live(), !serves, !named, !pod.ready, pod.created, pod.uid.clone())
        };
        (0..providers.len()).min_by_key(|index| providers.get(*index).map(rank)).unwrap_or(0)
    }

    /// A binding whose requester does not exist, or has a better provider.
    fn release_orphan(&mut self, uid: &Uid, provider: Provider<'s>) {
        let name = match provider {
            Provider::Direct(direct) => direct.binding.as_ref(),
            Provider::Launcher(launcher) => launcher.binding.as_ref(),
        };
        let binding = name.cloned().unwrap_or(Binding { uid: uid.clone(), name: String::new() });
        self.release(&binding, provider);
    }

    /// A requester that is being deleted or has ended.
    fn leave(&mut self, requester: &'s Requester, provider: Option<Provider<'s>>) {
        let uid = &requester.pod.uid;
        match provider {
            Some(provider) => {
                self.release(&requester.id(), provider);
                if self.released(provider) {
                    self.tell_unready(requester);
                }
            }
            None if self.state.binding_under_way(uid) => {}
            None => self.tell_unready(requester),
        }
        self.record_leaving(requester, provider);
    }

    /// Whether the engine of a provider that is being released sleeps or is gone.
    fn released(&self, provider: Provider<'s>) -> bool {
        let pod = provider.pod();
        if !pod.running() {
            return true;
        }
        match provider {
            Provider::Direct(_) => self.state.sleep(&EngineRef::direct(&pod.uid), pod) == Some(Sleep::Settled),
            Provider::Launcher(launcher) => launcher.recorded.as_ref().is_ok_and(|recorded| {
                let engine = EngineRef::instance(&pod.uid, &recorded.instance);
                match self.state.bound_state(launcher, &recorded.instance) {
                    BoundInstance::Absent | BoundInstance::Stopped => true,
                    BoundInstance::Running => self.state.sleep(&engine, pod) == Some(Sleep::Settled),
                    BoundInstance::Unlisted => false,
                }
            }),
        }
    }

    /// A live requester and the provider that is bound to it.
    fn pair(&mut self, requester: &'s Requester, provider: Provider<'s>) {
        if !provider.pod().live() {
            self.provider_leaves(requester, provider);
        } else if !self.state.node.exists || self.state.node.deleting {
            // On a node that is gone nothing is begun; the deletion of its Pods will tell.
            return;
        } else {
            match provider {
                Provider::Direct(direct) => self.serve_direct(requester, direct),
                Provider::Launcher(launcher) => self.serve_launcher(requester, launcher),
            }
        }
        self.record_pair(requester, provider);
    }

    /// A provider goes away though its requester is alive: the requester goes first, so that its set makes another one.
    fn provider_leaves(&mut self, requester: &'s Requester, provider: Provider<'s>) {
        // The finalizer holds the requester until the engine is gone; it has to be there before the deletion.
        if provider.pod().running() && !requester.has_finalizer {
            return;
        }
        let subject = self.subject(Some(&requester.id()), Some(provider));
        self.emit(self.delete_pod(&requester.pod, DeletePodReason::ProviderGone, subject));
    }

    /// Takes the provider finalizer off a provider that is being deleted; deletes one that has ended.
    pub(super) fn dismiss(&mut self, binding: Option<&Binding>, provider: Provider<'s>) {
        let (pod, subject) = (provider.pod(), self.subject(binding, Some(provider)));
        if pod.deleting.is_none() {
            if pod.terminal {
                self.emit(self.delete_pod(pod, DeletePodReason::Terminal, subject));
            }
            return;
        }
        if provider.has_finalizer() {
            let mut action = self.replace(pod, Verb::DropProviderFinalizer, write::drop_provider_finalizer(&pod.object), subject);
            action.log.done = "Removed finalizer from server-providing Pod";
            action.log.fields = vec![("provider", pod.name.clone())];
            self.emit(action);
        }
    }

    /// The figures of this node.
    pub(super) fn facts(&mut self) {
        for gpu in self.ledger.gpus() {
            let mut facts = GpuFacts::default();
            for (engine, entry) in self.ledger.on(&gpu) {
                if entry.occupies() { facts.awake.push(engine.clone()) } else { facts.asleep.push(engine.clone()) }
            }
            self.plan.facts.gpus.insert(gpu, facts);
        }
        for launcher in self.state.launchers.values() {
            let (Some(binding), Ok(recorded)) = (&launcher.binding, &launcher.recorded) else { continue };
            self.plan.facts.duality.push(Duality {
                requester: binding.uid.clone(),
                requester_name: binding.name.clone(),
                provider: launcher.pod.name.clone(),
                instance: recorded.instance.clone(),
                gpus: recorded.gpus.clone(),
            });
        }
        for problems in self.plan.problems.values_mut() {
            problems.sort();
            problems.dedup();
        }
    }

    /// Names of the Pods of `uids`, for texts.
    pub(super) fn provider_name(&self, engine: &EngineRef) -> String {
        let uid = &engine.provider;
        let name = self.state.directs.get(uid).map(|direct| &direct.pod.name);
        let name = name.or_else(|| self.state.launchers.get(uid).map(|launcher| &launcher.pod.name));
        name.cloned().unwrap_or_else(|| "a Pod that is being created".to_owned())
    }

    /// Pods that a live requester's provider could be, for `reserved`.
    pub(super) fn reserve(&mut self, provider: &Uid) {
        self.reserved.insert(provider.clone());
    }

    /// Providers that are taken in this plan.
    pub(super) fn taken(&self) -> &BTreeSet<Uid> {
        &self.reserved
    }
}
