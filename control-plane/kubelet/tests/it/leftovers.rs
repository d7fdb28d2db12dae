//! Pods whose objects are gone while their processes live on, and those that want what these hold.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::plane::{NODE, Plane, sh_with};

/// A container that asks for so many GPUs; a deaf one ends by SIGKILL alone.
fn container(gpus: u32, deaf: bool) -> Value {
    let script = if deaf { "trap '' TERM; while :; do sleep 0.1; done" } else { "exec sleep 60" };
    sh_with(script, json!({"resources": {"limits": {"nvidia.com/gpu": gpus.to_string()}}}))
}

async fn held(plane: &Plane) -> Option<Value> {
    let node = Api::<Node>::all(plane.client.clone()).get(NODE).await.unwrap();
    node.metadata.annotations.unwrap_or_default().get("dormouse.dev/held").map(|held| serde_json::from_str(held).unwrap())
}

async fn force(plane: &Plane, name: &str) {
    plane.pods().delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    plane.until_gone(name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_waits_for_the_processes_of_one_that_was_force_deleted() {
    let plane = Plane::with(|o| o.gpus.count = 2).await;
    plane.create("old", json!({"containers": [container(2, true)], "terminationGracePeriodSeconds": 2})).await;
    plane.until_ready("old").await;
    force(&plane, "old").await;
    let begun = Instant::now();
    plane.create("new", json!({"containers": [container(1, false)]})).await;
    plane.create("unwanted", json!({"containers": [container(1, false)]})).await;
    plane.until_event("new", "WaitingForLeftovers").await;
    let told = loop {
        match held(&plane).await {
            Some(held) => break held,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the node does not say what is held");
    };
    assert_eq!((&told["nvidia.com/gpu"], &told["pods"]), (&json!("2"), &json!("1")));
    let waiting = plane.pods().get("new").await.unwrap().status.unwrap();
    assert_eq!(waiting.phase.as_deref(), Some("Pending"));
    // What waits can be deleted.
    plane.delete("unwanted").await;
    plane.until_gone("unwanted").await;
    plane.until_ready("new").await;
    while held(&plane).await.is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "the node still says that something is held");
    }
}
