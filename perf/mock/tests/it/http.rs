//! HTTP as clients speak it: connections that stay, requests in any pieces, paths beside the endpoints, limits.

use std::io::Read;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::client::{CHAT, Client, chat, request};
use crate::{args, connect, server, stats_when};
use dormouse_perf_mock::Server;

#[test]
fn requests_may_come_all_at_once_or_byte_by_byte() {
    let server = server("");
    let mut client = connect(&server);
    let three: Vec<u8> = (1..=3).flat_map(|n| request(CHAT, "", &chat(n == 2, n))).collect();
    client.send(&three);
    for n in 1..=3 {
        let answer = client.answer().unwrap();
        let usage = if n == 2 { answer.data().pop().unwrap() } else { answer.json() };
        assert_eq!(usage["usage"]["completion_tokens"], n);
    }
    for byte in request(CHAT, "", &chat(false, 4)) {
        client.send(&[byte]);
    }
    assert_eq!(client.answer().unwrap().json()["usage"]["completion_tokens"], 4);
    let said = stats_when(&server, |s| s["requests"]["answered"] == 4);
    assert_eq!(said["connections"]["accepted"], 1);
}

#[test]
fn bodies_may_be_chunked_long_and_expected() {
    let server = server("");
    let mut client = connect(&server);
    let body = json!({"messages": [{"role": "user", "content": "y".repeat(3_000_000)}], "max_tokens": 2});
    assert_eq!(client.post(CHAT, &body).json()["usage"]["prompt_tokens"], 750_000);
    let text = chat(false, 3).to_string();
    client.send(format!("POST {CHAT} HTTP/1.1\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n").as_bytes());
    thread::sleep(Duration::from_millis(20));
    let (a, b) = text.split_at(30);
    client.send(format!("{:x}\r\n{a}\r\n{:X};x\r\n{b}\r\n0\r\nt: 1\r\n\r\n", a.len(), b.len()).as_bytes());
    let answer = client.answer().unwrap();
    assert_eq!((answer.interim.as_slice(), answer.json()["usage"]["completion_tokens"].as_u64()), (&[100][..], Some(3)));
}

#[test]
fn who_asks_for_an_end_gets_one() {
    let server = server("");
    let mut client = connect(&server);
    client.send(&request(CHAT, "connection: close\r\n", &chat(true, 2)));
    let answer = client.answer().unwrap();
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.ended().unwrap(), 0);
    // HTTP/1.0 knows neither chunks nor connections that stay.
    let mut old = connect(&server);
    let text = String::from_utf8(request(CHAT, "", &chat(true, 2))).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    old.send(text.as_bytes());
    let answer = old.answer().unwrap();
    assert_eq!((answer.version.as_str(), answer.header("transfer-encoding")), ("HTTP/1.0", None));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn paths_beside_the_endpoints() {
    let server = server("--models one,two --endpoints chat,embeddings");
    let mut client = connect(&server);
    assert_eq!(client.get("/health").status, 200);
    let models = client.get("/v1/models").json();
    assert_eq!((&models["object"], &models["data"][1]["id"]), (&json!("list"), &json!("two")));
    let mut body = chat(false, 1);
    assert_eq!(client.post(CHAT, &body).status, 404);
    body["model"] = "two".into();
    assert_eq!(client.post(CHAT, &body).json()["model"], "two");
    assert_eq!((client.post("/v1/completions", &body).status, client.get(CHAT).status, client.get("/x").status), (404, 405, 404));
    for path in ["/metrics", "/health", "/v1/models", "/stats"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\n\r\n").as_bytes());
        let head = client.answer_to(false).unwrap();
        assert!(head.status == 200 && head.header("content-length").is_some_and(|n| n != "0"), "{path}");
    }
    let metrics = client.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text().contains("\ndormouse_mock_requests_total 1\n"), "{}", metrics.text());
    let said = client.get("/stats?requests=all").json();
    assert_eq!((&said["requests"]["answered"], said["rows"].as_array().unwrap().len()), (&json!(1), 1));
    assert_eq!(said["requests"]["refused"], 4);
    client.send(b"POST /stats/reset HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    let said = client.get("/stats").json();
    assert_eq!((&said["requests"]["arrived"], &said["requests"]["refused"], said.get("rows")), (&json!(0), &json!(0), None));
}

