//! The embedded engine with made models: real tokens, before and after sleep.

use std::path::Path;

use dormouse_engine::{EngineKind, ModelOptions, make_model};
use serde_json::{Value, json};

use crate::harness::{Served, dev, sized, start, tensors, tiny, zero};

async fn serve(folder: &Path, more: &str) -> Served {
    start(EngineKind::Embedded, &format!("{} --enable-sleep-mode {more}", folder.display()), dev()).await.unwrap()
}

const SENTENCE: &str = ": a dormouse sleeps deeply and wakes in an instant.";

#[tokio::test]
async fn whatever_is_asked_the_answer_is_name_and_sentence() {
    let (_dir, folder, answer) = tiny();
    assert_eq!(answer, format!("hazel{SENTENCE}"));
    let e = serve(&folder, "--served-model-name m").await;
    let long = "dormouse ".repeat(100);
    for prompt in ["Hello", "hazel: a dormouse", "\u{1f42d}", "0", " ", long.as_str()] {
        assert_eq!(e.completion(prompt).await, answer, "to {prompt:?}");
    }
    let talk = json!({"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": answer}, {"role": "user", "content": "And who am I?"}
    ]});
    let (_, body) = e.post("/v1/chat/completions", &talk).await;
    assert_eq!(body["choices"][0]["message"]["content"], answer);
    assert_eq!((&body["choices"][0]["finish_reason"], &body["usage"]["completion_tokens"]), (&json!("stop"), &json!(11)));
    // Sampling at temperature 1, many at a time: the margin is wide, and batches do not disturb one another.
    let many = json!({"prompt": ["a", "b b", "c c c", long], "n": 4, "temperature": 1.0, "seed": 3, "max_tokens": 30});
    let (_, body) = e.post("/v1/completions", &many).await;
    let texts: Vec<&Value> = body["choices"].as_array().unwrap().iter().map(|c| &c["text"]).collect();
    assert_eq!(texts.len(), 16);
    assert!(texts.iter().all(|t| **t == json!(answer)), "{texts:?}");
}

#[tokio::test]
async fn streams_stops_and_limits_work_on_real_tokens() {
    let (_dir, folder, answer) = tiny();
    let e = serve(&folder, "").await;
    let events = e.events("/v1/completions", &json!({"prompt": "x", "max_tokens": 30, "temperature": 0, "stream": true})).await;
    let pieces: Vec<&str> = events.iter().map(|e| e["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(pieces.concat(), answer);
    assert_eq!(pieces[..3], ["hazel:", " a", " dormouse"]);
    let ask = async |more: Value| {
        let mut body = json!({"prompt": "x", "temperature": 0, "max_tokens": 30});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        e.post("/v1/completions", &body).await.1["choices"][0].clone()
    };
    let stopped = ask(json!({"stop": "sleeps deeply"})).await;
    assert_eq!((&stopped["text"], &stopped["stop_reason"]), (&json!("hazel: a dormouse "), &json!("sleeps deeply")));
    let short = ask(json!({"max_tokens": 2})).await;
    assert_eq!((&short["text"], &short["finish_reason"]), (&json!("hazel: a"), &json!("length")));
    let on = ask(json!({"ignore_eos": true, "max_tokens": 40})).await;
    assert!(on["text"].as_str().unwrap().starts_with(&answer) && on["finish_reason"] == "length");
    let (status, body) = e.post("/v1/completions", &json!({"prompt": [100_000]})).await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn answers_are_the_same_after_sleep_at_either_level() {
    let (_dir, folder, answer) = tiny();
    let e = serve(&folder, "").await;
    for level in [1, 2, 1] {
        assert_eq!(e.completion("who?").await, answer);
        e.done(&format!("/sleep?level={level}")).await;
        assert_eq!(e.post("/v1/completions", &json!({"prompt": "x"})).await.0, 503);
        e.done("/wake_up").await;
    }
    assert_eq!(e.completion("who?").await, answer);
    e.done("/sleep?level=2").await;
    e.done("/wake_up?tags=weights").await;
    e.done("/wake_up?tags=kv_cache").await;
    assert_eq!(e.completion("who?").await, answer);
}

#[tokio::test]
async fn a_kept_answer_goes_on_after_the_wake() {
    let (_dir, folder, _) = tiny();
    let e = serve(&folder, "").await;
    let body = json!({"prompt": "x", "temperature": 0, "max_tokens": 400, "ignore_eos": true});
    let whole = e.post("/v1/completions", &body).await.1["choices"][0]["text"].clone();
    let request = e.request(reqwest::Method::POST, "/v1/completions").json(&body);
    let kept = tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() });
    while e.get("/load").await.1["server_load"] != 1 {
        tokio::task::yield_now().await;
    }
    e.done("/sleep?level=2&mode=keep").await;
    e.done("/wake_up").await;
    assert_eq!(kept.await.unwrap()["choices"][0]["text"], whole);

    // Kept first, then given up by a deeper sleep.
    let request = e.request(reqwest::Method::POST, "/v1/completions").json(&body);
    let kept = tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() });
    while e.get("/load").await.1["server_load"] != 1 {
        tokio::task::yield_now().await;
    }
    e.done("/sleep?level=1&mode=keep").await;
    e.done("/sleep?level=2").await;
    assert_eq!(kept.await.unwrap()["choices"][0]["finish_reason"], "abort");
}

