//! Deployment: rolls a template out over ReplicaSets.
//!
//! One ReplicaSet per template, found by comparing templates (the hash label left out), named by a hash of
//! our own. The rollout decision is pure ([`rollout`]); the reconciler makes sets, scales them and writes the
//! status that `kubectl rollout status` reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_controller::{
    At, Backoff, CallError, Consistent, Inconsistent, Index, JsonClient, Note, ObjectKey, Objects, Patch, Put, Queue, Reason, Recorder,
    Requeue, Touched, already_exists, changes, follow, gone_is_done, workers,
};
use dormouse_machinery::hash;
use dormouse_runtime::SharedClock;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::DeleteParams;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::common::controlled_by;

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";

/// What the rollout decision knows of one ReplicaSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetFacts {
    pub name: String,
    pub wanted: i32,
    pub actual: i32,
    pub available: i32,
    /// Runs the current template.
    pub new: bool,
}

/// How a Deployment replaces Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    Recreate,
    Rolling { surge: i32, unavailable: i32 },
}

impl Strategy {
    fn of(spec: &DeploymentSpec) -> Self {
        let strategy = spec.strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate") {
            return Self::Recreate;
        }
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let wanted = spec.replicas.unwrap_or(1);
        let surge = portion(rolling.and_then(|r| r.max_surge.as_ref()), wanted, true);
        let unavailable = portion(rolling.and_then(|r| r.max_unavailable.as_ref()), wanted, false);
        // Both nought would never move.
        Self::Rolling { surge, unavailable: if surge == 0 && unavailable == 0 { 1 } else { unavailable } }
    }
}

/// A number or a percentage of `total`; absent means 25 %.
fn portion(value: Option<&IntOrString>, total: i32, up: bool) -> i32 {
    let percent = |p: i64| {
        let n = i64::from(total) * p;
        i32::try_from(if up { (n + 99) / 100 } else { n / 100 }).unwrap_or(i32::MAX)
    };
    match value {
        Some(IntOrString::Int(n)) => (*n).max(0),
        Some(IntOrString::String(s)) => s.trim_end_matches('%').parse().map_or(0, percent),
        None => percent(25),
    }
}

/// PURE: the replicas each set is to ask for next; sets not named stay as they are. Old sets come oldest first.
pub(crate) fn rollout(wanted: i32, strategy: Strategy, sets: &[SetFacts]) -> BTreeMap<String, i32> {
    let mut next = BTreeMap::new();
    let Some(new) = sets.iter().find(|s| s.new) else { return next };
    let old: Vec<&SetFacts> = sets.iter().filter(|s| !s.new).collect();
    match strategy {
        Strategy::Recreate => {
            for set in old.iter().filter(|s| s.wanted > 0) {
                next.insert(set.name.clone(), 0);
            }
            if old.iter().all(|s| s.actual == 0 && s.wanted == 0) && new.wanted != wanted {
                next.insert(new.name.clone(), wanted);
            }
        }
        Strategy::Rolling { surge, unavailable } => {
            let total: i32 = sets.iter().map(|s| s.wanted).sum();
            let mut new_wanted = new.wanted;
            if new.wanted > wanted {
                new_wanted = wanted;
            } else if new.wanted < wanted {
                new_wanted += (wanted + surge - total).max(0).min(wanted - new.wanted);
            }
            if new_wanted != new.wanted {
                next.insert(new.name.clone(), new_wanted);
            }
            // What may go: everything above the least that must be available, Pods of the new set that are not up yet counted as needed.
            let new_missing = (new.wanted - new.available).max(0);
            let mut may_go = (total - (wanted - unavailable) - new_missing).max(0);
            // Pods that are not available serve nobody: they go first and cost nothing.
            for set in &old {
                let sick = (set.wanted - set.available).max(0).min(may_go).min(set.wanted);
                if sick > 0 {
                    next.insert(set.name.clone(), set.wanted - sick);
                    may_go -= sick;
                }
            }
            let available: i32 = sets.iter().map(|s| s.available).sum();
            let mut spare = (available - (wanted - unavailable)).max(0).min(may_go);
            for set in &old {
                let left = next.get(&set.name).copied().unwrap_or(set.wanted);
                let go = left.min(spare);
                if go > 0 {
                    next.insert(set.name.clone(), left - go);
                    spare -= go;
                }
            }
        }
    }
    next
}

