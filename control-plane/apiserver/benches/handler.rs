//! What one API server does on this machine, against what `SPECIFICATION.md` promises.
//!
//! `cargo bench -p dormouse-apiserver --bench handler` prints, for each promise, the figure, the target and a floor, so
//! that the figure can be read on a machine that does other things too. Requests go through the handler as a user with
//! RBAC rights, never as `system:masters`. With `-- --writes N` it makes N Pods one after the other and nothing else: run
//! with two different N under `valgrind --tool=callgrind`, the difference is the cost of a write in instructions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss, reason = "a benchmark stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
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
        json!({"name": name, "image": "ghcr.io/llm-d/llm-d-fast-model-actuation/webserver:v0.3.0",
            "command": ["/app/webserver", "--log-level=2", "--probes-port=8080", "--spi-port=8081"],
            "env": [{"name": "LOG", "value": "info"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "MODEL", "value": "TinyLlama/TinyLlama-1.1B-Chat-v1.0"}],
            "ports": [{"name": "probes", "containerPort": port}, {"name": "spi", "containerPort": port + 1}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "initialDelaySeconds": 2, "periodSeconds": 5},
            "livenessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 10},
            "resources": {"requests": {"cpu": "200m", "memory": "250Mi"}, "limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}},
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}, {"name": "config", "mountPath": "/etc/config", "readOnly": true}]})
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "dp-example", "instance": "webserver"},
            "annotations": {"web-tools.short.io/admin-port": "8081",
                "web-tools.short.io/server-patch": "spec:\n  containers:\n  - name: inference-server\n    image: docker.io/huge/huge-server:v0.10.2\n    command:\n    - huge\n    - serve\n    - --port=8000\n    - /pvcs/local/vcp/TinyLlama\n    - --max-model-len=32768\n    resources:\n      limits:\n        cpu: \"2\"\n        memory: 9Gi\n    readinessProbe:\n      httpGet:\n        path: /health\n        port: 8000\n      initialDelaySeconds: 60\n      periodSeconds: 5\n"},
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

/// A body with a place for the name, so that the client's share of a write is a copy.
struct Template(Vec<u8>, usize);

impl Template {
    fn new() -> Self {
        let body = pod("NAME");
        let at = body.windows(6).position(|w| w == b"\"NAME\"").unwrap() + 1;
        Self(body, at)
    }

    fn named(&self, name: &str) -> Vec<u8> {
        [&self.0[..self.1], name.as_bytes(), &self.0[self.1 + 4..]].concat()
    }
}

/// What a run of writers did.
struct Run {
    per_second: f64,
    /// Processor time of the whole process per write, in microseconds.
    cost: f64,
}

/// [`WRITERS`] tasks that call `write` until the time is over.
async fn writers<F: Future<Output = ()> + Send>(seconds: f64, write: impl Fn(Vec<u8>) -> F + Clone + Send + 'static) -> Run {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let tasks = (0..WRITERS).map(|writer| {
        let write = write.clone();
        tokio::spawn(async move {
            let template = Template::new();
            let mut done = 0_u64;
            while started.elapsed().as_secs_f64() < seconds {
                write(template.named(&format!("w{writer}-{done}"))).await;
                done += 1;
                tokio::task::yield_now().await;
            }
            done
        })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        done += task.await.unwrap();
    }
    let done = done as f64;
    Run { per_second: done / started.elapsed().as_secs_f64(), cost: (cpu_seconds() - cpu) * 1e6 / done }
}

async fn create(server: &ApiServer, user: &User, body: Vec<u8>) {
    let (status, answer) = ask(server, user, Method::POST, "/api/v1/namespaces/default/pods", body).await;
    assert_eq!(status, 201, "{answer:?}");
}

/// Pods created through the handler. They stay, as they would.
async fn writes(seconds: f64) -> Run {
    let (server, user) = prepare().await;
    writers(seconds, move |body| {
        let (server, user) = (server.clone(), user.clone());
        async move { create(&server, &user, body).await }
    })
    .await
}

/// The floor of a write: the same bytes parsed, serialised and put into a map, nothing checked or added.
async fn floor(seconds: f64) -> Run {
    let map: Arc<Mutex<BTreeMap<String, Bytes>>> = Arc::default();
    writers(seconds, move |body| {
        let map = Arc::clone(&map);
        async move {
            let object: Value = serde_json::from_slice(&body).unwrap();
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let bytes = serde_json::to_vec(&object).unwrap().into();
            map.lock().unwrap().insert(name, bytes);
        }
    })
    .await
}

