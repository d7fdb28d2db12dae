//! Streams as servers send them: dialects, stamps, counts.

use dormouse_perf_load::answer::{Count, Endpoint, Kind};
use dormouse_perf_load::exchange::{Ask, Exchange, Limits, Progress};
use serde_json::{Value, json};

use crate::{CHAT, DONE, SSE, chunked, delta, event, finish, read, say, stream, succeeded, times};

fn counts(completion: u64) -> Value {
    json!({"object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": completion, "total_tokens": 20 + completion}})
}

/// Vector A4: the kind of a delta's content.
#[test]
fn kinds_of_chunks() {
    let kind = |value: Value| {
        let answered = stream(&[event(&value), DONE.to_owned()]);
        answered.pieces.first().map(|piece| piece.kind())
    };
    let call = |name: Option<&str>| json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": name, "arguments": ""}}]});
    for (of, wanted) in [
        (json!({"role": "assistant", "content": ""}), None),
        (json!({"role": "assistant", "content": null}), None),
        (json!({"content": "Hi"}), Some(Kind::Text)),
        (json!({"content": [{"type": "text", "text": "Hi"}]}), Some(Kind::Text)),
        (json!({"reasoning_content": "hm"}), Some(Kind::Reasoning)),
        (json!({"reasoning": "hm"}), Some(Kind::Reasoning)),
        (json!({"reasoning_content": "hm", "content": "Hi"}), Some(Kind::ReasoningAndText)),
        (call(Some("f")), Some(Kind::ToolCall)),
        (call(None), None),
        (json!({}), None),
    ] {
        assert_eq!(kind(delta(of.clone())), wanted, "{of}");
    }
    assert!(!Kind::Reasoning.is_output() && Kind::ReasoningAndText.is_output() && Kind::ToolCall.is_output());
    for object in [json!("other"), json!(null)] {
        let mut chunk = delta(json!({"content": "Hi"}));
        chunk["object"] = object;
        chunk["usage"] = json!({"completion_tokens": 3});
        let answered = stream(&[event(&chunk)]);
        assert!(answered.pieces.is_empty());
        assert_eq!(answered.usage.unwrap().completion, Count::new(3), "the counts are read all the same");
    }
    let answered = stream(&[event(&counts(4))]);
    assert!(answered.pieces.is_empty() && answered.usage.is_some());
}

#[test]
fn stamps_are_those_of_the_reads_that_completed() {
    let reads = [
        format!("{SSE}\r\n"),
        event(&delta(json!({"role": "assistant", "content": ""}))),
        [say("a"), say(" b")].concat(),
        "data: ".to_owned(),
        say(" c")["data: ".len()..].to_owned(),
        finish("stop"),
        event(&counts(3)),
        DONE.to_owned(),
    ];
    let answered = read(CHAT, &reads);
    succeeded(&answered);
    assert_eq!(times(&answered), [30, 30, 50]);
    let stamps = answered.stamps;
    assert_eq!([stamps.headers, stamps.first_body, stamps.last_body, stamps.end], [Some(10), Some(20), Some(80), Some(90)]);
    assert_eq!((answered.text.as_str(), answered.finish.as_deref()), ("a b c", Some("stop")));
    assert_eq!((answered.usage.unwrap().completion, answered.first_tokens), (Count::new(3), None));
    let counters = answered.counters;
    assert_eq!((counters.reads, counters.body_reads, counters.events, counters.undecodable), (8, 7, 7, 0));
    assert_eq!(counters.bytes, reads.iter().map(|read| read.len() as u64).sum::<u64>());
    assert_eq!(counters.body_bytes, counters.bytes - reads[0].len() as u64);
}

