//! ReplicaSet: keeps as many Pods as asked for.
//!
//! Held: all ReplicaSets, and the facts of all Pods. Answers to our own creations and deletions are put
//! into the index as observations, because they are newer than what the watch has shown so far; UIDs that
//! the watch has seen deleted are remembered for a while, so that a late answer cannot bring one back.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dormouse_controller::{Backoff, Change, Outcome, Queue, changes, each, gone_is_done, not_found, workers};
use dormouse_machinery::selector::Selector;
use dormouse_runtime::SharedClock;
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::common::{controlled_by, tell};
use crate::pods::{Availability, PodFacts};

/// Nothing in particular is related.
const NONE: Option<&Pod> = None;

type Key = (String, String);

/// Pods made or deleted at once by one pass; the rest follows in the next.
const BURST: usize = 500;
/// Calls of one pass that run at once.
const CONCURRENT: usize = 16;

/// What must happen so that a set has what it asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Pods to make.
    pub create: usize,
    /// Pods to delete: name and UID.
    pub delete: Vec<(String, String)>,
    /// Pods without a controller that match: name and UID.
    pub adopt: Vec<(String, String)>,
    /// Pods of ours that match no longer: name and UID.
    pub release: Vec<(String, String)>,
    /// `status` as it is to be.
    pub status: SetStatus,
    /// Seconds until a ready Pod becomes available.
    pub recheck: Option<i64>,
}

/// The counts of a set's status.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct SetStatus {
    pub replicas: i32,
    pub fully_labeled: i32,
    pub ready: i32,
    pub available: i32,
    pub terminating: i32,
}

/// PURE: decides for one set. `pods` are those of its namespace.
pub(crate) fn plan<'a>(set: &ReplicaSet, selector: &Selector, pods: impl Iterator<Item = &'a PodFacts>, now: Timestamp) -> Plan {
    let uid = set.uid().unwrap_or_default();
    let deleting = set.metadata.deletion_timestamp.is_some();
    let spec = &set.spec;
    let template = spec.template.as_ref().and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.as_ref());
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let mut plan = Plan::default();
    let mut mine = Vec::new();
    for pod in pods {
        let matches = selector.matches(&pod.labels);
        match &pod.controller {
            Some(owner) if owner.uid != uid => continue,
            Some(_) if !matches => {
                if !pod.deleting {
                    plan.release.push((pod.name.clone(), pod.uid.clone()));
                }
                continue;
            }
            None if matches && pod.active() && !deleting => plan.adopt.push((pod.name.clone(), pod.uid.clone())),
            None => continue,
            Some(_) => {}
        }
        if pod.deleting {
            plan.status.terminating += 1;
        }
        if pod.active() {
            mine.push(pod);
        }
    }
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let labeled = |p: &&&PodFacts| template.is_none_or(|t| t.iter().all(|(k, v)| p.labels.get(k) == Some(v)));
    plan.status.replicas = count(mine.len());
    plan.status.fully_labeled = count(mine.iter().filter(labeled).count());
    plan.status.ready = count(mine.iter().filter(|p| p.ready_since.is_some()).count());
    for pod in &mine {
        match pod.available(min_ready, now) {
            Availability::Yes => plan.status.available += 1,
            Availability::In(left) => plan.recheck = Some(plan.recheck.map_or(left, |r: i64| r.min(left))),
            Availability::No => {}
        }
    }
    if deleting {
        return plan;
    }
    let want = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    if mine.len() < want {
        plan.create = (want - mine.len()).min(BURST);
    } else if mine.len() > want {
        let mut mates: HashMap<&str, usize> = HashMap::new();
        for node in mine.iter().filter_map(|p| p.node.as_deref()) {
            *mates.entry(node).or_default() += 1;
        }
        let excess = mine.len() - want;
        mine.sort_by_cached_key(|p| p.deletion_rank(&mates));
        plan.delete = mine.iter().take(excess.min(BURST)).map(|p| (p.name.clone(), p.uid.clone())).collect();
    }
    plan
}

#[derive(Default)]
struct Index {
    sets: BTreeMap<Key, Arc<ReplicaSet>>,
    /// Namespace to name to facts.
    pods: HashMap<String, BTreeMap<String, PodFacts>>,
    gone: HashSet<String>,
    gone_order: VecDeque<String>,
}

