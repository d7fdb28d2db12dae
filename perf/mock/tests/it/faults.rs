//! Each fault is what its line in the table promises, byte for byte, and the connections beside it are unharmed.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use flate2::read::{GzDecoder, ZlibDecoder};
use serde_json::{Value, json};

use crate::client::{Answer, Broken, CHAT, Client, chat, events, request};
use crate::{connect, server, stats_when};
use dormouse_perf_mock::{FAULTS, Server};

/// A chat request of 8 tokens that gets this fault, and the connection afterwards.
fn ask(server: &Server, fault: &str, stream: bool) -> (Result<Answer, Broken>, Client) {
    ask_at(server, CHAT, fault, &chat(stream, 8))
}

fn ask_at(server: &Server, path: &str, fault: &str, body: &Value) -> (Result<Answer, Broken>, Client) {
    let mut client = connect(server);
    client.send(&request(path, &format!("x-mock-fault: {fault}\r\n"), body));
    (client.answer(), client)
}

fn good(server: &Server, fault: &str, stream: bool) -> Answer {
    let (answer, mut client) = ask(server, fault, stream);
    let answer = answer.unwrap_or_else(|broken| panic!("{fault}: {broken:?}"));
    // The connection serves on.
    assert_eq!(client.get("/health").status, 200, "{fault}");
    answer
}

const TEXT: &str = " the mouse sleeps in a nest of leaves";

