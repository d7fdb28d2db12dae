//! Accelerators and their memory from the node's device ledger, and from an nvidia-smi on PATH.

use dormouse_devices::{Allocation, Client, Config, Devices, Gpu, Identity, LeaseState, Listener, Rates};
use dormouse_runtime::CancellationToken;

use crate::harness::{Program, SPI, client, command, own_ip};

/// A ledger with two GPUs of which one is used, on a socket.
async fn ledger(name: &str, end: CancellationToken) -> (String, Client) {
    let gpu = |k: u32| Gpu { uuid: format!("GPU-{k}"), index: k, product: "H100".into(), total_bytes: 80 << 30 };
    let devices = Devices::new(Config { gpus: vec![gpu(0), gpu(1)], rates: Rates::default() }).unwrap();
    let holder = Client::local(&devices, Identity::default());
    let wish = Allocation { gpu: "GPU-1".into(), bytes: 5 << 30, label: "x".into(), model: None, state: LeaseState::Awake };
    holder.allocate(wish).await.unwrap();
    let socket = format!("@dormouse-requester-test-{name}-{}", std::process::id());
    let listener = Listener::bind(&socket).unwrap();
    tokio::spawn(dormouse_devices::serve(devices, listener, end));
    (socket, holder)
}

async fn get(program: &Program, path: &str) -> (u16, String, String) {
    let response = client().get(format!("{}{path}", program.url(SPI))).send().await.unwrap();
    let warning = response.headers().get("warning").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    (response.status().as_u16(), response.text().await.unwrap(), warning)
}

#[tokio::test]
async fn the_ledger_tells_accelerators_and_memory() {
    let end = CancellationToken::new();
    let (socket, _holder) = ledger("a", end.clone()).await;
    for (visible, accelerators, memory) in [
        (Some("all"), "[\"GPU-0\",\"GPU-1\"]\n", "{\"GPU-0\":0,\"GPU-1\":5120}"),
        (Some("1"), "[\"GPU-1\"]\n", "{\"GPU-1\":5120}"),
        (Some("GPU-0"), "[\"GPU-0\"]\n", "{\"GPU-0\":0}"),
    ] {
        let ip = own_ip();
        let mut command = command("requester", &[], ip);
        command.env("DORMOUSE_DEVICES", &socket).envs(visible.map(|v| ("NVIDIA_VISIBLE_DEVICES", v)));
        let program = Program::start_command(command, ip).await;
        program.says("Got GPU UUIDs").await;
        assert_eq!(get(&program, "/v1/dual-pods/accelerators").await, (200, accelerators.to_owned(), String::new()));
        assert_eq!(get(&program, "/v1/dual-pod/accelerators").await.1, accelerators, "the old path");
        assert_eq!(get(&program, "/v1/dual-pods/accelerator-memory-usage").await, (200, memory.to_owned(), String::new()));
    }
    end.cancel();
}

/// Row 16 of the table.
#[tokio::test]
async fn one_accelerator_that_cannot_tell_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bin = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let ip = own_ip();
    let mut command = command("requester", &[], ip);
    command.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap())).current_dir(dir.path());
    let program = Program::start_command(command, ip).await;
    program.says("Got GPU UUIDs").await;
    assert_eq!(get(&program, "/v1/dual-pods/accelerators").await.1, "[\"GPU-a\",\"GPU-b\"]\n");
    let (status, body, warning) = get(&program, "/v1/dual-pods/accelerator-memory-usage").await;
    assert_eq!((status, body.as_str()), (200, "{\"GPU-a\":10}"));
    assert!(warning.contains("GPU-b"), "{warning}");
    assert_eq!(get(&program, "/v1/dual-pods/accelerator-memory-usage?unit=bytes").await.1, "{\"GPU-a\":10485760}");
}

#[tokio::test]
async fn without_any_source_both_say_500_and_the_rest_works() {
    let ip = own_ip();
    let mut command = command("requester", &[], ip);
    command.env("PATH", "/nonexistent");
    let program = Program::start_command(command, ip).await;
    assert_eq!(get(&program, "/v1/dual-pods/accelerators").await.0, 500);
    let (status, text, _) = get(&program, "/v1/dual-pods/accelerator-memory-usage").await;
    assert!(status == 500 && text.contains("nvidia-smi"), "{text}");
    assert_eq!(client().post(format!("{}/v1/become-ready", program.url(SPI))).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn nvidia_smi_answers_from_the_ledger() {
    let end = CancellationToken::new();
    let (socket, _holder) = ledger("b", end.clone()).await;
    let mut smi = command("nvidia-smi", &["--query-gpu=index,uuid,memory.used", "--format=csv,noheader"], own_ip());
    let output = smi.env("DORMOUSE_DEVICES", &socket).env("NVIDIA_VISIBLE_DEVICES", "all").output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0, GPU-0, 0 MiB\n1, GPU-1, 5120 MiB\n");
    let mut none = command("nvidia-smi", &["-L"], own_ip());
    assert_eq!(none.output().await.unwrap().status.code(), Some(9));
    end.cancel();
}
