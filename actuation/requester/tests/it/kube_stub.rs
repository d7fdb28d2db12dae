//! The smallest API server that test requesters and gpu-map need: ConfigMaps with optimistic concurrency, Pods and Nodes as
//! given, watches that tell once what there is and then every change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct World {
    pub(crate) maps: BTreeMap<String, Value>,
    pub(crate) pods: Vec<Value>,
    pub(crate) nodes: Vec<Value>,
    pub(crate) version: u64,
    /// Updates that were refused because somebody was faster.
    pub(crate) conflicts: usize,
    pub(crate) writes: usize,
}

#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self { world: Arc::default(), changed: watch::Sender::new(0) }
    }

    /// Changes the world and tells the watchers.
    pub(crate) fn change<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap();
        world.version += 1;
        let done = f(&mut world);
        self.changed.send_replace(world.version);
        done
    }

    pub(crate) fn set_map(&self, name: &str, data: &Value) {
        self.change(|w| {
            let version = w.version.to_string();
            w.maps.insert(name.to_owned(), config_map(name, data, &version));
        });
    }

    pub(crate) fn data(&self, name: &str) -> Value {
        self.world.lock().unwrap().maps.get(name).map_or(Value::Null, |m| m["data"].clone())
    }

    pub(crate) fn client(&self) -> kube::Client {
        dormouse_runtime::tls::install_provider();
        let router = Router::new()
            .route("/api/v1/namespaces/ns/configmaps", axum::routing::any(maps))
            .route("/api/v1/namespaces/ns/configmaps/{name}", axum::routing::any(one_map))
            .route("/api/v1/namespaces/ns/pods", axum::routing::get(pods))
            .route("/api/v1/nodes", axum::routing::get(nodes))
            .with_state(self.clone());
        let service =
            tower::ServiceBuilder::new().map_request(|r: axum::http::Request<kube::client::Body>| r.map(Body::new)).service(router);
        kube::Client::new(service, "ns")
    }
}

fn config_map(name: &str, data: &Value, version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns", "resourceVersion": version}, "data": data})
}

fn status(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

fn list(kind: &str, items: &[Value], version: u64) -> Response {
    axum::Json(json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": version.to_string()}, "items": items}))
        .into_response()
}

/// Everything as MODIFIED at every change: enough for a client that only wants to know that something has changed.
fn watching(cluster: &Cluster, items: impl Fn(&World) -> Vec<Value> + Send + 'static) -> Response {
    let (seen, world) = (cluster.changed.subscribe(), Arc::clone(&cluster.world));
    let stream = futures::stream::unfold((seen, world, items), |(mut seen, world, items)| async move {
        seen.changed().await.ok()?;
        let lines: String = {
            let world = world.lock().unwrap();
            items(&world).iter().map(|o| format!("{}\n", json!({"type": "MODIFIED", "object": o}))).collect()
        };
        Some((Ok::<_, std::convert::Infallible>(lines), (seen, world, items)))
    });
    Body::from_stream(stream).into_response()
}

type Params = Query<BTreeMap<String, String>>;

async fn nodes(State(cluster): State<Cluster>, Query(query): Params) -> Response {
    if query.contains_key("watch") {
        return watching(&cluster, |w| w.nodes.clone());
    }
    let world = cluster.world.lock().unwrap();
    list("NodeList", &world.nodes, world.version)
}

async fn pods(State(cluster): State<Cluster>) -> Response {
    // Somebody else may act between two requests of one attempt.
    tokio::task::yield_now().await;
    let world = cluster.world.lock().unwrap();
    let items: Vec<Value> = world.pods.clone();
    axum::Json(
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "1"}, "items": items}),
    )
    .into_response()
}

async fn maps(State(cluster): State<Cluster>, method: Method, Query(query): Params, body: Bytes) -> Response {
    if query.contains_key("watch") {
        return watching(&cluster, |w| w.maps.get("gpu-map").cloned().into_iter().collect());
    }
    if method != Method::POST {
        let world = cluster.world.lock().unwrap();
        let items: Vec<Value> = world.maps.values().filter(|m| m["metadata"]["name"] == "gpu-map").cloned().collect();
        return list("ConfigMapList", &items, world.version);
    }
    let object: Value = serde_json::from_slice(&body).unwrap();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.change(|w| {
        if w.maps.contains_key(&name) {
            return status(409, "AlreadyExists");
        }
        w.writes += 1;
        let made = config_map(&name, &object["data"], &w.version.to_string());
        w.maps.insert(name, made.clone());
        axum::Json(made).into_response()
    })
}

async fn one_map(State(cluster): State<Cluster>, Path(name): Path<String>, method: Method, body: Bytes) -> Response {
    tokio::task::yield_now().await;
    if method == Method::GET {
        return cluster
            .world
            .lock()
            .unwrap()
            .maps
            .get(&name)
            .map_or_else(|| status(404, "NotFound"), |m| axum::Json(m.clone()).into_response());
    }
    let object: Value = serde_json::from_slice(&body).unwrap();
    cluster.change(|w| {
        let version = w.version.to_string();
        let Some(current) = w.maps.get_mut(&name) else { return status(404, "NotFound") };
        if method == Method::PATCH {
            let data = current["data"].as_object().cloned().unwrap_or_default();
            let mut data = Value::Object(data);
            for (k, v) in object["data"].as_object().unwrap() {
                if v.is_null() {
                    data.as_object_mut().unwrap().remove(k);
                } else {
                    data[k] = v.clone();
                }
            }
            *current = config_map(&name, &data, &version);
        } else {
            if object["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"] {
                w.conflicts += 1;
                return status(409, "Conflict");
            }
            *current = config_map(&name, &object["data"], &version);
        }
        w.writes += 1;
        axum::Json(w.maps[&name].clone()).into_response()
    })
}
