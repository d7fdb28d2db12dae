//! Watches in, bindings out.
//!
//! Held: facts of all Pods and nodes, and the bindings sent but not yet seen (*assumed*). One loop decides for
//! one Pod after the other, highest priority and oldest first, so that decisions see each other; the calls run
//! concurrently and report back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use dormouse_controller::{Change, changes, conflict, not_found};
use dormouse_runtime::{CancellationToken, SharedClock};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde_json::json;

use crate::decide::decide;
use crate::facts::{NodeFacts, PodFacts, Resources};

/// How the scheduler runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pods whose `schedulerName` is this are ours.
    pub name: String,
    /// Time for condition stamps.
    pub clock: SharedClock,
}

/// What a finished call tells.
enum Done {
    Bound,
    Failed { key: String, uid: String, again: bool },
    Reported,
}

#[derive(Default)]
struct Index {
    pods: HashMap<String, PodFacts>,
    /// Pods to place: priority, arrival, key.
    waiting: BTreeSet<(Reverse<i32>, u64, String)>,
    arrivals: u64,
    nodes: BTreeMap<String, NodeFacts>,
    /// Pod key to (UID, node) for bindings sent and not yet seen.
    assumed: HashMap<String, (String, String)>,
    /// What was last reported as the reason why a Pod waits, by Pod UID.
    reported: HashMap<String, String>,
}

impl Index {
    fn apply(&mut self, pod: PodFacts) {
        let key = pod.key();
        if pod.node.is_some() {
            self.assumed.remove(&key);
            self.reported.remove(&pod.uid);
        }
        let place = pod.node.is_none() && !pod.terminal && !pod.gated && !pod.deleting;
        let known = self.waiting.iter().find(|(_, _, k)| *k == key).cloned();
        match (known, place) {
            (None, true) if !self.assumed.contains_key(&key) => {
                self.arrivals += 1;
                self.waiting.insert((Reverse(pod.priority), self.arrivals, key.clone()));
            }
            (Some(slot), false) => {
                self.waiting.remove(&slot);
            }
            _ => {}
        }
        self.pods.insert(key, pod);
    }

    fn delete(&mut self, key: &str) {
        if let Some(pod) = self.pods.remove(key) {
            self.reported.remove(&pod.uid);
        }
        self.assumed.remove(key);
        self.waiting.retain(|(_, _, k)| k != key);
    }

    fn reset(&mut self, all: Vec<PodFacts>) {
        let keep: BTreeSet<String> = all.iter().map(PodFacts::key).collect();
        let gone: Vec<String> = self.pods.keys().filter(|k| !keep.contains(*k)).cloned().collect();
        for key in gone {
            self.delete(&key);
        }
        for pod in all {
            self.apply(pod);
        }
    }

    /// What is requested on each node by Pods that hold something there.
    fn requested(&self) -> BTreeMap<String, Resources> {
        let mut all: BTreeMap<String, Resources> = BTreeMap::new();
        for (key, pod) in &self.pods {
            let node = pod.node.as_ref().or_else(|| self.assumed.get(key).map(|(_, n)| n));
            if let (Some(node), false) = (node, pod.terminal) {
                let on = all.entry(node.clone()).or_default();
                for (name, n) in &pod.requests {
                    *on.entry(name.clone()).or_default() += n;
                }
            }
        }
        all
    }
}

