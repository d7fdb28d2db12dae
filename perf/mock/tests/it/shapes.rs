//! Every endpoint's answers have the members that its clients look for: payloads and parsing of the perf contract, 4.2 and 4.6.

use serde_json::{Value, json};

use crate::client::{CHAT, chat};
use crate::{connect, server};

fn text(pieces: impl Iterator<Item = Value>) -> String {
    pieces.map(|piece| piece.as_str().unwrap().to_owned()).collect()
}

#[test]
fn chat_whole_and_streamed_say_the_same() {
    let server = server("--reasoning-tokens 2");
    let mut client = connect(&server);
    let whole = client.post(CHAT, &chat(false, 6)).json();
    assert_eq!((&whole["object"], &whole["model"]), (&json!("chat.completion"), &json!("m")));
    assert!(whole["id"].as_str().unwrap().starts_with("chatcmpl-") && whole["created"].as_u64().unwrap() > 1_700_000_000);
    let choice = &whole["choices"][0];
    assert_eq!(
        (&choice["index"], &choice["finish_reason"], &choice["message"]["role"]),
        (&json!(0), &json!("length"), &json!("assistant"))
    );
    assert_eq!(choice["message"]["reasoning_content"], " the mouse");
    assert_eq!(choice["message"]["content"], " sleeps in a nest");
    let usage =
        json!({"prompt_tokens": 6, "completion_tokens": 6, "total_tokens": 12, "completion_tokens_details": {"reasoning_tokens": 2}});
    assert_eq!(whole["usage"], usage);

    let answer = client.post(CHAT, &chat(true, 6));
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    let events = answer.data();
    assert!(events.iter().all(|e| e["object"] == "chat.completion.chunk" && e["id"] == events[0]["id"] && e["model"] == "m"));
    assert_ne!(events[0]["id"], whole["id"]);
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let deltas = |key: &str| text(events[1..].iter().filter_map(|e| e["choices"][0]["delta"].get(key)).cloned());
    assert_eq!((deltas("reasoning_content"), deltas("content")), (" the mouse".to_owned(), " sleeps in a nest".to_owned()));
    let finish = &events[events.len() - 2];
    assert_eq!((&finish["choices"][0]["delta"], &finish["choices"][0]["finish_reason"]), (&json!({}), &json!("length")));
    let last = events.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &usage));
    assert!(events[..events.len() - 1].iter().all(|e| e.get("usage").is_none()));
    // Each event is a chunk of its own: role, six tokens, finish, usage, [DONE].
    assert_eq!(answer.chunks.len(), 10);
    server.stop().unwrap();
}

#[test]
fn counts_are_said_to_whom_they_are_due() {
    let with_usage = |options: &str, body: &Value| {
        let server = server(options);
        let events = connect(&server).post(CHAT, body).data();
        events.iter().map(|e| e["usage"]["completion_tokens"].as_u64()).collect::<Vec<_>>()
    };
    let mut asks = chat(true, 2);
    assert_eq!(with_usage("", &asks), [None, None, None, None, Some(2)]);
    assert_eq!(with_usage("--usage none", &asks), [None; 4]);
    assert_eq!(with_usage("--usage continuous", &asks), [Some(0), Some(1), Some(2), Some(2), Some(2)]);
    asks["stream_options"]["continuous_usage_stats"] = true.into();
    assert_eq!(with_usage("", &asks), [Some(0), Some(1), Some(2), Some(2), Some(2)]);
    asks["stream_options"] = Value::Null;
    // Null is no object: then nothing was asked for.
    asks.as_object_mut().unwrap().remove("stream_options");
    assert_eq!(with_usage("", &asks), [None; 4]);
}

#[test]
fn tokens_come_as_asked_or_as_told() {
    let tokens = |options: &str, body: &Value| {
        let server = server(options);
        let whole = connect(&server).post(CHAT, body).json();
        (whole["usage"]["completion_tokens"].as_u64().unwrap(), whole["choices"][0]["finish_reason"].as_str().unwrap().to_owned())
    };
    let none = json!({"messages": []});
    assert_eq!(tokens("", &none), (16, "stop".to_owned()));
    assert_eq!(tokens("", &json!({"messages": [], "max_tokens": 5})), (5, "length".to_owned()));
    assert_eq!(tokens("--output-tokens 9", &chat(false, 20)), (9, "stop".to_owned()));
    // However many are asked for, the answer is bounded.
    assert_eq!(tokens("", &json!({"messages": [], "max_tokens": 999_999_999_999_u64})).0, 131_072);
}

