//! Starting, ending, and what keeps an engine from it.

use std::time::Duration;

use dormouse_devices::{Allocation, Client, Config, Devices, Gpu, Identity, LeaseState, Listener, Rates};
use dormouse_engine::{EngineKind, Environment};
use dormouse_runtime::CancellationToken;
use serde_json::json;

use crate::harness::{QUICK, dev, sim, start, tiny};

/// A node's devices behind a socket of their own.
fn node(test: &str, gpus: u32) -> (Environment, Devices, CancellationToken) {
    let gpu = |k: u32| Gpu { uuid: format!("GPU-{k}"), index: k, product: "H100".into(), total_bytes: 80 << 30 };
    let devices = Devices::new(Config { gpus: (0..gpus).map(gpu).collect(), rates: Rates::default() }).unwrap();
    let name = format!("@dormouse-engine-test-{}-{test}", std::process::id());
    let stop = CancellationToken::new();
    tokio::spawn(dormouse_devices::serve(devices.clone(), Listener::bind(&name).unwrap(), stop.clone()));
    (Environment { devices: Some(name), ..dev() }, devices, stop)
}

fn cuda(env: &Environment, value: &str) -> Environment {
    Environment { cuda_visible_devices: Some(value.to_owned()), ..env.clone() }
}

#[tokio::test]
async fn engines_share_the_nodes_ledger() {
    let (env, devices, _stop) = node("share", 2);
    let line = format!("a --enable-sleep-mode {QUICK}");
    let a = start(EngineKind::Sim, &line, cuda(&env, "1")).await.unwrap();
    let lease = devices.snapshot().gpus[1].leases[0].clone();
    assert_eq!((lease.label.as_str(), lease.bytes, lease.state), ("a", 72 << 30, LeaseState::Awake));
    assert_eq!(lease.owner.identity.program, "engine sim a");
    assert_eq!(lease.owner.pid, i32::try_from(std::process::id()).ok());

    let e = start(EngineKind::Sim, &line, cuda(&env, "GPU-1")).await.err().unwrap().to_string();
    assert!(e.contains("CUDA out of memory"), "{e}");
    a.done("/sleep").await;
    let b = start(EngineKind::Sim, &line, cuda(&env, "GPU-1")).await.unwrap();
    let (status, body) = a.send(reqwest::Method::POST, "/wake_up", None).await;
    assert_eq!(status, 500);
    assert!(body["error"]["message"].as_str().unwrap().contains("CUDA out of memory"), "{body}");
    assert_eq!(a.get("/is_sleeping").await.1["is_sleeping"], true);
    b.stop().await.unwrap();
    a.done("/wake_up").await;
    assert_eq!(devices.snapshot().gpus[1].leases.len(), 1);
    a.stop().await.unwrap();
    let generation = devices.snapshot().generation;
    let empty = devices.snapshot().gpus[1].leases.is_empty();
    // The lease ends with the connection, which the kernel may close a moment after the task.
    if !empty {
        devices.changed_since(generation).await;
    }
    assert_eq!(devices.snapshot().gpus[1].used_bytes, 0);
}

#[tokio::test]
async fn gpus_that_are_not_there_are_named() {
    let (env, _devices, _stop) = node("absent", 1);
    for value in ["GPU-7", "", "3"] {
        let e = start(EngineKind::Sim, &format!("a {QUICK}"), cuda(&env, value)).await.err().unwrap().to_string();
        assert!(e.contains("No CUDA GPUs are available") && e.contains(&format!("{value:?}")), "{e}");
    }
    let e = start(EngineKind::Sim, &format!("a -tp 2 {QUICK}"), env).await.err().unwrap().to_string();
    assert!(e.starts_with("World size (2) is larger"), "{e}");
    let lost = Environment { devices: Some("@nobody-listens-here".into()), ..dev() };
    let e = start(EngineKind::Sim, &format!("a {QUICK}"), lost).await.err().unwrap().to_string();
    assert!(e.contains("cannot connect to the device socket \"@nobody-listens-here\""), "{e}");
}

