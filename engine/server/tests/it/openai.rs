//! The shapes of OpenAI's API, served by the simulator.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Served, dev, sim, start};
use dormouse_engine::EngineKind;

fn content(events: &[Value], pointer: &str) -> String {
    events.iter().filter_map(|e| e.pointer(pointer).and_then(Value::as_str)).collect()
}

#[tokio::test]
async fn models_completions_and_chat_have_their_shapes() {
    let e = sim("org/model --served-model-name first second --max-model-len 4096").await;
    let (status, models) = e.get("/v1/models").await;
    assert_eq!(status, 200);
    assert_eq!(models["object"], "list");
    let ids: Vec<_> = models["data"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, [json!("first"), json!("second")]);
    assert_eq!((&models["data"][0]["root"], &models["data"][0]["max_model_len"]), (&json!("org/model"), &json!(4096)));

    let (status, body) = e.post("/v1/completions", &json!({"model": "second", "prompt": "one two three", "max_tokens": 5})).await;
    assert_eq!(status, 200);
    assert!(body["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!((&body["object"], &body["model"]), (&json!("text_completion"), &json!("second")));
    assert!(body["created"].as_i64().unwrap() > 1_700_000_000);
    let choice = &body["choices"][0];
    assert!(choice["text"].as_str().unwrap().starts_with("org/model (simulated) says:"));
    assert_eq!((&choice["finish_reason"], &choice["stop_reason"], &choice["index"]), (&json!("length"), &Value::Null, &json!(0)));
    let usage = &body["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]), (&json!(3), &json!(5), &json!(8)));

    let hello = json!({"messages": [{"role": "user", "content": "hello"}]});
    let (status, body) = e.post("/v1/chat/completions", &hello).await;
    assert_eq!((status.as_u16(), &body["object"]), (200, &json!("chat.completion")));
    let choice = &body["choices"][0];
    assert_eq!((&choice["message"]["role"], &choice["finish_reason"]), (&json!("assistant"), &json!("stop")));
    assert!(!choice["message"]["content"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn streams_say_the_same_as_whole_answers() {
    let e = sim("m").await;
    let mut body = json!({"prompt": "one two", "max_tokens": 8, "temperature": 0});
    let whole = e.completion("one two").await;
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let events = e.events("/v1/completions", &body).await;
    let text = content(&events, "/choices/0/text");
    assert!(whole.starts_with(&text) && !text.is_empty());
    assert!(events.iter().all(|e| e["object"] == "text_completion" && e["id"] == events[0]["id"]));
    let last = events.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(8)));
    assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "length");
    // One event a token, one for the end, one for the usage.
    assert_eq!(events.len(), 8 + 2);

    let chat = json!({
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}], "stream": true, "temperature": 0,
        "stream_options": {"continuous_usage_stats": true}
    });
    let events = e.events("/v1/chat/completions", &chat).await;
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert!(events.iter().all(|e| e["object"] == "chat.completion.chunk" && e["usage"].is_object()));
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
    let whole = json!({"messages": chat["messages"], "temperature": 0});
    let (_, body) = e.post("/v1/chat/completions", &whole).await;
    assert_eq!(body["choices"][0]["message"]["content"], content(&events, "/choices/0/delta/content"));
}

#[tokio::test]
async fn prompts_choices_stops_and_echoes() {
    let e = sim("m").await;
    let (_, body) = e.post("/v1/completions", &json!({"prompt": ["a b", "c"], "n": 2, "max_tokens": 6, "echo": true})).await;
    let choices = body["choices"].as_array().unwrap();
    let texts: Vec<&str> = choices.iter().map(|c| c["text"].as_str().unwrap()).collect();
    assert_eq!(choices.iter().map(|c| c["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(texts[0].starts_with("a bm (simulated)") && texts[3].starts_with("cm (simulated)"), "{texts:?}");
    assert_ne!(texts[0], texts[1], "choices of one prompt differ");
    assert_eq!(body["usage"]["prompt_tokens"], 3, "each prompt counts once");

    let (_, body) = e.post("/v1/completions", &json!({"prompt": [7, 8, 9], "stop": [") says"]})).await;
    let choice = &body["choices"][0];
    assert_eq!((&choice["text"], &choice["stop_reason"]), (&json!("m (simulated"), &json!(") says")));
    assert_eq!((&choice["finish_reason"], &body["usage"]["prompt_tokens"]), (&json!("stop"), &json!(3)));
}

async fn error(e: &Served, path: &str, body: Value) -> (u16, Value) {
    let (status, body) = e.post(path, &body).await;
    assert_eq!(body["error"]["code"], status.as_u16(), "{body}");
    (status.as_u16(), body["error"].clone())
}

#[tokio::test]
async fn errors_have_openais_shape() {
    let e = sim("m --max-model-len 20").await;
    let (status, err) = error(&e, "/v1/completions", json!({"model": "x", "prompt": "a"})).await;
    assert_eq!((status, &err["message"]), (404, &json!("The model `x` does not exist.")));
    assert_eq!((&err["type"], &err["param"]), (&json!("NotFoundError"), &json!("model")));
    for (path, body) in [
        ("/v1/completions", json!({"prompt": "a", "temperature": -1})),
        ("/v1/completions", json!({"prompt": "a", "max_tokens": 30})),
        ("/v1/completions", json!({"prompt": "a", "n": 0})),
        ("/v1/completions", json!({"prompt": ""})),
        ("/v1/completions", json!({"prompt": []})),
        ("/v1/completions", json!({"prompt": "a", "logprobs": 3})),
        ("/v1/completions", json!({"nothing": 1})),
        ("/v1/chat/completions", json!({"messages": []})),
        ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})),
        ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": "a ".repeat(30)}]})),
    ] {
        assert_eq!(error(&e, path, body.clone()).await.0, 400, "{path} {body}");
    }
    let talk = json!([{"role": "user", "content": "a"}]);
    for (path, mut body) in [("/v1/completions", json!({"prompt": "a"})), ("/v1/chat/completions", json!({"messages": talk}))] {
        body["max_tokens"] = json!(5.0);
        let (status, answer) = e.post(path, &body).await;
        assert_eq!((status.as_u16(), &answer["usage"]["completion_tokens"]), (200, &json!(5)), "{path} {answer}");
        body["max_tokens"] = json!(5.5);
        let (status, err) = error(&e, path, body.clone()).await;
        assert_eq!((status, &err["param"]), (400, &json!("max_tokens")), "{path} {err}");
        body["max_tokens"] = json!(5);
        body["stream_options"] = json!({"include_usage": true});
        let (status, err) = error(&e, path, body).await;
        assert_eq!((status, &err["message"]), (400, &json!("Stream options can only be defined when `stream=True`.")), "{path}");
    }
    let garbage = e.request(Method::POST, "/v1/completions").body("{").send().await.unwrap();
    assert_eq!(garbage.status(), 400);
    let large = e.request(Method::POST, "/v1/completions").body(vec![b' '; (8 << 20) + 1]).send().await.unwrap();
    assert_eq!(large.status(), 413);
    assert_eq!(e.get("/nowhere").await, (reqwest::StatusCode::NOT_FOUND, json!({"detail": "Not Found"})));
    assert_eq!(e.get("/v1/completions").await.0, 405);
}

#[tokio::test]
async fn a_key_guards_v1_and_only_that() {
    let e = start(EngineKind::Sim, &format!("m --api-key secret {}", crate::harness::QUICK), dev()).await.unwrap();
    assert_eq!(e.get("/v1/models").await.0, 401);
    assert_eq!(e.get("/health").await.0, 200);
    let authorised = |key: &str| e.request(Method::GET, "/v1/models").bearer_auth(key).send();
    assert_eq!(authorised("secret").await.unwrap().status(), 200);
    assert_eq!(authorised("secreT").await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_client_that_goes_frees_its_place() {
    let e = start(EngineKind::Sim, "m --sim-init 0 --sim-load 0 --sim-ttft 1ms --sim-itl 10s", dev()).await.unwrap();
    let body = json!({"prompt": "a", "max_tokens": 5, "stream": true});
    let response = e.request(Method::POST, "/v1/completions").json(&body).send().await.unwrap();
    assert_eq!(e.get("/load").await.1["server_load"], 1);
    drop(response);
    while e.get("/load").await.1["server_load"] != 0 {
        tokio::task::yield_now().await;
    }
}
