//! The reading half as its user sees it: bytes with stamps in, an answer out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod codings;
mod endpoints;
mod faults;
mod http;
mod recorded;
mod splits;
mod streams;

use dormouse_perf_load::answer::Endpoint;
use dormouse_perf_load::exchange::{Answered, Ask, Exchange, Failure, Limits, Outcome, Progress};
use serde_json::{Value, json};

const CHAT: Ask = Ask { endpoint: Endpoint::Chat, streaming: true };
const SSE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
const DONE: &str = "data: [DONE]\n\n";

/// An answer whose reads come at 10, 20, 30, ... and whose connection then ends.
fn read(ask: Ask, reads: &[impl AsRef<[u8]>]) -> Answered {
    let mut exchange = Exchange::new(ask, Limits::default());
    let mut at = 0;
    for bytes in reads {
        at += 10;
        exchange.read(at, bytes.as_ref());
    }
    exchange.end(at + 10);
    exchange.take()
}

/// A head of a stream, its body chunked, and each of these texts a chunk and a read of its own; then the end of the body.
fn chunked(head: &str, pieces: &[impl AsRef<[u8]>]) -> Vec<Vec<u8>> {
    let mut reads = vec![format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes()];
    reads.extend(pieces.iter().map(|piece| chunk(piece.as_ref())));
    reads.push(b"0\r\n\r\n".to_vec());
    reads
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// The answer to a conversation, streamed as these events.
fn stream(events: &[String]) -> Answered {
    read(CHAT, &chunked(SSE, events))
}

fn whole(endpoint: Endpoint, body: &Value) -> Answered {
    let body = body.to_string();
    read(Ask { endpoint, streaming: false }, &[format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())])
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// A chunk of a conversation with this delta.
#[allow(clippy::needless_pass_by_value, reason = "it is made where it is passed")]
fn delta(delta: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn say(text: &str) -> String {
    event(&delta(json!({"content": text})))
}

fn finish(reason: &str) -> String {
    event(&json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

#[track_caller]
fn failure(answered: &Answered) -> &Failure {
    match &answered.outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?} is no failure: {answered:?}"),
    }
}

#[track_caller]
fn succeeded(answered: &Answered) {
    assert_eq!(answered.outcome, Outcome::Success, "{answered:?}");
}

/// Stamps of the content.
fn times(answered: &Answered) -> Vec<u64> {
    answered.pieces.iter().map(|piece| piece.at()).collect()
}

/// Both ends of an exchange that is read whole: what is left, and what came.
fn at_once(ask: Ask, bytes: &[u8]) -> (Progress, Answered) {
    let mut exchange = Exchange::new(ask, Limits::default());
    let progress = exchange.read(7, bytes);
    (progress, exchange.take())
}
