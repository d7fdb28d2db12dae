//! Watches in, bindings out.
//!
//! One loop decides for one Pod after the other, highest priority and oldest first, so that decisions see each other; the
//! calls run concurrently and report back.

use std::sync::Arc;
use std::time::Duration;

use dormouse_controller::metrics::EventCounts;
use dormouse_controller::{At, JsonClient, Note, Patch, Recorder, Source, changes, conflict, not_found};
use dormouse_runtime::{CancellationToken, SharedClock};
use futures::StreamExt;
use futures::future::Either;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::decide::decide;
use crate::facts::PodFacts;
use crate::index::Cluster;

/// Pause before bindings that failed for a reason that may pass are tried again.
const RETRY: Duration = Duration::from_millis(100);

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

/// Runs until `shutdown`.
pub async fn run(client: Client, options: Options, shutdown: CancellationToken) {
    let mut pods = Box::pin(changes(Api::<Pod>::all(client.clone()), watcher::Config::default()));
    let mut nodes = Box::pin(changes(Api::<Node>::all(client.clone()), watcher::Config::default()));
    let client = JsonClient::from(client);
    let source = Source { component: options.name.clone(), host: None };
    let recorder = Recorder::start(client.clone(), source, options.clock.clone(), EventCounts::default());
    let mut cluster = Cluster::new(options.name);
    let mut calls = FuturesUnordered::new();
    let mut retry_at: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(change) = pods.next() => drop(change.fold_into(&mut cluster)),
            Some(change) = nodes.next() => drop(change.fold_into(&mut cluster)),
            Some(called) = calls.next(), if !calls.is_empty() => match called {
                // The watch will show it; until then it stays assumed.
                Called::Bound | Called::Reported => continue,
                Called::NotBound { key, uid, again } => if cluster.not_bound(&key, &uid, again) {
                    retry_at.get_or_insert(Instant::now() + RETRY);
                    continue;
                }
            },
            () = async { match retry_at { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => retry_at = None,
        }
        let mut requested = cluster.requested();
        for pod in cluster.to_place() {
            match decide(&pod, cluster.nodes(), &requested) {
                Ok(node) => {
                    let node = node.to_owned();
                    let on = requested.entry(node.clone()).or_default();
                    for (name, n) in &pod.requests {
                        *on.entry(name.clone()).or_default() += n;
                    }
                    cluster.assume(&pod, node.clone());
                    calls.push(Either::Left(bind(client.clone(), recorder.clone(), pod, node)));
                }
                Err(why) => {
                    let message = why.to_string();
                    if cluster.news(&pod, &message) {
                        let now = options.clock.now().to_string();
                        calls.push(Either::Right(report(client.clone(), recorder.clone(), pod, message, now)));
                    }
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
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastProbeTime": null, "lastTransitionTime": now});
    let patch = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}});
    let at = At::one::<Pod>(Some(&pod.namespace), &pod.name).subresource("status");
    if let Err(error) = client.patch::<Value>(&at, &Patch::Strategic(&patch)).await
        && !not_found(&error)
    {
        tracing::warn!(pod = %pod.key(), %error, "cannot report why the Pod waits");
    }
    recorder.record(&about(&pod), Note::warning("FailedScheduling", message).action("Scheduling"));
    Called::Reported
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
