//! What each kind of endpoint answers.

use dormouse_perf_load::answer::{Count, Endpoint, Kind};
use dormouse_perf_load::exchange::{Answered, Ask, Cause, Outcome};
use serde_json::{Value, json};

use crate::{SSE, chunked, event, failure, read, succeeded, whole};

fn streamed(endpoint: Endpoint, events: &[Value]) -> Answered {
    let events: Vec<String> = events.iter().map(event).collect();
    read(Ask { endpoint, streaming: true }, &chunked(SSE, &events))
}

fn kinds(answered: &Answered) -> Vec<Kind> {
    answered.pieces.iter().map(|piece| piece.kind()).collect()
}

#[test]
fn chat() {
    let message = |message: Value| {
        whole(
            Endpoint::Chat,
            &json!({"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}, {"index": 1, "message": {"content": "no"}}], "usage": {"completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 1}}}),
        )
    };
    let text = message(json!({"role": "assistant", "content": "a b"}));
    succeeded(&text);
    assert_eq!((text.text.as_str(), text.finish.as_deref(), text.other_choices, text.incomplete), ("a b", Some("stop"), true, false));
    assert_eq!(text.usage.unwrap().reasoning, Count::new(1));
    let thought = message(json!({"reasoning_content": "hm", "content": "a"}));
    assert_eq!((kinds(&thought), thought.reasoning.as_str()), (vec![Kind::ReasoningAndText], "hm"));
    let calls =
        message(json!({"content": "I look.", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "g"}}]}));
    assert_eq!((kinds(&calls), calls.tools.as_str(), calls.text.as_str()), (vec![Kind::ToolCall], "f{}g", ""));
    let completion = whole(Endpoint::Chat, &json!({"object": "text_completion", "choices": [{"text": "a"}]}));
    assert_eq!(failure(&completion).cause, Cause::Empty, "it is not what was asked for");
}

#[test]
fn completions() {
    for object in ["completion", "text_completion"] {
        let chunk = |text: &str, reason: Value| json!({"object": object, "choices": [{"index": 0, "text": text, "finish_reason": reason}]});
        let answered = streamed(Endpoint::Completions, &[chunk("a", json!(null)), chunk("", json!(null)), chunk(" b", json!("length"))]);
        succeeded(&answered);
        assert_eq!((answered.text.as_str(), answered.pieces.len(), answered.finish.as_deref()), ("a b", 2, Some("length")));
        assert_eq!(whole(Endpoint::Completions, &chunk("a", json!("stop"))).text, "a");
    }
}

#[test]
fn embeddings_and_rankings() {
    let usage = json!({"prompt_tokens": 3, "total_tokens": 3});
    let answered = whole(
        Endpoint::Embeddings,
        &json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1e-3]}], "usage": usage}),
    );
    succeeded(&answered);
    assert_eq!((kinds(&answered), answered.usage.unwrap().prompt), (vec![Kind::Embedding], Count::new(3)));
    for other in [json!({"embeddings": [[1]]}), json!({"data": [{"object": "embedding"}], "usage": 3})] {
        assert_eq!(kinds(&whole(Endpoint::Embeddings, &other)), [Kind::Embedding], "{other}");
    }
    for none in [json!({"data": []}), json!({"object": "list"}), json!([])] {
        assert_eq!(failure(&whole(Endpoint::Embeddings, &none)).cause, Cause::Empty, "{none}");
    }
    let error = json!({"data": [{"object": "embedding", "embedding": []}], "error": {"message": "no"}});
    assert_eq!(failure(&whole(Endpoint::Embeddings, &error)).message, "no");
    for some in [
        json!({"rankings": [{"index": 0, "logit": 1}]}),
        json!({"results": [{"index": 0, "relevance_score": 1}]}),
        json!([{"index": 0, "score": 1}]),
    ] {
        assert_eq!(kinds(&whole(Endpoint::Rankings, &some)), [Kind::Rankings], "{some}");
    }
}

