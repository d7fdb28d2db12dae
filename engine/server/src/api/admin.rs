//! vLLM's administration routes. Bodies are those of its newer releases, which hold what older ones left empty.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dormouse_engine_client::admin::{IsSleeping, SleepMode, WakeTag};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use crate::backend::Parts;

type Pairs = Query<Vec<(String, String)>>;

/// Alive; stays 200 asleep. A dead engine's process has ended.
pub(super) async fn health() -> StatusCode {
    StatusCode::OK
}

pub(super) async fn version(State(api): State<Api>) -> Json<Value> {
    Json(json!({"version": api.0.version}))
}

pub(super) async fn load(State(api): State<Api>) -> Json<Value> {
    Json(json!({"server_load": api.engine().in_flight()}))
}

pub(super) async fn is_sleeping(State(api): State<Api>) -> Json<IsSleeping> {
    Json(IsSleeping { is_sleeping: api.engine().is_sleeping() })
}

pub(super) async fn sleep(State(api): State<Api>, Query(query): Pairs) -> Result<Response, ApiError> {
    // The last one counts, as with every repeated scalar.
    let last = |name: &str| query.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let level = match last("level").unwrap_or("1").parse() {
        Ok(level @ 0..=2u8) => level,
        _ => return Err(ApiError::invalid("level must be 0, 1 or 2")),
    };
    let mode = last("mode").unwrap_or(SleepMode::Abort.as_str());
    let Some(mode) = SleepMode::named(mode) else {
        return Err(ApiError::invalid(format!("mode must be abort, wait or keep, not {mode:?}")));
    };
    api.engine().sleep(level, mode).await?;
    Ok(Json(json!({"status": "sleeping", "level": level})).into_response())
}

pub(super) async fn wake_up(State(api): State<Api>, Query(query): Pairs) -> Result<Response, ApiError> {
    let tags: Vec<&str> = query.iter().filter(|(n, _)| n == "tags").map(|(_, v)| v.as_str()).collect();
    let (parts, scheduling) = if tags.is_empty() {
        (Parts::ALL, true)
    } else {
        // An unknown tag wakes nothing and is no error: as in vLLM.
        let named = |tag: WakeTag| tags.contains(&tag.as_str());
        (Parts { weights: named(WakeTag::Weights), kv_cache: named(WakeTag::KvCache) }, named(WakeTag::Scheduling))
    };
    api.engine().wake(parts, scheduling).await?;
    let tags = if tags.is_empty() { Value::Null } else { json!(tags) };
    Ok(Json(json!({"status": "awake", "tags": tags})).into_response())
}

#[derive(Deserialize)]
struct Call {
    method: Option<String>,
}

/// Only `reload_weights`, the middle step of a wake from level 2. Our wake has read them again already.
pub(super) async fn collective_rpc(State(api): State<Api>, body: Bytes) -> Result<Response, ApiError> {
    let call: Call = serde_json::from_slice(&body).map_err(|e| ApiError::invalid(format!("Missing or malformed JSON body: {e}")))?;
    match call.method.as_deref() {
        None => Err(ApiError::invalid("Missing 'method' in request body")),
        Some("reload_weights") if !api.engine().weights_there() => {
            Err(ApiError::internal("the weights are released: wake them first (POST /wake_up?tags=weights)"))
        }
        Some("reload_weights") => Ok(Json(json!({"results": [null]})).into_response()),
        Some(other) => Err(ApiError::invalid(format!("this engine has no method {other:?}; it has reload_weights"))),
    }
}

/// There is no prefix cache to drop, so that is done at once.
pub(super) async fn reset_cache() -> Json<Value> {
    Json(json!({"success": true}))
}