/// All Deployments and ReplicaSets.
#[derive(Debug, Default)]
struct Rollouts {
    deployments: Objects<Arc<Deployment>>,
    sets: Objects<Arc<ReplicaSet>>,
}

/// The Deployment that controls a set.
fn owner(set: &ReplicaSet) -> Option<ObjectKey> {
    let owner = set.owner_references().iter().find(|o| o.controller == Some(true) && o.kind == "Deployment")?;
    Some(ObjectKey::new(set.namespace().unwrap_or_default(), owner.name.clone()))
}

impl Rollouts {
    fn take_in(&mut self, set: ReplicaSet, reason: Reason) -> Touched<ObjectKey> {
        let (metadata, new) = (set.metadata.clone(), owner(&set));
        let old = match self.sets.put(&metadata, Arc::new(set)) {
            Put::Stale => return Touched::new(),
            Put::New => None,
            Put::Replaced(old) => owner(&old).filter(|old| Some(old) != new.as_ref()),
        };
        new.into_iter().chain(old).map(|key| (key, reason)).collect()
    }

    /// The sets that a Deployment controls, oldest revision first.
    fn sets_of(&self, key: &ObjectKey, uid: &str) -> Vec<Arc<ReplicaSet>> {
        let owned = |s: &ReplicaSet| s.owner_references().iter().any(|o| o.controller == Some(true) && o.uid == uid);
        let mut sets: Vec<_> = self.sets.in_namespace(&key.namespace).map(|(_, s)| Arc::clone(s)).filter(|s| owned(s)).collect();
        sets.sort_by_key(|s| (revision(s), s.name_any()));
        sets
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
        owner(&set).map(|key| (key, Reason::Related)).into_iter().collect()
    }

    fn reset(&mut self, all: Vec<ReplicaSet>) -> Touched<ObjectKey> {
        let gone = self.sets.replace_all(all.into_iter().map(|set| (set.metadata.clone(), Arc::new(set))).collect());
        let gone: Vec<_> = gone.iter().filter_map(|(_, set)| owner(set)).collect();
        gone.into_iter().chain(self.sets.iter().filter_map(|(_, set)| owner(set))).map(|key| (key, Reason::Listed)).collect()
    }
}

impl Consistent for Rollouts {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        self.deployments.consistency_check()?;
        self.sets.consistency_check()
    }
}

struct Controller {
    client: JsonClient,
    clock: SharedClock,
    recorder: Recorder,
    index: Mutex<Rollouts>,
    queue: Queue<ObjectKey>,
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, clock: SharedClock, recorder: &Recorder) {
    let c = Arc::new(Controller {
        client: JsonClient::from(client.clone()),
        clock,
        recorder: recorder.of("deployment-controller"),
        index: Mutex::default(),
        queue: Queue::new(Backoff::default()),
    });
    let deployments = changes(Api::<Deployment>::all(client.clone()), watcher::Config::default());
    let sets = changes(Api::<ReplicaSet>::all(client), watcher::Config::default());
    tokio::join!(
        follow(deployments, &c.index, &c.queue),
        follow(sets, &c.index, &c.queue),
        workers("deployment", &c.queue, 2, |key| Arc::clone(&c).reconcile(key)),
    );
}

/// Where a Deployment is.
fn place(deployment: &Deployment) -> At {
    At::one::<Deployment>(deployment.metadata.namespace.as_deref(), &deployment.name_any())
}

