//! The list of faults (perf contract 10.4, item 5), and failures in the clothes of a 200.

use dormouse_perf_load::answer::Endpoint;
use dormouse_perf_load::exchange::{Answered, Ask, Break, Cause, Exchange, Intake, Limits, Outcome, Progress};
use dormouse_perf_load::http::Head;
use serde_json::{Value, json};

use crate::{CHAT, DONE, SSE, at_once, chunk, chunked, delta, event, failure, finish, read, say, stream, succeeded, times, whole};

/// Cause, code, class and message of a failure.
#[track_caller]
fn told(answered: &Answered) -> (Cause, Option<u16>, &str, &str) {
    let failure = failure(answered);
    (failure.cause, failure.code, &failure.class, &failure.message)
}

fn died() -> Value {
    json!({"error": {"message": "engine core died", "type": "InternalServerError", "code": 500}})
}

#[test]
fn a_status_is_a_failure_with_the_whole_body_and_a_real_end() {
    let body = "<html>busy</html>";
    let answered = read(
        CHAT,
        &[format!("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 30\r\nContent-Length: {}\r\n\r\n", body.len()), body.to_owned()],
    );
    assert_eq!(told(&answered), (Cause::Status, Some(503), "Service Unavailable", body));
    assert_eq!((answered.status, answered.stamps.headers, answered.stamps.end, answered.reusable), (Some(503), Some(10), Some(20), true));
    let silent = read(CHAT, &["HTTP/1.1 429 \r\nContent-Length: 0\r\n\r\n"]);
    assert_eq!(told(&silent), (Cause::Status, Some(429), "Too Many Requests", "Too Many Requests"));
    // Nor does a body that is cut hide the status.
    let cut = read(CHAT, &["HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\nwhy"]);
    assert_eq!(told(&cut), (Cause::Status, Some(500), "Oh", "why"));
    let long = "x".repeat(100_000);
    let long = read(CHAT, &[format!("HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\n{long}")]);
    assert_eq!((failure(&long).message.len(), long.reusable), (16 << 10, true));
}

#[test]
fn redirects() {
    let of = |status: u16| read(CHAT, &[format!("HTTP/1.1 {status} Elsewhere\r\nLocation: /new/chat\r\nContent-Length: 2\r\n\r\nhi")]);
    for status in [307, 308] {
        let answered = of(status);
        assert_eq!(answered.outcome, Outcome::Moved { status, to: "/new/chat".to_owned() });
        assert!(answered.reusable);
    }
    for status in [301, 302, 303] {
        let answered = of(status);
        let (cause, code, class, message) = told(&answered);
        assert_eq!((cause, code, class), (Cause::Redirect, Some(status), "Elsewhere"));
        assert!(message.contains("/new/chat"));
    }
    let nowhere = read(CHAT, &["HTTP/1.1 307 X\r\nContent-Length: 0\r\n\r\n"]);
    assert_eq!(told(&nowhere), (Cause::Status, Some(307), "X", "X"));
}