#[test]
fn dialects_say_the_same() {
    type Dialect = fn(String) -> String;
    const WORDS: [&str; 3] = ["The", " sun", " is"];
    let said = |text: &str| delta(json!({"content": text}));
    let dialects: [(&str, Dialect); 9] = [
        ("plain", |json| format!("data: {json}\n\n")),
        ("no blank", |json| format!("data:{json}\n\n")),
        ("CRLF", |json| format!("data: {json}\r\n\r\n")),
        ("CR", |json| format!("data: {json}\r\r")),
        ("comments", |json| format!(": keep-alive\n\n:\n\ndata: {json}\n\n: ping\n\n")),
        ("fields", |json| format!("event: message\nid: 1\nretry: 100\ndata: {json}\n\n")),
        ("lines", |json| {
            let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&json).unwrap()).unwrap();
            pretty.lines().map(|line| format!("data: {line}\n")).collect::<String>() + "\n"
        }),
        ("mixed", |json| format!("data: {json}\n\r\n")),
        ("mixed comments", |json| format!("data: {json}\r\n\r\n: ping\n\n")),
    ];
    for (name, dialect) in dialects {
        for mark in ["", "\u{feff}"] {
            let mut events: Vec<String> = WORDS.iter().map(|word| dialect(said(word).to_string())).collect();
            events[0].insert_str(0, mark);
            events.push(if name == "lines" { DONE.to_owned() } else { dialect("[DONE]".to_owned()) });
            let answered = read(CHAT, &chunked(SSE, &events));
            succeeded(&answered);
            assert_eq!((answered.text.as_str(), times(&answered), answered.incomplete), ("The sun is", vec![20, 30, 40], false), "{name}");
        }
    }
}

