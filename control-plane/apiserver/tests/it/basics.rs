//! Create, read, change, watch and delete through `kube::Client`.

use dormouse_apiserver::{ApiServer, Options};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;

fn server() -> ApiServer {
    ApiServer::new(Options::default())
}

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})).unwrap()
}

#[tokio::test]
async fn an_object_lives_through_the_client() {
    let client = server().client();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let made: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).unwrap();
    let made = maps.create(&PostParams::default(), &made).await.unwrap();
    assert!(made.uid().is_some());
    let patched = maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "w"}}))).await.unwrap();
    assert_eq!(patched.data.unwrap()["k"], "w");
    let patched = maps.patch("a", &PatchParams::default(), &Patch::Strategic(json!({"data": {"l": "x"}}))).await.unwrap();
    assert_eq!(patched.data.as_ref().unwrap().len(), 2);
    let again = maps.create(&PostParams::default(), &made).await.unwrap_err();
    assert!(matches!(again, kube::Error::Api(s) if s.code == 409 || s.code == 500));
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn pods_get_defaults_a_token_and_a_node() {
    let server = server();
    let client = server.client();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let made = pods.create(&PostParams::default(), &pod("p")).await.unwrap();
    let spec = made.spec.unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("Always"));
    assert_eq!(spec.service_account_name.as_deref(), Some("default"));
    assert_eq!(spec.containers[0].image_pull_policy.as_deref(), Some("Always"));
    assert_eq!(spec.containers[0].volume_mounts.as_ref().unwrap()[0].mount_path, "/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Pending"));
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    pods.create_subresource::<_, serde_json::Value>("binding", "p", &PostParams::default(), &binding).await.unwrap();
    let on_node = pods.list(&ListParams::default().fields("spec.nodeName=n")).await.unwrap();
    assert_eq!(on_node.items.len(), 1);
    let status = json!({"status": {"phase": "Running", "podIP": "127.1.1.1"}});
    let running = pods.patch_status("p", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    assert_eq!(running.status.unwrap().phase.as_deref(), Some("Running"));
    // Graceful: marked first, gone when the node says so.
    let marked = pods.delete("p", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(30));
    pods.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
}

#[tokio::test]
async fn watches_follow_and_resume() {
    let client = server().client();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let start = pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = pods.watch(&WatchParams::default(), &start).await.unwrap().boxed();
    for name in ["a", "b"] {
        pods.create(&PostParams::default(), &pod(name)).await.unwrap();
    }
    let mut names = Vec::new();
    while names.len() < 2 {
        if let WatchEvent::Added(pod) = events.next().await.unwrap().unwrap() {
            names.push(pod.name_any());
        }
    }
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn the_watcher_of_kube_works_in_both_modes() {
    let client = server().client();
    let nodes: Api<Node> = Api::all(client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut seen = watcher(nodes.clone(), config).applied_objects().boxed();
        assert_eq!(seen.next().await.unwrap().unwrap().name_any(), "n");
    }
}

#[tokio::test]
async fn a_new_namespace_is_ready_for_pods_and_ends_with_its_content() {
    let client = server().client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let made = serde_json::from_value(json!({"metadata": {"name": "x"}})).unwrap();
    namespaces.create(&PostParams::default(), &made).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "x");
    pods.create(&PostParams::default(), &pod("a")).await.unwrap();
    namespaces.delete("x", &DeleteParams::default()).await.unwrap();
    let ending = namespaces.get("x").await.unwrap();
    assert_eq!(ending.status.unwrap().phase.as_deref(), Some("Terminating"));
    let refused = pods.create(&PostParams::default(), &pod("b")).await.unwrap_err();
    assert!(refused.to_string().contains("being terminated"), "{refused}");
    pods.delete("a", &DeleteParams::default()).await.unwrap();
    let kept = namespaces.delete("default", &DeleteParams::default()).await.unwrap_err();
    assert!(kept.to_string().contains("this namespace may not be deleted"), "{kept}");
    let done = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}, "spec": {}});
    let done: Namespace = serde_json::from_value(done).unwrap();
    namespaces.replace_subresource("finalize", "x", &PostParams::default(), &done).await.unwrap();
    assert!(namespaces.get_opt("x").await.unwrap().is_none());
    let refused = pods.create(&PostParams::default(), &pod("b")).await.unwrap_err();
    assert!(refused.to_string().contains("namespaces \"x\" not found"), "{refused}");
}
