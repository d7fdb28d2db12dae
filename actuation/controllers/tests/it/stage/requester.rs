//! The stub in a requester: the SPI.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dormouse_runtime::CancellationToken;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{Shared, engine};

/// A requester's container.
pub(crate) struct Requester {
    /// Told ready, told unready, or not told.
    pub(crate) ready: watch::Receiver<Option<bool>>,
    end: CancellationToken,
}

impl Drop for Requester {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

struct Inner {
    name: String,
    gpus: Vec<String>,
    ready: watch::Sender<Option<bool>>,
    shared: Arc<Shared>,
}

impl Requester {
    pub(crate) async fn start(shared: &Arc<Shared>, ip: Ipv4Addr, port: u16, name: &str, gpus: Vec<String>) -> Self {
        let (sender, ready) = watch::channel(None);
        let inner = Arc::new(Inner { name: name.to_owned(), gpus, ready: sender, shared: Arc::clone(shared) });
        let app = axum::Router::new()
            .route("/v1/dual-pods/accelerators", get(accelerators))
            .route("/v1/dual-pods/accelerator-memory-usage", get(memory))
            .route("/v1/become-ready", post(|s| become_(s, true)))
            .route("/v1/become-unready", post(|s| become_(s, false)))
            .with_state(inner);
        let end = CancellationToken::new();
        engine::listen(ip, port, app, end.clone()).await;
        Self { ready, end }
    }
}

async fn accelerators(State(me): State<Arc<Inner>>) -> Response {
    let inner = Arc::clone(&me);
    let work = async move {
        inner.shared.tell(&inner.name, "accelerators");
        Json(json!(inner.gpus)).into_response()
    };
    me.shared.fuse.call(format!("stub {} accelerators", me.name), false, work).await
}

async fn memory(State(me): State<Arc<Inner>>) -> Response {
    let inner = Arc::clone(&me);
    let work = async move {
        inner.shared.tell(&inner.name, "memory");
        let usage: Map<String, Value> = inner.gpus.iter().map(|g| (g.clone(), inner.shared.ledger.mib(g).into())).collect();
        Json(usage).into_response()
    };
    me.shared.fuse.call(format!("stub {} memory", me.name), false, work).await
}

async fn become_(State(me): State<Arc<Inner>>, ready: bool) -> Response {
    let inner = Arc::clone(&me);
    let what = if ready { "ready" } else { "unready" };
    let work = async move {
        inner.ready.send_replace(Some(ready));
        inner.shared.tell(&inner.name, what);
        StatusCode::OK.into_response()
    };
    me.shared.fuse.call(format!("stub {} {what}", me.name), true, work).await
}
