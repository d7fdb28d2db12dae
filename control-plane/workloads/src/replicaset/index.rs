//! All ReplicaSets, and the facts of all Pods.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dormouse_controller::{Consistent, Inconsistent, Index, ObjectKey, Objects, Put, Reason, Touched};
use dormouse_runtime::SharedClock;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use super::pace::Pace;
use super::plan::selector;
use crate::pods::{Phase, PodFacts};

/// The index of the controller.
pub(super) struct Sets {
    clock: SharedClock,
    pub(super) sets: Objects<Arc<ReplicaSet>>,
    pub(super) pods: Objects<PodFacts>,
    /// Of sets, by UID, whose Pods failed at once.
    paces: HashMap<String, Pace>,
}

impl Sets {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, sets: Objects::default(), pods: Objects::default(), paces: HashMap::new() }
    }

    /// The pace of a set.
    pub(super) fn pace(&self, uid: &str) -> Pace {
        self.paces.get(uid).copied().unwrap_or_default()
    }

    /// What a change of a Pod says of its set's pace.
    fn watch_pace(&mut self, old: Option<&PodFacts>, new: &PodFacts) {
        let Some(owner) = &new.controller else { return };
        if new.ready_since.is_some() {
            self.paces.remove(&owner.uid);
        } else if let (Phase::Failed, Some(created)) = (new.phase, new.created)
            && old.is_none_or(|old| old.phase != Phase::Failed)
            && !new.deleting
        {
            self.paces.entry(owner.uid.clone()).or_default().failed(created, self.clock.now());
        }
    }

    /// The sets that a Pod concerns: its controller, or every set of the namespace that selects it.
    fn concerned(&self, pod: &PodFacts, reason: Reason) -> Touched<ObjectKey> {
        let concerns = |set: &ReplicaSet| match &pod.controller {
            Some(owner) => set.metadata.uid.as_deref() == Some(&owner.uid),
            None => selector(set).is_ok_and(|s| s.matches(&pod.labels)),
        };
        let sets = self.sets.in_namespace(&pod.namespace).filter(|(_, set)| concerns(set));
        sets.map(|(key, _)| (key.clone(), reason)).collect()
    }

    fn take_in(&mut self, pod: &Pod, reason: Reason) -> Touched<ObjectKey> {
        let facts = PodFacts::of(pod);
        let mut touched = self.concerned(&facts, reason);
        let put = if reason == Reason::Answered { Objects::put_answer } else { Objects::put };
        match put(&mut self.pods, &pod.metadata, facts.clone()) {
            Put::Stale => return Touched::new(),
            Put::New => self.watch_pace(None, &facts),
            Put::Replaced(old) => {
                touched.extend(self.concerned(&old, reason));
                self.watch_pace(Some(&old), &facts);
            }
        }
        touched
    }

    /// The answer to a creation of ours, which is newer than what the watch has shown so far.
    pub(super) fn created(&mut self, pod: &Pod) -> Touched<ObjectKey> {
        self.take_in(pod, Reason::Answered)
    }

    /// A deletion of ours was accepted.
    pub(super) fn deleting(&mut self, key: &ObjectKey, uid: &str) {
        if let Some(pod) = self.pods.get_mut(key, uid) {
            pod.deleting = true;
        }
    }
}

impl Index<Pod> for Sets {
    type Key = ObjectKey;

    fn apply(&mut self, pod: Pod) -> Touched<ObjectKey> {
        self.take_in(&pod, Reason::Related)
    }

    fn delete(&mut self, pod: Pod) -> Touched<ObjectKey> {
        self.pods.remove(&pod.metadata);
        self.concerned(&PodFacts::of(&pod), Reason::Related)
    }

    fn reset(&mut self, all: Vec<Pod>) -> Touched<ObjectKey> {
        self.pods.replace_all(all.into_iter().map(|pod| (pod.metadata.clone(), PodFacts::of(&pod))).collect());
        self.sets.iter().map(|(key, _)| (key.clone(), Reason::Listed)).collect()
    }
}

impl Index<ReplicaSet> for Sets {
    type Key = ObjectKey;

    fn apply(&mut self, set: ReplicaSet) -> Touched<ObjectKey> {
        self.sets.apply(set)
    }

    fn delete(&mut self, set: ReplicaSet) -> Touched<ObjectKey> {
        self.paces.remove(set.metadata.uid.as_deref().unwrap_or_default());
        self.sets.delete(set)
    }

    fn reset(&mut self, all: Vec<ReplicaSet>) -> Touched<ObjectKey> {
        let there: HashSet<&str> = all.iter().filter_map(|set| set.metadata.uid.as_deref()).collect();
        self.paces.retain(|uid, _| there.contains(uid.as_str()));
        self.sets.reset(all)
    }
}

impl Consistent for Sets {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        self.sets.consistency_check()?;
        self.pods.consistency_check()
    }
}