#[test]
fn completions_have_text() {
    let server = server("");
    let mut client = connect(&server);
    let mut body = json!({"prompt": "eight by", "model": "m", "stream": false, "max_tokens": 3});
    let whole = client.post("/v1/completions", &body).json();
    assert_eq!((&whole["object"], &whole["choices"][0]["text"]), (&json!("text_completion"), &json!(" the mouse sleeps")));
    assert_eq!(whole["usage"], json!({"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}));
    body["stream"] = true.into();
    let events = client.post("/v1/completions", &body).data();
    assert!(events.iter().all(|e| e["object"] == "text_completion"));
    assert_eq!(text(events.iter().map(|e| e["choices"][0]["text"].clone())), " the mouse sleeps");
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[test]
fn embeddings_have_a_vector_for_each_input() {
    let server = server("");
    let whole =
        connect(&server).post("/v1/embeddings", &json!({"model": "m", "input": ["one", "two", "three"], "dimensions": 4, "stream": true}));
    let whole = whole.json();
    assert_eq!((&whole["object"], &whole["usage"]), (&json!("list"), &json!({"prompt_tokens": 3, "total_tokens": 3})));
    for (index, row) in whole["data"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&row["object"], row["index"].as_u64()), (&json!("embedding"), Some(index as u64)));
        assert!(row["embedding"].as_array().unwrap().iter().all(Value::is_f64));
        assert_eq!(row["embedding"].as_array().unwrap().len(), 4);
    }
    assert_eq!(whole["data"].as_array().unwrap().len(), 3);
}

#[test]
fn responses_are_named_and_numbered() {
    for reasoning in [0, 2] {
        let server = server(&format!("--reasoning-tokens {reasoning}"));
        let mut client = connect(&server);
        let mut body = json!({"input": [{"role": "user", "content": "abcd", "type": "message"}], "model": "m", "max_output_tokens": 5});
        let whole = client.post("/v1/responses", &body).json();
        body["stream"] = true.into();
        let answer = client.post("/v1/responses", &body);
        let events = answer.data();
        for (number, ((name, _), data)) in answer.events().iter().zip(&events).enumerate() {
            assert_eq!((data["type"].as_str(), data["sequence_number"].as_u64()), (Some(name.as_str()), Some(number as u64)));
        }
        let of = |kind: &str| events.iter().filter(|e| e["type"] == kind).collect::<Vec<_>>();
        let deltas = |kind: &str| text(of(kind).iter().map(|e| e["delta"].clone()));
        let all = " the mouse sleeps in a";
        let (thought, said) = if reasoning == 0 { ("", all) } else { all.split_at(10) };
        assert_eq!((deltas("response.reasoning_text.delta").as_str(), deltas("response.output_text.delta").as_str()), (thought, said));
        assert_eq!(of("response.output_text.done")[0]["text"], said);
        let completed = &of("response.completed")[0]["response"];
        for whole in [&whole, completed] {
            assert_eq!((&whole["object"], &whole["status"]), (&json!("response"), &json!("completed")));
            let message = whole["output"].as_array().unwrap().last().unwrap();
            assert_eq!((&message["type"], &message["content"][0]["type"]), (&json!("message"), &json!("output_text")));
            assert_eq!(message["content"][0]["text"], said);
            let usage = &whole["usage"];
            assert_eq!((&usage["input_tokens"], &usage["output_tokens"], &usage["total_tokens"]), (&json!(1), &json!(5), &json!(6)));
            assert_eq!(usage["output_tokens_details"]["reasoning_tokens"], reasoning);
        }
        assert_eq!(events.last().unwrap()["type"], "response.completed");
        assert!(!answer.text().contains("[DONE]"));
    }
}

#[test]
fn messages_have_blocks_between_their_events() {
    for reasoning in [0, 2] {
        let server = server(&format!("--reasoning-tokens {reasoning}"));
        let mut client = connect(&server);
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "abcd"}], "max_tokens": 5});
        let whole = client.post("/v1/messages", &body).json();
        let text_block = whole["content"].as_array().unwrap().last().unwrap();
        assert_eq!((&whole["type"], &whole["role"], &whole["stop_reason"]), (&json!("message"), &json!("assistant"), &json!("max_tokens")));
        assert_eq!(whole["usage"], json!({"input_tokens": 1, "output_tokens": 5}));
        body["stream"] = true.into();
        let answer = client.post("/v1/messages", &body);
        let events = answer.data();
        assert!(answer.events().iter().zip(&events).all(|((name, _), data)| data["type"] == name.as_str()));
        let kinds: Vec<_> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
        assert_eq!((kinds[0], kinds[1], *kinds.last().unwrap()), ("message_start", "content_block_start", "message_stop"));
        let deltas = |kind: &str, key: &str| text(events.iter().filter(|e| e["delta"]["type"] == kind).map(|e| e["delta"][key].clone()));
        assert_eq!(deltas("text_delta", "text"), text_block["text"].as_str().unwrap());
        assert_eq!(deltas("thinking_delta", "thinking"), if reasoning == 0 { "" } else { " the mouse" });
        // Every block that was opened is closed, by its index.
        let indices = |kind: &str| events.iter().filter(|e| e["type"] == kind).map(|e| e["index"].as_u64()).collect::<Vec<_>>();
        assert_eq!(indices("content_block_start"), indices("content_block_stop"));
        assert_eq!(events[0]["message"]["usage"]["input_tokens"], 1);
        let delta = &events[events.len() - 2];
        assert_eq!((&delta["delta"]["stop_reason"], &delta["usage"]["output_tokens"]), (&json!("max_tokens"), &json!(5)));
    }
}

#[test]
fn several_tokens_come_in_an_event_and_several_events_in_a_write() {
    let server = server("--tokens-per-chunk 4 --chunks-per-write 0");
    let events = connect(&server).post(CHAT, &chat(true, 10)).data();
    let pieces: Vec<_> = events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).filter(|p| !p.is_empty()).collect();
    assert_eq!(pieces, [" the mouse sleeps in", " a nest of leaves", " until spring"]);
}

#[test]
fn a_known_prefix_is_cached() {
    let server = server("--prefix-cache");
    let mut client = connect(&server);
    let body = |tail: &str| json!({"messages": [{"role": "user", "content": "x".repeat(1000) + tail}], "max_tokens": 1});
    let cached = |tail: &str, client: &mut crate::client::Client| {
        client.post(CHAT, &body(tail)).json()["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap()
    };
    assert_eq!(cached("a", &mut client), 0);
    assert!(cached("b", &mut client) > 200);
}