impl Index {
    /// The sets that a Pod concerns: its controller, or every set of the namespace that selects it.
    fn concerned(&self, pod: &PodFacts) -> Vec<Key> {
        let in_ns = self.sets.range((pod.namespace.clone(), String::new())..).take_while(|((ns, _), _)| *ns == pod.namespace);
        match &pod.controller {
            Some(owner) => in_ns.filter(|(_, s)| s.uid().as_deref() == Some(&owner.uid)).map(|(k, _)| k.clone()).collect(),
            None => in_ns.filter(|(_, s)| selector(s).is_ok_and(|s| s.matches(&pod.labels))).map(|(k, _)| k.clone()).collect(),
        }
    }

    fn apply_pod(&mut self, pod: PodFacts) -> Vec<Key> {
        let mut keys = self.concerned(&pod);
        let old = self.pods.entry(pod.namespace.clone()).or_default().insert(pod.name.clone(), pod);
        if let Some(old) = old {
            keys.extend(self.concerned(&old));
        }
        keys
    }

    /// An answer to our own call: only if the watch does not know better already.
    fn observe_created(&mut self, pod: PodFacts) {
        let known = self.pods.get(&pod.namespace).and_then(|m| m.get(&pod.name)).is_some_and(|p| p.uid == pod.uid);
        if !known && !self.gone.contains(&pod.uid) {
            self.apply_pod(pod);
        }
    }

    fn observe_deleting(&mut self, key: &Key, uid: &str) {
        if let Some(pod) = self.pods.get_mut(&key.0).and_then(|m| m.get_mut(&key.1)).filter(|p| p.uid == uid) {
            pod.deleting = true;
        }
    }

    fn delete_pod(&mut self, pod: &PodFacts) -> Vec<Key> {
        if self.gone.insert(pod.uid.clone()) {
            self.gone_order.push_back(pod.uid.clone());
        }
        if self.gone_order.len() > 4_096
            && let Some(oldest) = self.gone_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
        if let Some(m) = self.pods.get_mut(&pod.namespace)
            && m.get(&pod.name).is_some_and(|p| p.uid == pod.uid)
        {
            m.remove(&pod.name);
        }
        self.concerned(pod)
    }
}

struct Controller {
    client: Client,
    clock: SharedClock,
    recorder: Recorder,
    index: Mutex<Index>,
    queue: Arc<Queue<Key>>,
}

fn selector(set: &ReplicaSet) -> Result<Selector, String> {
    Selector::from_label_selector(&json!(set.spec.selector)).map_err(|e| e.to_string())
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, clock: SharedClock) {
    let recorder = Recorder::new(client.clone(), Reporter { controller: "replicaset-controller".into(), instance: None });
    let queue = Arc::new(Queue::new(Backoff::default()));
    let c = Arc::new(Controller { client: client.clone(), clock, recorder, index: Mutex::default(), queue: Arc::clone(&queue) });
    let sets = changes(Api::<ReplicaSet>::all(client.clone()), watcher::Config::default());
    let pods = changes(Api::<Pod>::all(client), watcher::Config::default());
    tokio::join!(
        each(sets, |change| c.on_set(change)),
        each(pods, |change| c.on_pod(change)),
        workers("replicaset", queue, 4, |key| Arc::clone(&c).reconcile(key)),
    );
}

impl Controller {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_set(&self, change: Change<ReplicaSet>) {
        let key = |s: &ReplicaSet| (s.namespace().unwrap_or_default(), s.name_any());
        match change {
            Change::Apply(set) => {
                let k = key(&set);
                self.index().sets.insert(k.clone(), Arc::new(set));
                self.queue.add(k);
            }
            Change::Delete(set) => {
                self.index().sets.remove(&key(&set));
            }
            Change::Reset(all) => {
                let sets: BTreeMap<_, _> = all.into_iter().map(|s| (key(&s), Arc::new(s))).collect();
                sets.keys().cloned().for_each(|k| self.queue.add(k));
                self.index().sets = sets;
            }
        }
    }

