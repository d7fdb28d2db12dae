//! Watches of the ConfigMaps and Secrets that Pods of this node show to their containers: one for each object, for as long as
//! somebody holds a handle to it.
//!
//! A watch only tells that its object may have changed. Who is told reads the object anew, so that it never sees an older
//! state than the one it knows, and no state is held here.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dormouse_controller::{changes, each};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// An object that may be watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    ConfigMap,
    Secret,
}

/// A watch in progress; it ends with the last handle.
struct Watch {
    /// How often the object may have changed.
    changes: watch::Receiver<u64>,
    _task: AbortOnDropHandle<()>,
}

/// Tells of the changes of one object.
pub(super) struct Handle {
    changes: watch::Receiver<u64>,
    _watch: Arc<Watch>,
}

/// The watches of a node.
pub(super) struct Watches {
    client: kube::Client,
    open: Mutex<HashMap<Subject, Weak<Watch>>>,
}

impl Watches {
    pub(super) fn new(client: kube::Client) -> Self {
        Self { client, open: Mutex::default() }
    }

    /// A handle whose first [`Handle::changed`] comes at once, or as soon as the watch stands: what changed before it did is
    /// not missed.
    pub(super) fn of(&self, subject: &Subject) -> Handle {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = open.get(subject).and_then(Weak::upgrade) {
            let mut changes = watch.changes.clone();
            changes.mark_changed();
            return Handle { changes, _watch: watch };
        }
        let (sender, changes) = watch::channel(0);
        let task = match subject.kind {
            Kind::ConfigMap => tokio::spawn(tell::<ConfigMap>(self.client.clone(), subject.clone(), sender)),
            Kind::Secret => tokio::spawn(tell::<Secret>(self.client.clone(), subject.clone(), sender)),
        };
        let watch = Arc::new(Watch { changes: changes.clone(), _task: AbortOnDropHandle::new(task) });
        open.retain(|_, watch| watch.strong_count() > 0);
        open.insert(subject.clone(), Arc::downgrade(&watch));
        Handle { changes, _watch: watch }
    }
}

impl Handle {
    /// Waits until the object may have changed since the last call.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The watch failed for good, which its task has said.
            std::future::pending::<()>().await;
        }
    }

    /// What has happened so far is heeded.
    pub(super) fn heed(&mut self) {
        self.changes.mark_unchanged();
    }
}

/// Counts what happens to one object. That there is none is as good a state as any.
async fn tell<K>(client: kube::Client, subject: Subject, told: watch::Sender<u64>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let api: Api<K> = Api::namespaced(client, &subject.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", subject.name));
    each(changes(api, config), |_| told.send_modify(|n| *n += 1)).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::api::{DeleteParams, PostParams};

    use super::*;

    /// Waits for a change and for the quiet after it.
    async fn told(handle: &mut Handle) {
        tokio::time::timeout(Duration::from_secs(20), handle.changed()).await.expect("nothing was told");
    }

    #[tokio::test]
    async fn one_watch_for_all_and_none_when_nobody_asks() {
        let client = dormouse_apiserver::ApiServer::new(dormouse_apiserver::Options::default()).client();
        let watches = Watches::new(client.clone());
        let subject = Subject { kind: Kind::ConfigMap, namespace: "default".into(), name: "cm".into() };
        let (mut one, mut two) = (watches.of(&subject), watches.of(&subject));
        let other = watches.of(&Subject { kind: Kind::Secret, ..subject.clone() });
        assert_eq!(watches.open.lock().unwrap().len(), 2);
        told(&mut one).await;
        told(&mut two).await;
        let maps: Api<ConfigMap> = Api::namespaced(client, "default");
        let named = |name: &str| {
            let mut map = ConfigMap::default();
            map.metadata.name = Some(name.to_owned());
            map
        };
        maps.create(&PostParams::default(), &named("another")).await.unwrap();
        maps.create(&PostParams::default(), &named("cm")).await.unwrap();
        // Told of its own coming into being; whether of the list before it too, depends on who was first.
        while *one.changes.borrow() < 2 {
            told(&mut one).await;
        }
        let seen = *one.changes.borrow_and_update();
        maps.delete("cm", &DeleteParams::default()).await.unwrap();
        told(&mut one).await;
        assert_eq!(*one.changes.borrow(), seen + 1, "an object of another name is not told of");
        drop((one, two));
        assert_eq!(watches.open.lock().unwrap().values().filter(|w| w.strong_count() > 0).count(), 1);
        let again = watches.of(&subject);
        assert_eq!(watches.open.lock().unwrap().len(), 2, "what has ended is forgotten");
        drop((again, other));
    }
}
