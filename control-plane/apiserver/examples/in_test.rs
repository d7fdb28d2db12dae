//! A Kubernetes API inside a test: no cluster, no socket, no process.
//!
//! ```sh
//! cargo run -p dormouse-apiserver --example in_test
//! ```
//!
//! A controller under test gets the client and cannot tell the difference; the test plays everyone else.

use dormouse_apiserver::{ApiServer, Options};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = ApiServer::new(Options::default());
    let client = server.client();

    // Objects get what a real server would give them.
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = serde_json::from_value(json!({"metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]}}))?;
    let pod = pods.create(&PostParams::default(), &pod).await?;
    println!("created {:?}, {:?}", pod.metadata.uid, pod.spec.and_then(|s| s.restart_policy));

    // Watches see what others do.
    let version = pods.list(&ListParams::default().labels("app=web")).await?.metadata.resource_version.unwrap_or_default();
    let mut events = pods.watch(&WatchParams::default().labels("app=web"), &version).await?.boxed();
    pods.patch_status("web", &PatchParams::default(), &Patch::Merge(json!({"status": {"phase": "Running"}}))).await?;
    if let Some(WatchEvent::Modified(pod)) = events.try_next().await? {
        println!("seen {:?}", pod.status.and_then(|s| s.phase));
    }

    // Rights are checked for whoever is not an administrator.
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client_as("jane", &[]));
    match maps.get("gpu-map").await {
        Err(kube::Error::Api(status)) => println!("jane: {}", status.message),
        other => println!("jane: {other:?}"),
    }
    Ok(())
}
