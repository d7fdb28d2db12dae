//! A UID in a request means that object and no other of its name, whatever part of it is written.

use serde_json::{Value, json};

use crate::harness::{ask, server};

const OTHER: &str = "00000000-0000-0000-0000-000000000000";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test]
async fn a_patch_with_another_uid_is_refused_in_every_part() {
    let server = server();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = ask(&server, "POST", PODS, pod).await;
    assert_eq!(ask(&server, "POST", DEPLOYMENTS, deployment()).await.status, 201);
    let patch = |uid: &str| json!({"metadata": {"uid": uid}, "status": {"phase": "Running"}});
    for path in [format!("{PODS}/p"), format!("{PODS}/p/status"), format!("{DEPLOYMENTS}/d/status")] {
        let refused = ask(&server, "PATCH", &path, patch(OTHER)).await;
        assert_eq!(refused.status, 422, "{path}: {}", refused.body);
        let problem = format!("is invalid: metadata.uid: Invalid value: \"{OTHER}\": field is immutable");
        assert!(refused.message().ends_with(&problem), "{path}: {}", refused.message());
    }
    let refused = ask(&server, "PATCH", &format!("{DEPLOYMENTS}/d/scale"), patch(OTHER)).await;
    assert_eq!(refused.status, 409);
    let why = format!("Operation cannot be fulfilled on deployments/scale.apps \"d\": Precondition failed: UID in precondition: {OTHER},");
    assert!(refused.message().starts_with(&why), "{}", refused.message());
    let its = made.body["metadata"]["uid"].as_str().unwrap();
    let taken = ask(&server, "PATCH", &format!("{PODS}/p/status"), patch(its)).await;
    assert_eq!((taken.status, &taken.body["status"]["phase"], &taken.body["metadata"]["uid"]), (200, &json!("Running"), &json!(its)));
}

#[tokio::test]
async fn an_update_with_another_uid_is_a_conflict_in_every_part() {
    let server = server();
    ask(&server, "POST", DEPLOYMENTS, deployment()).await;
    ask(&server, "POST", "/api/v1/namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})).await;
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}, "spec": {"finalizers": []}});
    for (path, mut body) in [
        (format!("{DEPLOYMENTS}/d"), deployment()),
        (format!("{DEPLOYMENTS}/d/status"), deployment()),
        (format!("{DEPLOYMENTS}/d/scale"), scale),
        ("/api/v1/namespaces/n/finalize".to_owned(), namespace),
    ] {
        body["metadata"]["uid"] = json!(OTHER);
        let refused = ask(&server, "PUT", &path, body.clone()).await;
        assert_eq!(refused.status, 409, "{path}: {}", refused.body);
        assert!(refused.message().contains(&format!("Precondition failed: UID in precondition: {OTHER}")), "{path}: {}", refused.message());
        body["metadata"]["uid"] = Value::Null;
        assert_eq!(ask(&server, "PUT", &path, body).await.status, 200, "{path}");
    }
}