#[tokio::test]
async fn an_engine_whose_node_is_gone_ends() {
    let (env, _devices, stop) = node("gone", 1);
    let e = start(EngineKind::Sim, &format!("a {QUICK}"), env).await.unwrap();
    stop.cancel();
    let end = tokio::time::timeout(Duration::from_secs(30), e.ended()).await.unwrap();
    assert!(end.unwrap_err().to_string().contains("the engine died"));
}

#[tokio::test]
async fn the_embedded_engine_is_in_the_ledger_too() {
    let (env, devices, _stop) = node("embedded", 1);
    let (_dir, folder, answer) = tiny();
    let e = start(EngineKind::Embedded, &format!("{} --enable-sleep-mode", folder.display()), env).await.unwrap();
    let bytes = devices.snapshot().gpus[0].used_bytes;
    assert!((2_000_000..5_000_000).contains(&bytes), "{bytes}");
    e.done("/sleep").await;
    assert_eq!((devices.snapshot().gpus[0].used_bytes, devices.snapshot().gpus[0].awake().count()), (0, 0));
    // Somebody takes all of the GPU: the wake is refused and the engine stays asleep.
    let name = Identity { program: "other".into(), ..Identity::default() };
    let other = Client::local(&devices, name);
    let all = Allocation { gpu: "GPU-0".into(), bytes: 80 << 30, label: "x".into(), model: None, state: LeaseState::Awake };
    other.allocate(all).await.unwrap();
    assert_eq!(e.send(reqwest::Method::POST, "/wake_up", None).await.0, 500);
    assert_eq!(e.get("/is_sleeping").await.1, json!({"is_sleeping": true}));
    drop(other);
    e.done("/wake_up").await;
    assert_eq!(devices.snapshot().gpus[0].used_bytes, bytes);
    assert_eq!(e.completion("x").await, answer);
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_advice() {
    let e = sim("m").await;
    let line = format!("m --host 127.0.0.1 --port {}", e.address.port());
    let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let (args, _) = dormouse_engine::parse(&argv).unwrap();
    let second = dormouse_engine::serve(EngineKind::Sim, args, dev(), None, CancellationToken::new()).await.unwrap_err();
    assert!(format!("{second:#}").contains("Choose another with --port"), "{second:#}");
}

#[tokio::test]
async fn shutdown_ends_running_requests_and_then_the_engine() {
    let e = start(EngineKind::Sim, "m --sim-init 0 --sim-load 0 --sim-ttft 1ms --sim-itl 10s", dev()).await.unwrap();
    let body = json!({"prompt": "a", "max_tokens": 5});
    let request = e.request(reqwest::Method::POST, "/v1/completions").json(&body);
    let answer = tokio::spawn(async move { request.send().await.unwrap().json::<serde_json::Value>().await.unwrap() });
    while e.get("/load").await.1["server_load"] != 1 {
        tokio::task::yield_now().await;
    }
    e.stop().await.unwrap();
    assert_eq!(answer.await.unwrap()["choices"][0]["finish_reason"], "abort");
}

#[tokio::test]
async fn models_that_cannot_be_served_are_refused_with_advice() {
    let e = start(EngineKind::Embedded, "org/unknown", dev()).await.err().unwrap().to_string();
    assert!(e.contains("dormouse engine make-model ./unknown --name unknown"), "{e}");
    let (_dir, folder, _) = tiny();
    let line = folder.display().to_string();
    let e = start(EngineKind::Embedded, &format!("{line} --max-model-len 99999"), dev()).await.err().unwrap().to_string();
    assert!(e.contains("greater than the derived max_model_len"), "{e}");
    std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let e = start(EngineKind::Embedded, &line, dev()).await.err().unwrap().to_string();
    assert!(e.contains("has no tokenizer.json: "), "{e}");
}
