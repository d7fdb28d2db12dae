//! Looking into a running controller: whether it is ready, and how it sees the world.
//!
//! The loop owns its state; who looks asks it and is answered between two rounds. What is shown must hold no secrets: that
//! is the loop's to see to.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

/// Questions that may wait for the loop; a further one is refused.
const QUESTIONS: usize = 4;
/// Time to be answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody wants to see the state, or the part of it that these parameters name.
#[derive(Debug)]
pub struct Question {
    /// The query of the request.
    pub query: BTreeMap<String, String>,
    reply: oneshot::Sender<Value>,
}

impl Question {
    /// Answers. Who asked may have gone.
    pub fn answer(self, state: Value) {
        let _ = self.reply.send(state);
    }
}

/// Looks into the loop of a controller. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inspector {
    ready: watch::Receiver<bool>,
    questions: mpsc::Sender<Question>,
}

/// What the loop holds of it.
#[derive(Debug)]
pub struct Inspected {
    /// To be told when the loop works on everything there is; where there is a lease, that it waits for it: a rolling update ends
    /// the one that holds it when the next is ready.
    pub ready: watch::Sender<bool>,
    /// To be answered.
    pub questions: mpsc::Receiver<Question>,
}

/// Both ends.
#[must_use]
pub fn channel() -> (Inspector, Inspected) {
    let (ready_tx, ready) = watch::channel(false);
    let (questions, asked) = mpsc::channel(QUESTIONS);
    (Inspector { ready, questions }, Inspected { ready: ready_tx, questions: asked })
}

impl Inspector {
    /// Whether everything watched was listed once, so that it works; or whether it could as soon as it has the lease.
    #[must_use]
    pub fn ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// How the controller sees the world; `None` when it is too busy to say, or has ended.
    pub async fn state(&self, query: BTreeMap<String, String>) -> Option<Value> {
        let (reply, answer) = oneshot::channel();
        self.questions.try_send(Question { query, reply }).ok()?;
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
    }
}

/// `/healthz` and `/readyz`.
pub fn health(inspector: Inspector) -> Router {
    async fn readyz(State(inspector): State<Inspector>) -> Response {
        if inspector.ready() {
            "ok".into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not everything that is watched was listed yet\n").into_response()
        }
    }
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(readyz)).with_state(inspector)
}

/// The debug port: `/debug/state`, with parameters that the loop knows.
pub fn debug(inspector: Inspector) -> Router {
    async fn state(State(inspector): State<Inspector>, Query(query): Query<BTreeMap<String, String>>) -> Response {
        let Some(mut state) = inspector.state(query).await else {
            return (StatusCode::SERVICE_UNAVAILABLE, "the controller is busy\n").into_response();
        };
        if let Some(state) = state.as_object_mut() {
            state.insert("process".to_owned(), process());
        }
        axum::Json(state).into_response()
    }
    async fn pprof() -> Response {
        (StatusCode::NOT_FOUND, "profiles are made with perf here; /debug/state shows what the controller sees\n").into_response()
    }
    Router::new()
        .route("/debug/state", get(state))
        .route("/debug/pprof", get(pprof))
        .route("/debug/pprof/{*profile}", get(pprof))
        .with_state(inspector)
}

/// This process as the kernel and the runtime count it.
fn process() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    json!({"threads": number("Threads:"), "residentKiB": number("VmRSS:"), "tasks": tasks})
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(app: Router, path: &str) -> (u16, String) {
        let response = app.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_is_said_when_it_is_there() {
        let (inspector, inspected) = channel();
        assert_eq!(ask(health(inspector.clone()), "/readyz").await.0, 503);
        assert_eq!(ask(health(inspector.clone()), "/healthz").await.0, 200);
        inspected.ready.send_replace(true);
        assert_eq!(ask(health(inspector.clone()), "/readyz").await, (200, "ok".to_owned()));
        // A loop that has ended answers nothing, and nobody waits for it.
        drop(inspected);
        assert_eq!(ask(debug(inspector.clone()), "/debug/state").await.0, 503);
        let (status, text) = ask(debug(inspector), "/debug/pprof/heap").await;
        assert!(status == 404 && text.contains("/debug/state"), "{text}");
    }

    #[tokio::test]
    async fn the_state_is_asked_of_the_loop() {
        let (inspector, mut inspected) = channel();
        tokio::spawn(async move {
            while let Some(question) = inspected.questions.recv().await {
                let only = question.query.get("node").cloned();
                question.answer(json!({"only": only}));
            }
        });
        let (status, text) = ask(debug(inspector), "/debug/state?node=n2").await;
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &shown["only"]), (200, &json!("n2")));
        assert!(shown["process"]["threads"].as_u64().unwrap() > 0);
    }
}
