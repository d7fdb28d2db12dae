//! Namespaces: what each has from the start, and emptying one that is being deleted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_controller::{
    ApiError, At, Backoff, CallError, Change, JsonClient, ObjectKey, Objects, Queue, Reason, Requeue, already_exists, changes, each,
    follow, gone_is_done, not_found, workers,
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, PartialObjectMeta};
use kube::core::Status;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::resources::served;

const FINALIZER: &str = "kubernetes";

struct Controller {
    client: Client,
    json: JsonClient,
    root_ca_pem: String,
    namespaces: Mutex<Objects<Arc<Namespace>>>,
    queue: Queue<ObjectKey>,
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, root_ca_pem: String) {
    // Emptying waits for finalizers of others, so the pause grows slowly and stays short.
    let queue = Queue::new(Backoff { base: Duration::from_millis(20), max: Duration::from_secs(2) });
    let json = JsonClient::from(client.clone());
    let c = Arc::new(Controller { client: client.clone(), json, root_ca_pem, namespaces: Mutex::default(), queue });
    let accounts =
        changes(Api::<PartialObjectMeta<ServiceAccount>>::all(client.clone()), watcher::Config::default().fields("metadata.name=default"));
    let namespaces = changes(Api::<Namespace>::all(client), watcher::Config::default());
    tokio::join!(
        follow(namespaces, &c.namespaces, &c.queue),
        each(accounts, |change| {
            // A deleted default account is made again.
            if let Change::Delete(account) = change {
                c.queue.add(ObjectKey::new("", account.namespace().unwrap_or_default()), Reason::Related);
            }
        }),
        workers("namespace", &c.queue, 2, |key| Arc::clone(&c).reconcile(key)),
    );
}

impl Controller {
    async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Requeue, CallError> {
        let ns = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let (Some(ns), name) = (ns, key.name) else { return Ok(Requeue::OnChange) };
        if ns.metadata.deletion_timestamp.is_none() {
            return self.provide_defaults(&name).await;
        }
        let left = self.empty(&name).await?;
        if left > 0 {
            return Ok(Requeue::After(Duration::from_millis(100)));
        }
        let finalizers: Vec<String> =
            ns.spec.as_ref().and_then(|s| s.finalizers.clone()).unwrap_or_default().into_iter().filter(|f| f != FINALIZER).collect();
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": ns.uid()}, "spec": {"finalizers": finalizers}});
        gone_is_done(self.json.replace::<Value>(&At::one::<Namespace>(None, &name).subresource("finalize"), &body).await)?;
        Ok(Requeue::OnChange)
    }

    /// What every namespace has: a default service account and the authority's certificate.
    async fn provide_defaults(&self, name: &str) -> Result<Requeue, CallError> {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": self.root_ca_pem}});
        exists_is_done(self.json.create::<Value>(&At::all::<ServiceAccount>(Some(name)), &account).await)?;
        exists_is_done(self.json.create::<Value>(&At::all::<ConfigMap>(Some(name)), &map).await)?;
        Ok(Requeue::OnChange)
    }

    /// Deletes everything in the namespace; how many objects are still there.
    async fn empty(&self, name: &str) -> Result<usize, kube::Error> {
        let mut left = 0;
        for served in served(&self.client).await?.into_values().filter(|s| s.namespaced) {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), name, &served.resource);
            let there = api.list_metadata(&ListParams::default()).await?.items;
            let pending = there.iter().any(|o| o.metadata.deletion_timestamp.is_none());
            if pending {
                api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
                left += api.list_metadata(&ListParams::default()).await?.items.len();
            } else {
                left += there.len();
            }
        }
        Ok(left)
    }
}

/// Also when the namespace is going, or gone.
fn exists_is_done(result: Result<Value, CallError>) -> Result<(), CallError> {
    match result {
        Err(error) if already_exists(&error) || not_found(&error) || error.status().is_some_and(Status::is_forbidden) => Ok(()),
        result => result.map(drop),
    }
}