#[test]
fn connections_that_end_too_early() {
    let none: [&str; 0] = [];
    assert_eq!(told(&read(CHAT, &none)), (Cause::NoAnswer, None, "ServerDisconnectedError", "the connection was closed before an answer"));
    let head = read(CHAT, &["HTTP/1.1 200"]);
    assert_eq!((failure(&head).cause, &*failure(&head).class), (Cause::Truncated, "ServerDisconnectedError"));
    let said = [say("a"), say(" b")].concat();
    for body in [
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{said}\r\n1f4\r\ndata: {{", said.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{said}\r\n", said.len()),
        format!("Content-Length: 5000\r\n\r\n{said}"),
    ] {
        let answered = read(CHAT, &[format!("{SSE}{body}")]);
        let (cause, code, class, _) = told(&answered);
        assert_eq!((cause, code, class), (Cause::Truncated, None, "ClientPayloadError"), "{body}");
        assert_eq!((answered.text.as_str(), answered.incomplete, answered.reusable), ("a b", false, false));
    }
}

#[test]
fn resets_time_outs_and_cancellations() {
    let broken = |bytes: &str, why: Break| {
        let mut exchange = Exchange::new(CHAT, Limits::default());
        exchange.read(10, bytes.as_bytes());
        exchange.broken(20, why);
        assert_eq!(exchange.read(30, b"HTTP/1.1 200 OK\r\n\r\n"), Progress::Hopeless, "it stays over");
        let answered = exchange.take();
        assert_eq!(answered.stamps.end, Some(20));
        answered
    };
    let reset = || Break::Connection("connection reset".to_owned());
    let (before, body) = (format!("{SSE}Content-Length: 5000\r\n"), format!("{SSE}\r\n{}", say("a")));
    assert_eq!(told(&broken(&before, reset())), (Cause::Broken, None, "ClientOSError", "connection reset"));
    assert_eq!(told(&broken(&body, reset())), (Cause::Broken, None, "ClientPayloadError", "connection reset"));
    let slow = Break::TimedOut("no answer within 3 s".to_owned());
    assert_eq!(told(&broken(&body, slow)), (Cause::TimedOut, None, "TimeoutError", "no answer within 3 s"));
    let unwanted = || Break::Cancelled("cancelled after 0.030s".to_owned());
    assert_eq!(told(&broken(&body, unwanted())), (Cause::Cancelled, Some(499), "RequestCancellationError", "cancelled after 0.030s"));
    // Once a stream has said that it has ended nothing can be missing, unless nobody wanted it.
    succeeded(&broken(&format!("{body}{DONE}"), reset()));
    assert_eq!(failure(&broken(&format!("{body}{DONE}"), unwanted())).cause, Cause::Cancelled);
    assert_eq!(failure(&broken(&format!("{SSE}\r\n{DONE}"), reset())).cause, Cause::Empty);
}

#[test]
fn streams_that_do_not_say_their_end() {
    let incomplete = |events: &[String]| {
        let answered = stream(events);
        succeeded(&answered);
        answered.incomplete
    };
    assert!(incomplete(&[say("a"), say(" b")]));
    assert!(!incomplete(&[say("a"), finish("length")]));
    assert!(!incomplete(&[say("a"), DONE.to_owned()]));
    let by_connection = read(CHAT, &[format!("{SSE}Connection: close\r\n\r\n"), say("a"), finish("stop"), DONE.to_owned()]);
    succeeded(&by_connection);
    assert_eq!((by_connection.stamps.last_body, by_connection.stamps.end, by_connection.reusable), (Some(40), Some(50), false));
    // The last event needs no empty line.
    let last = read(CHAT, &[format!("{SSE}\r\n{}", say("a").trim_end())]);
    succeeded(&last);
    assert_eq!(times(&last), [20], "its stamp is that of the end");
}

#[test]
fn failures_in_the_clothes_of_a_200() {
    let role = || event(&delta(json!({"role": "assistant", "content": ""})));
    let wanted = (Cause::Server, Some(500), "SSEResponseError", "engine core died");
    let before = stream(&[role(), event(&died()), DONE.to_owned()]);
    assert_eq!((told(&before), before.reusable), (wanted, true));
    let after = stream(&[role(), say("a"), say(" b"), event(&died()), say(" c"), DONE.to_owned()]);
    assert_eq!((told(&after), after.text.as_str()), (wanted, "a b"));
    assert_eq!(told(&stream(&[format!("event: error\ndata: {}\n\n", died())])), wanted);
    assert_eq!(
        told(&stream(&["event: error\n: out of memory\ndata: x\n\n".to_owned()])),
        (Cause::Server, Some(502), "SSEResponseError", "out of memory")
    );
    assert_eq!(told(&stream(&["event: error\ndata: oh\n\n".to_owned()])).3, "oh");
    assert_eq!(told(&stream(&["event: error\n\n".to_owned()])).3, "an event named error, without words");
    assert_eq!(told(&stream(&[role(), died().to_string()])), wanted, "as the backend wrote it, without a name");
    let body = whole(Endpoint::Chat, &died());
    assert_eq!(told(&body), (Cause::Server, Some(500), "InvalidInferenceResultError", "engine core died"));
    let pretty = serde_json::to_string_pretty(&died()).unwrap();
    assert_eq!(told(&read(CHAT, &[format!("{SSE}\r\n{pretty}")])), wanted);
    assert_eq!(
        told(&stream(&[DONE.to_owned()])),
        (Cause::Empty, None, "InvalidInferenceResultError", "no content in the answer: data: [DONE]")
    );
    let empty = stream(&[role(), finish("stop"), DONE.to_owned()]);
    assert_eq!((failure(&empty).cause, empty.finish.as_deref()), (Cause::Empty, Some("stop")));
    assert!(failure(&empty).message.starts_with("no content in the answer: data: {"));
    let page = read(CHAT, &["HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>welcome</html>"]);
    assert_eq!((failure(&page).message.as_str(), page.counters.undecodable), ("no content in the answer: <html>welcome</html>", 1));
    let nothing = read(CHAT, &["HTTP/1.1 204 No Content\r\n\r\n"]);
    assert_eq!(failure(&nothing).message, "no content in the answer");
}

#[test]
fn what_is_no_http_or_too_much() {
    let (progress, answered) = at_once(CHAT, b"220 smtp ready\r\n");
    assert_eq!((progress, failure(&answered).cause), (Progress::Hopeless, Cause::Malformed));
    assert_eq!(failure(&answered).class, "ClientResponseError");
    let (_, answered) = at_once(CHAT, format!("{SSE}Transfer-Encoding: chunked\r\n\r\nzz").as_bytes());
    assert_eq!((failure(&answered).cause, &*failure(&answered).class), (Cause::Malformed, "ClientPayloadError"));

    let limits = Limits { event: 100, body: 300, ..Limits::default() };
    let limited = |ask: Ask, body: &str| {
        let mut exchange = Exchange::new(ask, limits);
        let progress = exchange.read(10, format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}").as_bytes());
        (progress, exchange.take())
    };
    let (progress, answered) = limited(CHAT, &format!("data: {}", "x".repeat(100)));
    assert_eq!(
        (progress, told(&answered)),
        (Progress::Hopeless, (Cause::TooLarge, None, "ResponseTooLargeError", "an event is larger than 100 bytes"))
    );
    let (progress, answered) = limited(CHAT, &format!("{DONE}: {}\n\n", "ping\n\n".repeat(100)));
    assert_eq!((progress, failure(&answered).cause), (Progress::Hopeless, Cause::Empty), "it had said its end");
    let (progress, answered) = limited(CHAT, &format!(": {}\n\n", "ping\n\n".repeat(100)));
    assert_eq!((progress, told(&answered).3), (Progress::Hopeless, "the body is larger than 300 bytes"));
}

#[test]
fn one_byte_and_one_megabyte() {
    let text = "\u{4f60}\u{1f680}x";
    let events = [say(text), say(text), finish("stop"), DONE.to_owned()];
    let bytes = chunked(SSE, &events).concat();
    let slow = read(CHAT, &bytes.chunks(1).collect::<Vec<_>>());
    succeeded(&slow);
    assert_eq!((slow.text, slow.counters.reads as usize), (text.repeat(2), bytes.len()));
    let mut large = delta(json!({"content": "a"}));
    large["choices"][0]["logprobs"] = json!({"content": vec![json!({"token": "x".repeat(40), "logprob": -0.5, "bytes": null}); 12_000]});
    let large = stream(&[event(&large), say("x".repeat(1 << 20).as_str()), DONE.to_owned()]);
    succeeded(&large);
    assert_eq!((large.text.len(), large.pieces.len()), ((1 << 20) + 1, 2));
}

/// HTTP/2 has another reader, and the same meaning.
#[test]
fn an_intake_needs_no_connection() {
    let mut intake = Intake::new(CHAT, Limits::default());
    intake.head(1, &Head::of(200, [("content-type", b"text/event-stream".as_slice())]));
    intake.body(2, say("a").as_bytes());
    intake.end(3);
    let answered = std::mem::take(intake.answered());
    succeeded(&answered);
    assert_eq!((times(&answered), answered.stamps.end, answered.incomplete), (vec![2], Some(3), true));
    intake.restart(CHAT);
    intake.head(4, &Head::of(503, []));
    intake.broken(5, Break::Connection("stream reset".to_owned()));
    assert_eq!(told(intake.answered()), (Cause::Status, Some(503), "Service Unavailable", "Service Unavailable"));
}

#[test]
fn an_answer_is_over_once() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let mut exchange = Exchange::new(CHAT, Limits::default());
    assert_eq!(exchange.take().outcome, Outcome::Unfinished);
    assert_eq!(exchange.read(1, &[answer.as_slice(), b"more"].concat()), Progress::Complete { left: 4 });
    assert_eq!(exchange.read(2, b"again"), Progress::Complete { left: 5 });
    exchange.end(3);
    exchange.broken(4, Break::TimedOut(String::new()));
    let answered = exchange.take();
    assert_eq!((answered.stamps.end, answered.reusable, failure(&answered).cause), (Some(1), false, Cause::Empty));
    exchange.restart(CHAT);
    assert!(!exchange.has_begun() && !exchange.has_failed());
    exchange.read(5, &[SSE.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n", &chunk(event(&died()).as_bytes())].concat());
    assert!(exchange.has_begun() && exchange.has_failed());
    assert_eq!(exchange.read(6, b"0\r\n\r\n"), Progress::Complete { left: 0 });
    let answered = exchange.take();
    assert_eq!((failure(&answered).cause, answered.reusable), (Cause::Server, true));
}
