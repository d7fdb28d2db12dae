//! Collection by owner: an object whose owners are all gone goes too; foreground and orphan deletions are
//! carried out.
//!
//! [`graph`] is pure: it holds who owns whom and decides one object at a time. This module feeds it the
//! metadata of every resource the server lists, and executes. An owner that the graph does not know is asked
//! for once, live, before anything is deleted on its account: the graph may lag, deletions cannot be undone.

mod graph;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_controller::{
    Backoff, Change, Consistent, Inconsistent, Index, Queue, Reason, Requeue, Touched, changes, conflict, each, gone_is_done, not_found,
    workers,
};
use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use self::graph::{Graph, Object, Policy, Step};
use crate::resources::{Served, served};

type Meta = PartialObjectMeta<DynamicObject>;

struct Controller {
    client: Client,
    graph: Mutex<Graph>,
    served: Mutex<BTreeMap<String, Served>>,
    queue: Queue<String>,
}

/// Runs until dropped.
pub(crate) async fn run(client: Client) {
    let queue = Queue::new(Backoff { base: Duration::from_millis(10), max: Duration::from_secs(10) });
    let c = Arc::new(Controller { client: client.clone(), graph: Mutex::default(), served: Mutex::default(), queue });
    let (tx, mut rx) = mpsc::channel::<(String, Change<Meta>)>(256);
    let kinds_changed = Notify::new();
    kinds_changed.notify_one();
    let crds = changes(Api::<PartialObjectMeta<CustomResourceDefinition>>::all(client), watcher::Config::default());
    tokio::join!(
        each(crds, |_| kinds_changed.notify_one()),
        c.follow_kinds(&kinds_changed, tx),
        async {
            while let Some((resource, change)) = rx.recv().await {
                c.on_change(&resource, change);
            }
        },
        workers("garbage", &c.queue, 4, |uid| Arc::clone(&c).reconcile(uid)),
    );
}

fn object(resource: &str, meta: &Meta) -> Object {
    Object {
        resource: resource.to_owned(),
        namespace: meta.namespace(),
        name: meta.name_any(),
        uid: meta.uid().unwrap_or_default(),
        owners: meta.owner_references().to_vec(),
        deleting: meta.metadata.deletion_timestamp.is_some(),
        finalizers: meta.finalizers().to_vec(),
    }
}

/// The objects of one resource in the graph: what its watch keeps in step.
struct Members<'a> {
    graph: &'a mut Graph,
    resource: &'a str,
}

impl Index<Meta> for Members<'_> {
    type Key = String;

    fn apply(&mut self, meta: Meta) -> Touched<String> {
        touched(self.graph.apply(object(self.resource, &meta)), Reason::Changed)
    }

    fn delete(&mut self, meta: Meta) -> Touched<String> {
        touched(self.graph.delete(&meta.uid().unwrap_or_default()), Reason::Related)
    }

    fn reset(&mut self, all: Vec<Meta>) -> Touched<String> {
        let all = all.iter().map(|meta| object(self.resource, meta)).collect();
        touched(self.graph.reset(self.resource, all), Reason::Listed)
    }
}

impl Consistent for Members<'_> {
    fn consistency_check(&self) -> Result<(), Inconsistent> {
        self.graph.consistency_check()
    }
}

fn touched(uids: Vec<String>, reason: Reason) -> Touched<String> {
    uids.into_iter().map(|uid| (uid, reason)).collect()
}

impl Controller {
    fn with<T>(&self, f: impl FnOnce(&mut Graph) -> T) -> T {
        f(&mut self.graph.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps one watch per served resource.
    async fn follow_kinds(&self, changed: &Notify, tx: mpsc::Sender<(String, Change<Meta>)>) {
        let mut watches = Watches(HashMap::new());
        loop {
            changed.notified().await;
            // Several CRDs tend to come at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = match served(&self.client).await {
                Ok(now) => now,
                Err(error) => {
                    tracing::debug!(%error, "cannot discover what is served");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    changed.notify_one();
                    continue;
                }
            };
            watches.0.retain(|resource, task| {
                let keep = now.contains_key(resource);
                if !keep {
                    task.abort();
                }
                keep
            });
            let keys = self.with(|g| g.expect(now.keys().cloned()));
            self.queue.add_all(touched(keys, Reason::Listed));
            for (resource, served) in &now {
                if !watches.0.contains_key(resource) {
                    let api: Api<Meta> = Api::all_with(self.client.clone(), &served.resource);
                    let (tx, name) = (tx.clone(), resource.clone());
                    let task = tokio::spawn(async move {
                        let mut stream = Box::pin(changes(api, watcher::Config::default()));
                        while let Some(change) = stream.next().await {
                            if tx.send((name.clone(), change)).await.is_err() {
                                return;
                            }
                        }
                    });
                    watches.0.insert(resource.clone(), task);
                }
            }
            *self.served.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }

    fn on_change(&self, resource: &str, change: Change<Meta>) {
        let touched = self.with(|graph| change.fold_into(&mut Members { graph, resource }));
        self.queue.add_all(touched);
    }

    fn api(&self, resource: &str, namespace: Option<&str>) -> Option<Api<DynamicObject>> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).get(resource).cloned()?;
        Some(match namespace.filter(|_| served.namespaced) {
            Some(ns) => Api::namespaced_with(self.client.clone(), ns, &served.resource),
            None => Api::all_with(self.client.clone(), &served.resource),
        })
    }

