//! The device socket with real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may stop at once

use std::time::Duration;

use dormouse_devices::{Allocation, Client, ClientError, Config, Devices, Gpu, Identity, LeaseState, Listener, Rates, TransferKind, serve};
use tokio_util::sync::CancellationToken;

fn devices() -> Devices {
    let gpu = |k: u32| Gpu { uuid: format!("GPU-{k}"), index: k, product: "H100".into(), total_bytes: 80 << 30 };
    Devices::new(Config { gpus: vec![gpu(0), gpu(1)], rates: Rates::default() }).unwrap()
}

/// A served set of devices; the name is unique per process and test.
fn host(test: &str) -> (String, Devices, CancellationToken) {
    let name = format!("@dormouse-devices-test-{}-{test}", std::process::id());
    let (devices, stop) = (devices(), CancellationToken::new());
    let listener = Listener::bind(&name).unwrap();
    tokio::spawn(serve(devices.clone(), listener, stop.clone()));
    (name, devices, stop)
}

fn identity(pod: &str) -> Identity {
    Identity { pod: Some(pod.into()), pod_uid: None, program: "test".into() }
}

fn wish(gpu: &str, gib: u64) -> Allocation {
    Allocation { gpu: gpu.into(), bytes: gib << 30, label: "m".into(), model: None, state: LeaseState::Awake }
}

#[tokio::test]
async fn leases_are_seen_by_others_and_end_with_their_connection() {
    let (name, devices, _stop) = host("leases");
    let a = Client::connect(&name, identity("a")).await.unwrap();
    let b = Client::connect(&name, identity("b")).await.unwrap();
    let lease = a.allocate(wish("GPU-0", 72)).await.unwrap();
    let e = b.allocate(wish("GPU-0", 72)).await.unwrap_err();
    assert!(e.is_out_of_memory() && e.to_string().contains("of which 8.00 GiB is free"), "{e}");
    assert!(e.to_string().contains(&format!("Process {} (m of pod a, awake)", std::process::id())), "{e}");
    a.resize(lease, 1 << 30, LeaseState::Asleep).await.unwrap();
    b.allocate(wish("GPU-0", 72)).await.unwrap();
    let seen = b.snapshot().await.unwrap();
    assert_eq!(seen, devices.snapshot());
    assert_eq!(seen.gpus[0].leases.len(), 2);
    assert_eq!(seen.gpus[0].awake().count(), 1);
    let waiting = tokio::spawn(async move { b.changed_since(seen.generation).await.map(|s| (s, b)) });
    drop(a);
    let (after, b) = waiting.await.unwrap().unwrap();
    assert_eq!(after.gpus[0].leases.len(), 1, "a process that goes gives back at once");
    assert!(b.release(lease).await.is_err(), "a lease of another connection is out of reach");
}

#[tokio::test]
async fn transfers_answer_when_done_while_other_calls_go_on() {
    let (name, devices, _stop) = host("transfers");
    let c = Client::connect(&name, identity("a")).await.unwrap();
    let kind = TransferKind::HostToDevice { gpu: "GPU-1".into() };
    // 50 GB take a second; a snapshot meanwhile shows the transfer under way.
    let moving = tokio::spawn({
        let (c, kind) = (c.clone(), kind.clone());
        async move { c.transfer(&kind, 5_000_000_000).await }
    });
    let mut active = 0;
    while active == 0 {
        active = c.snapshot().await.unwrap().links[1].active;
    }
    assert_eq!(moving.await.unwrap().unwrap(), Duration::from_millis(100));
    assert_eq!(devices.snapshot().links[1].bytes_in, 5_000_000_000);
    assert!(matches!(c.transfer(&TransferKind::HostToDevice { gpu: "GPU-9".into() }, 1).await, Err(ClientError::Ledger(_))));
}

#[tokio::test]
async fn the_end_of_the_server_is_seen() {
    let (name, _devices, stop) = host("end");
    let c = Client::connect(&name, identity("a")).await.unwrap();
    let waiting = tokio::spawn({
        let c = c.clone();
        async move { c.changed_since(1).await }
    });
    // A round trip after it: the watch is on its way before the server ends.
    c.snapshot().await.unwrap();
    stop.cancel();
    c.lost().await;
    assert!(matches!(waiting.await.unwrap(), Err(ClientError::Lost)));
    assert!(matches!(c.snapshot().await, Err(ClientError::Lost)));
    assert!(matches!(Client::connect(&name, identity("b")).await, Err(ClientError::Connect { .. })));
}

#[tokio::test]
async fn nonsense_is_disconnected_and_hurts_nobody_else() {
    use std::os::linux::net::SocketAddrExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (name, _devices, _stop) = host("nonsense");
    let good = Client::connect(&name, identity("a")).await.unwrap();
    for line in ["{\"id\":1,\"op\":\"snapshot\"}\n", "garbage\n", "{\"id\":1,\"op\":\"hello\"}\n{\"id\":-1}\n"] {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name[1..]).unwrap();
        let raw = std::os::unix::net::UnixStream::connect_addr(&address).unwrap();
        raw.set_nonblocking(true).unwrap();
        let mut raw = tokio::net::UnixStream::from_std(raw).unwrap();
        raw.write_all(line.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Reset or end of file: either way the server has hung up.
        let _ = raw.read_to_end(&mut rest).await;
    }
    good.snapshot().await.unwrap();
    assert!(Listener::bind(&name).is_err(), "the name is taken");
    assert!(Listener::bind("@").is_err());
}
