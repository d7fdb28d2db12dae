//! Drivers and procedures against an engine that does as it is told, right or wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may stop at once

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dormouse_engine_admin::{
    AdminError, Driver, EngineMetrics, Health, SleepMode, Timeouts, WakeTag, base_url, driver, put_to_sleep, wake_up,
};
use serde_json::json;

/// A pretended engine: what it does, and what was asked of it.
#[derive(Debug, Default)]
struct Stub {
    asleep: bool,
    calls: Vec<String>,
    /// Looks after which a sleep or wake shows.
    slow: u32,
    pending: Option<(u32, bool)>,
    /// Paths that answer with this status and text.
    refuse: Vec<(&'static str, u16, String)>,
    /// Paths that never answer.
    hang: Vec<&'static str>,
}

type Shared = Arc<Mutex<Stub>>;

async fn answer(State(stub): State<Shared>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let asked = request.uri().path_and_query().unwrap().to_string();
    let hangs = {
        let mut s = stub.lock().unwrap();
        s.calls.push(format!("{} {asked}", request.method()));
        if path == "/sleep" || path == "/wake_up" {
            s.pending = Some((s.slow, path == "/sleep"));
        }
        if path == "/is_sleeping" {
            match s.pending {
                Some((0, asleep)) => (s.asleep, s.pending) = (asleep, None),
                Some((n, asleep)) => s.pending = Some((n - 1, asleep)),
                None => {}
            }
        }
        if let Some((_, status, text)) = s.refuse.iter().find(|(p, ..)| *p == path) {
            return (StatusCode::from_u16(*status).unwrap(), text.clone()).into_response();
        }
        s.hang.contains(&path.as_str())
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    match path.as_str() {
        "/is_sleeping" => axum::Json(json!({"is_sleeping": stub.lock().unwrap().asleep})).into_response(),
        "/v1/models" => axum::Json(json!({"data": [{"id": "m", "max_model_len": 7}, {"id": "n"}]})).into_response(),
        "/version" => axum::Json(json!({"version": "1.2"})).into_response(),
        "/metrics" => "vllm:num_requests_running{a=\"b\"} 3\n".into_response(),
        "/health" | "/sleep" | "/wake_up" | "/collective_rpc" | "/reset_prefix_cache" => ().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Short, so that tests of time-outs are; long against a busy machine where a call must succeed.
fn timeouts() -> Timeouts {
    Timeouts { sleep: Duration::from_secs(20), wake: Duration::from_secs(20), ..Timeouts::default() }
}

async fn engine(stub: Stub, timeouts: Timeouts) -> (Shared, Box<dyn Driver>) {
    let shared = Arc::new(Mutex::new(stub));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(answer).with_state(shared.clone());
    tokio::spawn(dormouse_runtime::serve::serve(
        listener,
        app,
        dormouse_runtime::serve::Limits::default(),
        dormouse_runtime::CancellationToken::new(),
    ));
    (shared, at(&base_url(&address.ip().to_string(), address.port()), timeouts))
}

fn at(base: &str, timeouts: Timeouts) -> Box<dyn Driver> {
    let client = dormouse_runtime::http::client(dormouse_runtime::http::Timeouts { total: None, ..Default::default() });
    driver("vllm", base, client.unwrap(), timeouts).unwrap()
}

fn calls(stub: &Shared) -> Vec<String> {
    std::mem::take(&mut stub.lock().unwrap().calls)
}

#[tokio::test]
async fn every_call_is_the_one_vllm_knows() {
    let (stub, d) = engine(Stub::default(), timeouts()).await;
    assert_eq!(d.health().await, Ok(Health::Ready));
    assert_eq!(d.is_sleeping().await, Ok(false));
    d.sleep(1, SleepMode::Default).await.unwrap();
    d.sleep(2, SleepMode::Keep).await.unwrap();
    d.wake(&[]).await.unwrap();
    d.wake(&[WakeTag::Weights, WakeTag::KvCache]).await.unwrap();
    d.restore_weights().await.unwrap();
    d.release_cache().await.unwrap();
    let models = d.models().await.unwrap();
    assert_eq!((models[0].id.as_str(), models[0].max_model_len, models[1].max_model_len), ("m", Some(7), None));
    assert_eq!(d.version().await.unwrap(), "1.2");
    assert_eq!(d.metrics().await.unwrap(), EngineMetrics { running: Some(3.0), ..EngineMetrics::default() });
    let expected = [
        "GET /health",
        "GET /is_sleeping",
        "POST /sleep?level=1",
        "POST /sleep?level=2&mode=keep",
        "POST /wake_up",
        "POST /wake_up?tags=weights&tags=kv_cache",
        "POST /collective_rpc",
        "POST /reset_prefix_cache",
        "GET /v1/models",
        "GET /version",
        "GET /metrics",
    ];
    assert_eq!(calls(&stub), expected);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let long = "x".repeat(2000);
    let refuse =
        vec![("/sleep", 500, format!("  out of memory {long}")), ("/health", 503, String::new()), ("/wake_up", 404, String::new())];
    let stub = Stub { refuse, hang: vec!["/is_sleeping"], ..Stub::default() };
    let (_stub, d) = engine(stub, Timeouts { is_sleeping: Duration::from_millis(50), ..timeouts() }).await;
    match d.sleep(1, SleepMode::Default).await.unwrap_err() {
        AdminError::Refused { status: 500, body, url } => {
            assert!(body.starts_with("out of memory x") && body.ends_with('…') && body.len() < 600, "{body}");
            assert!(url.ends_with("/sleep?level=1"));
        }
        e => panic!("{e}"),
    }
    assert_eq!(d.health().await, Ok(Health::Dead));
    assert!(matches!(d.wake(&[]).await, Err(AdminError::Unsupported { .. })));
    let e = d.is_sleeping().await.unwrap_err();
    assert!(e.is_unknown() && e.to_string().contains("timed out"), "{e}");

    // A port that was free a moment ago.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let d = at(&format!("http://{free}"), timeouts());
    assert_eq!(d.health().await, Ok(Health::Starting));
    let e = d.wake(&[]).await.unwrap_err();
    assert!(matches!(e, AdminError::Unreachable { .. }) && e.to_string().contains("refused"), "{e}");
}

#[tokio::test]
async fn unknown_adapters_are_named_with_the_known_ones() {
    dormouse_runtime::tls::install_provider();
    let e = driver("warp", "http://h:1", reqwest::Client::new(), timeouts()).unwrap_err().to_string();
    assert_eq!(e, "no engine adapter \"warp\"; there are: vllm, dormouse");
    assert_eq!(driver("dormouse", "http://h:1", reqwest::Client::new(), timeouts()).unwrap().name(), "dormouse");
}

#[tokio::test]
async fn sleep_and_wake_are_confirmed_and_done_once() {
    let (stub, d) = engine(Stub { slow: 3, ..Stub::default() }, timeouts()).await;
    put_to_sleep(&*d, 1, SleepMode::Default, &timeouts()).await.unwrap();
    assert!(stub.lock().unwrap().asleep);
    assert_eq!(calls(&stub).iter().filter(|c| c.starts_with("POST")).count(), 1);
    put_to_sleep(&*d, 1, SleepMode::Default, &timeouts()).await.unwrap();
    assert_eq!(calls(&stub), ["GET /is_sleeping"], "asleep already");
    wake_up(&*d, 2, &timeouts()).await.unwrap();
    assert!(!stub.lock().unwrap().asleep);
    let posts: Vec<String> = calls(&stub).into_iter().filter(|c| c.starts_with("POST")).collect();
    assert_eq!(posts, ["POST /wake_up?tags=weights", "POST /collective_rpc", "POST /wake_up?tags=kv_cache"]);
    wake_up(&*d, 1, &timeouts()).await.unwrap();
    assert_eq!(calls(&stub), ["GET /is_sleeping"], "awake already");
}

#[tokio::test]
async fn an_unanswered_sleep_counts_if_it_took_effect() {
    let short = Timeouts { sleep: Duration::from_millis(100), ..timeouts() };
    let (stub, d) = engine(Stub { hang: vec!["/sleep"], ..Stub::default() }, short).await;
    put_to_sleep(&*d, 1, SleepMode::Default, &timeouts()).await.unwrap();
    assert!(stub.lock().unwrap().asleep);
}

#[tokio::test]
async fn a_wake_that_fails_is_followed_by_a_sleep() {
    let refuse = vec![("/wake_up", 500, "CUDA out of memory".to_owned())];
    let (stub, d) = engine(Stub { asleep: true, refuse, ..Stub::default() }, timeouts()).await;
    let e = wake_up(&*d, 1, &timeouts()).await.unwrap_err();
    assert!(matches!(&e, AdminError::Refused { status: 500, body, .. } if body == "CUDA out of memory"), "{e}");
    assert_eq!(calls(&stub), ["GET /is_sleeping", "POST /wake_up", "POST /sleep?level=1"]);
}

#[tokio::test]
async fn an_engine_that_says_yes_and_does_not_is_found_out() {
    let short = Timeouts { sleep: Duration::from_millis(60), ..timeouts() };
    let (_stub, d) = engine(Stub { slow: 1_000_000, ..Stub::default() }, timeouts()).await;
    let e = put_to_sleep(&*d, 1, SleepMode::Default, &short).await.unwrap_err();
    assert!(matches!(e, AdminError::NotReached { state: "is awake", .. }), "{e}");
}