#[test]
fn a_stream_is_one_under_any_media_type() {
    for (media_type, other) in [
        ("Content-Type: text/plain; charset=utf-8\r\n", true),
        ("Content-Type: TEXT/EVENT-STREAM\r\n", false),
        ("Content-Type: text/event-stream;charset=utf-8\r\n", false),
        ("Content-Type: application/octet-stream\r\n", true),
        ("", true),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{media_type}");
        for events in [
            vec![say("a"), say(" b"), DONE.to_owned()],
            vec!["\n".to_owned(), "da".to_owned(), say("a")[2..].to_owned(), say(" b"), DONE.to_owned()],
        ] {
            let answered = read(CHAT, &chunked(&head, &events));
            succeeded(&answered);
            assert_eq!((answered.text.as_str(), answered.streamed, answered.other_media_type), ("a b", true, other), "{media_type}");
            assert_eq!(answered.pieces.len(), 2);
        }
    }
    // An answer in one piece to who asked for a stream is one event, at its end.
    let body = json!({"object": "chat.completion", "choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}).to_string();
    let answered = read(
        CHAT,
        &[
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            &format!("{:x}\r\n{body}\r\n", body.len()),
            "0\r\n\r\n",
        ],
    );
    succeeded(&answered);
    assert_eq!((answered.streamed, answered.other_media_type, times(&answered)), (false, false, vec![30]));
    // Who did not ask for a stream gets none.
    let answered = read(Ask { endpoint: Endpoint::Any, streaming: false }, &["HTTP/1.1 200 OK\r\n\r\ndata: text"]);
    assert_eq!((answered.text.as_str(), answered.streamed), ("data: text", false));
}

#[test]
fn texts_are_the_models_to_the_code_point() {
    let texts = [
        "\u{4f60}\u{597d}\u{ff0c}",
        " na\u{ef}ve \u{1f469}\u{200d}\u{1f680}",
        " a\u{2028}b\u{2029}c\u{85}d",
        " e\u{301} \u{feff}z\"\\\n\t\u{1}",
    ];
    let ascii = |text: &str| {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        say("@").replace('@', &units)
    };
    for events in [texts.map(say), texts.map(ascii)] {
        let answered = stream(&events);
        succeeded(&answered);
        assert_eq!(answered.text, texts.concat());
    }
    // Half of a character, and a line's end that nobody escaped.
    let answered = stream(&[
        say("@").replace('@', "\\ud83d"),
        "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{\"content\":\"a\nb\"}}]}\n\n".to_owned(),
    ]);
    assert_eq!((answered.text.as_str(), answered.counters.undecodable), ("\u{fffd}a\nb", 0));
}

#[test]
fn counts_of_each_chunk() {
    let with = |mut chunk: Value, completion: Value| {
        chunk["usage"] = json!({"prompt_tokens": 20, "completion_tokens": completion});
        event(&chunk)
    };
    let role = || delta(json!({"role": "assistant", "content": ""}));
    let (thought, said) = (delta(json!({"reasoning_content": "hm hm"})), delta(json!({"content": "a b"})));
    let answered = stream(&[with(role(), json!(0)), with(thought, json!(3)), with(said.clone(), json!(5)), event(&counts(6))]);
    assert_eq!(
        (answered.first_tokens, answered.usage.unwrap().completion),
        (Count::new(3), Count::new(6)),
        "reasoning counts as the first"
    );
    // What is no count never decides over success; and a stream without counts keeps the last ones.
    for wrong in ["null", "\"4\"", "NaN", "-1", "1e30", "4.5"] {
        let chunk = with(said.clone(), json!("@")).replace("\"@\"", wrong);
        let answered = stream(&[chunk, finish("stop")]);
        succeeded(&answered);
        let usage = answered.usage.unwrap();
        assert_eq!((usage.completion, usage.prompt, answered.first_tokens), (None, Count::new(20), None), "{wrong}");
    }
    let whole = stream(&[with(said, json!(4.0)), event(&json!({"object": "chat.completion.chunk", "choices": [], "usage": {}}))]);
    assert_eq!((whole.usage.unwrap().completion, whole.first_tokens), (Count::new(4), Count::new(4)));
}

#[test]
fn only_the_first_choice_counts_and_it_is_said() {
    let of = |index: u64, text: &str| {
        let mut chunk = delta(json!({"content": text}));
        chunk["choices"][0]["index"] = json!(index);
        event(&chunk)
    };
    let answered = stream(&[of(1, "x"), of(0, "a"), of(1, "y"), of(0, " b"), DONE.to_owned()]);
    assert_eq!((answered.text.as_str(), answered.pieces.len(), answered.other_choices), ("a b", 2, true));
    assert!(!stream(&[of(0, "a")]).other_choices);
}

#[test]
fn reasoning_and_tools_have_texts_of_their_own() {
    let call = |name: Value, arguments: &str| {
        event(&delta(json!({"tool_calls": [{"index": 0, "function": {"name": name, "arguments": arguments}}]})))
    };
    let answered = stream(&[
        event(&delta(json!({"reasoning": "hm"}))),
        event(&delta(json!({"reasoning_content": " so", "content": "It"}))),
        say(" is"),
        call(json!("f"), ""),
        call(json!(null), "{\"a\":"),
        call(json!(null), "1}"),
        call(json!(null), ""),
        finish("tool_calls"),
    ]);
    assert_eq!((answered.reasoning.as_str(), answered.text.as_str(), answered.tools.as_str()), ("hm so", "It is", "f{\"a\":1}"));
    let kinds: Vec<Kind> = answered.pieces.iter().map(|piece| piece.kind()).collect();
    assert_eq!(kinds, [Kind::Reasoning, Kind::ReasoningAndText, Kind::Text, Kind::ToolCall, Kind::ToolCall, Kind::ToolCall]);
}

#[test]
fn what_cannot_be_read_is_counted_and_passed_over() {
    let events = [
        "data: {\"a\":\n\n".to_owned(),
        "data: hello\n\n".to_owned(),
        "data:\n\n".to_owned(),
        ": ping\n\n".to_owned(),
        "data: 5\n\n".to_owned(),
        say("a"),
    ];
    let answered = stream(&events);
    succeeded(&answered);
    assert_eq!((answered.counters.events, answered.counters.undecodable), (6, 2));
}

#[test]
fn one_connection_serves_many() {
    let mut exchange = Exchange::new(CHAT, Limits::default());
    let answer = chunked(SSE, &[say("a"), DONE.to_owned()]).concat();
    for at in 0..3 {
        assert_eq!(exchange.read(at, &answer), Progress::Complete { left: 0 });
        let answered = exchange.take();
        succeeded(&answered);
        assert_eq!((times(&answered), answered.text.as_str(), answered.reusable), (vec![at], "a", true));
        exchange.restart(CHAT);
    }
}
