//! Deployment: rolls a template out over ReplicaSets.
//!
//! [`index`] holds, [`mod@plan`] decides (with [`rollout`] for numbers and [`status`] for what is said), this executes. The sets
//! that a Deployment selects and that are nobody's become its own; those of its own that it selects no longer are let go.

mod index;
mod plan;
mod rollout;
mod status;

use std::sync::{Arc, Mutex, PoisonError};

use dormouse_controller::{
    At, Backoff, CallError, JsonClient, Note, ObjectKey, Patch, Queue, Reason, Recorder, Requeue, already_exists, changes, follow,
    gone_is_done, workers,
};
use dormouse_machinery::hash;
use dormouse_runtime::SharedClock;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use kube::api::DeleteParams;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use self::index::{Claims, Rollouts};
use self::plan::{Adjust, HASH, Make, REVISION, plan, template_value};
use crate::common::controlled_by;

struct Controller {
    client: JsonClient,
    clock: SharedClock,
    recorder: Recorder,
    index: Mutex<Rollouts>,
    queue: Queue<ObjectKey>,
}

/// Runs until dropped.
pub(crate) async fn run(client: Client, clock: SharedClock, recorder: &Recorder) {
    let c = Arc::new(Controller {
        client: JsonClient::from(client.clone()),
        clock,
        recorder: recorder.of("deployment-controller"),
        index: Mutex::default(),
        // Sets that are not listed yet would be made again.
        queue: Queue::new(Backoff::default()).after_lists(2),
    });
    let deployments = changes(Api::<Deployment>::all(client.clone()), watcher::Config::default());
    let sets = changes(Api::<ReplicaSet>::all(client), watcher::Config::default());
    tokio::join!(
        follow(deployments, &c.index, &c.queue),
        follow(sets, &c.index, &c.queue),
        workers("deployment", &c.queue, 2, |key| Arc::clone(&c).reconcile(key)),
    );
}

/// Where a Deployment is.
fn place(deployment: &Deployment) -> At {
    At::one::<Deployment>(deployment.metadata.namespace.as_deref(), &deployment.name_any())
}

