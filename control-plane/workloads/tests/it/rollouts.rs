//! Deployments as their users drive them: paused, undone, orphaned and taken over, late, evicted. A stand-in for the kubelet makes
//! every Pod ready.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::{Plane, object, plane, until};

const REVISION: &str = "deployment.kubernetes.io/revision";

struct Stage {
    plane: Plane,
    deployments: Api<Deployment>,
    sets: Api<ReplicaSet>,
    pods: Api<Pod>,
    /// Pods are made ready while it lives.
    kubelet: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kubelet.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn stage(ready: bool) -> Stage {
    let plane = plane();
    let client = plane.client.clone();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let all = pods.clone();
    let kubelet = ready.then(|| {
        tokio::spawn(async move {
            loop {
                let list = all.list(&ListParams::default()).await.unwrap();
                for pod in list.iter().filter(|p| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Pending")) {
                    let since = "2026-01-01T00:00:00Z";
                    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]}});
                    drop(all.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    });
    Stage { deployments: Api::default_namespaced(client.clone()), sets: Api::default_namespaced(client), pods, plane, kubelet }
}

impl Stage {
    async fn apply(&self, more: Value) {
        self.deployments.patch("d", &PatchParams::default(), &Patch::Merge(more)).await.unwrap();
    }

    async fn create(&self, more: Value) {
        let mut deployment = json!({"metadata": {"name": "d", "annotations": {"kubernetes.io/change-cause": "first"}}, "spec": {"replicas": 2,
            "selector": {"matchLabels": {"app": "x"}}, "template": template("1")}});
        deployment["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.deployments.create(&PostParams::default(), &object(deployment)).await.unwrap();
    }

    /// Replicas of each set by its image.
    async fn by_image(&self) -> BTreeMap<String, i32> {
        let sets = self.sets.list(&ListParams::default()).await.unwrap();
        sets.iter().map(|s| (image(s), s.spec.replicas.unwrap_or(0))).collect()
    }

    async fn until_sets(&self, wanted: &[(&str, i32)]) {
        let wanted: BTreeMap<String, i32> = wanted.iter().map(|(image, n)| (format!("i:{image}"), *n)).collect();
        until(&format!("sets {wanted:?}"), || async { self.by_image().await == wanted }).await;
    }

    async fn until_complete(&self) {
        until("a complete roll-out", || async { self.condition("Progressing").await.starts_with("True/NewReplicaSetAvailable") }).await;
    }

    /// `status/reason message` of a condition.
    async fn condition(&self, type_: &str) -> String {
        let deployment = serde_json::to_value(self.deployments.get("d").await.unwrap()).unwrap();
        let found = deployment["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == type_).cloned();
        let c = found.unwrap_or_default();
        let text = |key: &str| c[key].as_str().unwrap_or_default().to_owned();
        format!("{}/{} {}", text("status"), text("reason"), text("message"))
    }

    async fn revision(&self) -> Option<String> {
        self.deployments.get("d").await.unwrap().annotations().get(REVISION).cloned()
    }

    async fn set_of(&self, version: &str) -> ReplicaSet {
        let sets = self.sets.list(&ListParams::default()).await.unwrap();
        sets.into_iter().find(|s| image(s) == format!("i:{version}")).unwrap()
    }
}

fn image(set: &ReplicaSet) -> String {
    set.spec.template.as_ref().and_then(|t| t.spec.as_ref()).and_then(|s| s.containers[0].image.clone()).unwrap_or_default()
}

fn template(version: &str) -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": format!("i:{version}")}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_one_is_scaled_and_rolls_when_resumed() {
    let s = stage(true);
    s.create(json!({})).await;
    s.until_complete().await;
    s.apply(json!({"spec": {"paused": true}})).await;
    until("the pause", || async { s.condition("Progressing").await == "Unknown/DeploymentPaused Deployment is paused" }).await;
    s.apply(json!({"spec": {"replicas": 4, "template": template("2")}})).await;
    s.until_sets(&[("1", 4)]).await;
    until("the Pods", || async { s.pods.list(&ListParams::default()).await.unwrap().items.len() == 4 }).await;
    s.apply(json!({"spec": {"paused": false}})).await;
    s.until_sets(&[("1", 0), ("2", 4)]).await;
    s.until_complete().await;
    assert_eq!(s.revision().await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn undone_twice_the_revisions_go_on_and_the_causes_come_along() {
    let s = stage(true);
    s.create(json!({})).await;
    s.until_complete().await;
    for (version, cause, revision) in [("2", "second", "2"), ("1", "first", "3"), ("2", "second", "4")] {
        s.apply(json!({"metadata": {"annotations": {"kubernetes.io/change-cause": cause}}, "spec": {"template": template(version)}})).await;
        let other = if version == "1" { "2" } else { "1" };
        s.until_sets(&[(version, 2), (other, 0)]).await;
        until(&format!("revision {revision}"), || async { s.revision().await.as_deref() == Some(revision) }).await;
        let set = s.set_of(version).await;
        assert_eq!(set.annotations().get(REVISION).map(String::as_str), Some(revision));
        assert_eq!(set.annotations()["kubernetes.io/change-cause"], cause);
    }
    assert_eq!(s.set_of("2").await.annotations()["deployment.kubernetes.io/revision-history"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_template_reaches_the_set_and_rolls_nothing() {
    let s = stage(true);
    s.create(json!({})).await;
    s.until_complete().await;
    let before: Vec<String> = s.pods.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    s.apply(json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "told later"}}, "spec": {"minReadySeconds": 1}})).await;
    until("the set to follow", || async {
        let set = s.set_of("1").await;
        set.spec.min_ready_seconds == Some(1) && set.annotations()["kubernetes.io/change-cause"] == "told later"
    })
    .await;
    let after: Vec<String> = s.pods.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert_eq!((before, s.revision().await.as_deref()), (after, Some("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_get_on_says_so_after_its_deadline() {
    let s = stage(false);
    s.create(json!({"progressDeadlineSeconds": 1})).await;
    until("progress", || async { s.condition("Progressing").await.starts_with("True/ReplicaSetUpdated") }).await;
    let name = s.set_of("1").await.name_any();
    let late = format!("False/ProgressDeadlineExceeded ReplicaSet \"{name}\" has timed out progressing.");
    until("the deadline", || async { s.condition("Progressing").await == late }).await;
    assert!(s.condition("Available").await.starts_with("False/MinimumReplicasUnavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_was_orphaned_is_taken_over_and_one_whose_labels_leave_is_replaced() {
    let s = stage(true);
    s.create(json!({})).await;
    s.until_complete().await;
    let (set, pods) = (s.set_of("1").await, s.pods.list(&ListParams::default()).await.unwrap());
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    s.deployments.delete("d", &orphan).await.unwrap();
    until("the Deployment to go", || async { s.deployments.get_opt("d").await.unwrap().is_none() }).await;
    s.create(json!({})).await;
    s.until_complete().await;
    let now = s.set_of("1").await;
    let owner = s.deployments.get("d").await.unwrap().uid();
    assert_eq!((now.uid(), now.owner_references()[0].uid.clone()), (set.uid(), owner.unwrap()));
    let names = |list: &kube::core::ObjectList<Pod>| list.iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    assert_eq!(names(&s.pods.list(&ListParams::default()).await.unwrap()), names(&pods), "its Pods were left alone");
    s.sets.patch(&now.name_any(), &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"app": "y"}}}))).await.unwrap();
    until("another set", || async { s.sets.list(&ListParams::default()).await.unwrap().items.len() == 2 }).await;
    until("the first to be let go", || async { s.sets.get(&now.name_any()).await.unwrap().owner_references().is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taint_evicts_who_does_not_bear_it() {
    let s = stage(true);
    let nodes: Api<Node> = Api::all(s.plane.client.clone());
    nodes.create(&PostParams::default(), &object(json!({"metadata": {"name": "n1"}}))).await.unwrap();
    for (name, tolerations) in [
        ("stays", json!([{"key": "k", "operator": "Exists", "effect": "NoExecute"}])),
        ("goes", json!([])),
        ("goes-later", json!([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}])),
    ] {
        let pod = json!({"metadata": {"name": name}, "spec": {"nodeName": "n1", "tolerations": tolerations, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i"}]}});
        s.pods.create(&PostParams::default(), &object(pod)).await.unwrap();
    }
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}});
    nodes.patch("n1", &PatchParams::default(), &Patch::Merge(taint)).await.unwrap();
    let names = || async { s.pods.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect::<Vec<_>>() };
    until("the first to go", || async { names().await == ["goes-later", "stays"] }).await;
    until("the second to go", || async { names().await == ["stays"] }).await;
    let events: Api<Event> = Api::default_namespaced(s.plane.client.clone());
    until("its event", || async {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        all.iter().any(|e| {
            e.reason.as_deref() == Some("TaintManagerEviction") && e.message.as_deref() == Some("Marking for deletion Pod default/goes")
        })
    })
    .await;
}
