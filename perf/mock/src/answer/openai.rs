//! Chat completions and completions, as OpenAI and vLLM say them.

use super::{Answer, Counts, Text, push_number};
use crate::args::Endpoint;

/// Appends `,"usage":{…}`; `generated` tokens so far.
fn push_usage(answer: &Answer, generated: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":");
    answer.push_count(answer.prompt_tokens, out);
    out.extend_from_slice(b",\"completion_tokens\":");
    answer.push_count(generated, out);
    out.extend_from_slice(b",\"total_tokens\":");
    answer.push_count(answer.prompt_tokens + generated, out);
    if let Some(cached) = answer.cached_tokens {
        out.extend_from_slice(b",\"prompt_tokens_details\":{\"cached_tokens\":");
        answer.push_count(cached, out);
        out.push(b'}');
    }
    if answer.reasoning > 0 {
        out.extend_from_slice(b",\"completion_tokens_details\":{\"reasoning_tokens\":");
        answer.push_count(answer.reasoning.min(generated), out);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Appends what every object of the answer begins with, up to its choices.
fn push_head(answer: &Answer, id: &str, object: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    answer.push_id(id, out);
    out.extend_from_slice(b"\",\"object\":\"");
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(b"\",\"created\":");
    push_number(answer.created, out);
    out.extend_from_slice(b",\"model\":\"");
    out.extend_from_slice(answer.model.as_bytes());
    out.extend_from_slice(b"\",\"choices\":[");
}

fn finish_reason(answer: &Answer) -> &'static [u8] {
    if answer.limited { b"\"length\"" } else { b"\"stop\"" }
}

pub(super) fn chat(answer: &Answer, out: &mut Vec<u8>) {
    push_head(answer, "chatcmpl-", "chat.completion", out);
    out.extend_from_slice(b"{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
    answer.words(answer.reasoning, answer.tokens(), out);
    out.push(b'"');
    if answer.reasoning > 0 {
        out.extend_from_slice(b",\"reasoning_content\":\"");
        answer.words(0, answer.reasoning, out);
        out.push(b'"');
    }
    out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":");
    finish_whole(answer, out);
}

pub(super) fn completion(answer: &Answer, out: &mut Vec<u8>) {
    push_head(answer, "cmpl-", "text_completion", out);
    out.extend_from_slice(b"{\"index\":0,\"text\":\"");
    answer.words(0, answer.tokens(), out);
    out.extend_from_slice(b"\",\"logprobs\":null,\"finish_reason\":");
    finish_whole(answer, out);
}

fn finish_whole(answer: &Answer, out: &mut Vec<u8>) {
    out.extend_from_slice(finish_reason(answer));
    out.extend_from_slice(b"}]");
    if answer.counts != Counts::Never {
        push_usage(answer, answer.tokens(), out);
    }
    out.push(b'}');
}

pub(super) fn begin(answer: &mut Answer, out: &mut Text) {
    let mut prefix = std::mem::take(&mut answer.prefix);
    prefix.clear();
    prefix.extend_from_slice(b"data: ");
    let chat = answer.endpoint == Endpoint::Chat;
    let (id, object) = if chat { ("chatcmpl-", "chat.completion.chunk") } else { ("cmpl-", "text_completion") };
    push_head(answer, id, object, &mut prefix);
    answer.prefix = prefix;
    if chat {
        choice(answer, b"\"delta\":{\"role\":\"assistant\",\"content\":\"\"}", b"null", 0, out);
    }
}

/// One event with one choice: what it adds, and why it ends.
fn choice(answer: &Answer, what: &[u8], finish: &[u8], generated: usize, out: &mut Text) {
    out.push(&answer.prefix);
    out.push(b"{\"index\":0,");
    out.push(what);
    end_choice(answer, finish, generated, out);
}

fn end_choice(answer: &Answer, finish: &[u8], generated: usize, out: &mut Text) {
    out.push(b",\"logprobs\":null,\"finish_reason\":");
    out.push(finish);
    out.push(b"}]");
    end_event(answer, generated, out);
}

fn end_event(answer: &Answer, generated: usize, out: &mut Text) {
    if answer.counts == Counts::Each {
        push_usage(answer, generated, &mut out.bytes);
    }
    out.push(b"}\n\n");
    out.end();
}

pub(super) fn event(answer: &Answer, from: usize, to: usize, out: &mut Text) {
    out.push(&answer.prefix);
    let chat = answer.endpoint == Endpoint::Chat;
    out.push(match (chat, from < answer.reasoning) {
        (true, true) => b"{\"index\":0,\"delta\":{\"reasoning_content\":\"",
        (true, false) => b"{\"index\":0,\"delta\":{\"content\":\"",
        (false, _) => b"{\"index\":0,\"text\":\"",
    });
    answer.words(from, to, &mut out.bytes);
    // What most events of most streams end with, as one piece.
    out.push(if chat { b"\"},\"logprobs\":null,\"finish_reason\":null}]" } else { b"\",\"logprobs\":null,\"finish_reason\":null}]" });
    end_event(answer, to, out);
}

pub(super) fn end(answer: &Answer, out: &mut Text) {
    let nothing: &[u8] = if answer.endpoint == Endpoint::Chat { b"\"delta\":{}" } else { b"\"text\":\"\"" };
    choice(answer, nothing, finish_reason(answer), answer.tokens(), out);
    if answer.counts != Counts::Never {
        out.push(&answer.prefix);
        out.push(b"]");
        push_usage(answer, answer.tokens(), &mut out.bytes);
        out.push(b"}\n\n");
        out.end();
    }
    out.push(b"data: [DONE]\n\n");
    out.end();
}
