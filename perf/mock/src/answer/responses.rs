//! Responses, as OpenAI says them: numbered events with names, around output items; reasoning is an item before the message.

use super::{Answer, Counts, Text, push_number};

/// Appends a response object; `output` as JSON, `completed` with its counts.
fn push_response(answer: &Answer, output: &[u8], completed: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    answer.push_id("resp_", out);
    out.extend_from_slice(b"\",\"object\":\"response\",\"created_at\":");
    push_number(answer.created, out);
    let status: &[u8] = if completed { b"completed" } else { b"in_progress" };
    for piece in [b",\"status\":\"", status, b"\",\"error\":null,\"incomplete_details\":null,\"model\":\"", answer.model.as_bytes()] {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(b"\",\"output\":[");
    out.extend_from_slice(output);
    out.push(b']');
    if completed && answer.counts != Counts::Never {
        out.extend_from_slice(b",\"usage\":{\"input_tokens\":");
        answer.push_count(answer.prompt_tokens, out);
        out.extend_from_slice(b",\"input_tokens_details\":{\"cached_tokens\":");
        answer.push_count(answer.cached_tokens.unwrap_or(0), out);
        out.extend_from_slice(b"},\"output_tokens\":");
        answer.push_count(answer.tokens(), out);
        out.extend_from_slice(b",\"output_tokens_details\":{\"reasoning_tokens\":");
        answer.push_count(answer.reasoning, out);
        out.extend_from_slice(b"},\"total_tokens\":");
        answer.push_count(answer.prompt_tokens + answer.tokens(), out);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Appends an output item; without its text while it is being written.
fn push_item(answer: &Answer, reasoning: bool, done: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    answer.push_id(if reasoning { "rs_" } else { "msg_" }, out);
    out.extend_from_slice(if reasoning {
        b"\",\"type\":\"reasoning\",\"summary\":[]"
    } else {
        b"\",\"type\":\"message\",\"role\":\"assistant\""
    });
    out.extend_from_slice(if done { b",\"status\":\"completed\",\"content\":[" } else { b",\"status\":\"in_progress\",\"content\":[" });
    if done {
        push_part(answer, reasoning, true, out);
    }
    out.extend_from_slice(b"]}");
}

fn push_part(answer: &Answer, reasoning: bool, done: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if reasoning { b"{\"type\":\"reasoning_text\",\"text\":\"" } else { b"{\"type\":\"output_text\",\"text\":\"" });
    if done {
        push_words(answer, reasoning, out);
    }
    out.extend_from_slice(if reasoning { b"\"}" } else { b"\",\"annotations\":[]}" });
}

fn push_words(answer: &Answer, reasoning: bool, out: &mut Vec<u8>) {
    let (from, to) = if reasoning { (0, answer.reasoning) } else { (answer.reasoning, answer.tokens()) };
    answer.words(from, to, out);
}

fn output(answer: &Answer) -> Vec<u8> {
    let mut items = Vec::new();
    if answer.reasoning > 0 {
        push_item(answer, true, true, &mut items);
        items.push(b',');
    }
    push_item(answer, false, true, &mut items);
    items
}

pub(super) fn whole(answer: &Answer, out: &mut Vec<u8>) {
    push_response(answer, &output(answer), true, out);
}

/// An event by its name and what its object holds beside type and number.
fn event_named(answer: &mut Answer, name: &str, out: &mut Text, rest: impl FnOnce(&Answer, &mut Vec<u8>)) {
    for piece in ["event: response.", name, "\ndata: {\"type\":\"response.", name, "\",\"sequence_number\":"] {
        out.push(piece.as_bytes());
    }
    push_number(answer.sequence as u64, &mut out.bytes);
    answer.sequence += 1;
    rest(answer, &mut out.bytes);
    out.push(b"}\n\n");
    out.end();
}

/// Appends which item and part an event belongs to.
fn push_place(answer: &Answer, reasoning: bool, part: bool, out: &mut Vec<u8>) {
    if part {
        out.extend_from_slice(b",\"item_id\":\"");
        answer.push_id(if reasoning { "rs_" } else { "msg_" }, out);
        out.extend_from_slice(b"\",\"content_index\":0");
    }
    out.extend_from_slice(if answer.reasoning > 0 && !reasoning { b",\"output_index\":1" } else { b",\"output_index\":0" });
}

fn open(answer: &mut Answer, reasoning: bool, out: &mut Text) {
    event_named(answer, "output_item.added", out, |answer, out| {
        push_place(answer, reasoning, false, out);
        out.extend_from_slice(b",\"item\":");
        push_item(answer, reasoning, false, out);
    });
    event_named(answer, "content_part.added", out, |answer, out| {
        push_place(answer, reasoning, true, out);
        out.extend_from_slice(b",\"part\":");
        push_part(answer, reasoning, false, out);
    });
}

fn close(answer: &mut Answer, reasoning: bool, out: &mut Text) {
    let name = if reasoning { "reasoning_text.done" } else { "output_text.done" };
    event_named(answer, name, out, |answer, out| {
        push_place(answer, reasoning, true, out);
        out.extend_from_slice(b",\"text\":\"");
        push_words(answer, reasoning, out);
        out.push(b'"');
    });
    event_named(answer, "content_part.done", out, |answer, out| {
        push_place(answer, reasoning, true, out);
        out.extend_from_slice(b",\"part\":");
        push_part(answer, reasoning, true, out);
    });
    event_named(answer, "output_item.done", out, |answer, out| {
        push_place(answer, reasoning, false, out);
        out.extend_from_slice(b",\"item\":");
        push_item(answer, reasoning, true, out);
    });
}

pub(super) fn begin(answer: &mut Answer, out: &mut Text) {
    for name in ["created", "in_progress"] {
        event_named(answer, name, out, |answer, out| {
            out.extend_from_slice(b",\"response\":");
            push_response(answer, b"", false, out);
        });
    }
    open(answer, answer.reasoning > 0, out);
}

pub(super) fn event(answer: &mut Answer, from: usize, to: usize, out: &mut Text) {
    let reasoning = from < answer.reasoning;
    if !reasoning && from == answer.reasoning && from > 0 {
        close(answer, true, out);
        open(answer, false, out);
    }
    let name = if reasoning { "reasoning_text.delta" } else { "output_text.delta" };
    event_named(answer, name, out, |answer, out| {
        push_place(answer, reasoning, true, out);
        out.extend_from_slice(b",\"delta\":\"");
        answer.words(from, to, out);
        out.push(b'"');
    });
}

pub(super) fn end(answer: &mut Answer, out: &mut Text) {
    close(answer, false, out);
    event_named(answer, "completed", out, |answer, out| {
        out.extend_from_slice(b",\"response\":");
        push_response(answer, &output(answer), true, out);
    });
}
