//! The first objects of a full server: namespaces, roles, accounts.
//!
//! They are made through the same entrance as everything else, as `system:masters`, before anyone else can ask. What is
//! there already (a durable run) is left as it is, but for the default roles and bindings, which are made again: they
//! belong to the server.

mod roles;

use bytes::Bytes;
use futures::FutureExt;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::auth::rbac::{GROUP, RESOURCES};
use crate::{ApiServer, Body, User};

/// The namespaces of a fresh cluster.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Name of the ConfigMap that tells every namespace how to know the server.
pub const ROOT_CA: &str = "kube-root-ca.crt";

/// Makes namespaces, accounts and roles.
pub fn install(server: &ApiServer) {
    server.auth().rbac().reset(stored_rbac(server).into_iter());
    for name in NAMESPACES {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}, "spec": {"finalizers": ["kubernetes"]}});
        put(server, "/api/v1/namespaces", name, &namespace, false);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}});
        put(server, &format!("/api/v1/namespaces/{name}/serviceaccounts"), "default", &account, false);
    }
    make_roles(server);
}

/// Makes the default roles, as the rows that are served say, and their bindings.
pub(crate) fn make_roles(server: &ApiServer) {
    for (plural, object) in roles::all(server.registry().snapshot().all()) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        put(server, &format!("/apis/{GROUP}/v1/{plural}"), &name, &object, true);
    }
}

/// Says how clients know the server: ConfigMap `kube-root-ca.crt` in the first namespaces. In later ones the
/// controllers copy it.
pub fn publish_root_ca(server: &ApiServer, ca_pem: &str) {
    server.auth().set_ca_pem(ca_pem);
    for namespace in NAMESPACES {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": ROOT_CA, "namespace": namespace, "annotations": {
                "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."}},
            "data": {"ca.crt": ca_pem}});
        put(server, &format!("/api/v1/namespaces/{namespace}/configmaps"), ROOT_CA, &object, true);
    }
}

/// The roles and bindings that a durable store brought along.
fn stored_rbac(server: &ApiServer) -> Vec<(&'static str, Value)> {
    let mut objects = Vec::new();
    for plural in RESOURCES {
        let listing = server.store().table(&format!("{plural}.{GROUP}")).list(&dormouse_store::Query::default());
        for stored in listing.into_iter().flat_map(|l| l.items) {
            if let Ok(object) = serde_json::from_slice(stored.bytes()) {
                objects.push((plural, object));
            }
        }
    }
    objects
}

/// Creates an object; one that is there is written over when `renew`.
fn put(server: &ApiServer, collection: &str, name: &str, object: &Value, renew: bool) {
    let status = ask(server, Method::POST, collection, "application/json", object);
    if status == StatusCode::CONFLICT && renew {
        ask(server, Method::PATCH, &format!("{collection}/{name}"), "application/merge-patch+json", object);
    }
}

/// One request as an administrator. Nothing that it needs waits for anything, so that it is over at once.
pub(crate) fn ask(server: &ApiServer, method: Method, path: &str, content_type: &str, body: &Value) -> StatusCode {
    let request =
        Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type).body(Body::from(Bytes::from(body.to_string())));
    let Ok(request) = request else {
        tracing::error!(path, "a bootstrap path is no path");
        return StatusCode::BAD_REQUEST;
    };
    let status = server.handle(request, User::admin()).now_or_never().map_or(StatusCode::REQUEST_TIMEOUT, |r| r.status());
    if !status.is_success() && status != StatusCode::CONFLICT {
        tracing::error!(path, status = status.as_u16(), "a bootstrap object could not be made");
    }
    status
}
