//! The TCP proxy: rows 10 to 12, 15 of the requester's table, and what is ours.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::{PROXY, Program, SOON, SPI, client};

/// A server that sends back what it gets, as it gets it.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    port
}

/// A server that answers with a name and the length of what it got, after the client has ended.
async fn after_eof(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).await.unwrap();
                let reply = format!("{name}{}", "x".repeat(got.len()));
                stream.write_all(reply.as_bytes()).await.unwrap();
            });
        }
    });
    port
}

async fn put(program: &Program, query: &str, port: u16) -> (u16, String) {
    let url = format!("{}/v1/proxy/config{query}", program.url(SPI));
    let response = client().put(url).body(json!({"address": "127.0.0.1", "port": port}).to_string()).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn connect(program: &Program) -> std::io::Result<TcpStream> {
    TcpStream::connect((program.ip, PROXY)).await
}

async fn ask(program: &Program, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(program).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn bytes_come_through_unchanged_and_nothing_else_does() {
    let program = Program::start("requester", &["--accelerators", "x"]).await;
    assert!(connect(&program).await.is_err(), "nothing listens before it is configured");
    let port = echo().await;
    assert_eq!(put(&program, "", port).await, (200, format!("configured proxy to: 127.0.0.1:{port}")));

    let mut stream = connect(&program).await.unwrap();
    stream.write_all(b"hello proxy\n").await.unwrap();
    let mut back = [0; 12];
    timeout(SOON, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"hello proxy\n");
    assert!(timeout(Duration::from_secs(2), stream.read(&mut back)).await.is_err(), "then silence");

    // More than any buffer on the way holds, both ways at once.
    let text: Vec<u8> = (0..3_000_000_u32).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    let stream = connect(&program).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sent = text.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    timeout(SOON, read.read_to_end(&mut back)).await.unwrap().unwrap();
    sending.await.unwrap();
    assert_eq!(back, text);
}

#[tokio::test]
async fn an_answer_after_the_clients_end_arrives_complete() {
    let program = Program::start("requester", &["--accelerators", "x"]).await;
    let port = after_eof("got:").await;
    assert_eq!(put(&program, "", port).await.0, 200);
    let answer = ask(&program, &vec![b'y'; 500_000]).await;
    assert_eq!(answer.len(), 500_004);
}

#[tokio::test]
async fn a_target_that_refuses_closes_the_client_and_the_proxy_goes_on() {
    let program = Program::start("requester", &["--accelerators", "x", "--proxy-dial-timeout", "1s"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert_eq!(put(&program, "", port).await.0, 200);
    for _ in 0..2 {
        let mut stream = connect(&program).await.unwrap();
        let mut none = Vec::new();
        let closed = timeout(SOON, stream.read_to_end(&mut none)).await.unwrap();
        assert!(none.is_empty() && closed.is_ok_and(|n| n == 0));
    }
    // The target comes up later.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let mut stream = connect(&program).await.unwrap();
    let (mut server, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    server.write_all(b"late").await.unwrap();
    let mut four = [0; 4];
    timeout(SOON, stream.read_exact(&mut four)).await.unwrap().unwrap();
    assert_eq!(&four, b"late");
}

#[tokio::test]
async fn retargeting_and_unconfiguring_are_asked_for() {
    let program = Program::start("requester", &["--accelerators", "x"]).await;
    let (a, b) = (after_eof("a").await, after_eof("b").await);
    assert_eq!(put(&program, "", a).await.0, 200);
    assert_eq!(put(&program, "", a).await.0, 200, "the same target again");
    assert_eq!(put(&program, "", b).await, (409, format!("proxy already configured to 127.0.0.1:{a}\n")));
    let mut old = connect(&program).await.unwrap();
    old.write_all(b"1").await.unwrap();
    // The proxy must have taken the connection before the target changes.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(put(&program, "?replace=true", b).await.0, 200);
    assert_eq!(ask(&program, b"22").await, b"bxx");
    old.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, old.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"ax", "an open connection keeps its target");
    let config = format!("{}/v1/proxy/config", program.url(SPI));
    assert_eq!(client().delete(&config).send().await.unwrap().status(), 405);
    assert_eq!(client().delete(format!("{config}?replace=true")).send().await.unwrap().status(), 200);
    crate::harness::eventually("the listener to close", || std::net::TcpStream::connect((program.ip, PROXY)).is_err()).await;
    assert_eq!(client().get(&config).send().await.unwrap().status(), 404);
    assert_eq!(put(&program, "", b).await.0, 200);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_every_time() {
    let program = Program::start("requester", &["--accelerators", "x"]).await;
    let _held = TcpListener::bind((program.ip, PROXY)).await.unwrap();
    let port = echo().await;
    for _ in 0..2 {
        let (status, text) = put(&program, "", port).await;
        assert_eq!(status, 500);
        assert!(text.starts_with("proxy failed to start: failed to start proxy listener on port 8082: "), "{text}");
    }
    let config = client().get(format!("{}/v1/proxy/config", program.url(SPI))).send().await.unwrap();
    assert_eq!(config.text().await.unwrap(), format!("{{\"address\":\"127.0.0.1\",\"port\":{port}}}\n"), "also when it has failed");
}

#[tokio::test]
async fn open_connections_have_their_time_at_the_end() {
    let mut program = Program::start("requester", &["--accelerators", "x", "--proxy-drain", "10s"]).await;
    let port = after_eof("done:").await;
    assert_eq!(put(&program, "", port).await.0, 200);
    let mut stream = connect(&program).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    program.signal(rustix::process::Signal::TERM);
    crate::harness::eventually("the listener to close", || std::net::TcpStream::connect((program.ip, PROXY)).is_err()).await;
    stream.write_all(b"def").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"done:xxxxxx");
    assert_eq!(program.ended().await, Some(0));
}

#[tokio::test]
async fn a_configuration_that_meets_the_end_is_refused_or_cut() {
    let port = echo().await;
    for round in 0..4_u64 {
        let mut program = Program::start("requester", &["--accelerators", "x", "--proxy-drain", "0s"]).await;
        let url = format!("{}/v1/proxy/config", program.url(SPI));
        let configuring = tokio::spawn(async move {
            let body = json!({"address": "127.0.0.1", "port": port}).to_string();
            // The requester may be gone by now.
            let response = client().put(url).body(body).send().await.ok()?;
            Some((response.status().as_u16(), response.text().await.ok()?))
        });
        tokio::time::sleep(Duration::from_millis(round)).await;
        program.signal(rustix::process::Signal::TERM);
        assert_eq!(program.ended().await, Some(0));
        match configuring.await.unwrap() {
            None | Some((200, _)) => {}
            Some((status, text)) => {
                assert_eq!((status, text.as_str()), (500, "proxy failed to start: proxy shut down before configuration\n"));
            }
        }
    }
}
