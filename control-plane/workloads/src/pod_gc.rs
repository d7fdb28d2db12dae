//! Pods that nobody will end (on nodes that are gone, or being deleted and never bound), and finished ones that are too many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dormouse_controller::{
    At, CallError, Consistent, Inconsistent, Index, JsonClient, ObjectKey, Objects, Patch, Touched, changes, gone_is_done,
};
use dormouse_runtime::SharedClock;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, PartialObjectMeta, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::pods::PodFacts;

/// Pause before a Pod that could not be collected is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The facts of all Pods, and the names of all nodes.
#[derive(Debug, Default)]
struct Residents {
    pods: Objects<PodFacts>,
    nodes: BTreeSet<String>,
    nodes_known: bool,
    /// Since when a node that has Pods is missing.
    missing: BTreeMap<String, Instant>,
}

impl Residents {
    /// PURE but for the instant: what is to be collected now, and when to look again.
    fn due(&mut self, now: Instant, delay: Duration, kept: usize) -> (Vec<PodFacts>, Option<Instant>) {
        if !self.nodes_known {
            return (Vec::new(), None);
        }
        let used: BTreeSet<&String> = self.pods.iter().filter_map(|(_, p)| p.node.as_ref()).collect();
        self.missing.retain(|node, _| !self.nodes.contains(node) && used.contains(node));
        for node in used.into_iter().filter(|n| !self.nodes.contains(*n)) {
            self.missing.entry(node.clone()).or_insert(now);
        }
        let lost = |p: &PodFacts| p.node.as_ref().and_then(|n| self.missing.get(n)).is_some_and(|since| *since + delay <= now);
        let stranded = |p: &PodFacts| p.node.is_none() && p.deleting;
        let mut due: Vec<PodFacts> = self.pods.iter().map(|(_, p)| p).filter(|p| lost(p) || stranded(p)).cloned().collect();
        due.extend(self.surplus(kept).into_iter().cloned());
        (due, self.missing.values().map(|since| *since + delay).filter(|at| *at > now).min())
    }

    /// The finished Pods beyond the newest `kept`.
    fn surplus(&self, kept: usize) -> Vec<&PodFacts> {
        let mut finished: Vec<&PodFacts> = self.pods.iter().map(|(_, p)| p).filter(|p| p.finished() && !p.deleting).collect();
        if finished.len() <= kept {
            return Vec::new();
        }
        finished.sort_by_key(|p| (p.created, &p.namespace, &p.name));
        finished.truncate(finished.len() - kept);
        finished
    }
}

/// After every change it is asked what is due, so that no key is named.
impl Index<Pod> for Residents {
    type Key = ();

    fn apply(&mut self, pod: Pod) -> Touched<()> {
        self.pods.put(&pod.metadata, PodFacts::of(&pod));
        Touched::new()
    }

    fn delete(&mut self, pod: Pod) -> Touched<()> {
        self.pods.remove(&pod.metadata);
        Touched::new()
    }

    fn reset(&mut self, all: Vec<Pod>) -> Touched<()> {
        self.pods.replace_all(all.into_iter().map(|pod| (pod.metadata.clone(), PodFacts::of(&pod))).collect());
        Touched::new()
    }
}

impl Index<PartialObjectMeta<Node>> for Residents {
    type Key = ();

    fn apply(&mut self, node: PartialObjectMeta<Node>) -> Touched<()> {
        self.nodes.insert(node.name_any());
        Touched::new()
    }

    fn delete(&mut self, node: PartialObjectMeta<Node>) -> Touched<()> {
        self.nodes.remove(&node.name_any());
        Touched::new()
    }

    fn reset(&mut self, all: Vec<PartialObjectMeta<Node>>) -> Touched<()> {
        self.nodes = all.iter().map(ResourceExt::name_any).collect();
        self.nodes_known = true;
        Touched::new()
    }
}

impl Consistent for Residents {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        self.pods.consistency_check()
    }
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, clock: SharedClock, delay: Duration, kept: usize) {
    let mut pods = Box::pin(changes(Api::<Pod>::all(client.clone()), watcher::Config::default()));
    let mut nodes = Box::pin(changes(Api::<PartialObjectMeta<Node>>::all(client.clone()), watcher::Config::default()));
    let client = JsonClient::from(client);
    let mut index = Residents::default();
    let mut again: Option<Instant> = None;
    loop {
        tokio::select! {
            Some(change) = pods.next() => drop(change.fold_into(&mut index)),
            Some(change) = nodes.next() => drop(change.fold_into(&mut index)),
            () = async { match again { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {}
        }
        let (due, next) = index.due(Instant::now(), delay, kept);
        again = next;
        for pod in due {
            match collect(&client, &clock, &pod).await {
                // The deletion shows in the watch; do not try again for what finalizers hold.
                Ok(()) => drop(index.pods.forget(&ObjectKey::new(pod.namespace, pod.name), &pod.uid)),
                Err(error) => {
                    tracing::warn!(namespace = %pod.namespace, pod = %pod.name, %error, "cannot collect a Pod of a lost node");
                    let soon = Instant::now() + RETRY;
                    again = Some(again.map_or(soon, |at| at.min(soon)));
                }
            }
        }
    }
}

async fn collect(client: &JsonClient, clock: &SharedClock, pod: &PodFacts) -> Result<(), CallError> {
    let at = At::one::<Pod>(Some(&pod.namespace), &pod.name);
    if pod.node.is_some() && !pod.finished() {
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": "PodGC: node no longer exists", "lastTransitionTime": clock.now().to_string()});
        let patch = json!({"metadata": {"uid": pod.uid}, "status": {"phase": "Failed", "conditions": [condition]}});
        gone_is_done(client.patch::<Value>(&at.clone().subresource("status"), &Patch::Strategic(&patch)).await)?;
    }
    let dp = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(pod.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    tracing::info!(namespace = %pod.namespace, pod = %pod.name, node = ?pod.node, finished = pod.finished(), "Collecting a Pod");
    gone_is_done(client.delete(&at, &dp).await)
}
