//! The plane as the demo sees it: Pods from one watch, replicas moved by patches, waits on events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use dormouse_apis::names::{annotation, label};
use dormouse_controller::{Change, changes, is_ready};
use dormouse_names::annotation::TIMELINE;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams, Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::manifests::NAMESPACE;
use crate::apply::apply;
use crate::engine::Engine;

/// Longest wait for one thing: a real engine takes minutes to start where it has no GPU.
pub(super) fn patience(engine: Engine) -> Duration {
    Duration::from_secs(if engine == Engine::Host { 900 } else { 60 })
}

type Pods = BTreeMap<String, Arc<Pod>>;

/// Eyes and hands of the demo.
pub(super) struct Stage {
    client: Client,
    pods: watch::Receiver<Pods>,
    task: tokio::task::JoinHandle<()>,
    patience: Duration,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When the kubelet saw what happen to a Pod, on the wall clock.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Timeline {
    pub started: Option<Timestamp>,
    pub ready: Option<Timestamp>,
}

/// The kubelet's own stamps of a Pod.
pub(super) fn timeline(pod: &Pod) -> Timeline {
    pod.annotations().get(TIMELINE).and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
}

/// A Pod's address.
pub(super) fn ip(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref()
}

impl Stage {
    /// Begins to watch; waits for one thing at most so long.
    pub(super) fn new(client: Client, patience: Duration) -> Self {
        let (tx, pods) = watch::channel(Pods::new());
        let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let task = tokio::spawn(async move {
            let mut stream = Box::pin(changes(api, watcher::Config::default()));
            while let Some(change) = stream.next().await {
                tx.send_modify(|pods| match change {
                    Change::Apply(pod) => {
                        pods.insert(pod.name_any(), Arc::new(pod));
                    }
                    Change::Delete(pod) => {
                        pods.remove(&pod.name_any());
                    }
                    Change::Reset(all) => *pods = all.into_iter().map(|p| (p.name_any(), Arc::new(p))).collect(),
                });
            }
        });
        Self { client, pods, task, patience }
    }

    /// Waits until `found` finds what it looks for among the Pods.
    pub(super) async fn until<T>(&mut self, what: &str, found: impl Fn(&Pods) -> Option<T>) -> anyhow::Result<T> {
        let wait = async {
            loop {
                if let Some(it) = found(&self.pods.borrow_and_update()) {
                    return Ok(it);
                }
                self.pods.changed().await.map_err(|_| anyhow!("the watch ended"))?;
            }
        };
        let patience = self.patience;
        match tokio::time::timeout(patience, wait).await {
            Ok(found) => found,
            Err(_) => Err(anyhow!("waited {patience:?} for {what}{}", self.why().await)),
        }
    }

    /// What seems to be in the way, as the end of a sentence: what Pods say of themselves, or the last warning.
    pub(super) async fn why(&self) -> String {
        let said = troubles(&self.pods.borrow());
        if !said.is_empty() {
            return format!("; {}", said.join("; "));
        }
        let api: Api<Event> = Api::namespaced(self.client.clone(), NAMESPACE);
        let params = ListParams::default().fields("type=Warning");
        let Ok(Ok(events)) = tokio::time::timeout(Duration::from_secs(2), api.list(&params)).await else { return String::new() };
        let when = |e: &Event| e.last_timestamp.as_ref().map(|t| t.0).max(e.event_time.as_ref().map(|t| t.0));
        let last = events.items.iter().max_by_key(|e| when(e));
        last.map(|e| {
            let text = |t: &Option<String>| t.clone().unwrap_or_default();
            format!("; the last warning is of {}: {}: {}", text(&e.involved_object.name), text(&e.reason), text(&e.message))
        })
        .unwrap_or_default()
    }

    /// All Pods as last seen.
    pub(super) fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.borrow().values().cloned().collect()
    }

    /// Makes an object; one that exists is left as it is.
    pub(super) async fn apply(&self, object: &Value) -> anyhow::Result<()> {
        apply(&self.client, object).await
    }

