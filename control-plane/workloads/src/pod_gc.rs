//! Pods that nobody will end: those on nodes that are gone, and those being deleted that never ran anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use dormouse_controller::{Change, changes, gone_is_done};
use dormouse_runtime::SharedClock;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, PartialObjectMeta, Patch, PatchParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use crate::pods::{Phase, PodFacts};

type Key = (String, String);

#[derive(Default)]
struct Index {
    pods: HashMap<Key, PodFacts>,
    nodes: BTreeSet<String>,
    nodes_known: bool,
    /// Since when a node that has Pods is missing.
    missing: BTreeMap<String, Instant>,
}

impl Index {
    /// PURE but for the instant: what is to be collected now, and when to look again.
    fn due(&mut self, now: Instant, delay: Duration) -> (Vec<PodFacts>, Option<Instant>) {
        if !self.nodes_known {
            return (Vec::new(), None);
        }
        let used: BTreeSet<&String> = self.pods.values().filter_map(|p| p.node.as_ref()).collect();
        self.missing.retain(|node, _| !self.nodes.contains(node) && used.contains(node));
        for node in used.into_iter().filter(|n| !self.nodes.contains(*n)) {
            self.missing.entry(node.clone()).or_insert(now);
        }
        let lost = |p: &PodFacts| p.node.as_ref().and_then(|n| self.missing.get(n)).is_some_and(|since| *since + delay <= now);
        let stranded = |p: &PodFacts| p.node.is_none() && p.deleting;
        let mut due: Vec<_> = self.pods.values().filter(|p| lost(p) || stranded(p)).cloned().collect();
        due.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        (due, self.missing.values().map(|since| *since + delay).filter(|at| *at > now).min())
    }
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, clock: SharedClock, delay: Duration) {
    let mut pods = Box::pin(changes(Api::<Pod>::all(client.clone()), watcher::Config::default()));
    let mut nodes = Box::pin(changes(Api::<PartialObjectMeta<Node>>::all(client.clone()), watcher::Config::default()));
    let mut index = Index::default();
    let key = |p: &Pod| (p.namespace().unwrap_or_default(), p.name_any());
    let mut again: Option<Instant> = None;
    loop {
        tokio::select! {
            Some(change) = pods.next() => match change {
                Change::Apply(pod) => { index.pods.insert(key(&pod), PodFacts::of(&pod)); }
                Change::Delete(pod) => { index.pods.remove(&key(&pod)); }
                Change::Reset(all) => index.pods = all.iter().map(|p| (key(p), PodFacts::of(p))).collect(),
            },
            Some(change) = nodes.next() => match change {
                Change::Apply(node) => { index.nodes.insert(node.name_any()); }
                Change::Delete(node) => { index.nodes.remove(&node.name_any()); }
                Change::Reset(all) => { index.nodes = all.iter().map(ResourceExt::name_any).collect(); index.nodes_known = true; }
            },
            () = async { match again { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {}
        }
        let (due, next) = index.due(Instant::now(), delay);
        again = next;
        for pod in due {
            match collect(&client, &clock, &pod).await {
                // The deletion shows in the watch; do not try again for what finalizers hold.
                Ok(()) => {
                    index.pods.remove(&(pod.namespace, pod.name));
                }
                Err(error) => {
                    tracing::warn!(namespace = %pod.namespace, pod = %pod.name, %error, "cannot collect a Pod of a lost node");
                    again = Some(again.map_or(Instant::now() + Duration::from_secs(1), |a| a.min(Instant::now() + Duration::from_secs(1))));
                }
            }
        }
    }
}

async fn collect(client: &Client, clock: &SharedClock, pod: &PodFacts) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    if pod.node.is_some() && !matches!(pod.phase, Phase::Succeeded | Phase::Failed) {
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": "PodGC: node no longer exists", "lastTransitionTime": clock.now().to_string()});
        let patch = json!({"metadata": {"uid": pod.uid}, "status": {"phase": "Failed", "conditions": [condition]}});
        gone_is_done(api.patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(&patch)).await)?;
    }
    let dp = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(pod.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    tracing::info!(namespace = %pod.namespace, pod = %pod.name, node = ?pod.node, "Collecting a Pod that no node will end");
    gone_is_done(api.delete(&pod.name, &dp).await)
}
