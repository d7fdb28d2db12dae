//! What reading an answer costs, without a socket: `cargo bench -p dormouse-perf-load --bench read`.
//!
//! A conversation of 16 tokens as vLLM streams it (a role, 16 pieces, the reason of the end, counts, `[DONE]`: 20 events of about
//! 230 bytes, each a chunk of HTTP), read at once and in 16 writes; the same with calls of tools; the same as the scanner does not
//! know it, so that each event goes through the reader of JSON; one whole body of 16 tokens. Time is that of the thread on a
//! processor, so that what else runs there does not count; the rate is that of events.

#![allow(missing_docs, reason = "made by a macro")]
#![allow(clippy::expect_used, reason = "a benchmark stops at the first surprise")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dormouse_perf_load::answer::Endpoint;
use dormouse_perf_load::exchange::{Ask, Exchange, Limits, Outcome};

const TOKENS: u64 = 16;

/// Time of this thread on a processor.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a time that has passed")
}

fn chunk(event: &str) -> Vec<u8> {
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

/// The head with the role, the tokens, the rest: in this many writes.
fn stream(delta: impl Fn(u64) -> String) -> Vec<Vec<u8>> {
    let event = |choices: &str, usage: &str| {
        let head = r#""id":"chatcmpl-7c0e1b0e8f7a4b1c9d2e3f4a5b6c7d8e","object":"chat.completion.chunk","created":1764547200,"model":"meta-llama/Llama-3.1-8B-Instruct""#;
        chunk(&format!("data: {{{head},\"choices\":[{choices}]{usage}}}\n\n"))
    };
    let choice = |delta: &str, finish: &str| format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}"#);
    let head = "HTTP/1.1 200 OK\r\ndate: Mon, 01 Dec 2025 00:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut writes: Vec<Vec<u8>> = (0..TOKENS).map(|n| event(&choice(&delta(n), "null"), "")).collect();
    writes[0].splice(0..0, [head.as_bytes(), &event(&choice(r#"{"role":"assistant","content":""}"#, "null"), "")].concat());
    let rest = [
        event(&choice("{}", r#""stop""#), ""),
        event("", r#","usage":{"prompt_tokens":550,"total_tokens":566,"completion_tokens":16,"prompt_tokens_details":null}"#),
        chunk("data: [DONE]\n\n"),
        b"0\r\n\r\n".to_vec(),
    ];
    writes[15].extend(rest.concat());
    writes
}

fn whole() -> Vec<u8> {
    let body = format!(
        r#"{{"id":"chatcmpl-7c0e1b0e8f7a4b1c9d2e3f4a5b6c7d8e","object":"chat.completion","created":1764547200,"model":"meta-llama/Llama-3.1-8B-Instruct","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null,"tool_calls":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":550,"total_tokens":566,"completion_tokens":16,"prompt_tokens_details":null}}}}"#,
        " token".repeat(16)
    );
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn read(criterion: &mut Criterion) {
    let text = stream(|n| format!(r#"{{"content":" token{n}"}}"#));
    let tools = stream(|n| format!(r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":" token{n}"}}}}]}}"#));
    let parts = stream(|n| format!(r#"{{"content":[{{"type":"text","text":" token{n}"}}]}}"#));
    let at_once = [text.concat()];
    let body = [whole()];
    let mut group = criterion.benchmark_group("read");
    for (name, streaming, events, writes) in [
        ("16 tokens in one write", true, TOKENS + 4, at_once.as_slice()),
        ("16 tokens in 16 writes", true, TOKENS + 4, &text),
        ("16 calls of tools in 16 writes", true, TOKENS + 4, &tools),
        ("16 tokens in 16 writes, as JSON", true, TOKENS + 4, &parts),
        ("whole body", false, 1, &body),
    ] {
        let ask = Ask { endpoint: Endpoint::Chat, streaming };
        let mut exchange = Exchange::new(ask, Limits::default());
        group.throughput(Throughput::Elements(events));
        group.bench_function(name, |bench| {
            bench.iter_custom(|times| {
                let begin = worked();
                for _ in 0..times {
                    exchange.restart(ask);
                    for (at, bytes) in (0..).zip(writes) {
                        exchange.read(at, black_box(bytes));
                    }
                    let answered = black_box(exchange.take());
                    assert!(answered.outcome == Outcome::Success && answered.reusable);
                }
                worked().saturating_sub(begin)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
