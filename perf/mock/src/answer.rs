//! What is said: one answer as the wire of its endpoint has it, whole or as events.
//!
//! An [`Answer`] knows its tokens by number and nothing of time, sockets or HTTP. It appends to a [`Text`], which remembers where each event
//! ends; the pieces that are the same in every event of an answer are made once.

mod anthropic;
mod embeddings;
mod openai;
mod responses;
mod text;

use std::fmt::Write;

pub(crate) use text::{Odd, Text, push_number};

use crate::args::Endpoint;

/// Words of one token each in most vocabularies, plain in JSON.
const WORDS: [&str; 16] = [
    " the", " mouse", " sleeps", " in", " a", " nest", " of", " leaves", " until", " spring", " and", " wakes", " when", " it", " is",
    " warm",
];
/// Characters of two to four bytes.
const WIDE_WORDS: [&str; 4] = [" Mäuse", " 睡鼠", " 🐭💤", " сони"];

/// Who counts tokens in the answer, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    Never,
    /// At the end: in whole bodies, and in a stream's last event.
    Last,
    /// In every event.
    Each,
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) endpoint: Endpoint,
    /// Differs for every answer of every server.
    pub(crate) id: u64,
    /// Seconds since the epoch.
    pub(crate) created: u64,
    /// As it stands between quotes.
    pub(crate) model: String,
    pub(crate) prompt_tokens: usize,
    pub(crate) cached_tokens: Option<usize>,
    /// Reasoning comes first; both together are what was generated.
    pub(crate) reasoning: usize,
    pub(crate) content: usize,
    /// It ends because of the request's limit.
    pub(crate) limited: bool,
    pub(crate) counts: Counts,
    pub(crate) odd: Odd,
    pub(crate) wide: bool,
    /// Bytes that follow each word.
    pub(crate) padding: usize,
    /// Of an embedding.
    pub(crate) inputs: usize,
    pub(crate) dimensions: usize,
    /// What every event begins with; made by `begin`.
    prefix: Vec<u8>,
    /// Events of the responses endpoint are numbered.
    sequence: usize,
}

impl Answer {
    pub(crate) fn new(endpoint: Endpoint, id: u64, created: u64, model: String) -> Self {
        Self {
            endpoint,
            id,
            created,
            model,
            prompt_tokens: 1,
            cached_tokens: None,
            reasoning: 0,
            content: 16,
            limited: true,
            counts: Counts::Last,
            odd: Odd::No,
            wide: false,
            padding: 0,
            inputs: 1,
            dimensions: 16,
            prefix: Vec::new(),
            sequence: 0,
        }
    }

    /// How many tokens it generates.
    pub(crate) fn tokens(&self) -> usize {
        self.reasoning + self.content
    }

    /// Appends the whole body.
    pub(crate) fn whole(&self, out: &mut Vec<u8>) {
        match self.endpoint {
            Endpoint::Chat => openai::chat(self, out),
            Endpoint::Completions => openai::completion(self, out),
            Endpoint::Embeddings => embeddings::whole(self, out),
            Endpoint::Responses => responses::whole(self, out),
            Endpoint::Messages => anthropic::whole(self, out),
        }
    }

    /// Appends the events before the first token.
    pub(crate) fn begin(&mut self, out: &mut Text) {
        self.sequence = 0;
        match self.endpoint {
            Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => openai::begin(self, out),
            Endpoint::Responses => responses::begin(self, out),
            Endpoint::Messages => anthropic::begin(self, out),
        }
    }

    /// Appends the tokens from `from` until before `to`: one event, or two where reasoning ends between them.
    pub(crate) fn events(&mut self, from: usize, to: usize, out: &mut Text) {
        let border = self.reasoning.clamp(from, to);
        for (from, to) in [(from, border), (border, to)] {
            if from < to {
                match self.endpoint {
                    Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => openai::event(self, from, to, out),
                    Endpoint::Responses => responses::event(self, from, to, out),
                    Endpoint::Messages => anthropic::event(self, from, to, out),
                }
            }
        }
    }

    /// Appends what follows the last token.
    pub(crate) fn end(&mut self, out: &mut Text) {
        match self.endpoint {
            Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => openai::end(self, out),
            Endpoint::Responses => responses::end(self, out),
            Endpoint::Messages => anthropic::end(self, out),
        }
    }

    /// Appends an error in the middle of a stream, as the endpoint's servers say one.
    pub(crate) fn error_event(&self, message: &str, out: &mut Text) {
        if self.endpoint == Endpoint::Messages {
            out.push(b"event: error\n");
        }
        out.push(b"data: ");
        error(self.endpoint, 500, message, &mut out.bytes);
        out.push(b"\n\n");
        out.end();
    }

    /// Appends the text of these tokens.
    fn words(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        let words: &[&str] = if self.wide { &WIDE_WORDS } else { &WORDS };
        for token in from..to {
            out.extend_from_slice(words[token % words.len()].as_bytes());
            out.resize(out.len() + self.padding, b'x');
        }
    }

    fn push_id(&self, prefix: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(prefix.as_bytes());
        let mut digits = [0; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(self.id >> (60 - 4 * at) & 15) as usize];
        }
        out.extend_from_slice(&digits);
    }

    fn push_count(&self, count: usize, out: &mut Vec<u8>) {
        self.odd.push(count, out);
    }
}

/// Appends the body of an error as the endpoint's servers say one.
pub(crate) fn error(endpoint: Endpoint, status: u16, message: &str, out: &mut Vec<u8>) {
    let kind = match (endpoint, status) {
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 404) => "not_found_error",
        (_, 429) => "rate_limit_error",
        (Endpoint::Messages, 413) => "request_too_large",
        (Endpoint::Messages, 529) => "overloaded_error",
        (Endpoint::Messages, 500..) => "api_error",
        (_, 500..) => "server_error",
        _ => "invalid_request_error",
    };
    let message = serde_json::Value::from(message);
    let mut text = String::new();
    let _ = match endpoint {
        Endpoint::Messages => write!(text, r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}}}}"#),
        _ => write!(text, r#"{{"error":{{"message":{message},"type":"{kind}","param":null,"code":{status}}}}}"#),
    };
    out.extend_from_slice(text.as_bytes());
}
