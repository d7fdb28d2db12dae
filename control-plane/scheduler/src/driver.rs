//! Watches in, bindings out.
//!
//! One loop decides for one Pod after the other, highest priority and oldest first, so that decisions see each other; the
//! calls run concurrently and report back. What the watches have ready is taken in before each round, and a round is short, so
//! that neither thousands of events nor thousands of Pods keep the other waiting.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dormouse_controller::metrics::EventCounts;
use dormouse_controller::{At, Change, Index, JsonClient, Note, Patch, Recorder, Source, changes, conflict, is_another, not_found};
use dormouse_runtime::{CancellationToken, SharedClock};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, ObjectReference, Pod};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::facts::PodFacts;
use crate::index::Cluster;

/// Pause before bindings that failed for a reason that may pass are tried again.
const RETRY: Duration = Duration::from_millis(100);
/// Decisions of one round; with a thousand nodes a round takes some tens of milliseconds.
const ROUND: usize = 32;
/// What the condition of a gated Pod says.
const GATED: &str = "Scheduling is blocked due to non-empty scheduling gates";

/// How the scheduler runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pods whose `schedulerName` is this are ours.
    pub name: String,
    /// Time for condition stamps.
    pub clock: SharedClock,
}

/// What a finished call tells.
enum Called {
    Bound,
    NotBound { key: String, uid: String, again: bool },
    Reported,
}

/// A watch, and whether it has told everything there is.
struct Watch<K> {
    changes: Pin<Box<dyn Stream<Item = Change<K>> + Send>>,
    complete: bool,
}

impl<K> Watch<K> {
    fn new(changes: impl Stream<Item = Change<K>> + Send + 'static) -> Self {
        Self { changes: Box::pin(changes), complete: false }
    }

    fn take_in(&mut self, change: Change<K>, cluster: &mut Cluster)
    where
        Cluster: Index<K>,
    {
        // The first change of a watch is all there is.
        self.complete = true;
        drop(change.fold_into(cluster));
    }

    /// Takes in all that is ready.
    fn drain(&mut self, cluster: &mut Cluster)
    where
        Cluster: Index<K>,
    {
        while let Some(Some(change)) = self.changes.next().now_or_never() {
            self.take_in(change, cluster);
        }
    }
}

/// Runs until `shutdown`.
pub async fn run(client: Client, options: Options, shutdown: CancellationToken) {
    let mut pods = Watch::new(changes(Api::<Pod>::all(client.clone()), watcher::Config::default()));
    let mut nodes = Watch::new(changes(Api::<Node>::all(client.clone()), watcher::Config::default()));
    let mut namespaces = Watch::new(changes(Api::<Namespace>::all(client.clone()), watcher::Config::default()));
    let client = JsonClient::from(client);
    let source = Source { component: options.name.clone(), host: None };
    let recorder = Recorder::start(client.clone(), source, options.clock.clone(), EventCounts::default());
    let mut cluster = Cluster::new(options.name);
    let mut calls: FuturesUnordered<BoxFuture<'static, Called>> = FuturesUnordered::new();
    let mut retry_at: Option<Instant> = None;
    let mut more = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(change) = pods.changes.next() => pods.take_in(change, &mut cluster),
            Some(change) = nodes.changes.next() => nodes.take_in(change, &mut cluster),
            Some(change) = namespaces.changes.next() => namespaces.take_in(change, &mut cluster),
            Some(called) = calls.next(), if !calls.is_empty() => match called {
                // The watch will show it; until then it stays assumed.
                Called::Bound | Called::Reported => continue,
                Called::NotBound { key, uid, again } => if cluster.not_bound(&key, &uid, again) {
                    retry_at.get_or_insert(Instant::now() + RETRY);
                    continue;
                }
            },
            () = async { match retry_at { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => retry_at = None,
            () = tokio::task::yield_now(), if more => {}
        }
        pods.drain(&mut cluster);
        nodes.drain(&mut cluster);
        namespaces.drain(&mut cluster);
        // Before everything is known, what is known misleads.
        if !(pods.complete && nodes.complete && namespaces.complete) {
            continue;
        }
        for pod in cluster.take_gated(GATED) {
            calls.push(report_gated(client.clone(), pod).boxed());
        }
        let round = cluster.next_due(ROUND);
        more = round.len() == ROUND;
        // Of Pods that want the same, one after the other, the second fares as the first.
        let mut kept_out: Option<(Arc<PodFacts>, String)> = None;
        for pod in round {
            let known = kept_out.as_ref().filter(|(other, _)| other.wants == pod.wants).map(|(_, why)| why.clone());
            let decided = known.map_or_else(|| cluster.decide(&pod).map_err(|why| why.to_string()), Err);
            match decided {
                Ok(node) => {
                    cluster.assume(&pod, node.clone());
                    calls.push(bind(client.clone(), recorder.clone(), pod, node).boxed());
                    kept_out = None;
                }
                Err(why) => {
                    if cluster.keep_out(&pod, &why) {
                        let now = options.clock.now().to_string();
                        calls.push(report(client.clone(), recorder.clone(), Arc::clone(&pod), why.clone(), now).boxed());
                    }
                    kept_out = Some((pod, why));
                }
            }
        }
    }
}

async fn bind(client: JsonClient, recorder: Recorder, pod: Arc<PodFacts>, node: String) -> Called {
    let body = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let (key, uid) = (pod.key(), pod.uid.clone());
    match client.create::<Value>(&At::one::<Pod>(Some(&pod.namespace), &pod.name).subresource("binding"), &body).await {
        Ok(_) => {
            recorder.record(&about(&pod), Note::normal("Scheduled", format!("Successfully assigned {key} to {node}")).action("Binding"));
            Called::Bound
        }
        Err(error) => {
            let again = !not_found(&error) && !conflict(&error);
            tracing::warn!(pod = %key, %node, %error, again, "cannot bind");
            Called::NotBound { key, uid, again }
        }
    }
}

async fn report(client: JsonClient, recorder: Recorder, pod: Arc<PodFacts>, message: String, now: String) -> Called {
    set_condition(&client, &pod, "Unschedulable", &message, Some(&now)).await;
    recorder.record(&about(&pod), Note::warning("FailedScheduling", message).action("Scheduling"));
    Called::Reported
}

/// An API server that writes this itself does so as the Pod is created, without a time and without an event.
async fn report_gated(client: JsonClient, pod: Arc<PodFacts>) -> Called {
    set_condition(&client, &pod, "SchedulingGated", GATED, None).await;
    Called::Reported
}

/// Says in the Pod's condition why it is not scheduled.
async fn set_condition(client: &JsonClient, pod: &PodFacts, reason: &str, message: &str, now: Option<&str>) {
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastProbeTime": null, "lastTransitionTime": now});
    let patch = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}});
    let at = At::one::<Pod>(Some(&pod.namespace), &pod.name).subresource("status");
    if let Err(error) = client.patch::<Value>(&at, &Patch::Strategic(&patch)).await
        && !not_found(&error)
        && !is_another(&error)
    {
        tracing::warn!(pod = %pod.key(), %error, "cannot report why the Pod waits");
    }
}

fn about(pod: &PodFacts) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name.clone()),
        namespace: Some(pod.namespace.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectReference::default()
    }
}
