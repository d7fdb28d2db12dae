//! A stub launcher: the HTTP API of launchers of ours over stub engines in process.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use dormouse_runtime::CancellationToken;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::Shared;
use super::engine::{self, Engine};

/// What marks the replies of launchers of ours.
const EPOCH: HeaderName = HeaderName::from_static("dormouse-epoch");

struct Instance {
    id: String,
    body: Value,
    /// `None`: its process has ended.
    engine: Option<Engine>,
}

/// A launcher's container; ends with [`Launcher::stop`].
pub(crate) struct Launcher {
    ip: Ipv4Addr,
    pub(crate) name: String,
    shared: Arc<Shared>,
    instances: Mutex<Vec<Instance>>,
    /// Names that are taken by creations under way.
    creating: Mutex<BTreeSet<String>>,
    events: broadcast::Sender<Bytes>,
    end: CancellationToken,
}

fn view(i: &Instance) -> Value {
    let mut object = i.body.clone();
    object["instance_id"] = json!(i.id);
    object["status"] = json!(if i.engine.is_some() { "running" } else { "stopped" });
    object
}

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({"type": kind, "object": object})))
}

impl Launcher {
    pub(crate) async fn start(shared: &Arc<Shared>, ip: Ipv4Addr, name: &str) -> Arc<Self> {
        let me = Arc::new(Self {
            ip,
            name: name.to_owned(),
            shared: Arc::clone(shared),
            instances: Mutex::default(),
            creating: Mutex::default(),
            events: broadcast::Sender::new(1_000),
            end: CancellationToken::new(),
        });
        let app = axum::Router::new()
            .route("/health", get(|| async { StatusCode::OK }))
            .route("/v2/vllm/instances", get(list))
            .route("/v2/vllm/instances/watch", get(watch))
            .route("/v2/vllm/instances/{id}", any(instance))
            .with_state(Arc::clone(&me));
        engine::listen(ip, 8001, app, me.end.clone()).await;
        me
    }

    /// The container ends, and all engines with it.
    pub(crate) fn stop(&self) {
        self.end.cancel();
        self.instances.lock().unwrap().clear();
    }

    /// IDs of the instances, in the order of their creation.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.instances.lock().unwrap().iter().map(|i| i.id.clone()).collect()
    }

    /// The process of an instance ends by itself.
    pub(crate) fn crash(&self, id: &str) {
        let mut all = self.instances.lock().unwrap();
        let instance = all.iter_mut().find(|i| i.id == id).expect("an instance to crash");
        instance.engine = None;
        let _ = self.events.send(line("STOPPED", &view(instance)));
    }

    async fn put(&self, id: String, body: Value) -> Response {
        if self.ids().contains(&id) || !self.creating.lock().unwrap().insert(id.clone()) {
            return (StatusCode::CONFLICT, Json(json!({"detail": "exists"}))).into_response();
        }
        let options = body["options"].as_str().unwrap_or_default();
        let port = options.rsplit_once("--port ").and_then(|(_, p)| p.parse().ok()).expect("a port at the end of the options");
        let gpus: Vec<String> = body["gpu_uuids"].as_array().into_iter().flatten().filter_map(|g| g.as_str().map(str::to_owned)).collect();
        self.shared.take_time().await;
        let engine = Engine::start(&self.shared, self.ip, port, &id, &gpus).await;
        let instance = Instance { id: id.clone(), body, engine: Some(engine) };
        let _ = self.events.send(line("CREATED", &view(&instance)));
        self.instances.lock().unwrap().push(instance);
        self.creating.lock().unwrap().remove(&id);
        self.shared.tell(&self.name, "create");
        (StatusCode::CREATED, Json(json!({"status": "started", "instance_id": id}))).into_response()
    }

    fn delete(&self, id: &str) -> Response {
        let mut all = self.instances.lock().unwrap();
        let Some(at) = all.iter().position(|i| i.id == id) else { return StatusCode::NOT_FOUND.into_response() };
        let gone = all.remove(at);
        drop(all);
        let _ = self.events.send(line("DELETED", &json!({"instance_id": id})));
        drop(gone);
        self.shared.tell(&self.name, "delete");
        Json(json!({"status": "terminated", "instance_id": id})).into_response()
    }
}

async fn list(State(me): State<Arc<Launcher>>) -> Response {
    let launcher = Arc::clone(&me);
    let work = async move {
        let all: Vec<Value> = launcher.instances.lock().unwrap().iter().map(view).collect();
        let running = all.iter().filter(|i| i["status"] == "running").count();
        ([(EPOCH, "1")], Json(json!({"total_instances": all.len(), "running_instances": running, "instances": all}))).into_response()
    };
    me.shared.fuse.call("launcher list".to_owned(), false, work).await
}

async fn watch(State(me): State<Arc<Launcher>>) -> Response {
    let events = me.events.subscribe();
    let now: Vec<Bytes> = me.instances.lock().unwrap().iter().map(|i| line("CREATED", &view(i))).collect();
    let live = BroadcastStream::new(events).filter_map(|e| async { e.ok() });
    let end = me.end.clone();
    let lines =
        futures::stream::iter(now).chain(live).map(Ok::<_, std::convert::Infallible>).take_until(async move { end.cancelled().await });
    ([(EPOCH, "1")], Body::from_stream(lines)).into_response()
}

async fn instance(State(me): State<Arc<Launcher>>, Path(id): Path<String>, method: axum::http::Method, body: Bytes) -> Response {
    let launcher = Arc::clone(&me);
    let what = format!("launcher {method} {id}");
    match method.as_str() {
        "PUT" => {
            let body = serde_json::from_slice(&body).expect("a body of JSON");
            me.shared.fuse.call(what, true, async move { launcher.put(id, body).await }).await
        }
        "DELETE" => me.shared.fuse.call(what, true, async move { launcher.delete(&id) }).await,
        _ => {
            let found = me.instances.lock().unwrap().iter().find(|i| i.id == id).map(view);
            found.map_or(StatusCode::NOT_FOUND.into_response(), |v| Json(v).into_response())
        }
    }
}