impl Controller {
    fn with<T>(&self, f: impl FnOnce(&mut Rollouts) -> T) -> T {
        f(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Requeue, CallError> {
        let Some(deployment) = self.with(|i| i.deployments.get(&key).cloned()) else { return Ok(Requeue::OnChange) };
        let claims = self.with(|i| i.claims(&key, &deployment));
        if deployment.metadata.deletion_timestamp.is_none() && (!claims.adopt.is_empty() || !claims.release.is_empty()) {
            // The answers bring this Deployment back.
            return self.claim(&deployment, &claims).await;
        }
        let plan = plan(&deployment, &claims.owned, self.clock.now());
        for adjust in &plan.adjust {
            self.adjust(&key, &deployment, adjust).await?;
        }
        if let Some(make) = &plan.make {
            self.make(&deployment, make).await?;
        }
        for name in &plan.drop {
            gone_is_done(self.client.delete(&At::one::<ReplicaSet>(Some(&key.namespace), name), &DeleteParams::default()).await)?;
        }
        // A set that was made says its own news.
        if plan.make.is_none() {
            self.write_status(&deployment, &plan.status).await?;
        }
        if let Some(revision) = &plan.revision {
            self.write_revision(&deployment, revision).await?;
        }
        Ok(plan.recheck.map_or(Requeue::OnChange, Requeue::After))
    }

    /// Takes sets over and lets others go. The Deployment is looked at first: what the watch has shown of it may be old, and
    /// sets that were orphaned on purpose must stay so.
    async fn claim(&self, deployment: &Deployment, claims: &Claims) -> Result<Requeue, CallError> {
        let now = self.client.get_opt::<Deployment>(&place(deployment)).await?;
        let alive = now.is_some_and(|d| d.metadata.uid == deployment.metadata.uid && d.metadata.deletion_timestamp.is_none());
        if !alive {
            return Ok(Requeue::OnChange);
        }
        let owner = controlled_by(deployment);
        let release = json!([{"$patch": "delete", "uid": deployment.metadata.uid}]);
        let adopted = claims.adopt.iter().map(|set| (set, json!([owner])));
        let released = claims.release.iter().map(|set| (set, release.clone()));
        for (set, references) in adopted.chain(released) {
            let patch = json!({"metadata": {"uid": set.metadata.uid, "ownerReferences": references}});
            let at = At::one::<ReplicaSet>(set.metadata.namespace.as_deref(), &set.name_any());
            match self.client.patch::<ReplicaSet>(&at, &Patch::Strategic(patch)).await {
                Ok(set) => self.learn(set),
                Err(error) => gone_is_done(Err::<(), _>(error))?,
            }
        }
        Ok(Requeue::OnChange)
    }

    /// An answer is newer than what the watch has shown so far.
    fn learn(&self, set: ReplicaSet) {
        let touched = self.with(|i| i.take_in(set, Reason::Answered));
        self.queue.add_all(touched);
    }

    async fn adjust(&self, key: &ObjectKey, deployment: &Deployment, adjust: &Adjust) -> Result<(), CallError> {
        let mut patch = json!({"metadata": {"annotations": adjust.notes}, "spec": {}});
        if let Some((_, replicas)) = adjust.replicas {
            patch["spec"]["replicas"] = json!(replicas);
        }
        if let Some(seconds) = adjust.min_ready {
            patch["spec"]["minReadySeconds"] = json!(seconds);
        }
        let at = At::one::<ReplicaSet>(Some(&key.namespace), &adjust.name);
        match self.client.patch::<ReplicaSet>(&at, &Patch::Merge(&patch)).await {
            Ok(set) => {
                if let Some((from, to)) = adjust.replicas {
                    self.tell_scaled(deployment, &adjust.name, from, to);
                }
                self.learn(set);
                Ok(())
            }
            Err(error) => gone_is_done(Err::<(), _>(error)),
        }
    }

    async fn make(&self, deployment: &Deployment, make: &Make) -> Result<(), CallError> {
        let spec = &deployment.spec;
        let collisions = deployment.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        let hash = hash::template(&template_value(&spec.template), u32::try_from(collisions).ok().filter(|c| *c > 0));
        let mut template = spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH.into(), hash.clone());
        let labels = labels.clone();
        let mut selector = spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(HASH.into(), hash.clone());
        let name = format!("{}-{hash}", deployment.name_any());
        let body = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": name, "namespace": deployment.namespace(), "labels": labels, "annotations": make.notes,
                "ownerReferences": [controlled_by(deployment)],
            },
            "spec": {"replicas": make.replicas, "minReadySeconds": spec.min_ready_seconds.unwrap_or(0), "selector": selector, "template": template},
        });
        let all = At::all::<ReplicaSet>(deployment.metadata.namespace.as_deref());
        let made = match self.client.create::<ReplicaSet>(&all, &body).await {
            Ok(made) => {
                if make.replicas > 0 {
                    self.tell_scaled(deployment, &name, 0, make.replicas);
                }
                made
            }
            Err(error) if already_exists(&error) => {
                let there: ReplicaSet = self.client.get(&all.named(&name)).await?;
                let same = there.spec.template.as_ref().is_some_and(|t| template_value(t) == template_value(&spec.template));
                let ours = there.owner_references().iter().any(|o| Some(&o.uid) == deployment.metadata.uid.as_ref());
                if !(same && ours) {
                    // Another template has the same hash, or a stranger the same name: count it and choose another name.
                    let patch = json!({"status": {"collisionCount": collisions + 1}});
                    self.client.patch::<Value>(&place(deployment).subresource("status"), &Patch::Merge(&patch)).await?;
                    return Err(error);
                }
                there
            }
            Err(error) => {
                let status = status::not_created(deployment, &name, &error.to_string(), self.clock.now());
                self.write_status(deployment, &status).await?;
                return Err(error);
            }
        };
        let sets: Vec<Arc<ReplicaSet>> = self.with(|i| i.claims(&ObjectKey::of(&deployment.metadata), deployment)).owned;
        let all: Vec<&ReplicaSet> = sets.iter().map(AsRef::as_ref).chain([&made]).collect();
        let status = status::status(deployment, &all, Some(&made), status::News::Created, self.clock.now());
        self.write_status(deployment, &status).await?;
        if let Some(revision) = made.annotations().get(REVISION) {
            self.write_revision(deployment, revision).await?;
        }
        self.learn(made);
        Ok(())
    }

    fn tell_scaled(&self, deployment: &Deployment, set: &str, from: i32, to: i32) {
        let direction = if to < from { "down" } else { "up" };
        let message = format!("Scaled {direction} replica set {set} from {from} to {to}");
        self.recorder.record(&deployment.object_ref(&()), Note::normal("ScalingReplicaSet", message));
    }

    async fn write_status(&self, deployment: &Deployment, status: &DeploymentStatus) -> Result<(), CallError> {
        let was = deployment.status.clone().unwrap_or_default();
        if was == *status {
            return Ok(());
        }
        // What is no longer said is taken away by name.
        let mut patch = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
        let old = serde_json::to_value(&was).map_err(kube::Error::SerdeError)?;
        for member in old.as_object().into_iter().flatten().map(|(member, _)| member) {
            if patch.get(member).is_none() {
                patch[member] = Value::Null;
            }
        }
        let patch = json!({"metadata": {"uid": deployment.uid()}, "status": patch});
        gone_is_done(self.client.patch::<Value>(&place(deployment).subresource("status"), &Patch::Merge(&patch)).await)
    }

    async fn write_revision(&self, deployment: &Deployment, revision: &str) -> Result<(), CallError> {
        if deployment.annotations().get(REVISION).is_some_and(|known| known == revision) {
            return Ok(());
        }
        let patch = json!({"metadata": {"uid": deployment.uid(), "annotations": {REVISION: revision}}});
        gone_is_done(self.client.patch::<Value>(&place(deployment), &Patch::Merge(&patch)).await)
    }
}
