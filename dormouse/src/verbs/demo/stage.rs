//! The plane as the demo sees it: Pods from one watch, replicas moved by patches, waits on events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use dormouse_apis::names::{annotation, label};
use dormouse_controller::{Change, changes};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, Patch, PatchParams};

use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::manifests::NAMESPACE;
use crate::apply::apply;

/// Longest wait for one thing.
const PATIENCE: Duration = Duration::from_secs(60);

type Pods = BTreeMap<String, Arc<Pod>>;

/// Eyes and hands of the demo.
pub(super) struct Stage {
    client: Client,
    pods: watch::Receiver<Pods>,
    task: tokio::task::JoinHandle<()>,
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
    pod.annotations().get(annotation::TIMELINE).and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
}

/// Whether the Pod is ready.
pub(super) fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// A Pod's address.
pub(super) fn ip(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref()
}

impl Stage {
    /// Begins to watch.
    pub(super) fn new(client: Client) -> Self {
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
        Self { client, pods, task }
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
        tokio::time::timeout(PATIENCE, wait).await.map_err(|_| anyhow!("waited {PATIENCE:?} for {what}"))?
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
        let find = |pods: &Pods| pods.values().find(|p| is_of(p, app) && p.metadata.deletion_timestamp.is_none() && ready(p)).cloned();
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

    /// Deletes a Pod and waits until it is gone.
    pub(super) async fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        dormouse_controller::gone_is_done(api.delete(name, &kube::api::DeleteParams::default()).await)?;
        self.until(&format!("{name} to go"), |pods| (!pods.contains_key(name)).then_some(())).await
    }
}

fn is_of(pod: &Pod, app: &str) -> bool {
    pod.labels().get("app").is_some_and(|a| a == app)
}