#[test]
fn responses() {
    let usage = json!({"input_tokens": 3, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}});
    let answered = streamed(
        Endpoint::Responses,
        &[
            json!({"type": "response.created", "response": {"status": "in_progress", "output": [], "error": null}}),
            json!({"type": "response.reasoning_text.delta", "delta": "hm"}),
            json!({"type": "response.output_text.delta", "output_index": 1, "delta": "a"}),
            json!({"type": "response.output_text.delta", "output_index": 1, "delta": ""}),
            json!({"type": "response.output_text.done", "output_index": 1, "text": "a"}),
            json!({"type": "response.output_text.done", "output_index": 2, "text": " b"}),
            json!({"type": "response.function_call_arguments.delta", "delta": "{}"}),
            json!({"type": "response.completed", "response": {"status": "completed", "output": [], "usage": usage}}),
        ],
    );
    succeeded(&answered);
    assert_eq!(kinds(&answered), [Kind::Reasoning, Kind::Text, Kind::Text, Kind::Text, Kind::ToolCall]);
    assert_eq!((answered.text.as_str(), answered.reasoning.as_str(), answered.tools.as_str()), ("a b", "hm", "{}"));
    assert_eq!(
        (answered.finish.as_deref(), answered.incomplete, answered.usage.unwrap().reasoning),
        (Some("completed"), false, Count::new(2))
    );

    let failed = json!({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "oh"}}});
    let failed = streamed(Endpoint::Responses, &[json!({"type": "response.output_text.delta", "delta": "a"}), failed]);
    assert_eq!((failure(&failed).cause, failure(&failed).message.as_str()), (Cause::Server, "oh"));
    let cut =
        json!({"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}});
    let cut = streamed(Endpoint::Responses, &[json!({"type": "response.output_text.delta", "delta": "a"}), cut]);
    assert_eq!((&cut.outcome, cut.finish.as_deref()), (&Outcome::Success, Some("max_output_tokens")));

    let answered = whole(
        Endpoint::Responses,
        &json!({"object": "response", "status": "completed", "error": null, "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": " b"}]},
        {"type": "function_call", "name": "f", "arguments": "{}"}], "usage": usage}),
    );
    succeeded(&answered);
    assert_eq!((answered.text.as_str(), answered.reasoning.as_str(), answered.tools.as_str()), ("a b", "hm", "f{}"));
    assert_eq!(whole(Endpoint::Responses, &json!({"output_text": "a"})).text, "a");
}

#[test]
fn messages() {
    let block = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    let answered = streamed(
        Endpoint::Messages,
        &[
            json!({"type": "message_start", "message": {"type": "message", "content": [], "usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "content_block": {"type": "thinking", "thinking": ""}}),
            json!({"type": "ping"}),
            block(json!({"type": "thinking_delta", "thinking": "hm"})),
            block(json!({"type": "signature_delta", "signature": "x"})),
            block(json!({"type": "text_delta", "text": "a"})),
            block(json!({"type": "input_json_delta", "partial_json": "{}"})),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7, "input_tokens": null}}),
            json!({"type": "message_stop"}),
        ],
    );
    succeeded(&answered);
    assert_eq!(kinds(&answered), [Kind::Reasoning, Kind::Text, Kind::ToolCall]);
    let usage = answered.usage.unwrap();
    assert_eq!((usage.prompt, usage.completion, usage.cache_read), (Count::new(13), Count::new(7), Count::new(10)));
    assert_eq!((answered.finish.as_deref(), answered.incomplete), (Some("end_turn"), false));

    let busy = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
    let failed = read(Ask { endpoint: Endpoint::Messages, streaming: true }, &[format!("{SSE}\r\nevent: error\ndata: {busy}\n\n")]);
    assert_eq!(
        (failure(&failed).code, &*failure(&failed).class, failure(&failed).message.as_str()),
        (Some(502), "SSEResponseError", "busy")
    );

    let answered = whole(
        Endpoint::Messages,
        &json!({"type": "message", "stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 4},
        "content": [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "f", "input": {"x": 1}}]}),
    );
    succeeded(&answered);
    assert_eq!((answered.text.as_str(), answered.tools.as_str(), kinds(&answered)), ("a", "f{\"x\":1}", vec![Kind::ToolCall]));
}

#[test]
fn any_answer_is_found_out() {
    let of = |value: Value| whole(Endpoint::Any, &value);
    for (value, text) in [
        (json!({"text": "a"}), "a"),
        (json!({"content": ["a", " b"]}), "a b"),
        (json!({"text": "", "response": "a"}), "a"),
        (json!({"output": "a", "result": "b"}), "a"),
        (json!({"text": 5, "choices": [{"text": "a"}]}), "a"),
        (json!({"choices": [{"message": {"content": "a"}}]}), "a"),
        (json!({"choices": [{"delta": {"content": "a"}}]}), "a"),
        (json!("a"), "a"),
    ] {
        let answered = of(value.clone());
        assert_eq!((answered.text.as_str(), kinds(&answered)), (text, vec![Kind::Text]), "{value}");
    }
    for (value, kind) in [
        (json!({"data": [{"object": "embedding", "embedding": [1]}], "text": "x"}), Kind::Embedding),
        (json!({"embedding": [1]}), Kind::Embedding),
        (json!({"results": [1], "text": "x"}), Kind::Rankings),
    ] {
        assert_eq!(kinds(&of(value.clone())), [kind], "{value}");
    }
    for none in [json!({}), json!([]), json!({"choices": []}), json!({"output": [1]}), json!(5)] {
        assert_eq!(failure(&of(none.clone())).cause, Cause::Empty, "{none}");
    }
    assert_eq!(failure(&of(json!({"error": "no"}))).message, "no");
    let plain = read(Ask { endpoint: Endpoint::Any, streaming: false }, &["HTTP/1.1 200 OK\r\n\r\nplain text\n"]);
    succeeded(&plain);
    assert_eq!(plain.text, "plain text");
}
