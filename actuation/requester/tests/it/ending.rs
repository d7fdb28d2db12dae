//! Starting and ending: rows 4 and 5 of the requester's table, exit codes, and the wait for become-unready.

use std::time::Duration;

use clap::Parser;
use dormouse_requester::{Args, bind};
use dormouse_runtime::CancellationToken;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::harness::{PROBES, Program, SOON, SPI, client, command, own_ip};

fn args() -> Args {
    Args::try_parse_from(["requester", "--probes-port", "0", "--spi-port", "0", "--accelerators", "x"]).unwrap()
}

#[tokio::test]
async fn connections_made_before_serving_are_answered() {
    let bound = bind(args()).await.unwrap();
    let port = bound.probes_address().unwrap().port();
    let asking = tokio::spawn(async move {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!asking.is_finished());
    let end = CancellationToken::new();
    let serving = tokio::spawn(bound.serve(end.clone(), Box::new(std::io::sink())));
    let answer = timeout(SOON, asking).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("Service Unavailable\n"), "{answer}");
    end.cancel();
    timeout(SOON, serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn cancellation_before_serving_is_a_clean_end() {
    let bound = bind(args()).await.unwrap();
    let end = CancellationToken::new();
    end.cancel();
    timeout(SOON, bound.serve(end, Box::new(std::io::sink()))).await.unwrap().unwrap();
}

#[tokio::test]
async fn exit_codes() {
    let run = async |port: u16, args: &[&str]| {
        let ip = own_ip();
        let _held = TcpListener::bind((ip, port)).await.unwrap();
        let output = timeout(SOON, command("requester", args, ip).output()).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(SPI, &[]).await;
    assert!(code == Some(10) && text.contains("SPI port") && text.contains("--spi-port"), "{code:?} {text}");
    let (code, text) = run(PROBES, &[]).await;
    assert!(code == Some(11) && text.contains("--probes-port"), "{code:?} {text}");
    assert_eq!(run(1024, &["--nosuch"]).await.0, Some(2));
    let (code, text) = run(1024, &["--proxy-dial-timeout", "soon"]).await;
    assert!(code == Some(2) && text.contains("is no duration"), "{text}");
}

#[tokio::test]
async fn a_requester_that_is_not_ready_ends_at_once() {
    let mut program = Program::start("requester", &["--accelerators", "x"]).await;
    let begun = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_ready_requester_stays_until_told_become_unready() {
    let mut program = Program::start("requester", &["--accelerators", "x"]).await;
    let post = async |path: &str| client().post(format!("{}/v1/{path}", program.url(SPI))).send().await.unwrap().status();
    become_ready(&program, true).await;
    program.signal(Signal::TERM);
    program.says("Staying until told").await;
    let ready = client().get(format!("{}/ready", program.url(PROBES))).send().await.unwrap();
    assert_eq!(ready.status(), 200, "it serves until the engine sleeps");
    assert_eq!(post("become-unready").await, 200);
    assert_eq!(program.ended().await, Some(0));
    program.says("become_unready_answered").await;
    let stamps: Vec<_> = program.errors.lock().unwrap().lines().filter_map(dormouse_runtime::monotonic::parse).map(|s| s.event).collect();
    assert_eq!(stamps, ["become_ready_answered", "become_unready_answered"]);
}

#[tokio::test]
async fn a_ready_requester_goes_before_the_grace_is_over() {
    let mut program = Program::start("requester", &["--accelerators", "x", "--termination-grace", "3"]).await;
    become_ready(&program, true).await;
    let begun = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await, Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// The peer's controllers do not always tell a requester that it may end.
#[tokio::test]
async fn a_requester_that_was_promised_nothing_ends_at_once() {
    let mut program = Program::start("requester", &["--accelerators", "x", "--termination-grace", "30"]).await;
    become_ready(&program, false).await;
    let begun = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// As a controller of ours does it, or as the peer's.
async fn become_ready(program: &Program, promised: bool) {
    let request = client().post(format!("{}/v1/become-ready", program.url(SPI)));
    let request = if promised { request.header("Dormouse-Relays-Unready", "true") } else { request };
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_second_signal_ends_at_once_with_1() {
    let mut program = Program::start("requester", &["--accelerators", "x"]).await;
    become_ready(&program, true).await;
    program.signal(Signal::TERM);
    program.says("Staying until told").await;
    program.signal(Signal::INT);
    assert_eq!(program.ended().await, Some(1));
    program.says("second signal").await;
}

#[tokio::test]
async fn become_ready_can_be_delayed_for_tests() {
    let program = Program::start("requester", &["--accelerators", "x", "--delay-ready-ms", "300"]).await;
    let begun = Instant::now();
    client().post(format!("{}/v1/become-ready", program.url(SPI))).send().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn too_large_a_log_chunk_is_refused_in_words() {
    let program = Program::start("requester", &["--accelerators", "x"]).await;
    let url = format!("{}/v1/set-log?startPos=0", program.url(SPI));
    let response = client().post(url).body(vec![b'x'; (8 << 20) + 1]).send().await.unwrap();
    assert_eq!(response.status(), 413);
    assert!(response.text().await.unwrap().contains("larger than 8388608 bytes"));
}
