//! The notifier against a launcher of ours and one like the peer's, with an API server that only keeps annotations.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Parser;
use dormouse_launcher::notifier::{self, signature};
use dormouse_runtime::CancellationToken;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Launcher, PROGRAM, SLEEPER, SOON};

/// A Pod: what was published and when, and whether patches are refused.
#[derive(Default)]
struct Pod {
    patches: Vec<(Instant, Value)>,
    refuse: Option<u16>,
    ready: bool,
}

type Shared = Arc<Mutex<Pod>>;

async fn read(State(pod): State<Shared>) -> axum::Json<Value> {
    let ready = pod.lock().unwrap().ready;
    axum::Json(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"name": "inference-server", "ready": ready, "image": "", "imageID": "", "restartCount": 0}]}}))
}

async fn patch(State(pod): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let mut pod = pod.lock().unwrap();
    assert_eq!(headers["content-type"], "application/strategic-merge-patch+json");
    if let Some(code) = pod.refuse {
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no", "reason": "Forbidden"});
        return (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response();
    }
    pod.patches.push((Instant::now(), serde_json::from_str(&body).unwrap()));
    axum::Json(json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "p"}})).into_response()
}

fn client(pod: &Shared) -> kube::Client {
    dormouse_runtime::tls::install_provider();
    let router = Router::new().route("/api/v1/namespaces/ns/pods/p", get(read).patch(patch)).with_state(Arc::clone(pod));
    let service =
        tower::ServiceBuilder::new().map_request(|r: axum::http::Request<kube::client::Body>| r.map(axum::body::Body::new)).service(router);
    kube::Client::new(service, "ns")
}

fn start(pod: &Shared, url: &str, flags: &[&str]) -> CancellationToken {
    let mut args = vec!["notifier", "--pod-name", "p", "--namespace", "ns", "--launcher-base-url", url];
    args.extend(flags);
    let args = notifier::Args::try_parse_from(args).unwrap();
    let end = CancellationToken::new();
    tokio::spawn(notifier::run_with(client(pod), args, end.clone()));
    end
}

fn published(pod: &Shared) -> Vec<String> {
    let key = "dual-pods.llm-d.ai/vllm-instance-signature";
    pod.lock().unwrap().patches.iter().map(|(_, p)| p["metadata"]["annotations"][key].as_str().unwrap().to_owned()).collect()
}

async fn until(pod: &Shared, value: &str) {
    let deadline = Instant::now() + SOON;
    while published(pod).last().map(String::as_str) != Some(value) {
        assert!(Instant::now() < deadline, "{value} is not published: {:?}", published(pod));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn sign(pairs: &[(&str, &str)]) -> String {
    signature(&pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_launcher_of_ours_is_followed() {
    let launcher = Launcher::start(&["--engine-command", SLEEPER]).await;
    let (api, pod) = (launcher.api(), Shared::default());
    let end = start(&pod, &format!("{}/", launcher.url), &["--publish-revision"]);
    until(&pod, &sign(&[])).await;

    let state = api.put("a", &json!({"options": ""})).await.json();
    until(&pod, &sign(&[("a", "running")])).await;
    crate::harness::send(i32::try_from(state["pid"].as_i64().unwrap()).unwrap(), "KILL");
    until(&pod, &sign(&[("a", "stopped")])).await;
    let epoch = api.get("/health").await.header("dormouse-epoch");
    let last = pod.lock().unwrap().patches.last().unwrap().1.clone();
    assert_eq!(last["metadata"]["annotations"]["dual-pods.llm-d.ai/vllm-instance-revision"], format!("{epoch}:2"));

    // A burst becomes few patches, no two of them closer than half a second, and the last one tells the truth.
    let before = published(&pod).len();
    for i in 0..20 {
        api.put(&format!("b{i}"), &json!({"options": ""})).await;
    }
    api.send(api.request("DELETE", "/v2/vllm/instances")).await;
    until(&pod, &sign(&[])).await;
    assert!(published(&pod).len() - before <= 6, "{}", published(&pod).len() - before);
    let times: Vec<Instant> = pod.lock().unwrap().patches.iter().map(|(at, _)| *at).collect();
    assert!(times.windows(2).all(|w| w[1] - w[0] >= Duration::from_millis(490)));
    end.cancel();
}

#[tokio::test]
async fn a_refused_patch_is_tried_again_and_a_restarted_launcher_is_found() {
    let (ip, dir) = (crate::harness::own_ip(), tempfile::tempdir().unwrap());
    let mut launcher = Launcher::start_in(dir.path(), ip, 18_011, &["--engine-command", SLEEPER]).await;
    let pod = Shared::default();
    // As when the controller's own write gets in between, or rights come late.
    pod.lock().unwrap().refuse = Some(403);
    let end = start(&pod, &launcher.url, &[]);
    launcher.api().put("a", &json!({"options": ""})).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(published(&pod).is_empty());
    pod.lock().unwrap().refuse = None;
    until(&pod, &sign(&[("a", "running")])).await;
    launcher.signal("KILL");
    launcher.child.wait().await.unwrap();
    let _second = Launcher::start_in(dir.path(), ip, 18_011, &[]).await;
    until(&pod, &sign(&[])).await;
    end.cancel();
}

#[tokio::test]
async fn the_peers_launcher_is_polled_once_its_container_is_ready() {
    let instances = Arc::new(Mutex::new(json!([{"instance_id": "z", "status": "running"}])));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shown = Arc::clone(&instances);
    let app =
        Router::new().route("/v2/vllm/instances", get(move || async move { axum::Json(json!({"instances": *shown.lock().unwrap()})) }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let pod = Shared::default();
    let end = start(&pod, &url, &[]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(published(&pod).is_empty(), "not before the container is ready");
    pod.lock().unwrap().ready = true;
    until(&pod, &sign(&[("z", "running")])).await;
    *instances.lock().unwrap() = json!([{"instance_id": "z", "status": "stopped"}]);
    until(&pod, &sign(&[("z", "stopped")])).await;
    assert_eq!(published(&pod).len(), 2, "equal sets are published once");
    end.cancel();
}

#[tokio::test]
async fn missing_variables_end_it_with_status_1() {
    let mut command = tokio::process::Command::new(PROGRAM);
    command.arg("notify").env_remove("POD_NAME").env("NAMESPACE", "ns");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("POD_NAME must be set"));
}
