//! Conversations and completions, as JSON.
//!
//! The rules that say what is content are here once, for the scanner too, says perf contract 4.6.

use std::borrow::Cow;

use serde_json::Value;

use super::{Content, Endpoint, Saying, Usage, finish, text};

/// Where the content of a choice lies, by the name that the answer gives itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Message,
    Delta,
    Text,
    /// Another, or none: it has no content.
    Other,
}

impl Object {
    pub(super) fn of(endpoint: Endpoint, name: &str) -> Self {
        match (endpoint, name) {
            (Endpoint::Chat, "chat.completion") => Self::Message,
            (Endpoint::Chat, "chat.completion.chunk") => Self::Delta,
            (Endpoint::Completions, "completion" | "text_completion") => Self::Text,
            _ => Self::Other,
        }
    }
}

/// What a message, or a piece of one, holds; reasoning under its two names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) content: Cow<'a, str>,
    pub(super) reasoning_content: Cow<'a, str>,
    pub(super) reasoning: Cow<'a, str>,
    pub(super) tools: Cow<'a, str>,
}

impl<'a> Message<'a> {
    /// Reasoning goes before tools, tools go before text; text beside reasoning is kept, text beside tools is not.
    pub(super) fn content(self) -> Option<Content<'a>> {
        let none = Cow::Borrowed("");
        let reasoning = if self.reasoning_content.is_empty() { self.reasoning } else { self.reasoning_content };
        if !reasoning.is_empty() {
            Content::of(self.content, reasoning, none)
        } else if !self.tools.is_empty() {
            Content::of(none.clone(), none, self.tools)
        } else {
            Content::of(self.content, none.clone(), none)
        }
    }

    fn read(value: &'a Value) -> Self {
        Self {
            content: value.get("content").map(content).unwrap_or_default(),
            reasoning_content: text(value, "reasoning_content").into(),
            reasoning: text(value, "reasoning").into(),
            tools: tools(value).into(),
        }
    }
}

/// A text, or the texts of a list of parts.
fn content(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        Value::Array(parts) => parts.iter().map(|part| text(part, "text")).collect::<String>().into(),
        _ => "".into(),
    }
}

/// Names and arguments of all calls, as they stand.
fn tools(message: &Value) -> String {
    let calls = message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let functions = calls.iter().filter_map(|call| call.get("function"));
    functions.flat_map(|function| [text(function, "name"), text(function, "arguments")]).collect()
}

/// Whether a choice of this number is the first.
fn is_first(choice: &Value) -> bool {
    choice.get("index").and_then(Value::as_u64).is_none_or(|index| index == 0)
}

/// What an answer, or a chunk of one, says.
pub(super) fn saying(endpoint: Endpoint, answer: &Value) -> Saying<'_> {
    let object = Object::of(endpoint, text(answer, "object"));
    let choices = answer.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let first = choices.iter().find(|choice| is_first(choice));
    let usage = Usage::of_answer(answer);
    let saying = Saying { usage, other_choices: choices.len() > usize::from(first.is_some()), ..Saying::default() };
    let (Some(first), false) = (first, object == Object::Other) else { return saying };
    let message = match object {
        Object::Message => first.get("message").map(Message::read),
        Object::Delta => first.get("delta").map(Message::read),
        Object::Text | Object::Other => Some(Message { content: text(first, "text").into(), ..Message::default() }),
    };
    let reason = text(first, "finish_reason");
    Saying { content: message.and_then(Message::content), finish: (!reason.is_empty()).then(|| finish(reason)), ..saying }
}