    async fn reconcile(self: Arc<Self>, uid: String) -> Result<Requeue, kube::Error> {
        let Some((object, step)) = self.with(|g| g.decide(&uid)) else { return Ok(Requeue::OnChange) };
        let Some(api) = self.api(&object.resource, object.namespace.as_deref()) else { return Ok(Requeue::OnChange) };
        match step {
            Step::Nothing => Ok(Requeue::OnChange),
            Step::Verify(owners) => {
                for owner in owners {
                    let resource = self.served.lock().unwrap_or_else(PoisonError::into_inner).iter().find_map(|(key, s)| {
                        (s.resource.kind == owner.kind && s.resource.group == owner.api_version.rsplit_once('/').map_or("", |(g, _)| g))
                            .then(|| key.clone())
                    });
                    // A kind that is not served cannot be asked; its objects are left alone.
                    let Some(api) = resource.and_then(|r| self.api(&r, object.namespace.as_deref())) else { continue };
                    let there = api.get_metadata_opt(&owner.name).await?.is_some_and(|o| o.metadata.uid.as_deref() == Some(&owner.uid));
                    self.with(|g| g.verified(&owner.uid, there));
                }
                Ok(Requeue::After(Duration::from_millis(1)))
            }
            Step::Delete(policy) => {
                let policy = match policy {
                    Policy::Background => PropagationPolicy::Background,
                    Policy::Foreground => PropagationPolicy::Foreground,
                    Policy::Orphan => PropagationPolicy::Orphan,
                };
                let dp = DeleteParams {
                    propagation_policy: Some(policy),
                    preconditions: Some(Preconditions { uid: Some(object.uid.clone()), resource_version: None }),
                    ..DeleteParams::default()
                };
                tracing::debug!(resource = %object.resource, name = %object.name, "Collecting an object whose owners are gone");
                match gone_is_done(api.delete(&object.name, &dp).await) {
                    Err(error) if !conflict(&error) => Err(error),
                    _ => Ok(Requeue::OnChange),
                }
            }
            Step::Disown(gone) => self.disown(&api, &object, &gone).await,
            Step::Orphan(dependents) => {
                for dependent in &dependents {
                    if let Some(api) = self.api(&dependent.resource, dependent.namespace.as_deref()) {
                        self.disown(&api, dependent, std::slice::from_ref(&object.uid)).await?;
                    }
                }
                self.unfinalize(&api, &object, "orphan").await
            }
            Step::Unfinalize(finalizer) => self.unfinalize(&api, &object, finalizer).await,
        }
    }

    /// Takes owners off an object; a conflict means that a newer version comes and decides anew.
    async fn disown(&self, api: &Api<DynamicObject>, object: &Object, gone: &[String]) -> Result<Requeue, kube::Error> {
        let Some(live) = api.get_metadata_opt(&object.name).await?.filter(|l| l.metadata.uid.as_deref() == Some(&object.uid)) else {
            return Ok(Requeue::OnChange);
        };
        let keep: Vec<_> = live.owner_references().iter().filter(|o| !gone.contains(&o.uid)).collect();
        if keep.len() == live.owner_references().len() {
            return Ok(Requeue::OnChange);
        }
        let owners = if keep.is_empty() { serde_json::Value::Null } else { json!(keep) };
        let patch = json!({"metadata": {"uid": object.uid, "resourceVersion": live.metadata.resource_version, "ownerReferences": owners}});
        self.patch(api, &object.name, &patch).await
    }

    async fn unfinalize(&self, api: &Api<DynamicObject>, object: &Object, finalizer: &str) -> Result<Requeue, kube::Error> {
        let Some(live) = api.get_metadata_opt(&object.name).await?.filter(|l| l.metadata.uid.as_deref() == Some(&object.uid)) else {
            return Ok(Requeue::OnChange);
        };
        let keep: Vec<_> = live.finalizers().iter().filter(|f| *f != finalizer).collect();
        let patch = json!({"metadata": {"uid": object.uid, "resourceVersion": live.metadata.resource_version, "finalizers": keep}});
        self.patch(api, &object.name, &patch).await
    }

    async fn patch(&self, api: &Api<DynamicObject>, name: &str, patch: &serde_json::Value) -> Result<Requeue, kube::Error> {
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if conflict(&error) => Ok(Requeue::After(Duration::from_millis(20))),
            Err(error) if !not_found(&error) => Err(error),
            _ => Ok(Requeue::OnChange),
        }
    }
}

/// One task per watched resource; they end with the controller.
struct Watches(HashMap<String, tokio::task::JoinHandle<()>>);

impl Drop for Watches {
    fn drop(&mut self) {
        self.0.values().for_each(tokio::task::JoinHandle::abort);
    }
}
