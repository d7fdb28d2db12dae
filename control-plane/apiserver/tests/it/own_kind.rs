//! A kind is one entry of the registry: everything else follows from it.

use dormouse_apiserver::ApiServer;
use dormouse_apiserver::registry::{Cell, Column, Cx, FieldLabel, Generation, Kind, Object, Strategy, Subresource};
use dormouse_machinery::field::FieldError;
use serde_json::{Value, json};
use std::sync::Arc;

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

fn add_gadgets(server: &ApiServer) {
    let column = |name: &str, column_type: &str, path: &str| Column {
        name: name.into(),
        column_type: column_type.into(),
        format: String::new(),
        description: String::new(),
        priority: 0,
        cell: Cell::Path(path.into()),
    };
    server.registry().add([Kind {
        short_names: vec!["gd".into()],
        subresources: vec![Subresource::status("Gadget")],
        generation: Generation::Spec,
        columns: vec![column("Name", "string", ".metadata.name"), column("Size", "integer", ".spec.size")],
        fields: vec![FieldLabel { label: "spec.size".into(), path: "spec.size".into() }],
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
    let request =
        http::Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io").body(dormouse_apiserver::Body::empty());
    let table = read(server.handle(request.unwrap(), dormouse_apiserver::User::admin()).await).await;
    assert_eq!((&table.body["columnDefinitions"][1]["name"], &table.body["rows"][0]["cells"]), (&json!("Size"), &json!(["a", 3])));
    let resources = get(&server, "/apis/test.dormouse.dev/v1").await;
    assert_eq!(resources.body["resources"][0]["shortNames"], json!(["gd"]), "{:?}", resources.body);
    let watch =
        send(&server, "GET", &format!("{path}?watch=1&timeoutSeconds=1&resourceVersion={version}"), "", dormouse_apiserver::Body::empty())
            .await;
    let events = read(watch).await;
    let events: Vec<Value> = events.body.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(events.iter().map(|e| e["type"].as_str().unwrap()).collect::<Vec<_>>(), ["MODIFIED", "MODIFIED"]);
    assert_eq!(ask(&server, "DELETE", &format!("{path}/a"), Value::Null).await.status, 200);
}