impl Controller {
    fn with<T>(&self, f: impl FnOnce(&mut Rollouts) -> T) -> T {
        f(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Requeue, CallError> {
        let Some(deployment) = self.with(|i| i.deployments.get(&key).cloned()) else { return Ok(Requeue::OnChange) };
        if deployment.metadata.deletion_timestamp.is_some() {
            return Ok(Requeue::OnChange);
        }
        let spec = &deployment.spec;
        let mut sets = self.with(|i| i.sets_of(&key, &deployment.uid().unwrap_or_default()));
        let wanted_template = template_value(&spec.template);
        let newest = sets.iter().rposition(|s| s.spec.template.as_ref().is_some_and(|t| template_value(t) == wanted_template));
        let paused = spec.paused == Some(true);
        if newest.is_none() && !paused {
            let revision = sets.iter().map(|s| revision(s)).max().unwrap_or(0) + 1;
            let made = self.create_set(&deployment, spec, revision, &sets).await?;
            // Newer than what the watch has shown so far.
            let touched = self.with(|i| i.take_in(made.clone(), Reason::Answered));
            self.queue.add_all(touched);
            sets.push(Arc::new(made));
        }
        let newest = newest.or_else(|| (!paused).then(|| sets.len().saturating_sub(1)));
        let facts: Vec<SetFacts> = sets.iter().enumerate().map(|(i, s)| set_facts(s, Some(i) == newest)).collect();
        let wanted = spec.replicas.unwrap_or(1);
        if !paused {
            for (name, replicas) in rollout(wanted, Strategy::of(spec), &facts) {
                let at = At::one::<ReplicaSet>(Some(&key.namespace), &name);
                let patch = json!({"metadata": {"annotations": {DESIRED: wanted.to_string()}}, "spec": {"replicas": replicas}});
                gone_is_done(self.client.patch::<Value>(&at, &Patch::Merge(&patch)).await)?;
                if let Some(set) = sets.iter().find(|s| s.name_any() == name) {
                    self.scaled(&deployment, set, set.spec.replicas.unwrap_or(1), replicas);
                }
            }
            self.drop_history(&key, spec, &sets, newest).await?;
        }
        self.write_status(&deployment, spec, &sets, newest).await?;
        Ok(Requeue::OnChange)
    }

    async fn create_set(
        &self,
        deployment: &Deployment,
        spec: &DeploymentSpec,
        revision: i64,
        sets: &[Arc<ReplicaSet>],
    ) -> Result<ReplicaSet, CallError> {
        let collisions = deployment.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        let hash = hash::template(&template_value(&spec.template), u32::try_from(collisions).ok().filter(|c| *c > 0));
        let mut template = spec.template.clone();
        let mut labels = template.metadata.get_or_insert_default().labels.clone().unwrap_or_default();
        labels.insert(HASH.into(), hash.clone());
        template.metadata.get_or_insert_default().labels = Some(labels.clone());
        let mut selector = spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(HASH.into(), hash.clone());
        // A first set starts with all it may have; a later one is scaled up by the rollout.
        let replicas = if sets.is_empty() { spec.replicas.unwrap_or(1) } else { 0 };
        let body = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{}-{hash}", deployment.name_any()), "namespace": deployment.namespace(), "labels": labels,
                "annotations": {REVISION: revision.to_string(), DESIRED: spec.replicas.unwrap_or(1).to_string()},
                "ownerReferences": [controlled_by(deployment)],
            },
            "spec": {"replicas": replicas, "minReadySeconds": spec.min_ready_seconds.unwrap_or(0), "selector": selector, "template": template},
        });
        let all = At::all::<ReplicaSet>(deployment.metadata.namespace.as_deref());
        match self.client.create::<ReplicaSet>(&all, &body).await {
            Err(error) if already_exists(&error) => {
                let there: ReplicaSet = self.client.get(&all.named(body["metadata"]["name"].as_str().unwrap_or_default())).await?;
                let same = there.spec.template.as_ref().is_some_and(|t| template_value(t) == template_value(&spec.template));
                let ours = there.owner_references().iter().any(|o| Some(&o.uid) == deployment.metadata.uid.as_ref());
                if same && ours {
                    return Ok(there);
                }
                // Another template has the same hash, or a stranger the same name: count it and choose another name.
                let patch = json!({"status": {"collisionCount": collisions + 1}});
                self.client.patch::<Value>(&place(deployment).subresource("status"), &Patch::Merge(&patch)).await?;
                Err(error)
            }
            Ok(made) => {
                if replicas > 0 {
                    self.scaled(deployment, &made, 0, replicas);
                }
                Ok(made)
            }
            Err(error) => Err(error),
        }
    }

    fn scaled(&self, deployment: &Deployment, set: &ReplicaSet, from: i32, to: i32) {
        let direction = if to < from { "down" } else { "up" };
        let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.name_any());
        self.recorder.record(&deployment.object_ref(&()), Note::normal("ScalingReplicaSet", message));
    }

    async fn drop_history(
        &self,
        key: &ObjectKey,
        spec: &DeploymentSpec,
        sets: &[Arc<ReplicaSet>],
        newest: Option<usize>,
    ) -> Result<(), CallError> {
        let keep = usize::try_from(spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
        let idle = |s: &ReplicaSet| s.spec.replicas == Some(0) && s.status.as_ref().is_none_or(|s| s.replicas == 0);
        let old: Vec<_> = sets.iter().enumerate().filter(|(i, s)| Some(*i) != newest && idle(s)).map(|(_, s)| s).collect();
        for set in old.iter().take(old.len().saturating_sub(keep)) {
            let at = At::one::<ReplicaSet>(Some(&key.namespace), &set.name_any());
            gone_is_done(self.client.delete(&at, &DeleteParams::default()).await)?;
        }
        Ok(())
    }

    async fn write_status(
        &self,
        deployment: &Deployment,
        spec: &DeploymentSpec,
        sets: &[Arc<ReplicaSet>],
        newest: Option<usize>,
    ) -> Result<(), CallError> {
        let sum = |f: fn(&ReplicaSet) -> i32| sets.iter().map(|s| f(s)).sum::<i32>();
        let wanted = spec.replicas.unwrap_or(1);
        let updated = newest.and_then(|i| sets.get(i)).and_then(|s| s.status.as_ref()).map_or(0, |s| s.replicas);
        let total = sum(|s| s.status.as_ref().map_or(0, |s| s.replicas));
        let ready = sum(|s| s.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0));
        let available = sum(|s| s.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0));
        let least = wanted
            - match Strategy::of(spec) {
                Strategy::Recreate => wanted,
                Strategy::Rolling { unavailable, .. } => unavailable,
            };
        let name = newest.and_then(|i| sets.get(i)).map_or_else(String::new, |s| s.name_any());
        let complete = updated == wanted && total == wanted && available == wanted;
        let up = if available >= least {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned())
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.".to_owned())
        };
        let progress = if complete {
            ("True", "NewReplicaSetAvailable", format!("ReplicaSet \"{name}\" has successfully progressed."))
        } else {
            ("True", "ReplicaSetUpdated", format!("ReplicaSet \"{name}\" is progressing."))
        };
        let old = serde_json::to_value(&deployment.status).map_err(kube::Error::SerdeError)?;
        let now = self.clock.now().to_string();
        let new = json!({
            "observedGeneration": deployment.metadata.generation, "replicas": total, "updatedReplicas": updated, "readyReplicas": ready,
            "availableReplicas": available, "unavailableReplicas": (wanted.max(total) - available).max(0),
            "conditions": [condition(&old, "Available", &up, &now), condition(&old, "Progressing", &progress, &now)],
        });
        let same = new.as_object().into_iter().flatten().all(|(k, v)| {
            let was = old.get(k).unwrap_or(&Value::Null);
            was == v || (was.is_null() && *v == json!(0))
        });
        if !same {
            let patch = json!({"metadata": {"uid": deployment.uid()}, "status": new});
            gone_is_done(self.client.patch::<Value>(&place(deployment).subresource("status"), &Patch::Merge(&patch)).await)?;
        }
        if let Some(set) = newest.and_then(|i| sets.get(i)) {
            let revision = set.annotations().get(REVISION).cloned();
            if revision.is_some() && deployment.annotations().get(REVISION) != revision.as_ref() {
                let patch = json!({"metadata": {"annotations": {REVISION: revision}}});
                gone_is_done(self.client.patch::<Value>(&place(deployment), &Patch::Merge(&patch)).await)?;
            }
        }
        Ok(())
    }
}

