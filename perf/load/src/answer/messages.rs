//! Anthropic's messages: blocks that are streamed piece by piece, or one message with all of them.

use serde_json::{Map, Value};

use super::{Content, Saying, Usage, finish, text};

/// More members of counts than any server sends.
const MEMBERS: usize = 64;

/// The counts of earlier events: later ones win, what they leave out stands, says perf contract 4.6.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    merged: Map<String, Value>,
}

impl Counts {
    pub(super) fn read<'a>(&mut self, name: Option<&str>, event: &'a Value) -> Saying<'a> {
        let kind = event.get("type").and_then(Value::as_str).or(name).unwrap_or_default();
        match kind {
            "message_start" => event.get("message").map(|message| self.whole(message)).unwrap_or_default(),
            "message" => self.whole(event),
            "content_block_delta" => {
                let delta = event.get("delta").unwrap_or(&Value::Null);
                let content = match text(delta, "type") {
                    "text_delta" => Content::of(text(delta, "text").into(), "".into(), "".into()),
                    "thinking_delta" => Content::of("".into(), text(delta, "thinking").into(), "".into()),
                    "input_json_delta" => Content::of("".into(), "".into(), text(delta, "partial_json").into()),
                    _ => None,
                };
                Saying { content, ..Saying::default() }
            }
            "message_delta" => {
                let reason = event.get("delta").map(|delta| text(delta, "stop_reason")).filter(|reason| !reason.is_empty());
                Saying { finish: reason.map(finish), usage: self.merge(event), ..Saying::default() }
            }
            "message_stop" => Saying { done: true, ..Saying::default() },
            _ => Saying::default(),
        }
    }

    fn merge(&mut self, event: &Value) -> Option<Usage> {
        for (key, value) in Usage::find(event)?.iter().filter(|(_, value)| !value.is_null()) {
            if self.merged.len() < MEMBERS || self.merged.contains_key(key) {
                self.merged.insert(key.clone(), value.clone());
            }
        }
        Usage::read(&self.merged)
    }

    /// A message with what it has of its blocks; the one that begins a stream has none.
    fn whole<'a>(&mut self, message: &'a Value) -> Saying<'a> {
        let (mut said, mut thought, mut tools) = (String::new(), String::new(), String::new());
        for block in message.get("content").and_then(Value::as_array).into_iter().flatten() {
            match text(block, "type") {
                "text" => said.push_str(text(block, "text")),
                "thinking" => thought.push_str(text(block, "thinking")),
                "tool_use" => {
                    tools.push_str(text(block, "name"));
                    tools.extend(block.get("input").map(Value::to_string));
                }
                _ => {}
            }
        }
        let reason = text(message, "stop_reason");
        Saying {
            content: Content::of(said.into(), thought.into(), tools.into()),
            finish: (!reason.is_empty()).then(|| finish(reason)),
            usage: self.merge(message),
            ..Saying::default()
        }
    }
}