/// Runs until `shutdown`.
pub async fn run(client: Client, options: Options, shutdown: CancellationToken) {
    let mut pods = Box::pin(changes(Api::<Pod>::all(client.clone()), watcher::Config::default()));
    let mut nodes = Box::pin(changes(Api::<Node>::all(client.clone()), watcher::Config::default()));
    let reporter = Reporter { controller: options.name.clone(), instance: None };
    let ours = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.scheduler_name.as_deref()).is_none_or(|n| n == options.name);
    // A Pod of another scheduler counts where it is bound and is never placed.
    let facts = |pod: &Pod| {
        let mut f = PodFacts::of(pod);
        f.gated |= !ours(pod);
        f
    };
    let mut index = Index::default();
    let mut calls = FuturesUnordered::new();
    let mut retry_at: Option<tokio::time::Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(change) = pods.next() => match change {
                Change::Apply(pod) => index.apply(facts(&pod)),
                Change::Delete(pod) => index.delete(&PodFacts::of(&pod).key()),
                Change::Reset(all) => index.reset(all.iter().map(facts).collect()),
            },
            Some(change) = nodes.next() => match change {
                Change::Apply(node) => { let n = NodeFacts::of(&node); index.nodes.insert(n.name.clone(), n); }
                Change::Delete(node) => { index.nodes.remove(node.metadata.name.as_deref().unwrap_or_default()); }
                Change::Reset(all) => index.nodes = all.iter().map(NodeFacts::of).map(|n| (n.name.clone(), n)).collect(),
            },
            Some(done) = calls.next(), if !calls.is_empty() => match done {
                // The watch will show it; until then it stays assumed.
                Done::Bound | Done::Reported => continue,
                Done::Failed { key, uid, again } => {
                    if index.assumed.get(&key).is_some_and(|(u, _)| *u == uid) {
                        index.assumed.remove(&key);
                        if again && let Some(pod) = index.pods.get(&key).cloned() {
                            index.apply(pod);
                            retry_at.get_or_insert(tokio::time::Instant::now() + Duration::from_millis(100));
                            continue;
                        }
                    }
                }
            },
            () = async { match retry_at { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => retry_at = None,
        }
        let mut requested = index.requested();
        for slot in index.waiting.clone() {
            let Some(pod) = index.pods.get(&slot.2) else { continue };
            match decide(pod, index.nodes.values(), &requested) {
                Ok(node) => {
                    let node = node.to_owned();
                    let on = requested.entry(node.clone()).or_default();
                    for (name, n) in &pod.requests {
                        *on.entry(name.clone()).or_default() += n;
                    }
                    index.assumed.insert(slot.2.clone(), (pod.uid.clone(), node.clone()));
                    let call = bind(client.clone(), reporter.clone(), pod.clone(), node);
                    index.waiting.remove(&slot);
                    calls.push(futures::future::Either::Left(call));
                }
                Err(why) => {
                    let message = why.to_string();
                    if index.reported.get(&pod.uid) != Some(&message) {
                        index.reported.insert(pod.uid.clone(), message.clone());
                        let now = options.clock.now().to_string();
                        calls.push(futures::future::Either::Right(report(client.clone(), reporter.clone(), pod.clone(), message, now)));
                    }
                }
            }
        }
    }
}

async fn bind(client: Client, reporter: Reporter, pod: PodFacts, node: String) -> Done {
    let body = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let (key, uid) = (pod.key(), pod.uid.clone());
    let path = format!("/api/v1/namespaces/{}/pods/{}/binding", pod.namespace, pod.name);
    let request = http::Request::post(path).header("content-type", "application/json").body(body.to_string().into_bytes());
    let result = match request {
        Ok(request) => client.request::<serde_json::Value>(request).await,
        Err(error) => Err(kube::Error::HttpError(error)),
    };
    match result {
        Ok(_) => {
            let note = format!("Successfully assigned {key} to {node}");
            event(client, reporter, &pod, EventType::Normal, "Scheduled", "Binding", note).await;
            Done::Bound
        }
        Err(error) => {
            let again = !not_found(&error) && !conflict(&error);
            tracing::warn!(pod = %key, %node, %error, again, "cannot bind");
            Done::Failed { key, uid, again }
        }
    }
}

async fn report(client: Client, reporter: Reporter, pod: PodFacts, message: String, now: String) -> Done {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastProbeTime": null, "lastTransitionTime": now});
    let patch = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}});
    if let Err(error) = api.patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(&patch)).await
        && !not_found(&error)
    {
        tracing::warn!(pod = %pod.key(), %error, "cannot report why the Pod waits");
    }
    event(client, reporter, &pod, EventType::Warning, "FailedScheduling", "Scheduling", message).await;
    Done::Reported
}

/// Kube's recorder takes two events for one when only their notes differ; what we tell of a Pod never is the same
/// twice, so that each event gets a recorder of its own.
async fn event(client: Client, reporter: Reporter, pod: &PodFacts, type_: EventType, reason: &str, action: &str, note: String) {
    let about = ObjectReference {
        api_version: Some(Pod::api_version(&()).into_owned()),
        kind: Some(Pod::kind(&()).into_owned()),
        name: Some(pod.name.clone()),
        namespace: Some(pod.namespace.clone()),
        uid: Some(pod.uid.clone()),
        ..Default::default()
    };
    let event = Event { type_, reason: reason.into(), note: Some(note), action: action.into(), secondary: None };
    if let Err(error) = Recorder::new(client, reporter).publish(&event, &about).await {
        tracing::debug!(%error, "cannot record an event");
    }
}
