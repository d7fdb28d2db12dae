//! What one API server does on this machine, against what `SPECIFICATION.md` promises.
//!
//! `cargo bench -p dormouse-apiserver --bench handler` prints, for each promise, the figure, the target and what the
//! floor is made of. Requests go through the handler as a user with RBAC rights, never as `system:masters`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss, reason = "a benchmark stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dormouse_apiserver::{ApiServer, Body, Options, User};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};

const WRITERS: usize = 64;
const WATCHERS: usize = 10;

/// A Pod of about 2.7 kB, as a controller creates it: two containers, probes, environment, volumes.
fn pod(name: &str) -> Vec<u8> {
    let container = |name: &str, port: u16| {
        json!({"name": name, "image": "ghcr.io/llm-d/llm-d-fast-model-actuation/requester:v0.3.0",
            "command": ["/app/requester", "--log-level=2", "--probes-port=8080", "--spi-port=8081"],
            "env": [{"name": "LOG", "value": "info"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "MODEL", "value": "TinyLlama/TinyLlama-1.1B-Chat-v1.0"}],
            "ports": [{"name": "probes", "containerPort": port}, {"name": "spi", "containerPort": port + 1}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "initialDelaySeconds": 2, "periodSeconds": 5},
            "livenessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 10},
            "resources": {"requests": {"cpu": "200m", "memory": "250Mi"}, "limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}},
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}, {"name": "config", "mountPath": "/etc/config", "readOnly": true}]})
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "dp-example", "instance": "requester"},
            "annotations": {"dual-pods.llm-d.ai/admin-port": "8081",
                "dual-pods.llm-d.ai/server-patch": "spec:\n  containers:\n  - name: inference-server\n    image: docker.io/vllm/vllm-openai:v0.10.2\n    command:\n    - vllm\n    - serve\n    - --port=8000\n    - /pvcs/local/vcp/TinyLlama\n    - --max-model-len=32768\n    resources:\n      limits:\n        cpu: \"2\"\n        memory: 9Gi\n    readinessProbe:\n      httpGet:\n        path: /health\n        port: 8000\n      initialDelaySeconds: 60\n      periodSeconds: 5\n"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "dp-example", "uid": "b3c9a1de-7a0f-4c7a-8a57-2d6c3d8d9a01", "controller": true}]},
        "spec": {"containers": [container("inference-server", 8080), container("sidecar", 9080)],
            "nodeSelector": {"nvidia.com/gpu.present": "true"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "volumes": [{"name": "cache", "emptyDir": {}}, {"name": "config", "configMap": {"name": "config"}}]}});
    pod.to_string().into_bytes()
}

async fn ask(server: &ApiServer, user: &User, method: Method, path: &str, body: Vec<u8>) -> (u16, Bytes) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json").body(Body::from(body)).unwrap();
    let response = server.handle(request, user.clone()).await;
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

/// A server, and a user who may do anything with Pods of one namespace.
async fn prepare() -> (ApiServer, User) {
    let server = ApiServer::new(Options::default());
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "pods"},
        "rules": [{"apiGroups": [""], "resources": ["pods", "pods/status"], "verbs": ["*"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "pods"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "writer"}]});
    for (plural, object) in [("roles", role), ("rolebindings", binding)] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/default/{plural}");
        let (status, body) = ask(&server, &User::admin(), Method::POST, &path, object.to_string().into_bytes()).await;
        assert_eq!(status, 201, "{body:?}");
    }
    (server, User::new("writer", [""; 0]))
}