/// From the moment before a create to the moment after a watcher read its event, and to the create's answer; both sorted, in
/// seconds.
async fn latencies(per_second: u64, seconds: u64) -> [Vec<f64>; 2] {
    let (server, user) = prepare().await;
    let origin = Instant::now();
    let total = usize::try_from(per_second * seconds).unwrap();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let path = "/api/v1/namespaces/default/pods?watch=1&labelSelector=app%3Ddp-example&resourceVersion=";
        let (_, list) = ask(&server, &user, Method::GET, "/api/v1/namespaces/default/pods", Vec::new()).await;
        let list: Value = serde_json::from_slice(&list).unwrap();
        let request = Request::get(format!("{path}{}", list["metadata"]["resourceVersion"].as_str().unwrap())).body(Body::empty()).unwrap();
        let mut body = server.handle(request, user.clone()).await.into_body();
        watchers.push(tokio::spawn(async move {
            // Events come in the order of the writes, one a line, and each is longer than the body that made it: reading
            // them costs the client next to nothing.
            let two = 2 * Template::new().0.len();
            let mut seen = Vec::with_capacity(total);
            let mut last = Bytes::new();
            while seen.len() < total {
                let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
                let now = origin.elapsed().as_secs_f64();
                let events = if frame.len() < two { 1 } else { frame.iter().filter(|b| **b == b'\n').count() };
                seen.resize(seen.len() + events, now);
                last = frame;
            }
            (seen, last)
        }));
    }
    let template = Template::new();
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
    let (mut sent, mut answered) = (Vec::with_capacity(total), Vec::with_capacity(total));
    for n in 0..total {
        tick.tick().await;
        let body = template.named(&format!("p{n:06}"));
        sent.push(origin.elapsed().as_secs_f64());
        create(&server, &user, body).await;
        answered.push(origin.elapsed().as_secs_f64() - sent[n]);
    }
    let mut all = Vec::new();
    for watcher in watchers {
        let (seen, last) = watcher.await.unwrap();
        let name = format!("\"name\":\"p{:06}\"", total - 1);
        assert!(seen.len() == total && last.windows(name.len()).any(|w| w == name.as_bytes()), "each write is seen once, in order");
        all.extend(seen.iter().zip(&sent).map(|(seen, sent)| seen - sent));
    }
    all.sort_by(f64::total_cmp);
    answered.sort_by(f64::total_cmp);
    [all, answered]
}

/// The floor of a latency: as many tasks woken as often, with nothing to do, sorted, in seconds.
async fn wake_ups(per_second: u64, seconds: u64) -> Vec<f64> {
    let origin = Instant::now();
    let (sender, receiver) = tokio::sync::watch::channel(0.0);
    let watchers = (0..WATCHERS).map(|_| {
        let mut receiver = receiver.clone();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while receiver.changed().await.is_ok() {
                seen.push(origin.elapsed().as_secs_f64() - *receiver.borrow_and_update());
            }
            seen
        })
    });
    let watchers: Vec<_> = watchers.collect();
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
    for _ in 0..per_second * seconds {
        tick.tick().await;
        sender.send(origin.elapsed().as_secs_f64()).unwrap();
    }
    drop(sender);
    let mut all = Vec::new();
    for watcher in watchers {
        all.extend(watcher.await.unwrap());
    }
    all.sort_by(f64::total_cmp);
    all
}

/// Milliseconds at a share of sorted seconds.
fn at(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the sorted samples")]
    let index = ((sorted.len() - 1) as f64 * share) as usize;
    sorted[index] * 1000.0
}

/// Processor seconds that this process has used.
fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Pods made one after the other on this thread, to be counted from outside.
fn only_writes(count: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (server, user) = prepare().await;
        let template = Template::new();
        for n in 0..count {
            create(&server, &user, template.named(&format!("p{n:06}"))).await;
        }
    });
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--writes") {
        return only_writes(args[at + 1].parse().unwrap());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let short = args.iter().any(|a| a == "--test");
    let seconds: u32 = if short { 1 } else { 5 };
    let started = Instant::now();
    drop(ApiServer::new(Options::default()));
    println!("a server with its first objects: {:.1} ms", started.elapsed().as_secs_f64() * 1000.0);
    println!("pod body: {} bytes", pod("w00-0000000").len());
    // Latencies first, in a fresh heap: the writes below leave one behind that the allocator is busy with for a while.
    let (woken, [events, answers]) = runtime
        .block_on(async { tokio::spawn(async move { (wake_ups(1000, 1).await, latencies(1000, seconds.into()).await) }).await.unwrap() });
    println!("create to watch event, {WATCHERS} watchers, 1000 writes per second (target: p99 0.3 ms):");
    for (what, sorted) in [("event read", events), ("write answered", answers), ("floor: tasks woken, nothing made or read", woken)] {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| at(&sorted, share));
        println!("  {what}: p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms");
    }
    // The floor before and after, so that a change of the machine's mood is seen.
    let (before, run, after) = runtime.block_on(async {
        tokio::spawn(async move { (floor(1.0).await, writes(f64::from(seconds)).await, floor(1.0).await) }).await.unwrap()
    });
    println!("writes per second through the handler, {WRITERS} writers: {:.0} (target 20000)", run.per_second);
    println!(
        "processor time per write, client included: {:.1} us; two cores to themselves would do {:.0} per second",
        run.cost,
        2e6 / run.cost
    );
    for (when, floor) in [("before", before), ("after", after)] {
        println!("  floor {when} (parsed, serialised, put into a map): {:.0} per second, {:.1} us each", floor.per_second, floor.cost);
    }
}
