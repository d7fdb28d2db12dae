//! Grace, finalizers, propagation, collections.

use serde_json::{Value, json};

use crate::harness::{ask, get, server};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

fn pod(name: &str, node: Option<&str>) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"l": name}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    if let Some(node) = node {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

fn set(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test]
async fn a_pod_on_a_node_ends_gracefully_and_only_sooner() {
    let server = server();
    assert_eq!(ask(&server, "POST", PODS, pod("p", Some("n"))).await.status, 201);
    let path = format!("{PODS}/p");
    let grace = |seconds: i64| json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": seconds});
    let first = ask(&server, "DELETE", &path, Value::Null).await;
    let meta = &first.body["metadata"];
    assert_eq!((first.status, &meta["deletionGracePeriodSeconds"], &meta["generation"]), (200, &json!(30), &json!(2)));
    let later = ask(&server, "DELETE", &path, grace(60)).await;
    assert_eq!(later.body["metadata"], *meta, "a longer grace changes nothing");
    let sooner = ask(&server, "DELETE", &path, grace(5)).await;
    assert_eq!(sooner.body["metadata"]["deletionGracePeriodSeconds"], 5);
    assert!(sooner.body["metadata"]["deletionTimestamp"].as_str() < meta["deletionTimestamp"].as_str());
    let now = ask(&server, "DELETE", &path, grace(0)).await;
    assert_eq!((now.status, now.body["kind"].as_str()), (200, Some("Pod")));
    assert_eq!(get(&server, &path).await.status, 404);
}

#[tokio::test]
async fn a_pod_without_a_node_or_work_ends_at_once() {
    let server = server();
    ask(&server, "POST", PODS, pod("a", None)).await;
    let gone = ask(&server, "DELETE", &format!("{PODS}/a"), Value::Null).await;
    assert_eq!((gone.status, get(&server, &format!("{PODS}/a")).await.status), (200, 404));
    ask(&server, "POST", PODS, pod("b", Some("n"))).await;
    ask(&server, "PATCH", &format!("{PODS}/b/status"), json!({"status": {"phase": "Succeeded"}})).await;
    ask(&server, "DELETE", &format!("{PODS}/b"), Value::Null).await;
    assert_eq!(get(&server, &format!("{PODS}/b")).await.status, 404);
}

#[tokio::test]
async fn a_finalizer_holds_a_pod_past_its_grace() {
    let server = server();
    let mut held = pod("p", Some("n"));
    held["metadata"]["finalizers"] = json!(["dual-pods.llm-d.ai/provider"]);
    ask(&server, "POST", PODS, held).await;
    let path = format!("{PODS}/p");
    let now = ask(&server, "DELETE", &path, json!({"gracePeriodSeconds": 0})).await;
    assert_eq!(now.body["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(get(&server, &path).await.status, 200);
    let freed = ask(&server, "PATCH", &path, json!({"metadata": {"finalizers": null}})).await;
    assert_eq!((freed.status, get(&server, &path).await.status), (200, 404));
}

#[tokio::test]
async fn a_finalizer_that_goes_first_leaves_the_grace() {
    let server = server();
    let mut held = pod("p", Some("n"));
    held["metadata"]["finalizers"] = json!(["example.com/x"]);
    ask(&server, "POST", PODS, held).await;
    let path = format!("{PODS}/p");
    ask(&server, "DELETE", &path, Value::Null).await;
    ask(&server, "PATCH", &path, json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(get(&server, &path).await.body["metadata"]["deletionGracePeriodSeconds"], 30, "the node still has to end it");
    ask(&server, "DELETE", &path, json!({"gracePeriodSeconds": 0})).await;
    assert_eq!(get(&server, &path).await.status, 404);
}

#[tokio::test]
async fn propagation_is_a_finalizer_for_the_collector() {
    let server = server();
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        ask(&server, "POST", SETS, set("s")).await;
        let marked = ask(&server, "DELETE", &format!("{SETS}/s?propagationPolicy={policy}"), Value::Null).await;
        assert_eq!((&marked.body["metadata"]["finalizers"], &marked.body["metadata"]["generation"]), (&json!([finalizer]), &json!(2)));
        let other = ask(&server, "DELETE", &format!("{SETS}/s"), Value::Null).await;
        assert_eq!(other.body["metadata"]["finalizers"], json!([finalizer]), "what was asked first stays");
        ask(&server, "PATCH", &format!("{SETS}/s"), json!({"metadata": {"finalizers": []}})).await;
        assert_eq!(get(&server, &format!("{SETS}/s")).await.status, 404);
    }
    ask(&server, "POST", SETS, set("s")).await;
    let gone = ask(&server, "DELETE", &format!("{SETS}/s"), Value::Null).await;
    assert_eq!((gone.body["kind"].as_str(), gone.body["details"]["kind"].as_str()), (Some("Status"), Some("replicasets")));
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector_and_preconditions_are_kept() {
    let server = server();
    for name in ["a", "b", "c"] {
        ask(&server, "POST", PODS, pod(name, None)).await;
    }
    let answer = ask(&server, "DELETE", &format!("{PODS}?labelSelector=l+in+(a,b)"), Value::Null).await;
    assert_eq!((answer.body["kind"].as_str(), answer.body["items"].as_array().unwrap().len()), (Some("PodList"), 2));
    let left = get(&server, PODS).await;
    assert_eq!(left.body["items"][0]["metadata"]["name"], "c");
    assert_eq!(left.body["items"].as_array().unwrap().len(), 1);
    let wrong = json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
    let refused = ask(&server, "DELETE", &format!("{PODS}/c"), wrong).await;
    assert_eq!((refused.status, refused.body["reason"].as_str()), (409, Some("Conflict")));
    let uid = left.body["items"][0]["metadata"]["uid"].clone();
    assert_eq!(ask(&server, "DELETE", &format!("{PODS}/c"), json!({"preconditions": {"uid": uid}})).await.status, 200);
}

#[tokio::test]
async fn eviction_is_a_delete_with_options() {
    let server = server();
    ask(&server, "POST", PODS, pod("p", Some("n"))).await;
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 7}});
    let answer = ask(&server, "POST", &format!("{PODS}/p/eviction"), eviction).await;
    assert_eq!((answer.status, answer.body["status"].as_str()), (201, Some("Success")));
    assert_eq!(get(&server, &format!("{PODS}/p")).await.body["metadata"]["deletionGracePeriodSeconds"], 7);
}
