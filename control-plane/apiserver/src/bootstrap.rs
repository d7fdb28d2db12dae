//! The first objects of a full server: namespaces, roles, accounts.
//!
//! They are made through the same entrance as everything else, as `system:masters`, before anyone else can ask. What belongs
//! to the server (default roles and bindings, the certificate) is written over when it is made again.

mod roles;

use bytes::Bytes;
use futures::FutureExt;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::auth::rbac::GROUP;
use crate::{ApiServer, Body, User};

/// The namespaces of a fresh cluster.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Name of the ConfigMap that tells every namespace how to know the server.
pub const ROOT_CA: &str = "kube-root-ca.crt";

/// Makes namespaces and roles. A namespace gets its account in its commit, like any later one.
pub fn install(server: &ApiServer) {
    for name in NAMESPACES {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ask(server, Method::POST, "/api/v1/namespaces", "application/json", &namespace);
    }
    make_roles(server);
}

/// Makes the default roles, as the rows that are served say, and their bindings.
pub(crate) fn make_roles(server: &ApiServer) {
    for (plural, object) in roles::all(server.registry().snapshot().all()) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        put(server, &format!("/apis/{GROUP}/v1/{plural}"), &name, &object);
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
        put(server, &format!("/api/v1/namespaces/{namespace}/configmaps"), ROOT_CA, &object);
    }
}

/// Creates an object, or writes it over.
fn put(server: &ApiServer, collection: &str, name: &str, object: &Value) {
    if ask(server, Method::POST, collection, "application/json", object) == StatusCode::CONFLICT {
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
