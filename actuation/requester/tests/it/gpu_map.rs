//! gpu-map, once and kept.

use dormouse_requester::gpu_map::{keep, sync};
use dormouse_runtime::CancellationToken;
use serde_json::{Value, json};

use crate::harness::eventually;
use crate::kube_stub::Cluster;

fn node(name: &str, gpus: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "resourceVersion": "1", "annotations": {"dormouse.dev/gpus": gpus}}})
}

#[tokio::test]
async fn once() {
    let cluster = Cluster::new();
    cluster.change(|w| w.nodes = vec![node("n.1", r#"{"GPU-0":0}"#), node("bad", "x")]);
    let first = sync(cluster.client(), "ns", false).await.unwrap();
    assert!(first.created && first.written == ["n.1"] && first.skipped[0].0 == "bad");
    assert_eq!(cluster.data("gpu-map"), json!({"n.1": r#"{"GPU-0":0}"#}));
    let writes = cluster.world.lock().unwrap().writes;
    let again = sync(cluster.client(), "ns", false).await.unwrap();
    assert_eq!(
        (again.unchanged, cluster.world.lock().unwrap().writes),
        (vec!["n.1".to_owned()], writes),
        "nothing to do is nothing written"
    );
}

#[tokio::test]
async fn kept() {
    let cluster = Cluster::new();
    let end = CancellationToken::new();
    let keeping = tokio::spawn({
        let (client, end) = (cluster.client(), end.clone());
        async move { keep(client, "ns", end).await }
    });
    cluster.change(|w| w.nodes = vec![node("n1", r#"{"GPU-0":0}"#)]);
    eventually("the node's entry", || cluster.data("gpu-map")["n1"] == r#"{"GPU-0":0}"#).await;
    cluster.change(|w| w.nodes = vec![node("n1", r#"{"GPU-0":0,"GPU-1":1}"#), node("n2", "{}")]);
    eventually("the new GPU and the new node", || cluster.data("gpu-map") == json!({"n1": r#"{"GPU-0":0,"GPU-1":1}"#, "n2": "{}"})).await;
    cluster.set_map("gpu-map", &json!({"n1": "spoiled"}));
    eventually("a spoiled entry to be mended", || cluster.data("gpu-map")["n1"] != "spoiled").await;
    cluster.change(|w| w.nodes.truncate(1));
    eventually("the vanished node's entry to go", || cluster.data("gpu-map").get("n2").is_none()).await;
    end.cancel();
    keeping.await.unwrap();
}
