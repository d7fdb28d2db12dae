//! Watches over time: slow readers, bookmarks, ends, selectors; and writers who meet on one object.

use dormouse_apiserver::{ApiServer, Body, Options, User};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::harness::{ask, get, server};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}})
}

struct Watch(Body, Vec<u8>);

impl Watch {
    async fn open(server: &ApiServer, path: &str) -> Self {
        let request = Request::get(path).body(Body::empty()).unwrap();
        Self(server.handle(request, User::admin()).await.into_body(), Vec::new())
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.1.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.1.extend_from_slice(&self.0.frame().await?.unwrap().into_data().unwrap());
        }
    }

    async fn kinds(&mut self) -> Vec<String> {
        let mut kinds = Vec::new();
        while let Some(event) = self.next().await {
            kinds.push(event["type"].as_str().unwrap().to_owned());
        }
        kinds
    }
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_delays_nobody() {
    let server = ApiServer::new(Options { watch_log_events: 5, ..Options::default() });
    let start = get(&server, MAPS).await.body["metadata"]["resourceVersion"].clone();
    let mut slow = Watch::open(&server, &format!("{MAPS}?watch=1&resourceVersion={}", start.as_str().unwrap())).await;
    for i in 0..10 {
        assert_eq!(ask(&server, "POST", MAPS, map(&format!("m{i}"))).await.status, 201);
    }
    let cut = slow.next().await.unwrap();
    assert_eq!(
        (cut["type"].as_str(), cut["object"]["code"].as_i64(), cut["object"]["reason"].as_str()),
        (Some("ERROR"), Some(410), Some("Expired"))
    );
    assert_eq!(slow.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_is_told_how_far_it_is_and_ends_in_time() {
    let server = server();
    let mut watch = Watch::open(&server, &format!("{MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=150")).await;
    let quiet = tokio::time::Instant::now();
    // Something else happens: the version moves although nothing here does.
    ask(&server, "POST", "/api/v1/namespaces/default/secrets", json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}))
        .await;
    let now = get(&server, MAPS).await.body["metadata"]["resourceVersion"].clone();
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"], json!({"resourceVersion": now}));
    assert_eq!(watch.kinds().await, ["BOOKMARK"]);
    assert_eq!(quiet.elapsed().as_secs(), 150);
    let mut silent = Watch::open(&server, &format!("{MAPS}?watch=1&timeoutSeconds=150")).await;
    assert_eq!(silent.kinds().await, Vec::<String>::new(), "who wants no bookmarks gets none");
}

#[tokio::test(start_paused = true)]
async fn a_node_sees_its_pods_come_and_change_and_go() {
    let server = server();
    let mut watch =
        Watch::open(&server, "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn,status.phase!%3DFailed&timeoutSeconds=5").await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    ask(&server, "POST", PODS, pod).await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(ask(&server, "POST", &format!("{PODS}/p/binding"), binding.clone()).await.status, 201);
    let again = ask(&server, "POST", &format!("{PODS}/p/binding"), binding).await;
    assert_eq!(again.message(), "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\"");
    ask(&server, "PATCH", &format!("{PODS}/p/status"), json!({"status": {"phase": "Running"}})).await;
    ask(&server, "PATCH", &format!("{PODS}/p/status"), json!({"status": {"phase": "Failed"}})).await;
    assert_eq!(watch.kinds().await, ["ADDED", "MODIFIED", "DELETED"]);
}

#[tokio::test]
async fn watches_end_with_the_server() {
    let server = server();
    let mut watch = Watch::open(&server, &format!("{MAPS}?watch=1&resourceVersion=0")).await;
    server.stopping().cancel();
    assert_eq!(watch.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_on_one_object_lose_nothing() {
    let server = server();
    ask(&server, "POST", MAPS, map("shared")).await;
    let mut writers = Vec::new();
    for writer in 0..8 {
        let server = server.clone();
        writers.push(tokio::spawn(async move {
            for i in 0..20 {
                let key = format!("k{writer}-{i}");
                let patched = ask(&server, "PATCH", &format!("{MAPS}/shared"), json!({"data": {key: "v"}})).await;
                assert_eq!(patched.status, 200);
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(get(&server, &format!("{MAPS}/shared")).await.body["data"].as_object().unwrap().len(), 160);
    assert!(server.store().table("configmaps").is_consistent());
}

#[tokio::test]
async fn users_have_the_rights_that_roles_give() {
    let server = server();
    let maps = |user| kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::default_namespaced(server.client_as(user, &[]));
    let refused = maps("jane").list(&kube::api::ListParams::default()).await.unwrap_err();
    assert!(refused.to_string().contains("cannot list resource"), "{refused}");
    let group = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "jane"}]});
    assert_eq!(ask(&server, "POST", &format!("{group}/roles"), role).await.status, 201);
    assert_eq!(ask(&server, "POST", &format!("{group}/rolebindings"), binding).await.status, 201);
    assert!(maps("jane").list(&kube::api::ListParams::default()).await.is_ok());
    assert!(maps("john").list(&kube::api::ListParams::default()).await.is_err());
}
