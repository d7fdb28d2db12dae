//! A kind is one entry of the registry: everything else follows from it.

use std::sync::Arc;

use dormouse_apiserver::registry::{Answer, Column, Cx, FieldLabel, Generation, Handler, Kind, Object, Right, Strategy, Subresource, Verb};
use dormouse_apiserver::{ApiServer, Body, Call, User};
use dormouse_machinery::field::FieldError;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{ask, get, read, send, server};

struct Gadgets;
impl Strategy for Gadgets {
    fn default(&self, gadget: &mut Object) {
        let spec = gadget.entry("spec").or_insert_with(|| json!({}));
        if spec["size"].is_null() {
            spec["size"] = json!(1);
        }
    }
    fn validate(&self, _: &Cx<'_>, gadget: &Object, problems: &mut Vec<FieldError>) {
        if let Some(size) = gadget["spec"]["size"].as_i64().filter(|s| *s > 9) {
            problems.push(FieldError::invalid("spec.size", size, "must be less than 10"));
        }
    }
}

/// A subresource: the size, and who asked for it.
struct Size;
impl Handler for Size {
    fn handle<'a>(&'a self, call: &'a mut Call, _: Verb) -> Answer<'a> {
        Box::pin(async move {
            let size = &call.object()?["spec"]["size"];
            Ok(call.answer(StatusCode::OK, &json!({"size": size, "for": call.user.name, "query": call.parts.uri.query()})))
        })
    }
}

fn add_gadgets(server: &ApiServer) {
    server.add_kinds([Kind {
        short_names: vec!["gd".into()],
        subresources: vec![Subresource::own("size", "Gadget", &[Verb::Get], Size), Subresource::status("Gadget")],
        generation: Generation::Spec,
        columns: vec![Column::name(), Column::path("Size", "integer", "", ".spec.size")],
        fields: vec![FieldLabel { label: "spec.size".into(), path: "spec.size".into() }],
        rights: const { &[Right::view(&["", "size"]), Right::edit(&[""])] },
        strategy: Arc::new(Gadgets),
        ..Kind::new("test.dormouse.dev", "v1", "Gadget", "gadgets")
    }]);
}

#[tokio::test]
async fn a_kind_in_forty_lines() {
    let server = server();
    add_gadgets(&server);
    let path = "/apis/test.dormouse.dev/v1/namespaces/default/gadgets";
    let gadget =
        |name: &str, spec: Value| json!({"apiVersion": "test.dormouse.dev/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": spec});
    let made = ask(&server, "POST", path, gadget("a", json!({}))).await;
    assert_eq!((made.status, &made.body["spec"]["size"]), (201, &json!(1)));
    let refused = ask(&server, "POST", path, gadget("b", json!({"size": 10}))).await;
    assert_eq!(refused.message(), "Gadget.test.dormouse.dev \"b\" is invalid: spec.size: Invalid value: 10: must be less than 10");
    let version = made.body["metadata"]["resourceVersion"].as_str().unwrap();
    let patched = ask(&server, "PATCH", &format!("{path}/a"), json!({"spec": {"size": 3}})).await;
    assert_eq!((patched.status, &patched.body["metadata"]["generation"]), (200, &json!(2)));
    let status = ask(&server, "PATCH", &format!("{path}/a/status"), json!({"spec": {"size": 7}, "status": {"ready": true}})).await;
    assert_eq!((&status.body["spec"]["size"], &status.body["status"]["ready"]), (&json!(3), &json!(true)));
    let listed = get(&server, &format!("{path}?fieldSelector=spec.size%3D3")).await;
    assert_eq!((listed.body["kind"].as_str(), listed.body["items"].as_array().unwrap().len()), (Some("GadgetList"), 1));
    let request = http::Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io").body(Body::empty());
    let table = read(server.handle(request.unwrap(), User::admin()).await).await;
    assert_eq!((&table.body["columnDefinitions"][1]["name"], &table.body["rows"][0]["cells"]), (&json!("Size"), &json!(["a", 3])));
    let resources = get(&server, "/apis/test.dormouse.dev/v1").await;
    assert_eq!(resources.body["resources"][0]["shortNames"], json!(["gd"]), "{:?}", resources.body);
    let watch = send(&server, "GET", &format!("{path}?watch=1&timeoutSeconds=1&resourceVersion={version}"), "", Body::empty()).await;
    let events = read(watch).await;
    let events: Vec<Value> = events.body.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(events.iter().map(|e| e["type"].as_str().unwrap()).collect::<Vec<_>>(), ["MODIFIED", "MODIFIED"]);
    assert_eq!(ask(&server, "DELETE", &format!("{path}/a"), Value::Null).await.status, 200);
}

#[tokio::test]
async fn its_subresource_and_its_rights() {
    let server = server();
    add_gadgets(&server);
    let path = "/apis/test.dormouse.dev/v1/namespaces/default/gadgets";
    let gadget = json!({"apiVersion": "test.dormouse.dev/v1", "kind": "Gadget", "metadata": {"name": "a"}, "spec": {"size": 4}});
    assert_eq!(ask(&server, "POST", path, gadget.clone()).await.status, 201);
    let size = get(&server, &format!("{path}/a/size?unit=m")).await;
    assert_eq!(size.body, json!({"size": 4, "for": "system:admin", "query": "unit=m"}));
    assert_eq!(ask(&server, "PUT", &format!("{path}/a/size"), json!({})).await.status, 405, "the row lists its verbs");
    assert_eq!(get(&server, &format!("{path}/b/size")).await.status, 404);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "v"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    assert_eq!(ask(&server, "POST", bindings, binding).await.status, 201);
    for (method, path, status) in [("GET", format!("{path}/a/size"), 200), ("DELETE", format!("{path}/a"), 403)] {
        let request = http::Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
        assert_eq!(server.handle(request, User::new("jane", [""; 0])).await.status(), status, "{method} {path}");
    }
}
