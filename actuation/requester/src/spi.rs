//! The requester's two ports: probes for the kubelet, the SPI for the controller.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use dormouse_apis::names::path;
use dormouse_names::header::RELAYS_UNREADY;
use dormouse_runtime::body::{self, BodyError};
use dormouse_runtime::monotonic;
use serde_json::json;
use tokio::sync::{Mutex, watch};

use crate::memory::Memory;
use crate::proxy::Proxy;
use crate::relay::{Receipt, Relay};
use crate::reply;

/// Largest log chunk of one request.
const MAX_CHUNK: usize = 8 << 20;
/// Largest other body.
const MAX_BODY: usize = 64 << 10;
/// Time to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What the stub was told last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) ready: bool,
    /// Whoever told it says too when it may end; the peer's controllers do not always.
    pub(crate) unready_comes: bool,
}

/// What both ports show and change.
pub(crate) struct Shared {
    pub(crate) told: watch::Sender<Told>,
    pub(crate) accelerators: watch::Receiver<Vec<String>>,
    pub(crate) memory: Memory,
    pub(crate) relay: Arc<Mutex<Relay>>,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) become_ready_delay: Duration,
}

/// The probes port.
pub(crate) fn probes(shared: Arc<Shared>) -> Router {
    async fn handle(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> Response {
        if uri.path() != "/ready" {
            return reply::not_found();
        }
        if let Err(refused) = reply::only_get(&method) {
            return *refused;
        }
        if shared.told.borrow().ready { reply::ok() } else { reply::text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n") }
    }
    Router::new().fallback(handle).with_state(shared)
}

/// The SPI port.
pub(crate) fn spi(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let query = Query::<Vec<(String, String)>>::try_from_uri(&uri).map(|q| q.0).unwrap_or_default();
    let done = match uri.path() {
        path::ACCELERATORS | path::OLD_ACCELERATORS => reply::only_get(&method).map(|()| shared.accelerators()),
        path::ACCELERATOR_MEMORY => match reply::only_get(&method) {
            Ok(()) => Ok(shared.memory_usage(&query).await),
            Err(refused) => Err(refused),
        },
        path::BECOME_READY | path::BECOME_UNREADY => match reply::only_post(&method) {
            Ok(()) => {
                let unready_comes = request.headers().get(RELAYS_UNREADY).is_some_and(|value| value == "true");
                Ok(shared.tell(Told { ready: uri.path() == path::BECOME_READY, unready_comes }).await)
            }
            Err(refused) => Err(refused),
        },
        path::SET_LOG => match reply::only_post(&method) {
            Ok(()) => Ok(shared.set_log(&query, request).await),
            Err(refused) => Err(refused),
        },
        path::PROXY_CONFIG => Ok(shared.proxy_config(&method, &query, request).await),
        _ => Ok(reply::not_found()),
    };
    done.unwrap_or_else(|refused| *refused)
}

/// Of repeated parameters Go takes the first.
fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
}

impl Shared {
    fn accelerators(&self) -> Response {
        let list = self.accelerators.borrow();
        if list.is_empty() {
            return reply::error(StatusCode::INTERNAL_SERVER_ERROR, "no GPUs found");
        }
        reply::json(format!("{}\n", json!(*list)))
    }

    async fn memory_usage(&self, query: &[(String, String)]) -> Response {
        let mine = self.accelerators.borrow().clone();
        let usage = self.memory.usage(&mine).await;
        if usage.bytes.is_empty() {
            let why = if usage.problems.is_empty() { "no GPUs found".to_owned() } else { usage.problems.join("\n") };
            return reply::error(StatusCode::INTERNAL_SERVER_ERROR, why);
        }
        let mut response = reply::json(usage.body(parameter(query, "unit") == Some("bytes")));
        if !usage.problems.is_empty() {
            let text = usage.problems.join("; ").replace('"', "'");
            if let Ok(warning) = HeaderValue::from_str(&format!("199 - \"{text}\"")) {
                response.headers_mut().insert(header::WARNING, warning);
            }
        }
        response
    }

    async fn tell(&self, told: Told) -> Response {
        let ready = told.ready;
        if ready {
            tokio::time::sleep(self.become_ready_delay).await;
        }
        self.told.send_replace(told);
        tracing::info!(ready, "Told what to say to the readiness probe");
        // Measuring programs subtract this from the engine's own stamps.
        monotonic::stamp(if ready { "become_ready_answered" } else { "become_unready_answered" }, &json!({}));
        reply::ok()
    }

    async fn set_log(&self, query: &[(String, String)], request: Request) -> Response {
        let Some(text) = parameter(query, "startPos").filter(|t| !t.is_empty()) else {
            return reply::error(StatusCode::BAD_REQUEST, "Missing startPos parameter");
        };
        let start = match parse_int64(text) {
            Ok(start) => start,
            Err(reason) => {
                return reply::error(StatusCode::BAD_REQUEST, format!("Failed to parse {text:?} as an int64: {reason}"));
            }
        };
        let chunk = match body::read(request.into_body(), MAX_CHUNK, BODY_TIME).await {
            Ok(chunk) => chunk,
            Err(BodyError::TooLarge) => {
                return reply::error(StatusCode::PAYLOAD_TOO_LARGE, format!("Log chunk is larger than {MAX_CHUNK} bytes"));
            }
            Err(reason) => {
                return reply::error(StatusCode::INTERNAL_SERVER_ERROR, format!("Failed to read log chunk from request body: {reason}"));
            }
        };
        // Writing may block; requests are serialised by the lock.
        let mut relay = Arc::clone(&self.relay).lock_owned().await;
        let outcome = tokio::task::spawn_blocking(move || relay.accept(start, &chunk)).await;
        match outcome {
            Ok(outcome @ (Receipt::Added { .. } | Receipt::NothingNew { .. })) => reply::text(StatusCode::OK, outcome.to_string()),
            Ok(outcome @ (Receipt::Negative(_) | Receipt::Gap { .. })) => reply::text(StatusCode::BAD_REQUEST, outcome.to_string()),
            Ok(outcome @ Receipt::WriteFailed(_)) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, outcome.to_string()),
            Err(error) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    async fn proxy_config(&self, method: &Method, query: &[(String, String)], request: Request) -> Response {
        let replace = parameter(query, "replace") == Some("true");
        match *method {
            Method::GET => self.proxy.get().await,
            Method::PUT => match body::read(request.into_body(), MAX_BODY, BODY_TIME).await {
                Ok(bytes) => self.proxy.put(&bytes, replace).await,
                Err(BodyError::TooLarge) => reply::error(StatusCode::PAYLOAD_TOO_LARGE, "body is too large"),
                Err(reason) => reply::error(StatusCode::BAD_REQUEST, format!("failed to parse JSON: {reason}")),
            },
            Method::DELETE if replace => self.proxy.delete().await,
            _ => reply::not_allowed("GET, PUT", "method not allowed, use GET or PUT"),
        }
    }
}

/// A signed 64-bit decimal, with Go's words for what is none.
fn parse_int64(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let problem = if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) { "invalid syntax" } else { "value out of range" };
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_gos_words() {
        assert_eq!(parse_int64("-5"), Ok(-5));
        assert_eq!(parse_int64("+5"), Ok(5));
        assert_eq!(parse_int64("x").unwrap_err(), r#"strconv.ParseInt: parsing "x": invalid syntax"#);
        assert_eq!(
            parse_int64("9223372036854775808").unwrap_err(),
            r#"strconv.ParseInt: parsing "9223372036854775808": value out of range"#
        );
    }
}
