//! Messages, as Anthropic says them: named events around content blocks, thinking before text.

use super::{Answer, Counts, Text};

fn stop_reason(answer: &Answer) -> &'static [u8] {
    if answer.limited { b"\"max_tokens\"" } else { b"\"end_turn\"" }
}

fn push_usage(answer: &Answer, generated: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"usage\":{\"input_tokens\":");
    // What was read from the cache is not in it.
    answer.push_count(answer.prompt_tokens - answer.cached_tokens.unwrap_or(0).min(answer.prompt_tokens), out);
    if let Some(cached) = answer.cached_tokens {
        out.extend_from_slice(b",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":");
        answer.push_count(cached, out);
    }
    out.extend_from_slice(b",\"output_tokens\":");
    answer.push_count(generated, out);
    out.push(b'}');
}

fn push_message(answer: &Answer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    answer.push_id("msg_", out);
    out.extend_from_slice(b"\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"");
    out.extend_from_slice(answer.model.as_bytes());
    out.extend_from_slice(b"\",\"content\":[");
}

pub(super) fn whole(answer: &Answer, out: &mut Vec<u8>) {
    push_message(answer, out);
    if answer.reasoning > 0 {
        out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":\"");
        answer.words(0, answer.reasoning, out);
        out.extend_from_slice(b"\",\"signature\":\"bW9jaw==\"},");
    }
    out.extend_from_slice(b"{\"type\":\"text\",\"text\":\"");
    answer.words(answer.reasoning, answer.tokens(), out);
    out.extend_from_slice(b"\"}],\"stop_reason\":");
    out.extend_from_slice(stop_reason(answer));
    out.extend_from_slice(b",\"stop_sequence\":null");
    if answer.counts != Counts::Never {
        out.push(b',');
        push_usage(answer, answer.tokens(), out);
    }
    out.push(b'}');
}

fn named(name: &str, data: &[u8], out: &mut Text) {
    out.push(b"event: ");
    out.push(name.as_bytes());
    out.push(b"\ndata: ");
    out.push(data);
    out.push(b"\n\n");
    out.end();
}

pub(super) fn begin(answer: &Answer, out: &mut Text) {
    let mut data = br#"{"type":"message_start","message":"#.to_vec();
    push_message(answer, &mut data);
    data.extend_from_slice(br#"],"stop_reason":null,"stop_sequence":null"#);
    if answer.counts != Counts::Never {
        data.push(b',');
        push_usage(answer, 0, &mut data);
    }
    data.extend_from_slice(b"}}");
    named("message_start", &data, out);
    if answer.reasoning > 0 {
        named(
            "content_block_start",
            br#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            out,
        );
    } else {
        start_text(b"0", out);
    }
    named("ping", br#"{"type":"ping"}"#, out);
}

fn start_text(index: &[u8], out: &mut Text) {
    let data = [br#"{"type":"content_block_start","index":"#, index, br#","content_block":{"type":"text","text":""}}"#].concat();
    named("content_block_start", &data, out);
}

fn index(answer: &Answer) -> &'static [u8] {
    if answer.reasoning > 0 { b"1" } else { b"0" }
}

pub(super) fn event(answer: &Answer, from: usize, to: usize, out: &mut Text) {
    let reasoning = from < answer.reasoning;
    if !reasoning && from == answer.reasoning && from > 0 {
        named(
            "content_block_delta",
            br#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"bW9jaw=="}}"#,
            out,
        );
        named("content_block_stop", br#"{"type":"content_block_stop","index":0}"#, out);
        start_text(b"1", out);
    }
    out.push(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    out.push(if reasoning { b"0" } else { index(answer) });
    out.push(if reasoning {
        b",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\""
    } else {
        b",\"delta\":{\"type\":\"text_delta\",\"text\":\""
    });
    answer.words(from, to, &mut out.bytes);
    out.push(b"\"}}\n\n");
    out.end();
}

pub(super) fn end(answer: &Answer, out: &mut Text) {
    named("content_block_stop", &[br#"{"type":"content_block_stop","index":"#, index(answer), b"}"].concat(), out);
    let mut data = br#"{"type":"message_delta","delta":{"stop_reason":"#.to_vec();
    data.extend_from_slice(stop_reason(answer));
    data.extend_from_slice(br#","stop_sequence":null}"#);
    if answer.counts != Counts::Never {
        data.extend_from_slice(br#","usage":{"output_tokens":"#);
        answer.push_count(answer.tokens(), &mut data);
        data.push(b'}');
    }
    data.push(b'}');
    named("message_delta", &data, out);
    named("message_stop", br#"{"type":"message_stop"}"#, out);
}
