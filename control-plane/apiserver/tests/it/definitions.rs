//! Custom resources: versions, defaults, pruning, names, the end.

use serde_json::{Value, json};

use crate::harness::{Answer, ask, get, server};
use dormouse_apiserver::ApiServer;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/ex.dev/v1/namespaces/default/things";

fn definition() -> Value {
    let version = |name: &str, storage: bool, color: &str| {
        json!({"name": name, "served": true, "storage": storage, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "default": color}}},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.ex.dev"},
        "spec": {"group": "ex.dev", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
            "versions": [version("v1", true, "red"), version("v1beta1", false, "blue")]}})
}

fn thing(name: &str, spec: impl Into<Value>) -> Value {
    let spec: Value = spec.into();
    json!({"apiVersion": "ex.dev/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

async fn install(server: &ApiServer) -> Answer {
    let made = ask(server, "POST", DEFINITIONS, definition()).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    made
}

#[tokio::test]
async fn a_definition_is_served_as_soon_as_it_is_answered() {
    let server = server();
    let made = install(&server).await;
    assert_eq!(made.body["status"]["conditions"], Value::Null, "the answer comes before the names are looked at");
    let now = get(&server, &format!("{DEFINITIONS}/things.ex.dev")).await;
    let conditions: Vec<(&str, &str)> = now.body["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["type"].as_str().unwrap(), c["status"].as_str().unwrap()))
        .collect();
    assert_eq!(conditions, [("NamesAccepted", "True"), ("Established", "True")]);
    assert_eq!(now.body["status"]["acceptedNames"]["listKind"], "ThingList");
    assert_eq!(now.body["status"]["storedVersions"], json!(["v1"]));
    let made = ask(&server, "POST", THINGS, thing("a", json!({"size": 1, "odd": true}))).await;
    assert_eq!((made.status, &made.body["spec"]), (201, &json!({"size": 1, "color": "red"})));
    assert_eq!(made.warnings, ["299 - \"unknown field \\\"spec.odd\\\"\""]);
    let wrong = ask(&server, "POST", THINGS, thing("b", json!({"size": 0}))).await;
    assert_eq!(
        wrong.message(),
        "Thing.ex.dev \"b\" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"
    );
}

#[tokio::test]
async fn versions_show_the_same_objects() {
    let server = server();
    install(&server).await;
    let beta = "/apis/ex.dev/v1beta1/namespaces/default/things";
    let mut made = thing("a", json!({"size": 1}));
    made["apiVersion"] = json!("ex.dev/v1beta1");
    let made = ask(&server, "POST", beta, made).await;
    assert_eq!((made.body["apiVersion"].as_str(), &made.body["spec"]["color"]), (Some("ex.dev/v1beta1"), &json!("blue")));
    let seen = get(&server, &format!("{THINGS}/a")).await;
    assert_eq!((seen.body["apiVersion"].as_str(), &seen.body["spec"]["color"]), (Some("ex.dev/v1"), &json!("blue")));
    ask(&server, "PATCH", &format!("{THINGS}/a/status"), json!({"status": {"ready": 1}})).await;
    let listed = get(&server, beta).await;
    assert_eq!(listed.body["items"][0]["apiVersion"], "ex.dev/v1beta1");
    assert_eq!(listed.body["items"][0]["status"]["ready"], 1);
    assert_eq!(listed.body["items"][0]["metadata"]["generation"], 1);
}

#[tokio::test]
async fn a_changed_schema_counts_for_objects_that_are_there() {
    let server = server();
    install(&server).await;
    ask(&server, "POST", THINGS, thing("a", json!({"size": 1}))).await;
    let add = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/late",
        "value": {"type": "string", "default": "x"}}]);
    let patch =
        crate::harness::send(&server, "PATCH", &format!("{DEFINITIONS}/things.ex.dev"), "application/json-patch+json", add.to_string())
            .await;
    assert_eq!(patch.status(), 200);
    assert_eq!(get(&server, &format!("{THINGS}/a")).await.body["spec"]["late"], "x");
}

#[tokio::test]
async fn names_in_use_are_refused() {
    let server = server();
    install(&server).await;
    let mut other = definition();
    other["metadata"]["name"] = json!("others.ex.dev");
    other["spec"]["names"] = json!({"plural": "others", "singular": "other", "kind": "Thing"});
    let made = ask(&server, "POST", DEFINITIONS, other).await;
    assert_eq!(made.status, 201);
    let now = get(&server, &format!("{DEFINITIONS}/others.ex.dev")).await;
    assert_eq!(now.body["status"]["conditions"][0]["reason"], "KindConflict");
    assert_eq!(get(&server, "/apis/ex.dev/v1/namespaces/default/others").await.status, 404);
    let mut broken = definition();
    broken["metadata"]["name"] = json!("x.ex.dev");
    let refused = ask(&server, "POST", DEFINITIONS, broken).await;
    assert!(refused.message().contains("must be spec.names.plural"), "{}", refused.message());
}

#[tokio::test]
async fn a_definition_waits_for_its_objects() {
    let server = server();
    install(&server).await;
    let mut held = thing("a", json!({"size": 1}));
    held["metadata"]["finalizers"] = json!(["ex.dev/hold"]);
    ask(&server, "POST", THINGS, held).await;
    ask(&server, "POST", THINGS, thing("b", json!({"size": 1}))).await;
    let marked = ask(&server, "DELETE", &format!("{DEFINITIONS}/things.ex.dev"), Value::Null).await;
    assert_eq!(marked.body["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    let left = get(&server, THINGS).await;
    assert_eq!(left.body["items"].as_array().unwrap().len(), 1);
    assert!(left.body["items"][0]["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(ask(&server, "POST", THINGS, thing("c", json!({"size": 1}))).await.status, 405);
    ask(&server, "PATCH", &format!("{THINGS}/a"), json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(get(&server, &format!("{DEFINITIONS}/things.ex.dev")).await.status, 404);
    assert_eq!(get(&server, THINGS).await.body, "404 page not found\n");
    // And again from the start.
    install(&server).await;
    assert_eq!(get(&server, THINGS).await.body["items"], json!([]));
}

#[tokio::test]
async fn a_watch_ends_with_its_kind() {
    let server = server();
    install(&server).await;
    let watch = crate::harness::send(&server, "GET", &format!("{THINGS}?watch=1"), "", dormouse_apiserver::Body::empty()).await;
    let told = tokio::spawn(crate::harness::read(watch));
    ask(&server, "POST", THINGS, thing("a", json!({"size": 1}))).await;
    ask(&server, "DELETE", &format!("{DEFINITIONS}/things.ex.dev"), Value::Null).await;
    let told = told.await.unwrap();
    assert!(told.body.to_string().contains("DELETED") || told.body.is_null() || told.body == "", "{:?}", told.body);
}

#[tokio::test]
async fn a_scale_of_ones_own() {
    let server = server();
    let mut scaled = definition();
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer", "maximum": 3}}},
        "status": {"type": "object", "properties": {"n": {"type": "integer"}, "selector": {"type": "string"}}}}});
    scaled["spec"]["versions"] = json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.selector"}}}]);
    assert_eq!(ask(&server, "POST", DEFINITIONS, scaled).await.status, 201);
    ask(&server, "POST", THINGS, thing("a", json!({"n": 1}))).await;
    ask(&server, "PATCH", &format!("{THINGS}/a/status"), json!({"status": {"n": 1, "selector": "x=y"}})).await;
    let scale = ask(&server, "PATCH", &format!("{THINGS}/a/scale"), json!({"spec": {"replicas": 2}})).await;
    assert_eq!((&scale.body["spec"], &scale.body["status"]), (&json!({"replicas": 2}), &json!({"replicas": 1, "selector": "x=y"})));
    assert_eq!(get(&server, &format!("{THINGS}/a")).await.body["spec"]["n"], 2);
    let refused = ask(&server, "PATCH", &format!("{THINGS}/a/scale"), json!({"spec": {"replicas": 9}})).await;
    assert_eq!(refused.status, 422, "the schema counts here too");
}