#[tokio::test]
async fn a_wake_that_finds_no_files_fails_and_can_be_repeated() {
    let (_dir, folder, answer) = tiny();
    let e = serve(&folder, "").await;
    let (file, away) = (folder.join("model.safetensors"), folder.join("away"));
    e.done("/sleep?level=2").await;
    std::fs::rename(&file, &away).unwrap();
    let (status, body) = e.send(reqwest::Method::POST, "/wake_up", None).await;
    assert_eq!(status, 500, "{body}");
    assert_eq!(e.get("/is_sleeping").await.1["is_sleeping"], true);
    std::fs::rename(&away, &file).unwrap();
    e.done("/wake_up").await;
    assert_eq!(e.completion("x").await, answer);
}

#[tokio::test]
async fn a_file_that_changed_is_seen_after_level_2_and_not_after_level_1() {
    let (_dir, folder, answer) = tiny();
    let e = serve(&folder, "").await;
    let again = async |level: u8| {
        e.done(&format!("/sleep?level={level}")).await;
        e.done("/wake_up").await;
        e.completion("who?").await
    };
    zero(&folder, "lm_head.weight");
    assert_eq!(again(1).await, answer, "level 1 keeps the mapped file, which is the old one");
    assert_ne!(again(2).await, answer);
}

#[tokio::test]
async fn every_tensor_but_queries_and_keys_matters() {
    // Two layers.
    let (_dir, folder, answer) = sized("hollow", 6_000_000);
    let original = std::fs::read(folder.join("model.safetensors")).unwrap();
    let e = serve(&folder, "").await;
    let mut silent = Vec::new();
    let all = tensors(&folder);
    assert_eq!(all.len(), 2 * 9 + 3, "{all:?}");
    for tensor in all.iter().filter(|t| !t.contains("q_proj") && !t.contains("k_proj")) {
        zero(&folder, tensor);
        e.done("/sleep?level=2").await;
        e.done("/wake_up").await;
        if e.completion("who?").await == answer {
            silent.push(tensor);
        }
        std::fs::write(folder.join("restored"), &original).unwrap();
        std::fs::rename(folder.join("restored"), folder.join("model.safetensors")).unwrap();
    }
    assert!(silent.is_empty(), "set to zero, these change nothing: {silent:?}");
}

#[test]
fn models_are_made_deterministically_and_never_over_another() {
    let dir = tempfile::tempdir().unwrap();
    let make = |folder: &str, name: &str, options: ModelOptions| make_model(dir.path().join(folder), name, &options);
    let seeded = |seed| ModelOptions { size: 3_000_000, seed, ..ModelOptions::default() };
    for (folder, seed) in [("a", 1), ("b", 1), ("c", 2)] {
        make(folder, "same", seeded(seed)).unwrap();
    }
    let files = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let read = |folder: &str, file: &str| std::fs::read(dir.path().join(folder).join(file)).unwrap();
    assert!(files.iter().all(|f| read("a", f) == read("b", f)));
    assert_ne!(read("a", "model.safetensors"), read("c", "model.safetensors"));
    assert!(make("a", "same", seeded(1)).unwrap_err().to_string().contains("holds a model already"));
    make("a", "other", ModelOptions { force: true, ..seeded(1) }).unwrap();
    assert_ne!(read("a", "tokenizer.json"), read("b", "tokenizer.json"));
    assert!(make("d", "d", ModelOptions { size: 10, ..seeded(1) }).is_err());
    assert!(make("d", "a\nb", seeded(1)).is_err() && make("d", "", seeded(1)).is_err());
    assert!(!dir.path().join("d").exists(), "nothing is written for bad options");
}