    /// Sets the replicas of a ReplicaSet.
    pub(super) async fn scale(&self, name: &str, replicas: u32) -> anyhow::Result<()> {
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = json!({"spec": {"replicas": replicas}});
        api.patch_scale(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .with_context(|| format!("cannot scale ReplicaSet {name}"))?;
        Ok(())
    }

    /// The requester of a ReplicaSet, once it is ready.
    pub(super) async fn served(&mut self, app: &str) -> anyhow::Result<Arc<Pod>> {
        let find = |pods: &Pods| pods.values().find(|p| is_of(p, app) && p.metadata.deletion_timestamp.is_none() && is_ready(p)).cloned();
        self.until(&format!("a requester of {app} to be ready"), find).await
    }

    /// Waits until a ReplicaSet has no requester left.
    pub(super) async fn unserved(&mut self, app: &str) -> anyhow::Result<()> {
        self.until(&format!("the requesters of {app} to go"), |pods| (!pods.values().any(|p| is_of(p, app))).then_some(())).await
    }

    /// The provider that a requester is bound to.
    pub(super) async fn provider(&mut self, requester: &Pod) -> anyhow::Result<Arc<Pod>> {
        let uid = requester.uid().unwrap_or_default();
        let binding = |p: &Pod| p.annotations().get(annotation::REQUESTER).is_some_and(|r| r.split(' ').next() == Some(&uid));
        self.until("the provider's binding", |pods| pods.values().find(|p| binding(p)).cloned()).await
    }

    /// Waits until a provider is asleep by its label and unbound.
    pub(super) async fn asleep(&mut self, provider: &str) -> anyhow::Result<()> {
        let done =
            |p: &Pod| p.labels().get(label::SLEEPING).is_some_and(|s| s == "true") && !p.annotations().contains_key(annotation::REQUESTER);
        self.until(&format!("{provider} to sleep"), |pods| pods.get(provider).filter(|p| done(p)).map(|_| ())).await
    }

    /// What a container has written so far.
    pub(super) async fn log(&self, pod: &str, container: &str) -> anyhow::Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let params = LogParams { container: Some(container.into()), ..LogParams::default() };
        api.logs(pod, &params).await.with_context(|| format!("cannot read the log of {pod}"))
    }

    /// What the dual-pods controller has written so far.
    pub(super) async fn controller_log(&self) -> anyhow::Result<String> {
        let name = self.pods.borrow().keys().find(|name| name.starts_with("fma-dual-pods-controller")).cloned();
        self.log(&name.context("the dual-pods controller has no Pod")?, "controller").await
    }

    /// Deletes a Pod and waits until it is gone.
    pub(super) async fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        dormouse_controller::gone_is_done(api.delete(name, &kube::api::DeleteParams::default()).await)?;
        self.until(&format!("{name} to go"), |pods| (!pods.contains_key(name)).then_some(())).await
    }
}

/// Containers that failed or wait for more than their turn, Pods without a node, and what the controller wrote onto requesters.
fn troubles(pods: &Pods) -> Vec<String> {
    let mut said = Vec::new();
    for (name, pod) in pods {
        let status = pod.status.as_ref();
        let containers = status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten();
        for container in containers {
            let (now, before) = (container.state.as_ref(), container.last_state.as_ref());
            let waits = now.and_then(|s| s.waiting.as_ref());
            let reason = waits.and_then(|w| w.reason.as_deref()).filter(|r| !matches!(*r, "ContainerCreating" | "PodInitializing"));
            if let Some(reason) = reason {
                let message = waits.and_then(|w| w.message.as_deref()).unwrap_or_default();
                said.push(format!("Pod {name} waits: {reason}: {message}").trim_end_matches(": ").to_owned());
            }
            if let Some(end) = [now, before].into_iter().flatten().find_map(|s| s.terminated.as_ref()).filter(|e| e.exit_code != 0) {
                said.push(format!("container {} of Pod {name} ended with {}", container.name, end.exit_code));
            }
        }
        let conditions = status.and_then(|s| s.conditions.as_ref()).into_iter().flatten();
        for c in conditions.filter(|c| c.type_ == "PodScheduled" && c.status == "False") {
            said.push(format!("Pod {name} is not scheduled: {}", c.message.as_deref().unwrap_or_default()));
        }
        let note: Value = pod.annotations().get(annotation::STATUS).and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default();
        let errors = note["Errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        said.extend(errors.map(|e| format!("requester {name}: {e}")));
    }
    said
}

fn is_of(pod: &Pod, app: &str) -> bool {
    pod.labels().get("app").is_some_and(|a| a == app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_say_of_themselves_is_the_reason() {
        let pod = |value: Value| Arc::new(serde_json::from_value::<Pod>(value).unwrap());
        let waiting = |reason: &str, message: &str| {
            json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}}})
        };
        let ended = |code: i32| {
            json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code}}})
        };
        let pods = Pods::from([
            ("a".to_owned(), pod(json!({"status": {"containerStatuses": [waiting("ErrImagePull", "no such program")]}}))),
            ("b".to_owned(), pod(json!({"status": {"containerStatuses": [waiting("ContainerCreating", "")]}}))),
            ("c".to_owned(), pod(json!({"metadata": {"annotations": {annotation::STATUS: "{\"Errors\": [\"no GPU\"]}"}}}))),
            ("e".to_owned(), pod(json!({"status": {"containerStatuses": [ended(7), ended(0)]}}))),
            ("d".to_owned(), pod(json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}}))),
        ]);
        let said = [
            "Pod a waits: ErrImagePull: no such program",
            "requester c: no GPU",
            "Pod d is not scheduled: 0/1 nodes",
            "container c of Pod e ended with 7",
        ];
        assert_eq!(troubles(&pods), said);
        assert!(troubles(&Pods::new()).is_empty());
    }
}