fn content(events: &[(String, String)]) -> String {
    let data = events.iter().filter(|(_, data)| data != "[DONE]").map(|(_, data)| serde_json::from_str::<Value>(data).unwrap());
    data.filter_map(|e| e["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// Everything of a sound stream is there.
fn assert_whole(answer: &Answer, fault: &str) {
    let events = answer.events();
    assert_eq!((content(&events).as_str(), events.last().unwrap().1.as_str(), answer.status), (TEXT, "[DONE]", 200), "{fault}");
}

#[test]
fn every_fault_of_the_table_ends_and_harms_nobody_else() {
    let server = server("--loris-ms 0.01");
    let mut beside = connect(&server);
    for (name, _, _) in FAULTS {
        let fault = name.replace("status-NNN", "status-404").replace("redirect-NNN", "redirect-302");
        for stream in [true, false] {
            if fault.starts_with("hang") {
                continue;
            }
            let (_, client) = ask(&server, &fault, stream);
            drop(client);
            assert_eq!(beside.post(CHAT, &chat(true, 2)).data().len(), 5, "{fault}");
        }
    }
    stats_when(&server, |s| s["in_flight"]["now"] == 0);
}

#[test]
fn status_codes_have_the_endpoints_error_objects() {
    let server = server("");
    for code in [400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 599] {
        let answer = good(&server, &format!("status-{code}"), true);
        assert_eq!((answer.status, answer.json()["error"]["code"].as_u64()), (code, Some(u64::from(code))));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("retry-after").is_some(), matches!(code, 429 | 503));
    }
    let (answer, _) = ask_at(&server, "/v1/messages", "status-529", &chat(true, 2));
    assert_eq!(answer.unwrap().json()["error"]["type"], "overloaded_error");
}

#[test]
fn redirects_lead_to_where_there_is_an_answer() {
    let server = server("--fault redirect-308");
    for code in [301, 302, 303, 307, 308] {
        let answer = good(&server, &format!("redirect-{code}"), true);
        assert_eq!((answer.status, answer.header("location")), (code, Some("/redirected/v1/chat/completions")));
        let followed = ask_at(&server, answer.header("location").unwrap(), &format!("redirect-{code}"), &chat(true, 8)).0;
        assert_whole(&followed.unwrap(), "redirect");
    }
    assert_eq!(connect(&server).post(CHAT, &chat(true, 1)).status, 308);
    assert_whole(&connect(&server).post("/redirected/v1/chat/completions", &chat(true, 8)), "redirect");
}

#[test]
fn connections_end_where_they_should() {
    let server = server("");
    for stream in [true, false] {
        for (fault, kind, some) in [
            ("reset-before-headers", ErrorKind::ConnectionReset, false),
            ("close-before-headers", ErrorKind::UnexpectedEof, false),
            ("reset-mid-stream", ErrorKind::ConnectionReset, true),
            ("close-mid-stream", ErrorKind::UnexpectedEof, true),
        ] {
            let broken = ask(&server, fault, stream).0.expect_err(fault);
            assert_eq!((broken.error.kind(), broken.got.is_empty()), (kind, !some), "{fault} {stream} {broken:?}");
            let got = String::from_utf8_lossy(&broken.got).into_owned();
            if some && stream {
                // Content, and neither an end of the stream nor one of the body.
                assert!(
                    got.contains(" mouse") && !got.contains(" leaves") && !got.contains("[DONE]") && !got.ends_with("0\r\n\r\n"),
                    "{got}"
                );
            }
            if some && !stream {
                assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && !got.contains("usage"), "{got}");
            }
        }
    }
    let (answer, mut client) = ask(&server, "close-after-answer", true);
    let answer = answer.unwrap();
    assert_whole(&answer, "close-after-answer");
    assert_eq!((answer.header("connection"), client.ended().unwrap()), (None, 0));
    let (answer, mut client) = ask(&server, "connection-close", false);
    assert_eq!((answer.unwrap().header("connection"), client.ended().unwrap()), (Some("close"), 0));
}

#[test]
fn streams_end_early_with_an_error_or_with_nothing() {
    let server = server("");
    let truncated = good(&server, "truncated", true);
    let text = truncated.text();
    assert!(text.ends_with("\n\n") && !text.contains("[DONE]") && !text.contains("\"length\"") && text.contains(" mouse"), "{text}");

    let before = good(&server, "error-before-content", true);
    assert_eq!(before.status, 200);
    let data = before.data();
    assert_eq!((data.len(), data[0]["error"]["type"].as_str()), (1, Some("server_error")));
    let after = good(&server, "error-after-content", true).data();
    assert!(after.last().unwrap()["error"]["message"].is_string() && after.len() > 3);
    let whole = good(&server, "error-after-content", false);
    assert_eq!((whole.status, whole.json()["error"]["code"].as_u64()), (200, Some(500)));
    let (anthropic, _) = ask_at(&server, "/v1/messages", "error-after-content", &json!({"stream": true, "max_tokens": 8}));
    let last = anthropic.unwrap().events().pop().unwrap();
    assert_eq!((last.0.as_str(), last.1.contains("\"type\":\"error\"")), ("error", true));

    assert_eq!(good(&server, "empty-answer", true).text(), "data: [DONE]\n\n");
    assert_eq!(good(&server, "empty-answer", false).text(), "{}");
    let events = good(&server, "undecodable-json", true).events();
    let broken = events.iter().filter(|(_, data)| data != "[DONE]" && serde_json::from_str::<Value>(data).is_err()).count();
    assert_eq!((broken, events.last().unwrap().1.as_str()), (1, "[DONE]"));
    assert!(serde_json::from_slice::<Value>(&good(&server, "undecodable-json", false).body).is_err());
}

#[test]
fn lines_end_in_every_way_and_mean_the_same() {
    let server = server("");
    for fault in ["crlf", "cr", "mixed-line-ends", "bom", "comments", "multi-line-data"] {
        let answer = good(&server, fault, true);
        assert_whole(&answer, fault);
        let text = answer.text();
        let lone_cr = text.replace("\r\n", "").contains('\r');
        let lone_lf = text.replace("\r\n", "").contains('\n');
        let what = (text.contains("\r\n"), lone_cr, lone_lf, text.starts_with('\u{feff}'), text.contains("\nid: 7\n"));
        let wanted = match fault {
            "crlf" => (true, false, false, false, false),
            "cr" => (false, true, false, false, false),
            "mixed-line-ends" => (true, true, true, false, false),
            "bom" => (false, false, true, true, false),
            "comments" => (false, false, true, false, true),
            _ => (false, false, true, false, false),
        };
        assert_eq!(what, wanted, "{fault}");
        if fault == "multi-line-data" {
            assert!(text.split("\n\n").filter(|e| e.starts_with("data: {")).all(|e| e.matches("data: ").count() == 2), "{text}");
        }
        assert_eq!(good(&server, fault, false).json()["choices"][0]["message"]["content"], TEXT);
    }
}

#[test]
fn content_types_are_wrong_or_missing() {
    let server = server("");
    for (fault, wanted) in [("wrong-content-type", Some("text/plain")), ("no-content-type", None)] {
        let answer = good(&server, fault, true);
        assert_whole(&answer, fault);
        assert_eq!(answer.header("content-type"), wanted);
        assert_eq!(good(&server, fault, false).header("content-type"), wanted);
    }
}

#[test]
fn codings_can_be_read_event_by_event() {
    let server = server("");
    for stream in [true, false] {
        let text = |body: &[u8], decoded: String| {
            assert!(!body.is_empty());
            if stream {
                content(&events(&decoded))
            } else {
                serde_json::from_str::<Value>(&decoded).unwrap()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
            }
        };
        let gzip = good(&server, "gzip", stream);
        let mut decoded = String::new();
        GzDecoder::new(gzip.body.as_slice()).read_to_string(&mut decoded).unwrap();
        assert_eq!((gzip.header("content-encoding"), text(&gzip.body, decoded).as_str()), (Some("gzip"), TEXT));
        let deflate = good(&server, "deflate", stream);
        let mut decoded = String::new();
        ZlibDecoder::new(deflate.body.as_slice()).read_to_string(&mut decoded).unwrap();
        assert_eq!((deflate.header("content-encoding"), text(&deflate.body, decoded).as_str()), (Some("deflate"), TEXT));
    }
    // The first chunks are enough for the first events.
    let gzip = good(&server, "gzip", true);
    let first: usize = gzip.chunks[..3].iter().sum();
    let mut decoded = Vec::new();
    assert!(GzDecoder::new(&gzip.body[..first]).read_to_end(&mut decoded).is_err());
    assert_eq!(content(&events(&String::from_utf8(decoded).unwrap())), " the mouse");
    let unknown = good(&server, "unknown-coding", true);
    assert_eq!(unknown.header("content-encoding"), Some("x-mock"));
    assert!(!unknown.body.starts_with(b"data"));
}

#[test]
fn frames_of_http_are_as_odd_as_they_may_be() {
    let server = server("");
    for stream in [true, false] {
        let right = |answer: &Answer| {
            if stream { assert_whole(answer, "frame") } else { assert_eq!(answer.json()["choices"][0]["message"]["content"], TEXT) }
        };
        for (fault, interim) in [("continue-first", 100), ("early-hints", 103)] {
            let answer = good(&server, fault, stream);
            right(&answer);
            assert_eq!(answer.interim, [interim]);
        }
        let trailers = good(&server, "trailers", stream);
        right(&trailers);
        assert_eq!(trailers.trailers, ["x-mock-trailer: done"]);
        let bytes = good(&server, "one-byte-chunks", stream);
        right(&bytes);
        assert!(bytes.chunks.iter().all(|size| *size == 1));
        right(&good(&server, "chunk-extensions", stream));
        right(&good(&server, "one-byte-writes", stream));
        let (old, mut client) = ask(&server, "http10", stream);
        let old = old.unwrap();
        right(&old);
        assert_eq!((old.version.as_str(), old.header("content-length"), old.chunks.len()), ("HTTP/1.0", None, 0));
        assert_eq!(client.ended().unwrap(), 0);
    }
    let big = good(&server, "big-chunks", true);
    assert_eq!(big.chunks.iter().filter(|size| **size > 1 << 20).count(), 4);
}

#[test]
fn bytes_come_slowly_and_characters_are_wide() {
    let server = server("--loris-ms 0.5");
    let start = Instant::now();
    let slow = good(&server, "slow-loris", true);
    assert_whole(&slow, "slow-loris");
    // Of the body alone, without head and frame.
    assert!(start.elapsed() >= Duration::from_micros(500) * u32::try_from(slow.body.len()).unwrap());
    let text = content(&good(&server, "split-unicode", true).events());
    assert_eq!(text, " Mäuse 睡鼠 🐭💤 сони Mäuse 睡鼠 🐭💤 сони");
}

#[test]
fn what_hangs_stays_until_the_client_goes() {
    let server = server("");
    for (fault, some) in [("hang", false), ("hang-mid-stream", true)] {
        let mut client = connect(&server);
        client.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        client.send(&request(CHAT, &format!("x-mock-fault: {fault}\r\n"), &chat(true, 8)));
        let broken = client.answer().expect_err(fault);
        assert!(matches!(broken.error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{broken:?}");
        assert_eq!(broken.got.is_empty(), !some);
        stats_when(&server, |s| s["in_flight"]["now"] == 1);
    }
    let said = stats_when(&server, |s| s["in_flight"]["now"] == 0);
    assert_eq!((said["requests"]["disconnected"].as_u64(), said["faults"]["hang"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn an_early_answer_is_there_before_the_body() {
    let server = server("");
    for stream in [true, false] {
        let mut client = connect(&server);
        let accept = if stream { "accept: text/event-stream\r\n" } else { "" };
        let all = request(CHAT, &format!("{accept}x-mock-fault: early-answer\r\n"), &chat(stream, 8));
        let head = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        client.send(&all[..head]);
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.text().contains("[DONE]")), (200, stream));
        // The body comes all the same, and is no request of its own.
        client.send(&all[head..]);
        assert_eq!(client.get("/health").status, 200);
    }
}

#[test]
fn usage_has_odd_numbers() {
    let server = server("");
    for (fault, wanted) in [
        ("usage-float", json!(8.0)),
        ("usage-null", Value::Null),
        ("usage-negative", json!(-1)),
        ("usage-huge", json!(1e30)),
        ("usage-text", json!("many")),
    ] {
        let answer = good(&server, fault, true);
        assert_whole(&answer, fault);
        assert_eq!(answer.data().last().unwrap()["usage"]["completion_tokens"], wanted, "{fault}");
        let whole = good(&server, fault, false);
        assert_eq!(whole.json()["usage"]["completion_tokens"], wanted, "{fault}");
    }
    assert!(good(&server, "usage-float", true).text().contains("\"completion_tokens\":8.0"));
}
