//! Brings the server into the state that a recording shows, after a step that it cannot follow.
//!
//! So every later step stands on its own: what it needs is in it, not in what came before. Two things cannot be had: a
//! definition that is converted by a webhook is installed without that, and the stored form of an object that was shown
//! only as a webhook had converted it is not known.

use dormouse_apiserver::ApiServer;
use dormouse_apiserver::object::{encode, new_uid};
use dormouse_store::{Change, key};
use serde_json::{Value, json};

use super::bindings::Bindings;
use super::step::Step;
use super::wire;

/// Puts the object that a step was answered with into the store, or takes away the one that it deleted.
pub(super) async fn restore(server: &ApiServer, step: Step<'_>, bindings: &mut Bindings) {
    let info = step.info();
    let Some(kind) = server.registry().snapshot().get(&info.group, &info.version, &info.resource).cloned() else { return };
    if step.is_dry_run() || step.status() >= 300 {
        return;
    }
    let table = server.store().table(&kind.storage);
    let recorded = step.response();
    if recorded["kind"] == "CustomResourceDefinition" {
        return define(server, step, bindings).await;
    }
    if step.method() == "DELETE" && recorded["kind"] == "Status" {
        let key = key(&info.namespace, &info.name);
        if let Some(present) = table.get(&key) {
            table.commit(&key, Change::Delete(present.revision())).unwrap();
        }
        return;
    }
    let (Some(name), true) = (recorded["metadata"]["name"].as_str(), recorded["kind"] == kind.kind.as_str()) else { return };
    let key = key(&info.namespace, &bindings.fill(name));
    let present = table.get(&key);
    let of = |member: &str| recorded["metadata"][member].as_str().unwrap_or("");
    if bindings.get(of("uid")).is_none() {
        let uid = present.as_ref().map_or_else(new_uid, |present| present.meta().uid.to_string());
        bindings.bind(of("uid"), &uid);
    }
    // The recording knows this version: nothing was changed, there or here.
    if present.as_ref().is_some_and(|present| bindings.get(of("resourceVersion")) == Some(&present.revision().to_string())) {
        return;
    }
    let Value::Object(mut object) = bindings.fill_value(recorded) else { return };
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
    kind.strategy.to_storage(&mut object);
    let draft = encode(&kind, &object, 0).unwrap();
    let change = match present {
        Some(present) => Change::Update(draft, present.revision()),
        None => Change::Create(draft),
    };
    let committed = table.commit(&key, change).unwrap();
    bindings.bind(of("resourceVersion"), &committed.object.revision().to_string());
}

/// Installs a definition that was refused here, without the conversion that is pending.
async fn define(server: &ApiServer, step: Step<'_>, bindings: &mut Bindings) {
    let mut body = step.response().clone();
    body["spec"].as_object_mut().unwrap().remove("conversion");
    let name = body["metadata"]["name"].as_str().unwrap().to_owned();
    body["metadata"] = json!({"name": name});
    let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let present = server.store().table("customresourcedefinitions.apiextensions.k8s.io").get(&name);
    let (method, path) = match present {
        Some(present) => {
            body["metadata"]["resourceVersion"] = present.revision().to_string().into();
            ("PUT", format!("{all}/{name}"))
        }
        None => ("POST", all.to_owned()),
    };
    let request = json!({"request": {"method": method, "path": path, "body": body, "content_type": "application/json"}});
    let answer = wire::read(wire::ask(server, Step(&request), bindings, false).await, false).await;
    assert!(answer.status < 300, "{}", answer.body);
    // Without the conversion a change may be none; then later steps show the version.
    for member in if method == "POST" { &["uid", "resourceVersion"][..] } else { &["uid"] } {
        let recorded = &step.response()["metadata"][member];
        bindings.bind(recorded.as_str().unwrap(), answer.body["metadata"][member].as_str().unwrap());
    }
}
