//! ReplicaSet: keeps as many Pods as asked for.
//!
//! [`index`] holds, [`mod@plan`] decides (pure), this executes. Answers to our own creations and deletions go into the index as
//! observations, because they are newer than what the watch has shown so far.

mod index;
mod pace;
mod plan;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_controller::{
    At, Backoff, CallError, JsonClient, Note, ObjectKey, Patch, Queue, Recorder, Requeue, changes, follow, gone_is_done, workers,
};
use dormouse_runtime::SharedClock;
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use self::index::Sets;
use self::plan::{Plan, SetStatus, plan, selector};
use crate::common::controlled_by;

/// Calls of one pass that run at once.
const CONCURRENT: usize = 16;

struct Controller {
    client: JsonClient,
    clock: SharedClock,
    recorder: Recorder,
    index: Mutex<Sets>,
    queue: Queue<ObjectKey>,
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, clock: SharedClock, recorder: &Recorder) {
    let c = Arc::new(Controller {
        client: JsonClient::from(client.clone()),
        clock: clock.clone(),
        recorder: recorder.of("replicaset-controller"),
        index: Mutex::new(Sets::new(clock)),
        // Pods that are not listed yet would be made again.
        queue: Queue::new(Backoff::default()).after_lists(2),
    });
    let sets = changes(Api::<ReplicaSet>::all(client.clone()), watcher::Config::default());
    let pods = changes(Api::<Pod>::all(client), watcher::Config::default());
    tokio::join!(
        follow(sets, &c.index, &c.queue),
        follow(pods, &c.index, &c.queue),
        workers("replicaset", &c.queue, 4, |key| Arc::clone(&c).reconcile(key)),
    );
}

impl Controller {
    fn index(&self) -> MutexGuard<'_, Sets> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Requeue, CallError> {
        let Some(set) = self.index().sets.get(&key).cloned() else { return Ok(Requeue::OnChange) };
        let selector = match selector(&set) {
            Ok(selector) => selector,
            Err(error) => {
                tracing::warn!(replicaset = %key, %error, "selector cannot be used");
                return Ok(Requeue::OnChange);
            }
        };
        let plan = {
            let (index, now) = (self.index(), self.clock.now());
            let pods = index.pods.in_namespace(&key.namespace).map(|(_, pod)| pod);
            plan(&set, &selector, pods, index.pace(&set.uid().unwrap_or_default()).wait(now), now)
        };
        let result = self.execute(&key.namespace, &set, &plan).await;
        self.write_status(&set, &plan.status, result.as_ref().err()).await?;
        result?;
        Ok(plan.recheck.map_or(Requeue::OnChange, Requeue::After))
    }

    async fn execute(&self, namespace: &str, set: &ReplicaSet, plan: &Plan) -> Result<(), CallError> {
        let patch = |name: &str, patch: Value| {
            let at = At::one::<Pod>(Some(namespace), name);
            async move { gone_is_done(self.client.patch::<Value>(&at, &Patch::Strategic(patch)).await) }
        };
        for (name, uid) in &plan.adopt {
            let owner = controlled_by(set);
            patch(name, json!({"metadata": {"uid": uid, "ownerReferences": [owner]}})).await?;
        }
        for (name, uid) in &plan.release {
            patch(name, json!({"metadata": {"uid": uid, "ownerReferences": [{"$patch": "delete", "uid": set.uid()}]}})).await?;
        }
        let mut begun = 0;
        while begun < plan.create {
            let now = (plan.create - begun).min(CONCURRENT);
            try_join_all((0..now).map(|_| self.create(namespace, set))).await?;
            begun += now;
        }
        for some in plan.delete.chunks(CONCURRENT) {
            try_join_all(some.iter().map(|(name, uid)| self.delete(namespace, set, name, uid))).await?;
        }
        Ok(())
    }

    fn tell(&self, set: &ReplicaSet, note: Note) {
        self.recorder.record(&set.object_ref(&()), note);
    }

    async fn create(&self, namespace: &str, set: &ReplicaSet) -> Result<(), CallError> {
        let template = set.spec.template.clone().unwrap_or_default();
        let mut pod = Pod { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
        let name = set.name_any();
        pod.metadata.name = None;
        pod.metadata.generate_name = Some(format!("{name}-"));
        pod.metadata.namespace = set.namespace();
        pod.metadata.owner_references = controlled_by(set).map(|o| vec![o]);
        let client = self.client.clone().manager("kube-controller-manager");
        match client.create::<Pod>(&At::all::<Pod>(Some(namespace)), &pod).await {
            Ok(made) => {
                let touched = self.index().created(&made);
                self.queue.add_all(touched);
                self.tell(set, Note::normal("SuccessfulCreate", format!("Created pod: {}", made.name_any())));
                Ok(())
            }
            Err(error) => {
                self.tell(set, Note::warning("FailedCreate", format!("Error creating: {error}")));
                Err(error)
            }
        }
    }

    async fn delete(&self, namespace: &str, set: &ReplicaSet, name: &str, uid: &str) -> Result<(), CallError> {
        let only_this = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let how = DeleteParams::default().preconditions(only_this);
        match gone_is_done(self.client.delete(&At::one::<Pod>(Some(namespace), name), &how).await) {
            Ok(()) => {
                self.index().deleting(&ObjectKey::new(namespace, name), uid);
                self.tell(set, Note::normal("SuccessfulDelete", format!("Deleted pod: {name}")));
                Ok(())
            }
            Err(error) => {
                self.tell(set, Note::warning("FailedDelete", format!("Error deleting: {error}")));
                Err(error)
            }
        }
    }

    async fn write_status(&self, set: &ReplicaSet, status: &SetStatus, failure: Option<&CallError>) -> Result<(), CallError> {
        let old = set.status.clone().unwrap_or_default();
        let failed = old.conditions.iter().flatten().any(|c| c.type_.as_deref() == Some("ReplicaFailure"));
        let new = json!({
            "replicas": status.replicas, "fullyLabeledReplicas": status.fully_labeled, "readyReplicas": status.ready,
            "availableReplicas": status.available, "terminatingReplicas": status.terminating, "observedGeneration": set.metadata.generation,
        });
        let was = json!({
            "replicas": old.replicas, "fullyLabeledReplicas": old.fully_labeled_replicas.unwrap_or(0), "readyReplicas": old.ready_replicas.unwrap_or(0),
            "availableReplicas": old.available_replicas.unwrap_or(0), "terminatingReplicas": old.terminating_replicas.unwrap_or(0),
            "observedGeneration": old.observed_generation,
        });
        if new == was && failed == failure.is_some() {
            return Ok(());
        }
        let mut patch = json!({"metadata": {"uid": set.uid()}, "status": new});
        if let Some(error) = failure {
            patch["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": error.to_string(), "lastTransitionTime": self.clock.now().to_string()}]);
        } else if failed {
            patch["status"]["conditions"] = Value::Null;
        }
        let at = At::one::<ReplicaSet>(set.metadata.namespace.as_deref(), &set.name_any()).subresource("status");
        gone_is_done(self.client.patch::<Value>(&at, &Patch::Merge(&patch)).await)
    }
}
