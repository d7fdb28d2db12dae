//! OpenAI's responses: events with a type, or one object with all output.

use serde_json::Value;

use super::{Content, Kind, Said, Saying, Usage, finish, text};

/// More parts of an answer than this are not told apart: they count as streamed.
const PARTS: usize = 1024;

/// Parts of the output of which something was streamed.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    streamed: Vec<(u64, u64)>,
}

impl Parts {
    pub(super) fn read<'a>(&mut self, name: Option<&str>, event: &'a Value) -> Said<'a> {
        let kind = event.get("type").and_then(Value::as_str).or(name).unwrap_or_default();
        let number = |key: &str| event.get(key).and_then(Value::as_u64).unwrap_or_default();
        let part = (number("output_index"), number("content_index"));
        let delta = text(event, "delta");
        let content = match kind {
            "response.output_text.delta" => {
                if !delta.is_empty() {
                    self.mark(part);
                }
                Content::of(delta.into(), "".into(), "".into())
            }
            "response.reasoning_text.delta" => Content::of("".into(), delta.into(), "".into()),
            "response.function_call_arguments.delta" => Content::of("".into(), "".into(), delta.into()),
            // What was streamed is not told twice; that it is done counts all the same, says perf contract 4.6.
            "response.output_text.done" if self.is_marked(part) => Some(Content::bare(Kind::Text)),
            "response.output_text.done" => {
                self.mark(part);
                Content::of(text(event, "text").into(), "".into(), "".into())
            }
            "response.completed" | "response.incomplete" => {
                let response = event.get("response").unwrap_or(event);
                return Said::Saying(Saying { done: true, ..ending(response) });
            }
            _ if event.get("output").is_some() || event.get("output_text").is_some() => return Said::Saying(whole(event)),
            _ => None,
        };
        Said::Saying(Saying { content, ..Saying::default() })
    }

    fn mark(&mut self, part: (u64, u64)) {
        if !self.is_marked(part) {
            self.streamed.push(part);
        }
    }

    fn is_marked(&self, part: (u64, u64)) -> bool {
        self.streamed.len() >= PARTS || self.streamed.contains(&part)
    }
}

/// Counts and the reason of the end.
fn ending(response: &Value) -> Saying<'_> {
    let reason = response.get("incomplete_details").map(|why| text(why, "reason")).filter(|reason| !reason.is_empty());
    let reason = reason.unwrap_or(text(response, "status"));
    Saying { usage: Usage::of_answer(response), finish: (!reason.is_empty()).then(|| finish(reason)), ..Saying::default() }
}

/// An answer in one piece.
fn whole(response: &Value) -> Saying<'_> {
    let (mut said, mut thought, mut tools) = (String::new(), String::new(), String::new());
    for item in list(response, "output") {
        match text(item, "type") {
            "message" => said.extend(list(item, "content").iter().map(|part| text(part, "text"))),
            "reasoning" => thought.extend(list(item, "summary").iter().chain(list(item, "content")).map(|part| text(part, "text"))),
            "function_call" => tools.extend([text(item, "name"), text(item, "arguments")]),
            _ => {}
        }
    }
    if said.is_empty() && thought.is_empty() && tools.is_empty() {
        said.push_str(text(response, "output_text"));
    }
    Saying { content: Content::of(said.into(), thought.into(), tools.into()), ..ending(response) }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
