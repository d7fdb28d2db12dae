//! A stub engine: vLLM's admin routes over the ledger.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dormouse_runtime::CancellationToken;
use dormouse_runtime::serve::{Limits, serve};
use serde_json::json;
use tokio::net::TcpListener;

use super::Shared;

/// Serves `app` until the token is cancelled.
pub(crate) async fn listen(ip: Ipv4Addr, port: u16, app: axum::Router, end: CancellationToken) {
    let mut attempts = 0;
    let listener = loop {
        match TcpListener::bind(SocketAddr::from((ip, port))).await {
            Ok(listener) => break listener,
            // The one before is on its way out.
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && attempts < 500 => attempts += 1,
            Err(e) => panic!("cannot listen on {ip}:{port}: {e}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let limits = Limits { grace: Duration::from_millis(1), ..Limits::default() };
    tokio::spawn(async move { serve(listener, app, limits, end).await });
}

/// An engine that runs; it ends when dropped.
pub(crate) struct Engine {
    id: u64,
    inner: Arc<Inner>,
    end: CancellationToken,
}

struct Inner {
    id: u64,
    name: String,
    shared: Arc<Shared>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end.cancel();
        self.inner.shared.ledger.leave(self.id);
        self.inner.shared.touch();
    }
}

impl Engine {
    /// Starts one, awake.
    pub(crate) async fn start(shared: &Arc<Shared>, ip: Ipv4Addr, port: u16, instance: &str, gpus: &[String]) -> Self {
        let id = shared.ledger.enter(instance, gpus);
        let inner = Arc::new(Inner { id, name: format!("engine {instance} {gpus:?}"), shared: Arc::clone(shared) });
        let app = axum::Router::new()
            .route("/health", get(|| async { StatusCode::OK }))
            .route("/is_sleeping", get(is_sleeping))
            .route("/sleep", post(sleep))
            .route("/wake_up", post(wake_up))
            .with_state(Arc::clone(&inner));
        let end = CancellationToken::new();
        listen(ip, port, app, end.clone()).await;
        Self { id, inner, end }
    }
}

async fn is_sleeping(State(me): State<Arc<Inner>>) -> Response {
    let inner = Arc::clone(&me);
    let work = async move { Json(json!({"is_sleeping": inner.shared.ledger.sleeps(inner.id)})).into_response() };
    me.shared.fuse.call(format!("{} is_sleeping", me.name), false, work).await
}

async fn sleep(State(me): State<Arc<Inner>>) -> Response {
    let inner = Arc::clone(&me);
    let work = async move {
        inner.shared.take_time().await;
        inner.shared.ledger.sleep(inner.id);
        inner.shared.tell(&inner.name, "sleep");
        StatusCode::OK.into_response()
    };
    me.shared.fuse.call(format!("{} sleep", me.name), true, work).await
}

async fn wake_up(State(me): State<Arc<Inner>>) -> Response {
    let inner = Arc::clone(&me);
    let work = async move {
        inner.shared.ledger.wake(inner.id);
        inner.shared.take_time().await;
        inner.shared.ledger.woken(inner.id);
        inner.shared.tell(&inner.name, "wake_up");
        StatusCode::OK.into_response()
    };
    me.shared.fuse.call(format!("{} wake_up", me.name), true, work).await
}