/// A condition as it is to be: times move only when what they stamp moves.
fn condition(old: &Value, type_: &str, (status, reason, message): &(&str, &str, String), now: &str) -> Value {
    let was = old["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == type_);
    let time = |member: &str, same: bool| was.filter(|_| same).and_then(|w| w[member].as_str()).unwrap_or(now).to_owned();
    let same = was.is_some_and(|w| w["status"] == *status);
    let unchanged = same && was.is_some_and(|w| w["reason"] == *reason && w["message"] == **message);
    json!({"type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": time("lastTransitionTime", same), "lastUpdateTime": time("lastUpdateTime", unchanged)})
}

/// A template as a value to compare: without the hash label.
fn template_value(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    value
}

fn revision(set: &ReplicaSet) -> i64 {
    set.annotations().get(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

fn set_facts(set: &ReplicaSet, new: bool) -> SetFacts {
    let status = set.status.as_ref();
    SetFacts {
        name: set.name_any(),
        wanted: set.spec.replicas.unwrap_or(1),
        actual: status.map_or(0, |s| s.replicas),
        available: status.and_then(|s| s.available_replicas).unwrap_or(0),
        new,
    }
}

#[cfg(test)]
mod tests {
    use super::Strategy;
    use super::*;
    use proptest::prelude::*;

    fn set(name: &str, wanted: i32, available: i32, new: bool) -> SetFacts {
        SetFacts { name: name.into(), wanted, actual: wanted, available, new }
    }

    #[test]
    fn recreate_waits_for_the_old_pods_to_be_gone() {
        let next = rollout(2, Strategy::Recreate, &[set("old", 2, 2, false), set("new", 0, 0, true)]);
        assert_eq!(next, [("old".to_owned(), 0)].into());
        let mut leaving = set("old", 0, 0, false);
        leaving.actual = 1;
        assert!(rollout(2, Strategy::Recreate, &[leaving, set("new", 0, 0, true)]).is_empty());
        assert_eq!(rollout(2, Strategy::Recreate, &[set("old", 0, 0, false), set("new", 0, 0, true)]), [("new".to_owned(), 2)].into());
    }

    #[test]
    fn percentages_round_up_for_surge_and_down_for_unavailable() {
        let percent = Some(IntOrString::String("25%".into()));
        assert_eq!((portion(percent.as_ref(), 5, true), portion(percent.as_ref(), 5, false), portion(None, 1, true)), (2, 1, 1));
    }

    proptest! {
        /// Whatever the start, a rollout ends with all Pods new, and on the way neither bound is crossed.
        #[test]
        fn a_rollout_ends_and_keeps_its_bounds(wanted in 0_i32..12, surge in 0_i32..4, unavailable in 0_i32..4, old in 0_i32..12) {
            prop_assume!(surge + unavailable > 0);
            let strategy = Strategy::Rolling { surge, unavailable };
            let mut sets = vec![set("old", old.min(wanted), old.min(wanted), false), set("new", 0, 0, true)];
            for _ in 0..100 {
                let next = rollout(wanted, strategy, &sets);
                if next.is_empty() && sets.iter().all(|s| s.available == s.wanted) {
                    break;
                }
                for s in &mut sets {
                    if let Some(n) = next.get(&s.name) {
                        s.wanted = *n;
                        s.available = s.available.min(*n);
                    }
                }
                let total: i32 = sets.iter().map(|s| s.wanted).sum();
                let available: i32 = sets.iter().map(|s| s.available).sum();
                prop_assert!(total <= wanted + surge);
                prop_assert!(available >= (wanted - unavailable).min(old.min(wanted)));
                // One new Pod becomes available at a time.
                if let Some(s) = sets.iter_mut().find(|s| s.available < s.wanted) {
                    s.available += 1;
                }
            }
            prop_assert_eq!((sets[0].wanted, sets[1].wanted), (0, wanted));
        }
    }
}
