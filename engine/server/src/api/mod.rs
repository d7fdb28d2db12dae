//! The HTTP side: OpenAI's routes, vLLM's administration routes, and the errors of both.

mod admin;
mod answers;
mod error;
mod openai;
mod params;
mod request;
mod respond;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dormouse_runtime::SharedClock;
use serde_json::json;

use crate::engine::Engine;

/// Largest request body.
const MAX_BODY: usize = 8 << 20;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

struct Inner {
    engine: Engine,
    /// Model as given on the command line, shown as `root`.
    root: String,
    version: String,
    started: i64,
    clock: SharedClock,
    api_key: Option<String>,
}

impl Api {
    pub(crate) fn new(engine: Engine, root: String, version: String, api_key: Option<String>, clock: SharedClock) -> Self {
        let started = clock.now().as_second();
        Self(Arc::new(Inner { engine, root, version, started, clock, api_key }))
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn now(&self) -> i64 {
        self.0.clock.now().as_second()
    }
}

/// All routes; the administration routes exist in development mode only, as in vLLM.
pub(crate) fn router(api: Api, dev_mode: bool) -> Router {
    let openai = Router::new()
        .route("/v1/models", get(openai::models))
        .route("/v1/completions", post(openai::completions))
        .route("/v1/chat/completions", post(openai::chat))
        .layer(middleware::from_fn_with_state(api.clone(), authorise));
    let mut router = Router::new()
        .merge(openai)
        .route("/health", get(admin::health))
        .route("/ping", get(admin::health).post(admin::health))
        .route("/version", get(admin::version))
        .route("/load", get(admin::load));
    if dev_mode {
        router = router
            .route("/is_sleeping", get(admin::is_sleeping))
            .route("/sleep", post(admin::sleep))
            .route("/wake_up", post(admin::wake_up))
            .route("/collective_rpc", post(admin::collective_rpc))
            .route("/reset_prefix_cache", post(admin::reset_cache))
            .route("/reset_mm_cache", post(admin::reset_cache));
    }
    let metrics = dormouse_runtime::metrics::router(api.engine().metrics().registry());
    router
        .fallback(|| async { (StatusCode::NOT_FOUND, axum::Json(json!({"detail": "Not Found"}))) })
        .method_not_allowed_fallback(|| async { (StatusCode::METHOD_NOT_ALLOWED, axum::Json(json!({"detail": "Method Not Allowed"}))) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api)
        .merge(metrics)
}

/// Requests under /v1 must bring the key, when there is one.
async fn authorise(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(key) = &api.0.api_key else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if same(given.strip_prefix("Bearer ").unwrap_or_default().as_bytes(), key.as_bytes()) {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": "Unauthorized"}))).into_response()
    }
}

/// Equality whose time depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}
