//! Bodies, answers and paths: what is accepted, and what is said otherwise.

use std::sync::Arc;

use dormouse_apiserver::node_side::{LogOptions, NodeSide, Target};
use dormouse_apiserver::{ApiError, Body, Profile};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::harness::{ask, get, read, send, server};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"nodeName": "n",
        "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}})
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test]
async fn bodies_may_be_yaml_and_types_are_checked() {
    let server = server();
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: why}\ndata:\n  mode: \"0644\"\n";
    let made = read(send(&server, "POST", MAPS, "application/yaml", yaml).await).await;
    assert_eq!((made.status, &made.body["data"]["mode"]), (201, &json!("0644")), "{:?}", made.body);
    let mut wrong = map("w");
    wrong["data"]["k"] = json!(5);
    let refused = ask(&server, "POST", MAPS, wrong).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.message().starts_with("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number"),
        "{}",
        refused.message()
    );
    let mut unknown = map("u");
    unknown["spce"] = json!({});
    let strict = ask(&server, "POST", &format!("{MAPS}?fieldValidation=Strict"), unknown.clone()).await;
    assert!(strict.message().ends_with("strict decoding error: unknown field \"spce\""), "{}", strict.message());
    let warned = ask(&server, "POST", MAPS, unknown).await;
    assert_eq!((warned.status, warned.warnings.len()), (201, 1));
    for kind in ["application/apply-patch+yaml", "text/plain"] {
        let refused = send(&server, "PATCH", &format!("{MAPS}/u"), kind, "{}").await;
        assert_eq!(refused.status(), 415, "{kind}");
    }
    let large = send(&server, "POST", MAPS, "application/json", vec![b' '; (3 << 20) + 1]).await;
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn paths_that_lead_nowhere() {
    let server = server();
    for (method, path, status) in [
        ("GET", "/api/v1/nonsense", 404),
        ("GET", "/apis/apps/v1/namespaces/default/nonsense", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("POST", "/api/v1/pods", 405),
        ("DELETE", "/api/v1/configmaps", 405),
        ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 405),
        ("PUT", MAPS, 400),
        ("GET", "/api/v1/namespaces/default/configmaps/none/status", 404),
        ("POST", "/api/v1/namespaces/none/configmaps", 404),
        ("OPTIONS", MAPS, 405),
    ] {
        let body = if method == "POST" { map("x") } else { Value::Null };
        let answer = ask(&server, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {:?}", answer.body);
    }
}

#[tokio::test]
async fn pages_are_consistent_while_the_list_changes() {
    let server = server();
    for i in 0..5 {
        ask(&server, "POST", MAPS, map(&format!("m{i}"))).await;
    }
    let first = get(&server, &format!("{MAPS}?limit=2")).await;
    let meta = &first.body["metadata"];
    assert!(meta["remainingItemCount"].as_i64() >= Some(3), "{meta}");
    ask(&server, "DELETE", &format!("{MAPS}/m4"), Value::Null).await;
    let next = get(&server, &format!("{MAPS}?limit=100&continue={}", meta["continue"].as_str().unwrap())).await;
    let names: Vec<&str> = next.body["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap()).collect();
    assert!(names.ends_with(&["m2", "m3", "m4"]) || names == ["m1", "m2", "m3", "m4"], "{names:?}");
    assert_eq!(next.body["metadata"]["resourceVersion"], meta["resourceVersion"]);
    let exact = format!("{MAPS}?resourceVersionMatch=Exact&resourceVersion={}", meta["resourceVersion"].as_str().unwrap());
    assert!(get(&server, &exact).await.body["items"].as_array().unwrap().iter().any(|i| i["metadata"]["name"] == "m4"));
    assert!(!get(&server, MAPS).await.body["items"].as_array().unwrap().iter().any(|i| i["metadata"]["name"] == "m4"));
}

#[tokio::test]
async fn a_deployment_scales_and_keeps_its_selector() {
    let server = server();
    let made = ask(&server, "POST", DEPLOYMENTS, deployment()).await;
    assert_eq!((made.status, &made.body["spec"]["strategy"]["rollingUpdate"]["maxSurge"]), (201, &json!("25%")));
    let scale = get(&server, &format!("{DEPLOYMENTS}/d/scale")).await;
    assert_eq!((scale.body["spec"]["replicas"].as_i64(), scale.body["status"]["selector"].as_str()), (Some(1), Some("a=b")));
    let scaled = ask(&server, "PATCH", &format!("{DEPLOYMENTS}/d/scale"), json!({"spec": {"replicas": 3}})).await;
    assert_eq!(scaled.body["kind"], "Scale");
    let now = get(&server, &format!("{DEPLOYMENTS}/d")).await;
    assert_eq!((&now.body["spec"]["replicas"], &now.body["metadata"]["generation"]), (&json!(3), &json!(2)));
    let refused = ask(&server, "PATCH", &format!("{DEPLOYMENTS}/d/scale"), json!({"spec": {"replicas": -1}})).await;
    assert_eq!(refused.status, 422);
    let moved = ask(
        &server,
        "PATCH",
        &format!("{DEPLOYMENTS}/d"),
        json!({"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "c"}}}}}),
    )
    .await;
    assert!(moved.message().contains("field is immutable"), "{}", moved.message());
    let status = ask(&server, "PATCH", &format!("{DEPLOYMENTS}/d/status"), json!({"status": {"replicas": 1}})).await;
    assert_eq!((&status.body["status"]["replicas"], &status.body["metadata"]["generation"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_pod_keeps_its_spec_but_for_images() {
    let server = server();
    ask(&server, "POST", PODS, pod("p")).await;
    let path = format!("{PODS}/p");
    let refused = ask(&server, "PATCH", &path, json!({"spec": {"restartPolicy": "Never"}})).await;
    assert!(refused.message().contains("pod updates may not change fields other than"), "{}", refused.message());
    let image = json!({"spec": {"containers": [{"name": "c", "image": "new"}]}});
    let patched = read(send(&server, "PATCH", &path, "application/strategic-merge-patch+json", image.to_string()).await).await;
    assert_eq!((patched.status, &patched.body["spec"]["containers"][0]["image"]), (200, &json!("new")), "{:?}", patched.body);
    assert_eq!(patched.body["spec"]["containers"][1]["image"], "i");
    assert_eq!(patched.body["metadata"]["generation"], 2);
    let again = send(&server, "PATCH", &path, "application/strategic-merge-patch+json", image.to_string()).await;
    assert_eq!(read(again).await.body["metadata"]["resourceVersion"], patched.body["metadata"]["resourceVersion"]);
    let duplicate = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": {"containers": [
        {"name": "c", "image": "i", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}, {"name": "c", "image": ""}]}});
    let refused = ask(&server, "POST", PODS, duplicate).await;
    let fields: Vec<&str> = refused.body["details"]["causes"].as_array().unwrap().iter().map(|c| c["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["spec.containers[0].volumeMounts[0].name", "spec.containers[1].image", "spec.containers[1].name"]);
}

struct Nodes;
impl NodeSide for Nodes {
    fn logs<'a>(&'a self, target: Target<'a>, options: LogOptions) -> BoxFuture<'a, Result<Body, ApiError>> {
        let said = format!("{} {} {:?}\n", target.pod["metadata"]["name"], target.container, options.tail_lines);
        Box::pin(async move { Ok(Body::from(said)) })
    }
}

#[tokio::test]
async fn logs_come_from_the_node_side() {
    let server = server();
    ask(&server, "POST", PODS, pod("p")).await;
    let path = format!("{PODS}/p/log");
    assert_eq!(get(&server, &format!("{path}?container=c")).await.status, 500, "nobody serves logs yet");
    server.set_node_side(Arc::new(Nodes));
    let which = get(&server, &path).await;
    assert_eq!(which.message(), "a container name must be specified for pod p, choose one of: [c d]");
    let log = get(&server, &format!("{path}?container=d&tailLines=3")).await;
    assert_eq!(log.body, "\"p\" d Some(3)\n");
    assert_eq!(get(&server, &format!("{path}?container=x")).await.message(), "container x is not valid for pod p");
}

#[tokio::test]
async fn two_groups_show_one_event() {
    let server = server();
    let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"}, "reason": "R", "message": "M",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}});
    let made = ask(&server, "POST", "/api/v1/namespaces/default/events", core).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let new = get(&server, "/apis/events.k8s.io/v1/namespaces/default/events/e").await;
    assert_eq!((new.body["note"].as_str(), new.body["regarding"]["name"].as_str()), (Some("M"), Some("p")));
    let found = get(&server, "/api/v1/events?fieldSelector=involvedObject.name%3Dp,reason%3DR").await;
    assert_eq!(found.body["items"].as_array().unwrap().len(), 1);
    let made = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "f"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "reason": "R", "action": "A", "type": "Normal", "reportingController": "dormouse.dev/x", "reportingInstance": "x", "note": "N",
        "regarding": {"kind": "Pod", "name": "q", "namespace": "default"}});
    let made = ask(&server, "POST", "/apis/events.k8s.io/v1/namespaces/default/events", made).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let core = get(&server, "/api/v1/namespaces/default/events/f").await;
    assert_eq!((core.body["message"].as_str(), core.body["involvedObject"]["name"].as_str()), (Some("N"), Some("q")));
}

#[tokio::test]
async fn a_lease_is_created_by_an_update() {
    let server = server();
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let lease =
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    assert_eq!(ask(&server, "PUT", path, lease.clone()).await.status, 201);
    let refused = ask(&server, "PUT", path, lease).await;
    assert_eq!(refused.status, 422, "without a version");
    assert_eq!(server.profile(), Profile::Full);
}
