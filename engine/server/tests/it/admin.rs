//! vLLM's administration routes, served by the simulator.

use dormouse_engine::{EngineKind, Environment};
use serde_json::{Value, json};

use crate::harness::{QUICK, sim, start};

#[tokio::test]
async fn sleep_and_wake_answer_as_newer_vllm_does() {
    let e = sim("m --enable-sleep-mode").await;
    assert_eq!(e.get("/is_sleeping").await.1, json!({"is_sleeping": false}));
    let before = e.completion("hello").await;
    for level in [1, 2] {
        let slept = e.done(&format!("/sleep?level={level}")).await;
        assert_eq!(slept, json!({"status": "sleeping", "level": level}));
        assert_eq!(e.get("/is_sleeping").await.1, json!({"is_sleeping": true}));
        assert_eq!(e.get("/health").await.0, 200, "alive while asleep");
        let (status, body) = e.post("/v1/completions", &json!({"prompt": "hello"})).await;
        assert_eq!((status.as_u16(), &body["error"]["type"]), (503, &json!("ServiceUnavailableError")));
        assert!(body["error"]["message"].as_str().unwrap().contains("asleep"), "{body}");
        assert_eq!(e.done("/wake_up").await, json!({"status": "awake", "tags": null}));
        assert_eq!(e.get("/is_sleeping").await.1, json!({"is_sleeping": false}));
        assert_eq!(e.completion("hello").await, before);
    }
    assert_eq!(e.done("/wake_up").await["status"], "awake", "awake already: done");
    e.done("/sleep").await;
    e.done("/sleep?level=1&mode=wait").await;
    for bad in ["/sleep?level=3", "/sleep?level=x", "/sleep?mode=hard"] {
        let (status, body) = e.post(bad, &Value::Null).await;
        assert_eq!((status.as_u16(), &body["error"]["type"]), (400, &json!("Bad Request")), "{bad}");
    }
    assert_eq!(e.get("/sleep").await.0, 405);
}

#[tokio::test]
async fn the_three_steps_from_level_2() {
    let e = sim("m --enable-sleep-mode").await;
    let before = e.completion("hello").await;
    let reload = json!({"method": "reload_weights"});
    e.done("/sleep?level=2").await;
    assert_eq!(e.post("/collective_rpc", &reload).await.0, 500, "there is nothing to load into yet");
    assert_eq!(e.done("/wake_up?tags=weights").await, json!({"status": "awake", "tags": ["weights"]}));
    assert_eq!(e.post("/collective_rpc", &reload).await, (reqwest::StatusCode::OK, json!({"results": [null]})));
    assert_eq!(e.get("/is_sleeping").await.1["is_sleeping"], true);
    e.done("/wake_up?tags=kv_cache").await;
    assert_eq!(e.get("/is_sleeping").await.1["is_sleeping"], false);
    assert_eq!(e.completion("hello").await, before);
    assert_eq!(e.post("/collective_rpc", &json!({})).await.0, 400);
    assert_eq!(e.done("/reset_prefix_cache").await, json!({"success": true}));
}

#[tokio::test]
async fn outside_development_mode_there_are_no_administration_routes() {
    let e = start(EngineKind::Sim, &format!("m --enable-sleep-mode {QUICK}"), Environment::default()).await.unwrap();
    for path in ["/sleep", "/wake_up", "/collective_rpc"] {
        assert_eq!(e.post(path, &Value::Null).await.0, 404, "{path}");
    }
    assert_eq!(e.get("/is_sleeping").await.0, 404);
    assert_eq!(e.get("/ping").await.0, 200);
    assert!(e.get("/version").await.1["version"].as_str().unwrap().ends_with("+dormouse.sim"));
}

#[tokio::test]
async fn metrics_have_vllms_names() {
    let e = sim("m --enable-sleep-mode").await;
    e.completion("one two three").await;
    e.done("/sleep").await;
    let (_, text) = e.get("/metrics").await;
    let text = text.as_str().unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("vllm:prompt_tokens_total{") >= 3.0 && value("vllm:generation_tokens_total{") > 0.0);
    assert!(value("vllm:num_requests_running{model_name=\"m\",engine=\"0\"}") == 0.0);
    assert!(value("vllm:time_to_first_token_seconds_count{") >= 1.0);
    assert!(value("vllm:e2e_request_latency_seconds_count{") >= 1.0);
    assert!(text.contains("finished_reason=\"stop\""));
    let asleep = text.lines().find(|l| l.contains("sleep_state=\"weights_offloaded\"")).unwrap();
    assert!(asleep.starts_with("vllm:engine_sleep_state{") && asleep.ends_with(" 1"), "{asleep}");
    assert!(text.contains("vllm:sleep_mode_operation_duration_seconds_count{"));
}
