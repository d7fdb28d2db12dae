//! Namespaces: what each has from the start, and emptying one that is being deleted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_controller::{Backoff, Change, Outcome, Queue, changes, each, not_found, workers};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, PartialObjectMeta, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::resources::served;

const FINALIZER: &str = "kubernetes";

struct Controller {
    client: Client,
    root_ca_pem: String,
    namespaces: Mutex<BTreeMap<String, Arc<Namespace>>>,
    queue: Arc<Queue<String>>,
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, root_ca_pem: String) {
    // Emptying waits for finalizers of others, so the pause grows slowly and stays short.
    let queue = Arc::new(Queue::new(Backoff { base: Duration::from_millis(20), max: Duration::from_secs(2) }));
    let c = Arc::new(Controller { client: client.clone(), root_ca_pem, namespaces: Mutex::default(), queue: Arc::clone(&queue) });
    let accounts =
        changes(Api::<PartialObjectMeta<ServiceAccount>>::all(client.clone()), watcher::Config::default().fields("metadata.name=default"));
    let namespaces = changes(Api::<Namespace>::all(client), watcher::Config::default());
    tokio::join!(
        each(namespaces, |change| c.on_namespace(change)),
        each(accounts, |change| {
            // A deleted default account is made again.
            if let Change::Delete(account) = change {
                c.queue.add(account.namespace().unwrap_or_default());
            }
        }),
        workers("namespace", queue, 2, |key| Arc::clone(&c).reconcile(key)),
    );
}

impl Controller {
    fn on_namespace(&self, change: Change<Namespace>) {
        let mut all = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Apply(ns) => {
                self.queue.add(ns.name_any());
                all.insert(ns.name_any(), Arc::new(ns));
            }
            Change::Delete(ns) => {
                all.remove(&ns.name_any());
            }
            Change::Reset(list) => {
                *all = list.into_iter().map(|ns| (ns.name_any(), Arc::new(ns))).collect();
                all.keys().cloned().for_each(|k| self.queue.add(k));
            }
        }
    }

    async fn reconcile(self: Arc<Self>, name: String) -> Result<Outcome, kube::Error> {
        let ns = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let Some(ns) = ns else { return Ok(Outcome::Done) };
        if ns.metadata.deletion_timestamp.is_none() {
            return self.furnish(&name).await;
        }
        let left = self.empty(&name).await?;
        if left > 0 {
            return Ok(Outcome::After(Duration::from_millis(100)));
        }
        let finalizers: Vec<String> =
            ns.spec.as_ref().and_then(|s| s.finalizers.clone()).unwrap_or_default().into_iter().filter(|f| f != FINALIZER).collect();
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": ns.uid()}, "spec": {"finalizers": finalizers}});
        let request = http::Request::put(format!("/api/v1/namespaces/{name}/finalize")).header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).map_err(kube::Error::HttpError)?;
        match self.client.request::<serde_json::Value>(request).await {
            Err(error) if !not_found(&error) => Err(error),
            _ => Ok(Outcome::Done),
        }
    }

    /// What every namespace has: a default service account and the authority's certificate.
    async fn furnish(&self, name: &str) -> Result<Outcome, kube::Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        let account =
            ServiceAccount { metadata: kube::api::ObjectMeta { name: Some("default".into()), ..Default::default() }, ..Default::default() };
        exists_is_done(accounts.create(&PostParams::default(), &account).await)?;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), name);
        let map = ConfigMap {
            metadata: kube::api::ObjectMeta { name: Some("kube-root-ca.crt".into()), ..Default::default() },
            data: Some([("ca.crt".to_owned(), self.root_ca_pem.clone())].into()),
            ..Default::default()
        };
        exists_is_done(maps.create(&PostParams::default(), &map).await)?;
        Ok(Outcome::Done)
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

fn exists_is_done<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_already_exists() || status.is_not_found() || status.is_forbidden() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
