//! Drivers and procedures against an engine that does as it is told, right or wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may stop at once

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dormouse_engine_client::admin::{SleepMode, WakeTag};
use dormouse_engine_client::openai::{ChatMessage, ChatRequest, Common};
use dormouse_engine_client::{DEFAULT_ADAPTER, Driver, Endpoint, EngineError, Health, driver, put_to_sleep, wake_up};
use dormouse_runtime::http::{Cause, Client, Timeouts};
use dormouse_runtime::net::base_url;
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
    let method = request.method().clone();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let streams = String::from_utf8_lossy(&body).contains("\"stream\":true");
    let hangs = {
        let mut s = stub.lock().unwrap();
        s.calls.push(format!("{method} {asked}"));
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
    const CHAT: &str = ": begins\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    match path.as_str() {
        chat if chat.ends_with("/chat/completions") && !streams => axum::Json(json!({"choices": []})).into_response(),
        "/chat/v1/chat/completions" => format!("{CHAT}data: [DONE]\n\n").into_response(),
        "/broken/v1/chat/completions" => format!("{CHAT}data: {{\"error\":{{\"message\":\"why\",\"code\":503}}}}\n\n").into_response(),
        "/garbage/v1/chat/completions" => format!("{CHAT}data: {{").into_response(),
        "/is_sleeping" => axum::Json(json!({"is_sleeping": stub.lock().unwrap().asleep})).into_response(),
        "/v1/models" => axum::Json(json!({"data": [{"id": "m", "max_model_len": 7}, {"id": "n"}]})).into_response(),
        "/health" | "/sleep" | "/wake_up" | "/collective_rpc" | "/reset_prefix_cache" => ().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Long against a busy machine, where a call must succeed.
const LONG: Duration = Duration::from_secs(20);

async fn engine(stub: Stub) -> (Shared, Box<dyn Driver>) {
    let (shared, base) = served(stub).await;
    (shared, at(&base, LONG))
}

async fn served(stub: Stub) -> (Shared, String) {
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
    (shared, base_url(&address.ip().to_string(), address.port()))
}

fn client(limit: Duration) -> Client {
    dormouse_runtime::http::client(Timeouts { total: Some(limit), ..Timeouts::default() }).unwrap()
}

fn at(base: &str, limit: Duration) -> Box<dyn Driver> {
    driver(DEFAULT_ADAPTER, base, client(limit)).unwrap()
}

fn calls(stub: &Shared) -> Vec<String> {
    std::mem::take(&mut stub.lock().unwrap().calls)
}

#[tokio::test]
async fn every_call_is_the_one_vllm_knows() {
    let (stub, d) = engine(Stub::default()).await;
    assert_eq!(d.health().await, Ok(Health::Ready));
    assert_eq!(d.is_sleeping().await, Ok(false));
    d.sleep(1, None).await.unwrap();
    d.sleep(2, None).await.unwrap();
    d.sleep(2, Some(SleepMode::Keep)).await.unwrap();
    d.wake(&[]).await.unwrap();
    d.wake(&[WakeTag::Weights, WakeTag::KvCache]).await.unwrap();
    d.restore_weights().await.unwrap();
    d.release_cache().await.unwrap();
    let expected = [
        "GET /health",
        "GET /is_sleeping",
        "POST /sleep",
        "POST /sleep?level=2",
        "POST /sleep?level=2&mode=keep",
        "POST /wake_up",
        "POST /wake_up?tags=weights&tags=kv_cache",
        "POST /collective_rpc",
        "POST /reset_prefix_cache",
    ];
    assert_eq!(calls(&stub), expected);
}

#[tokio::test]
async fn users_see_models_and_answers_as_they_come() {
    let (_stub, base) = served(Stub::default()).await;
    let endpoint = |path: &str| Endpoint::new(&format!("{base}{path}"), client(LONG), LONG);
    let models = endpoint("").models().await.unwrap().data;
    assert_eq!((models[0].id.as_str(), models[0].max_model_len, models[1].max_model_len), ("m", Some(7), None));

    let messages = vec![ChatMessage::user("?")];
    let request = ChatRequest { messages, max_completion_tokens: None, add_generation_prompt: None, common: Common::default() };
    let said = async |path: &str| {
        let mut answer = endpoint(path).chat(request.clone()).await?;
        let mut text = String::new();
        while let Some(chunk) = answer.next().await? {
            text.extend(chunk.choices.into_iter().filter_map(|c| c.delta?.content));
        }
        Ok::<_, dormouse_runtime::http::Failure>(text)
    };
    assert_eq!(said("/chat").await.unwrap(), "Hi");
    assert_eq!(said("/broken").await.unwrap_err().cause, Cause::Refused { status: 503, text: "why".into(), whole: true });
    let e = said("/garbage").await.unwrap_err();
    assert!(matches!(&e.cause, Cause::Malformed(why) if why.ends_with("in \"{\"")), "{e}");
    assert_eq!(said("/none").await.unwrap_err().status(), Some(404));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let long = "x".repeat(2000);
    let refuse =
        vec![("/sleep", 500, format!("  out of memory {long}")), ("/health", 503, String::new()), ("/wake_up", 404, String::new())];
    let (_stub, base) = served(Stub { refuse, hang: vec!["/is_sleeping"], ..Stub::default() }).await;
    let d = at(&base, LONG);
    match d.sleep(2, None).await.unwrap_err() {
        EngineError::Call(failure) => {
            let shown = failure.to_string();
            assert!(failure.url.ends_with("/sleep?level=2") && failure.status() == Some(500));
            assert!(shown.contains(": out of memory x") && shown.ends_with('…') && shown.len() < 650, "{shown}");
        }
        e => panic!("{e}"),
    }
    assert_eq!(d.health().await, Ok(Health::Dead));
    let e = d.wake(&[]).await.unwrap_err();
    assert!(matches!(e, EngineError::Unsupported { .. }) && e.to_string().contains("VLLM_SERVER_DEV_MODE"), "{e}");
    let e = at(&base, Duration::from_millis(50)).is_sleeping().await.unwrap_err();
    assert!(e.is_unknown() && e.to_string().contains("timed out"), "{e}");

    // A port that was free a moment ago.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let d = at(&format!("http://{free}"), LONG);
    assert_eq!(d.health().await, Ok(Health::Starting));
    let e = d.wake(&[]).await.unwrap_err();
    let EngineError::Call(failure) = e else { panic!("{e}") };
    assert!(matches!(&failure.cause, Cause::Unreachable(why) if why.contains("refused")), "{failure}");
    assert!(driver("warp", "http://h:1", client(LONG)).is_none());
}

#[tokio::test]
async fn sleep_and_wake_are_confirmed_and_done_once() {
    let (stub, d) = engine(Stub::default()).await;
    assert_eq!(put_to_sleep(&*d, 1).await, Ok(true));
    assert_eq!(calls(&stub), ["POST /sleep", "GET /is_sleeping"]);
    wake_up(&*d, 1).await.unwrap();
    assert_eq!(calls(&stub), ["POST /wake_up", "GET /is_sleeping"]);
    assert_eq!(put_to_sleep(&*d, 2).await, Ok(true));
    calls(&stub);
    stub.lock().unwrap().slow = 3;
    wake_up(&*d, 2).await.unwrap();
    assert!(!stub.lock().unwrap().asleep, "it has looked until it was so");
    let posts: Vec<String> = calls(&stub).into_iter().filter(|c| c.starts_with("POST")).collect();
    assert_eq!(posts, ["POST /wake_up?tags=weights", "POST /collective_rpc", "POST /wake_up?tags=kv_cache", "POST /reset_prefix_cache"]);
}

#[tokio::test]
async fn a_call_without_an_answer_counts_if_it_took_effect() {
    let (stub, base) = served(Stub { hang: vec!["/sleep", "/wake_up"], ..Stub::default() }).await;
    let d = at(&base, Duration::from_millis(500));
    assert_eq!(put_to_sleep(&*d, 1).await, Ok(true));
    wake_up(&*d, 1).await.unwrap();
    assert!(!stub.lock().unwrap().asleep);
    // It has not: the failure is told.
    stub.lock().unwrap().slow = 1_000_000;
    assert!(put_to_sleep(&*d, 1).await.unwrap_err().is_unknown());
}

#[tokio::test]
async fn a_wake_that_fails_is_followed_by_a_sleep() {
    let refuse = vec![("/wake_up", 500, "CUDA out of memory".to_owned())];
    let (stub, d) = engine(Stub { asleep: true, refuse, ..Stub::default() }).await;
    let e = wake_up(&*d, 1).await.unwrap_err();
    assert!(matches!(&e, EngineError::Call(failure) if failure.to_string().ends_with("status 500: CUDA out of memory")), "{e}");
    assert_eq!(calls(&stub), ["POST /wake_up", "POST /sleep"]);
}

#[tokio::test]
async fn half_a_wake_is_followed_by_a_sleep_though_the_engine_lacks_the_rest() {
    let lacks = |path| Stub { asleep: true, refuse: vec![(path, 404, String::new())], ..Stub::default() };
    let (stub, d) = engine(lacks("/collective_rpc")).await;
    assert!(matches!(wake_up(&*d, 2).await, Err(EngineError::Unsupported { .. })));
    assert_eq!(calls(&stub), ["POST /wake_up?tags=weights", "POST /collective_rpc", "POST /sleep?level=2"]);
    // One that has nothing of it was not touched.
    let (stub, d) = engine(lacks("/wake_up")).await;
    assert!(matches!(wake_up(&*d, 2).await, Err(EngineError::Unsupported { .. })));
    assert_eq!(calls(&stub), ["POST /wake_up?tags=weights"]);
}

#[tokio::test]
async fn an_engine_that_says_yes_and_does_not_is_found_out() {
    let (_stub, d) = engine(Stub { slow: 1_000_000, ..Stub::default() }).await;
    assert_eq!(put_to_sleep(&*d, 1).await, Ok(false));
}
