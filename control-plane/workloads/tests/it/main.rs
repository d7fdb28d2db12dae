//! The workload controllers against the API server, in process: no sockets, no nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it")]

#[path = "../../examples/in_test.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is not run here")]
mod in_test;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use dormouse_apiserver::{ApiServer, Options};
use dormouse_runtime::{CancellationToken, clock};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

mod rollouts;

struct Plane {
    client: Client,
    end: CancellationToken,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn plane() -> Plane {
    let client = ApiServer::new(Options::default()).client();
    let end = CancellationToken::new();
    let options = dormouse_workloads::Options {
        clock: clock::system(),
        pod_gc_delay: Duration::from_millis(200),
        terminated_pods: 3,
        root_ca_pem: "PEM".into(),
    };
    tokio::spawn(dormouse_workloads::run(client.clone(), options, end.clone()));
    Plane { client, end }
}

/// Polls until it holds; events drive the controllers, only the test looks now and then.
async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let wait = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn template(version: &str) -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": format!("i:{version}")}]}})
}

fn set(replicas: i32) -> ReplicaSet {
    object(
        json!({"metadata": {"name": "s"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template("1")}}),
    )
}

async fn names(pods: &Api<Pod>) -> Vec<String> {
    pods.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
}

async fn count(pods: &Api<Pod>, n: usize) {
    until(&format!("{n} Pods"), || async { names(pods).await.len() == n }).await;
}

#[tokio::test]
async fn the_example_holds() {
    in_test::run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_set_keeps_its_number_adopts_and_releases() {
    let p = plane();
    let (sets, pods): (Api<ReplicaSet>, Api<Pod>) = (Api::default_namespaced(p.client.clone()), Api::default_namespaced(p.client.clone()));
    let orphan: Pod =
        object(json!({"metadata": {"name": "orphan", "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}));
    pods.create(&PostParams::default(), &orphan).await.unwrap();
    sets.create(&PostParams::default(), &set(3)).await.unwrap();
    count(&pods, 3).await;
    until("the orphan to be adopted", || async { !pods.get("orphan").await.unwrap().owner_references().is_empty() }).await;
    sets.patch_scale("s", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 1}}))).await.unwrap();
    count(&pods, 1).await;
    let last = names(&pods).await.remove(0);
    pods.patch(&last, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"app": "y"}}}))).await.unwrap();
    count(&pods, 2).await;
    until("the stray to be released", || async { pods.get(&last).await.unwrap().owner_references().is_empty() }).await;
    until("the status", || async {
        sets.get("s").await.unwrap().status.is_some_and(|s| s.replicas == 1 && s.observed_generation == Some(2))
    })
    .await;
}

