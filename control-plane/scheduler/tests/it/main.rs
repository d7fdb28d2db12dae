//! The scheduler against the API server, in process: no sockets, no kubelet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use dormouse_apiserver::{ApiServer, Options};
use dormouse_runtime::{CancellationToken, clock};
use k8s_openapi::api::core::v1::{Event, Node, Pod, PodCondition};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

struct Plane {
    client: Client,
    pods: Api<Pod>,
    nodes: Api<Node>,
    end: CancellationToken,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

impl Plane {
    fn start() -> Self {
        let client = ApiServer::new(Options::default()).client();
        let end = CancellationToken::new();
        let options = dormouse_scheduler::Options { name: "default-scheduler".to_owned(), clock: clock::system() };
        tokio::spawn(dormouse_scheduler::run(client.clone(), options, end.clone()));
        let (pods, nodes) = (Api::default_namespaced(client.clone()), Api::all(client.clone()));
        Self { client, pods, nodes, end }
    }

    async fn node(&self, name: &str) {
        let status = json!({"capacity": {"nvidia.com/gpu": "1", "pods": "110"}});
        self.nodes.create(&PostParams::default(), &object(json!({"metadata": {"name": name}, "status": status}))).await.unwrap();
    }

    async fn pod(&self, name: &str, more: Value) {
        let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
        spec.as_object_mut().unwrap().extend(serde_json::from_value::<serde_json::Map<_, _>>(more).unwrap());
        self.pods.create(&PostParams::default(), &object(json!({"metadata": {"name": name}, "spec": spec}))).await.unwrap();
    }

    /// Waits until it holds of the Pod.
    async fn until(&self, name: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        for _ in 0..4_000 {
            let pod = self.pods.get(name).await.unwrap();
            if holds(&pod) {
                return pod;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited for {name}: {:?}", self.pods.get(name).await)
    }

    async fn bound(&self, name: &str) -> String {
        let pod = self.until(name, |pod| node(pod).is_some()).await;
        node(&pod).unwrap()
    }

    async fn waits(&self, name: &str, reason: &str) -> String {
        let why = |pod: &Pod| condition(pod).filter(|c| c.reason.as_deref() == Some(reason) && c.status == "False").cloned();
        let pod = self.until(name, |pod| why(pod).is_some()).await;
        why(&pod).unwrap().message.unwrap()
    }
}

fn node(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

fn condition(pod: &Pod) -> Option<&PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == "PodScheduled")
}

fn gpu() -> Value {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]})
}

#[tokio::test]
async fn a_gated_pod_says_so_and_waits_for_its_gates() {
    let plane = Plane::start();
    plane.node("a").await;
    plane.pod("gated", json!({"schedulingGates": [{"name": "x.example/g"}]})).await;
    assert_eq!(plane.waits("gated", "SchedulingGated").await, "Scheduling is blocked due to non-empty scheduling gates");
    let patch = Patch::Merge(json!({"spec": {"schedulingGates": []}}));
    plane.pods.patch("gated", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(plane.bound("gated").await, "a");
}

#[tokio::test]
async fn a_device_that_leftovers_hold_is_not_given() {
    let plane = Plane::start();
    plane.node("a").await;
    let held = |what: Value| Patch::Merge(json!({"metadata": {"annotations": {"dormouse.dev/held": what}}}));
    plane.nodes.patch("a", &PatchParams::default(), &held(json!("{\"nvidia.com/gpu\": \"1\"}"))).await.unwrap();
    plane.pod("waits", gpu()).await;
    let why = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.";
    assert_eq!(plane.waits("waits", "Unschedulable").await, why);
    let events: Api<Event> = Api::default_namespaced(plane.client.clone());
    let mut told = false;
    for _ in 0..4_000 {
        told = events.list(&ListParams::default()).await.unwrap().items.iter().any(|e| e.message.as_deref() == Some(why));
        if told {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(told, "an event says the same");
    plane.nodes.patch("a", &PatchParams::default(), &held(Value::Null)).await.unwrap();
    assert_eq!(plane.bound("waits").await, "a");
    plane.pod("next", gpu()).await;
    assert_eq!(plane.waits("next", "Unschedulable").await, why);
}

/// More Pods than one round places, and more than fit.
#[tokio::test]
async fn many_pods_at_once() {
    let plane = Plane::start();
    for i in 0..60 {
        plane.node(&format!("n{i:02}")).await;
    }
    for i in 0..100 {
        plane.pod(&format!("p{i:02}"), gpu()).await;
    }
    for _ in 0..4_000 {
        let all = plane.pods.list(&ListParams::default()).await.unwrap().items;
        let told = all.iter().filter(|pod| condition(pod).is_some_and(|c| c.reason.as_deref() == Some("Unschedulable"))).count();
        let mut on: Vec<String> = all.iter().filter_map(node).collect();
        if (on.len(), told) == (60, 40) {
            on.sort();
            on.dedup();
            assert_eq!(on.len(), 60, "no GPU is given twice");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not all were placed or told");
}
