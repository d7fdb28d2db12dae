//! All Deployments and ReplicaSets.

use std::sync::Arc;

use dormouse_controller::{Consistent, Inconsistent, Index, ObjectKey, Objects, Put, Reason, Touched};
use dormouse_machinery::selector::Selector;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::ResourceExt;
use serde_json::json;

/// The index of the controller.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    pub(super) deployments: Objects<Arc<Deployment>>,
    sets: Objects<Arc<ReplicaSet>>,
}

/// UID and name of the controlling owner of a set.
fn controller(set: &ReplicaSet) -> Option<(&str, &str)> {
    set.owner_references().iter().find(|o| o.controller == Some(true)).map(|o| (o.uid.as_str(), o.name.as_str()))
}

/// What a Deployment selects; nothing, when that cannot be read.
pub(super) fn selector(deployment: &Deployment) -> Option<Selector> {
    Selector::from_label_selector(&json!(deployment.spec.selector)).ok()
}

/// Sets and their Deployment: those it controls, and those that are nobody's and that it selects; oldest first.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// It controls them and they match.
    pub(super) owned: Vec<Arc<ReplicaSet>>,
    /// They match and are nobody's.
    pub(super) adopt: Vec<Arc<ReplicaSet>>,
    /// It controls them and they match no longer.
    pub(super) release: Vec<Arc<ReplicaSet>>,
}

impl Rollouts {
    /// The Deployments that a set concerns.
    fn concerned(&self, set: &ReplicaSet, reason: Reason) -> Touched<ObjectKey> {
        let namespace = set.namespace().unwrap_or_default();
        let concerns = |deployment: &Deployment| match controller(set) {
            Some((uid, _)) => deployment.metadata.uid.as_deref() == Some(uid),
            None => selector(deployment).is_some_and(|s| s.matches(set.labels())),
        };
        let deployments = self.deployments.in_namespace(&namespace).filter(|(_, deployment)| concerns(deployment));
        deployments.map(|(key, _)| (key.clone(), reason)).collect()
    }

    pub(super) fn take_in(&mut self, set: ReplicaSet, reason: Reason) -> Touched<ObjectKey> {
        let (metadata, mut touched) = (set.metadata.clone(), self.concerned(&set, reason));
        let put = if reason == Reason::Answered { Objects::put_answer } else { Objects::put };
        match put(&mut self.sets, &metadata, Arc::new(set)) {
            Put::Stale => return Touched::new(),
            Put::New => {}
            Put::Replaced(old) => {
                let old = self.concerned(&old, reason);
                touched.extend(old.into_iter().filter(|old| !touched.contains(old)).collect::<Vec<_>>());
            }
        }
        touched
    }

    /// The sets of a Deployment.
    pub(super) fn claims(&self, key: &ObjectKey, deployment: &Deployment) -> Claims {
        let Some(selector) = selector(deployment) else { return Claims::default() };
        let uid = deployment.metadata.uid.as_deref().unwrap_or_default();
        let mut claims = Claims::default();
        let mut sets: Vec<&Arc<ReplicaSet>> = self.sets.in_namespace(&key.namespace).map(|(_, set)| set).collect();
        sets.sort_by_key(|s| (s.creation_timestamp().map(|t| t.0), s.name_any()));
        for set in sets {
            let matches = selector.matches(set.labels());
            match controller(set) {
                Some((owner, _)) if owner != uid => continue,
                Some(_) if matches => &mut claims.owned,
                Some(_) => &mut claims.release,
                None if matches && set.metadata.deletion_timestamp.is_none() => &mut claims.adopt,
                None => continue,
            }
            .push(Arc::clone(set));
        }
        claims
    }
}

impl Index<Deployment> for Rollouts {
    type Key = ObjectKey;

    fn apply(&mut self, deployment: Deployment) -> Touched<ObjectKey> {
        self.deployments.apply(deployment)
    }

    fn delete(&mut self, deployment: Deployment) -> Touched<ObjectKey> {
        self.deployments.delete(deployment)
    }

    fn reset(&mut self, all: Vec<Deployment>) -> Touched<ObjectKey> {
        self.deployments.reset(all)
    }
}

impl Index<ReplicaSet> for Rollouts {
    type Key = ObjectKey;

    fn apply(&mut self, set: ReplicaSet) -> Touched<ObjectKey> {
        self.take_in(set, Reason::Related)
    }

    fn delete(&mut self, set: ReplicaSet) -> Touched<ObjectKey> {
        self.sets.remove(&set.metadata);
        self.concerned(&set, Reason::Related)
    }

    fn reset(&mut self, all: Vec<ReplicaSet>) -> Touched<ObjectKey> {
        self.sets.replace_all(all.into_iter().map(|set| (set.metadata.clone(), Arc::new(set))).collect());
        self.deployments.iter().map(|(key, _)| (key.clone(), Reason::Listed)).collect()
    }
}

impl Consistent for Rollouts {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        self.deployments.consistency_check()?;
        self.sets.consistency_check()
    }
}