/// What a kubelet does to a Pod that it cannot take.
async fn fail(pods: &Api<Pod>, name: &str) {
    let failed = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    drop(pods.patch_status(name, &PatchParams::default(), &failed).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_pods_fail_at_once_slows_down_until_one_is_ready() {
    let p = plane();
    let (sets, pods): (Api<ReplicaSet>, Api<Pod>) = (Api::default_namespaced(p.client.clone()), Api::default_namespaced(p.client.clone()));
    sets.create(&PostParams::default(), &set(2)).await.unwrap();
    let mut seen = BTreeSet::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_800) {
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            seen.insert(pod.uid().unwrap());
            fail(&pods, &pod.name_any()).await;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Two at the start, two after a second; the next pair is due after three.
    assert!((3..=6).contains(&seen.len()), "{} Pods were made", seen.len());
    let active = || async {
        let phase = |p: &Pod| p.status.as_ref().and_then(|s| s.phase.clone());
        pods.list(&ListParams::default()).await.unwrap().into_iter().filter(|p| phase(p).as_deref() != Some("Failed")).collect::<Vec<_>>()
    };
    until("the next pair", || async { active().await.len() == 2 }).await;
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let names: Vec<String> = active().await.iter().map(ResourceExt::name_any).collect();
    pods.patch_status(&names[0], &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    until("the ready one to be seen", || async { sets.get("s").await.unwrap().status.is_some_and(|s| s.ready_replicas == Some(1)) }).await;
    let begun = Instant::now();
    fail(&pods, &names[1]).await;
    until("a new one", || async { active().await.len() == 2 }).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "the wait begins at a second again");
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_pods_beyond_the_threshold_go_oldest_first() {
    let p = plane();
    let pods: Api<Pod> = Api::default_namespaced(p.client.clone());
    for i in 0..5 {
        let pod = json!({"metadata": {"name": format!("p{i}")}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        pods.create(&PostParams::default(), &object(pod)).await.unwrap();
    }
    for i in [4, 3, 2, 1, 0] {
        fail(&pods, &format!("p{i}")).await;
    }
    count(&pods, 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(names(&pods).await, ["p2", "p3", "p4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_follows_its_propagation() {
    let p = plane();
    let (sets, pods): (Api<ReplicaSet>, Api<Pod>) = (Api::default_namespaced(p.client.clone()), Api::default_namespaced(p.client.clone()));
    for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground, PropagationPolicy::Orphan] {
        sets.create(&PostParams::default(), &set(2)).await.unwrap();
        count(&pods, 2).await;
        let keep = policy == PropagationPolicy::Orphan;
        let foreground = policy == PropagationPolicy::Foreground;
        if foreground {
            let held = names(&pods).await.remove(0);
            let finalizer = json!({"metadata": {"finalizers": ["example.com/hold"]}});
            pods.patch(&held, &PatchParams::default(), &Patch::Merge(finalizer)).await.unwrap();
        }
        sets.delete("s", &DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() }).await.unwrap();
        if foreground {
            count(&pods, 1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let held = names(&pods).await.remove(0);
            assert!(sets.get_opt("s").await.unwrap().is_some(), "the owner goes last");
            pods.patch(&held, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
        }
        until("the set to go", || async { sets.get_opt("s").await.unwrap().is_none() }).await;
        if keep {
            until("orphans", || async { pods.list(&ListParams::default()).await.unwrap().iter().all(|p| p.owner_references().is_empty()) })
                .await;
        }
        count(&pods, if keep { 2 } else { 0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_rolls_a_new_template_out() {
    let p = plane();
    let (deployments, pods): (Api<Deployment>, Api<Pod>) =
        (Api::default_namespaced(p.client.clone()), Api::default_namespaced(p.client.clone()));
    let deployment = |version: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "x"}},
            "strategy": {"type": "Recreate"}, "template": template(version)}})
    };
    deployments.create(&PostParams::default(), &object(deployment("1"))).await.unwrap();
    count(&pods, 2).await;
    let first = names(&pods).await;
    deployments.patch("d", &PatchParams::default(), &Patch::Merge(deployment("2"))).await.unwrap();
    until("new Pods only", || async {
        let all = pods.list(&ListParams::default()).await.unwrap().items;
        all.len() == 2
            && all.iter().all(|p| !first.contains(&p.name_any()) && p.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("i:2"))
    })
    .await;
    let revision = || async { deployments.get("d").await.unwrap().annotations().get("deployment.kubernetes.io/revision").cloned() };
    until("revision 2", || async { revision().await.as_deref() == Some("2") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_gets_its_defaults_and_is_emptied() {
    let p = plane();
    let namespaces: Api<Namespace> = Api::all(p.client.clone());
    namespaces.create(&PostParams::default(), &object(json!({"metadata": {"name": "team"}}))).await.unwrap();
    let (accounts, maps): (Api<ServiceAccount>, Api<ConfigMap>) =
        (Api::namespaced(p.client.clone(), "team"), Api::namespaced(p.client.clone(), "team"));
    until("the default account", || async { accounts.get_opt("default").await.unwrap().is_some() }).await;
    until("the certificate", || async {
        maps.get_opt("kube-root-ca.crt").await.unwrap().is_some_and(|m| m.data.unwrap()["ca.crt"] == "PEM")
    })
    .await;
    maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "m", "finalizers": ["example.com/hold"]}}))).await.unwrap();
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    until("deletion to wait for the finalizer", || async { maps.get("m").await.unwrap().metadata.deletion_timestamp.is_some() }).await;
    assert!(namespaces.get_opt("team").await.unwrap().is_some());
    maps.patch("m", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    until("the namespace to go", || async { namespaces.get_opt("team").await.unwrap().is_none() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_lost_node_are_collected() {
    let p = plane();
    let pods: Api<Pod> = Api::default_namespaced(p.client.clone());
    let lost: Pod =
        object(json!({"metadata": {"name": "lost"}, "spec": {"nodeName": "gone", "containers": [{"name": "c", "image": "i"}]}}));
    pods.create(&PostParams::default(), &lost).await.unwrap();
    count(&pods, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pod_and_each_step_of_a_rollout_is_an_event() {
    let p = plane();
    let (deployments, events): (Api<Deployment>, Api<Event>) =
        (Api::default_namespaced(p.client.clone()), Api::default_namespaced(p.client.clone()));
    let deployment =
        json!({"metadata": {"name": "d"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template("1")}});
    deployments.create(&PostParams::default(), &object(deployment)).await.unwrap();
    let notes = |reason: &'static str| {
        let events = events.clone();
        async move {
            let all = events.list(&ListParams::default()).await.unwrap().items;
            all.into_iter().filter(|e| e.reason.as_deref() == Some(reason)).filter_map(|e| e.message).collect::<Vec<_>>()
        }
    };
    until("an event for each Pod", || async { notes("SuccessfulCreate").await.len() == 3 }).await;
    deployments.patch_scale("d", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 1}}))).await.unwrap();
    until("both steps", || async { notes("ScalingReplicaSet").await.len() == 2 }).await;
    let steps = notes("ScalingReplicaSet").await.join("; ");
    assert!(steps.contains("Scaled up replica set d-") && steps.contains("from 0 to 3"), "{steps}");
    assert!(steps.contains("Scaled down replica set d-") && steps.contains("from 3 to 1"), "{steps}");
    until("an event for each deleted Pod", || async { notes("SuccessfulDelete").await.len() == 2 }).await;
}
