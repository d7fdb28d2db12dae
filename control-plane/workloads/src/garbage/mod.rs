//! Collection by owner: an object whose owners are all gone goes too; foreground and orphan deletions are
//! carried out.
//!
//! [`graph`] is pure: it holds who owns whom and decides one object at a time. This module feeds it the
//! metadata of every resource the server lists, and executes. An owner that the graph does not know is asked
//! for once, live, before anything is deleted on its account: the graph may lag, deletions cannot be undone.
//! For the same reason every write says in which version the object was seen; one that has changed since is
//! decided again.

mod graph;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_controller::{
    ApiError, Backoff, Change, Consistent, Inconsistent, Index, Note, Queue, Reason, Recorder, Requeue, Touched, changes, conflict, each,
    gone_is_done, not_found, workers,
};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use self::graph::{Graph, ORPHAN, Object, Owner, Policy, Step};
use crate::resources::served;

type Meta = PartialObjectMeta<DynamicObject>;

/// Pause until the graph has seen what a write was refused for.
const BEHIND: Duration = Duration::from_millis(20);
/// An owner that is there and that no watch shows may have come and gone between two lists: it is asked for again.
const UNSEEN: Duration = Duration::from_secs(1);

struct Controller {
    client: Client,
    recorder: Recorder,
    graph: Mutex<Graph>,
    queue: Queue<String>,
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, recorder: &Recorder) {
    let c = Arc::new(Controller::new(client.clone(), recorder.of("garbage-collector-controller")));
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
        version: meta.resource_version(),
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

/// Not there, whatever the words: a path that is not served is answered with plain text.
fn is_404(error: &kube::Error) -> bool {
    error.status().is_some_and(|status| status.code == 404)
}

fn touched(uids: Vec<String>, reason: Reason) -> Touched<String> {
    uids.into_iter().map(|uid| (uid, reason)).collect()
}

impl Controller {
    fn new(client: Client, recorder: Recorder) -> Self {
        let queue = Queue::new(Backoff { base: Duration::from_millis(10), max: Duration::from_secs(10) });
        Self { client, recorder, graph: Mutex::default(), queue }
    }

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
            let keys = self.with(|g| g.expect(now.clone()));
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
        }
    }

    fn on_change(&self, resource: &str, change: Change<Meta>) {
        let touched = self.with(|graph| change.fold_into(&mut Members { graph, resource }));
        self.queue.add_all(touched);
    }

    fn api(&self, resource: &str, namespace: Option<&str>) -> Option<Api<DynamicObject>> {
        let kind = self.with(|g| g.served(resource).map(|s| s.resource.clone()))?;
        Some(self.api_of(&kind, namespace))
    }

    fn api_of(&self, kind: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(ns) => Api::namespaced_with(self.client.clone(), ns, kind),
            None => Api::all_with(self.client.clone(), kind),
        }
    }

    async fn reconcile(self: Arc<Self>, uid: String) -> Result<Requeue, kube::Error> {
        let (decided, misplaced) = self.with(|g| (g.decide(&uid), g.misplaced(&uid)));
        let Some((object, step)) = decided else { return Ok(Requeue::OnChange) };
        misplaced.iter().for_each(|reference| self.tell(&object, reference));
        let Some(api) = self.api(&object.resource, object.namespace.as_deref()) else { return Ok(Requeue::OnChange) };
        match step {
            Step::Nothing => Ok(Requeue::OnChange),
            Step::Verify(owners) => self.verify(&owners).await,
            Step::Delete(policy) => {
                let policy = match policy {
                    Policy::Background => PropagationPolicy::Background,
                    Policy::Foreground => PropagationPolicy::Foreground,
                    Policy::Orphan => PropagationPolicy::Orphan,
                };
                let dp = DeleteParams {
                    propagation_policy: Some(policy),
                    preconditions: Some(Preconditions { uid: Some(object.uid.clone()), resource_version: object.version.clone() }),
                    ..DeleteParams::default()
                };
                tracing::debug!(resource = %object.resource, name = %object.name, "Collecting an object whose owners are gone");
                match gone_is_done(api.delete(&object.name, &dp).await) {
                    // It has changed: perhaps somebody owns it now. The watch shows it.
                    Err(error) if !conflict(&error) => Err(error),
                    _ => Ok(Requeue::OnChange),
                }
            }
            Step::Disown(gone) => self.disown(&api, &object, &gone).await,
            Step::Orphan(dependents) => {
                for dependent in &dependents {
                    let Some(api) = self.api(&dependent.resource, dependent.namespace.as_deref()) else { continue };
                    // One that still names its owner when that is gone would be collected.
                    if let later @ Requeue::After(_) = self.disown(&api, dependent, std::slice::from_ref(&object.uid)).await? {
                        return Ok(later);
                    }
                }
                self.unfinalize(&api, &object, ORPHAN).await
            }
            Step::Unfinalize(finalizer) => self.unfinalize(&api, &object, finalizer).await,
        }
    }

    /// Asks for owners and notes which are absent; when to decide again.
    async fn verify(&self, owners: &[Owner]) -> Result<Requeue, kube::Error> {
        let (mut there, mut unserved) = (false, false);
        for owner in owners {
            match self.exists(owner).await? {
                Some(true) => there = true,
                Some(false) => self.with(|g| g.absent(owner)),
                None => unserved = true,
            }
        }
        Ok(match (unserved, there) {
            (true, _) => Requeue::OnChange,
            (false, true) => Requeue::After(UNSEEN),
            (false, false) => Requeue::After(Duration::from_millis(1)),
        })
    }

    /// Whether an owner is there; `None` while its kind is not served in the version that the reference names.
    async fn exists(&self, owner: &Owner) -> Result<Option<bool>, kube::Error> {
        let Some(served) = self.with(|g| g.served(&owner.resource).map(|s| s.resource.clone())) else { return Ok(None) };
        let (version, name) = (owner.api_version.rsplit('/').next().unwrap_or_default(), owner.place.name.as_str());
        // References are checked by nobody; what cannot stand in a path is no version and no object's name.
        if !version.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        if name.contains(['/', '%']) || matches!(name, "." | "..") {
            return Ok(Some(false));
        }
        let kind = ApiResource { api_version: owner.api_version.clone(), ..served.clone() };
        let api = self.api_of(&kind, owner.place.namespace.as_deref());
        match api.get_metadata(name).await {
            Ok(live) => return Ok(Some(live.metadata.uid.as_deref() == Some(&owner.uid))),
            Err(error) if !is_404(&error) => return Err(error),
            Err(_) if owner.api_version == served.api_version => return Ok(Some(false)),
            // No such object, or no such version.
            Err(_) => {}
        }
        let listed = match owner.place.group.as_str() {
            "" => self.client.list_core_api_resources(&owner.api_version).await,
            _ => self.client.list_api_group_resources(&owner.api_version).await,
        };
        match listed {
            Ok(list) => Ok(list.resources.iter().any(|r| r.kind == served.kind).then_some(false)),
            Err(error) if is_404(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells of a reference to an owner that its namespace cannot have, in the words of Kubernetes.
    fn tell(&self, object: &Object, reference: &OwnerReference) {
        let Some(kind) = self.with(|g| g.served(&object.resource).map(|s| s.resource.clone())) else { return };
        let about = ObjectReference {
            api_version: Some(kind.api_version),
            kind: Some(kind.kind),
            namespace: object.namespace.clone(),
            name: Some(object.name.clone()),
            uid: Some(object.uid.clone()),
            ..ObjectReference::default()
        };
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let OwnerReference { api_version, kind, name, uid, .. } = reference;
        let message = format!(
            "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] does not exist in namespace {namespace:?}"
        );
        self.recorder.record(&about, Note::warning("OwnerRefInvalidNamespace", message));
    }

    /// Takes owners off an object.
    async fn disown(&self, api: &Api<DynamicObject>, object: &Object, gone: &[String]) -> Result<Requeue, kube::Error> {
        let keep: Vec<_> = object.owners.iter().filter(|o| !gone.contains(&o.uid)).collect();
        let owners = if keep.is_empty() { serde_json::Value::Null } else { json!(keep) };
        self.patch(api, object, json!({"ownerReferences": owners})).await
    }

    async fn unfinalize(&self, api: &Api<DynamicObject>, object: &Object, finalizer: &str) -> Result<Requeue, kube::Error> {
        let keep: Vec<_> = object.finalizers.iter().filter(|f| *f != finalizer).collect();
        self.patch(api, object, json!({"finalizers": keep})).await
    }

    /// Changes the metadata of an object if it is as it was decided on; else it is decided again when that is known.
    async fn patch(&self, api: &Api<DynamicObject>, object: &Object, mut change: serde_json::Value) -> Result<Requeue, kube::Error> {
        change["uid"] = object.uid.as_str().into();
        change["resourceVersion"] = json!(object.version);
        match api.patch(&object.name, &PatchParams::default(), &Patch::Merge(json!({"metadata": change}))).await {
            Err(error) if conflict(&error) => Ok(Requeue::After(BEHIND)),
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

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it")]
mod tests;