/// Writes per second: Pods created (and deleted, so that memory stays) by 64 writers.
async fn writes(seconds: u64) -> (f64, f64) {
    let (server, user) = prepare().await;
    println!("pod body: {} bytes", pod("w00-0000000").len());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (server, user, stop, done) = (server.clone(), user.clone(), Arc::clone(&stop), Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            let mut n = 0_u64;
            let template = pod("NAME");
            let at = template.windows(6).position(|w| w == b"\"NAME\"").unwrap() + 1;
            while !stop.load(Ordering::Relaxed) {
                let mut body = template.clone();
                body.splice(at..at + 4, format!("w{writer}-{n}").into_bytes());
                let (status, answer) = ask(&server, &user, Method::POST, "/api/v1/namespaces/default/pods", body).await;
                assert_eq!(status, 201, "{answer:?}");
                done.fetch_add(1, Ordering::Relaxed);
                n += 1;
                tokio::task::yield_now().await;
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let done = done.load(Ordering::Relaxed) as f64;
    (done / started.elapsed().as_secs_f64(), (cpu_seconds() - cpu) * 1e6 / done)
}

/// From the moment before a create to the moment after a watcher read its event, sorted, in seconds.
async fn latencies(per_second: u64, seconds: u64) -> Vec<f64> {
    let (server, user) = prepare().await;
    let origin = Instant::now();
    let total = per_second * seconds;
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let path = "/api/v1/namespaces/default/pods?watch=1&labelSelector=app%3Ddp-example&resourceVersion=";
        let (_, list) = ask(&server, &user, Method::GET, "/api/v1/namespaces/default/pods", Vec::new()).await;
        let list: Value = serde_json::from_slice(&list).unwrap();
        let request = Request::get(format!("{path}{}", list["metadata"]["resourceVersion"].as_str().unwrap())).body(Body::empty()).unwrap();
        let mut body = server.handle(request, user.clone()).await.into_body();
        watchers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < usize::try_from(total).unwrap() {
                let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
                let now = origin.elapsed();
                // The create's own moment stands in the name.
                for line in frame.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                    let at = line.windows(8).position(|w| w == b"\"name\":\"").map(|_| find_stamp(line)).unwrap();
                    seen.push(now.as_secs_f64() - Duration::from_nanos(at).as_secs_f64());
                }
            }
            seen
        }));
    }
    let template = pod("NAME");
    let at = template.windows(6).position(|w| w == b"\"NAME\"").unwrap() + 1;
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
    for _ in 0..total {
        tick.tick().await;
        let mut body = template.clone();
        body.splice(at..at + 4, format!("t{:020}", origin.elapsed().as_nanos()).into_bytes());
        let (status, answer) = ask(&server, &user, Method::POST, "/api/v1/namespaces/default/pods", body).await;
        assert_eq!(status, 201, "{answer:?}");
    }
    let mut all = Vec::new();
    for watcher in watchers {
        all.extend(watcher.await.unwrap());
    }
    all.sort_by(f64::total_cmp);
    all
}

/// Processor seconds that this process has used, from the kernel's own count (in hundredths).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn find_stamp(line: &[u8]) -> u64 {
    let marker = b"\"name\":\"t0";
    let at = line.windows(marker.len()).position(|w| w == marker).unwrap() + 8;
    std::str::from_utf8(&line[at + 1..at + 21]).unwrap().parse().unwrap()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let short = std::env::args().any(|a| a == "--test");
    let seconds = if short { 1 } else { 5 };
    let started = Instant::now();
    drop(ApiServer::new(Options::default()));
    println!("a server with its first objects: {:.1} ms", started.elapsed().as_secs_f64() * 1000.0);
    let (rate, cost) = runtime.block_on(async { tokio::spawn(writes(seconds)).await.unwrap() });
    println!("writes per second through the handler, {WRITERS} writers: {rate:.0} (target 20000)");
    println!("processor time per write, client included: {cost:.1} us; two cores to themselves would do {:.0} per second", 2e6 / cost);
    let latencies = runtime.block_on(async { tokio::spawn(latencies(1000, seconds)).await.unwrap() });
    let at = |share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the sorted samples")]
        let index = ((latencies.len() - 1) as f64 * share) as usize;
        latencies[index] * 1000.0
    };
    println!(
        "create to watch event, {WATCHERS} watchers, 1000/s: p50 {:.3} ms, p99 {:.3} ms (target 0.3 ms), max {:.3} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