#[test]
fn what_is_no_request_is_told_so_and_harms_nobody() {
    let server = server("");
    for (bytes, status) in [
        (&b"nonsense\r\n\r\n"[..], 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (&[b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'a'; 70_000]].concat(), 431),
    ] {
        let mut client = connect(&server);
        client.send(bytes);
        assert_eq!(client.answer().unwrap().status, status);
        assert_eq!(client.ended().unwrap(), 0);
    }
    let mut client = connect(&server);
    for (body, status) in [("{", 400), ("[]", 400), ("{\"stream\":\"yes\"}", 400), ("{}", 200)] {
        client.send(format!("POST {CHAT} HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, status, "{body}");
        assert!(status == 200 || answer.json()["error"]["message"].is_string());
    }
    client.send(&request("/v1/messages", "x-mock-fault: nonesuch\r\n", &chat(false, 1)));
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, &answer.json()["type"]), (400, &json!("error")));
    assert!(answer.text().contains("--list-faults"));
}

#[test]
fn idle_connections_end_and_too_many_are_refused() {
    let server = server("--idle-timeout-s 0.1 --max-connections 2");
    let (mut a, mut b) = (connect(&server), connect(&server));
    assert_eq!((a.get("/health").status, b.get("/health").status), (200, 200));
    let mut third = Client::new(server.address());
    assert!(third.ended().is_ok_and(|n| n == 0) || third.ended().is_err());
    assert_eq!((a.ended().unwrap(), b.ended().unwrap()), (0, 0));
    stats_when(&server, |s| s["connections"]["open"] == 0);
    assert_eq!(connect(&server).get("/health").status, 200);
}

#[test]
fn a_slow_reader_gets_all_of_a_long_answer() {
    let server = server("--output-tokens 100000");
    let mut client = connect(&server);
    client.send(&request(CHAT, "", &chat(true, 1)));
    thread::sleep(Duration::from_millis(100));
    let events = client.answer().unwrap().data();
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 100_000);
    assert_eq!(connect(&server).get("/health").status, 200);
}

#[test]
fn stop_ends_everything_within_its_grace() {
    let server = server("--ttft-ms 60000 --threads 2");
    let mut idle = connect(&server);
    let mut busy = connect(&server);
    busy.send(&request(CHAT, "", &chat(true, 1)));
    stats_when(&server, |s| s["in_flight"]["now"] == 1);
    let start = std::time::Instant::now();
    server.stop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(idle.ended().unwrap(), 0);
    assert!(matches!(busy.stream.read(&mut [0; 8]), Ok(0) | Err(_)));
}

#[test]
fn the_help_says_every_fault_and_where_the_truth_is() {
    let help = crate::help();
    for (name, _, what) in dormouse_perf_mock::FAULTS {
        assert!(help.contains(name) && help.contains(what), "{name}");
    }
    assert!(help.contains("/stats?requests=N") && help.contains("lognormal:MEDIAN,SIGMA"));
}

#[test]
fn options_that_cannot_be_are_refused_by_name() {
    let refused = |options: &str| Server::start(&args(options)).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused("--tls-cert x.pem").contains("--tls-cert is not built"));
    assert!(refused("--fault crlf:0.6 --fault cr:0.6").contains("--fault"));
    assert!(refused("--host 256.0.0.1").contains("--host"));
    let first = server("");
    let mut taken = args("");
    taken.port = first.address().port();
    let error = Server::start(&taken).unwrap_err().to_string();
    assert!(error.contains(&first.address().to_string()), "{error}");
}