    fn on_pod(&self, change: Change<Pod>) {
        let keys = match change {
            Change::Apply(pod) => self.index().apply_pod(PodFacts::of(&pod)),
            Change::Delete(pod) => self.index().delete_pod(&PodFacts::of(&pod)),
            Change::Reset(all) => {
                let mut index = self.index();
                index.pods.clear();
                for pod in &all {
                    index.apply_pod(PodFacts::of(pod));
                }
                index.sets.keys().cloned().collect()
            }
        };
        keys.into_iter().for_each(|k| self.queue.add(k));
    }

    async fn reconcile(self: Arc<Self>, key: Key) -> Result<Outcome, kube::Error> {
        let Some(set) = self.index().sets.get(&key).cloned() else { return Ok(Outcome::Done) };
        let selector = match selector(&set) {
            Ok(selector) => selector,
            Err(error) => {
                tracing::warn!(namespace = %key.0, replicaset = %key.1, %error, "selector cannot be used");
                return Ok(Outcome::Done);
            }
        };
        let plan = {
            let index = self.index();
            let none = BTreeMap::new();
            plan(&set, &selector, index.pods.get(&key.0).unwrap_or(&none).values(), self.clock.now())
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        let result = self.execute(&api, &set, &plan).await;
        self.write_status(&set, &plan.status, result.as_ref().err()).await?;
        result?;
        Ok(plan.recheck.map_or(Outcome::Done, |s| Outcome::After(Duration::from_secs(u64::try_from(s).unwrap_or(1).max(1)))))
    }

    async fn execute(&self, api: &Api<Pod>, set: &ReplicaSet, plan: &Plan) -> Result<(), kube::Error> {
        for (name, uid) in &plan.adopt {
            let owner = controlled_by(set);
            let patch = json!({"metadata": {"uid": uid, "ownerReferences": [owner]}});
            gone_is_done(api.patch_metadata(name, &PatchParams::default(), &Patch::Strategic(&patch)).await)?;
        }
        for (name, uid) in &plan.release {
            let patch = json!({"metadata": {"uid": uid, "ownerReferences": [{"$patch": "delete", "uid": set.uid()}]}});
            gone_is_done(api.patch_metadata(name, &PatchParams::default(), &Patch::Strategic(&patch)).await)?;
        }
        let mut begun = 0;
        while begun < plan.create {
            let now = (plan.create - begun).min(CONCURRENT);
            try_join_all((0..now).map(|_| self.create(api, set))).await?;
            begun += now;
        }
        for some in plan.delete.chunks(CONCURRENT) {
            try_join_all(some.iter().map(|(name, uid)| self.delete(api, set, name, uid))).await?;
        }
        Ok(())
    }

    async fn create(&self, api: &Api<Pod>, set: &ReplicaSet) -> Result<(), kube::Error> {
        let template = set.spec.template.clone().unwrap_or_default();
        let mut pod = Pod { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
        let name = set.name_any();
        pod.metadata.name = None;
        pod.metadata.generate_name = Some(format!("{name}-"));
        pod.metadata.namespace = set.namespace();
        pod.metadata.owner_references = controlled_by(set).map(|o| vec![o]);
        match api.create(&PostParams { field_manager: Some("kube-controller-manager".into()), ..PostParams::default() }, &pod).await {
            Ok(made) => {
                self.index().observe_created(PodFacts::of(&made));
                let note = format!("Created pod: {}", made.name_any());
                tell(&self.recorder, set, Some(&made), EventType::Normal, "SuccessfulCreate", note).await;
                Ok(())
            }
            Err(error) => {
                tell(&self.recorder, set, NONE, EventType::Warning, "FailedCreate", format!("Error creating: {error}")).await;
                Err(error)
            }
        }
    }

    async fn delete(&self, api: &Api<Pod>, set: &ReplicaSet, name: &str, uid: &str) -> Result<(), kube::Error> {
        let dp = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        let key = (set.namespace().unwrap_or_default(), name.to_owned());
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = set.namespace();
        pod.metadata.uid = Some(uid.to_owned());
        match gone_is_done(api.delete(name, &dp).await) {
            Ok(()) => {
                self.index().observe_deleting(&key, uid);
                tell(&self.recorder, set, Some(&pod), EventType::Normal, "SuccessfulDelete", format!("Deleted pod: {name}")).await;
                Ok(())
            }
            Err(error) => {
                tell(&self.recorder, set, Some(&pod), EventType::Warning, "FailedDelete", format!("Error deleting: {error}")).await;
                Err(error)
            }
        }
    }

    async fn write_status(&self, set: &ReplicaSet, status: &SetStatus, failure: Option<&kube::Error>) -> Result<(), kube::Error> {
        let old = set.status.clone().unwrap_or_default();
        let failed = old.conditions.iter().flatten().any(|c| c.type_.as_deref() == Some("ReplicaFailure"));
        let new = json!({
            "replicas": status.replicas, "fullyLabeledReplicas": status.fully_labeled, "readyReplicas": status.ready,
            "availableReplicas": status.available, "terminatingReplicas": status.terminating, "observedGeneration": set.metadata.generation,
        });
        let was = json!({
            "replicas": old.replicas, "fullyLabeledReplicas": old.fully_labeled_replicas.unwrap_or(0), "readyReplicas": old.ready_replicas.unwrap_or(0),
            "availableReplicas": old.available_replicas.unwrap_or(0), "terminatingReplicas": old.terminating_replicas.unwrap_or(0),
            "observedGeneration": old.observed_generation,
        });
        if new == was && failed == failure.is_some() {
            return Ok(());
        }
        let mut patch = json!({"metadata": {"uid": set.uid()}, "status": new});
        if let Some(error) = failure {
            patch["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": error.to_string(), "lastTransitionTime": self.clock.now().to_string()}]);
        } else if failed {
            patch["status"]["conditions"] = serde_json::Value::Null;
        }
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        match api.patch_status(&set.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            Err(error) if !not_found(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::Phase;

    fn set(replicas: i32) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "n", "uid": "u"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x", "v": "1"}}}},
        }))
        .unwrap()
    }

    fn pod(name: &str, owner: Option<&str>, app: &str) -> PodFacts {
        let mut p = PodFacts::of(
            &serde_json::from_value(
                json!({"metadata": {"name": name, "namespace": "n", "uid": format!("u-{name}"), "labels": {"app": app}}}),
            )
            .unwrap(),
        );
        p.controller =
            owner.map(|uid| k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference { uid: uid.into(), ..Default::default() });
        p
    }

    fn decide(set: &ReplicaSet, pods: &[PodFacts]) -> Plan {
        plan(set, &selector(set).unwrap(), pods.iter(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn missing_pods_are_made_and_finished_ones_do_not_count() {
        let mut done = pod("d", Some("u"), "x");
        done.phase = Phase::Failed;
        let p = decide(&set(3), &[pod("a", Some("u"), "x"), done, pod("other", Some("v"), "x")]);
        assert_eq!((p.create, p.status.replicas), (2, 1));
    }

    #[test]
    fn the_least_useful_pods_go_first() {
        let mut ready = pod("ready", Some("u"), "x");
        ready.node = Some("n1".into());
        ready.phase = Phase::Running;
        ready.ready_since = Some(Timestamp::UNIX_EPOCH);
        let mut running = ready.clone();
        (running.name, running.uid, running.ready_since) = ("running".into(), "u-running".into(), None);
        let p = decide(&set(1), &[ready, running, pod("waiting", Some("u"), "x")]);
        assert_eq!(p.delete.iter().map(|d| d.0.as_str()).collect::<Vec<_>>(), ["waiting", "running"]);
        assert_eq!((p.status.ready, p.status.available), (1, 1));
    }

    #[test]
    fn orphans_that_match_are_adopted_and_strays_released() {
        let p = decide(&set(1), &[pod("orphan", None, "x"), pod("stray", Some("u"), "y")]);
        assert_eq!((p.adopt.len(), p.release.len(), p.create), (1, 1, 0));
        assert_eq!(p.status.fully_labeled, 0);
    }

    #[test]
    fn a_set_being_deleted_makes_nothing() {
        let mut s = set(3);
        s.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        assert_eq!(decide(&s, &[]).create, 0);
    }
}
