//! How an answer becomes a message of the history (perf contract 2.10).

use dormouse_perf_load::script::Answer;

use crate::json;

/// Whose messages they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Weave {
    /// Of chat completions.
    #[default]
    Chat,
    /// Of messages: calls of tools are blocks there.
    Messages,
    /// Of responses: items with a type.
    Responses,
}

impl Weave {
    /// Appends the message of an answer; one that says nothing is none. Whether there are messages now.
    pub(super) fn answer(self, answer: &Answer, follows: bool, out: &mut Vec<u8>) -> bool {
        let text = if answer.text.is_empty() { &answer.reasoning } else { &answer.text };
        let calls = answer.tools.trim_start().starts_with('[').then(|| json::compact(&answer.tools).ok()).flatten();
        let calls = calls.filter(|list| self == Self::Chat && list != "[]");
        let text = if text.is_empty() && calls.is_none() { &answer.tools } else { text };
        if text.is_empty() && calls.is_none() {
            return follows;
        }
        if follows {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"role":"assistant","content":"#);
        if text.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            // Straight into the body: histories are long.
            let mut quoted = String::with_capacity(text.len() + 8);
            json::push_string(&mut quoted, text);
            out.extend_from_slice(quoted.as_bytes());
        }
        if let Some(calls) = calls {
            out.extend_from_slice(br#","tool_calls":"#);
            out.extend_from_slice(calls.as_bytes());
        }
        out.extend_from_slice(if self == Self::Responses { br#","type":"message"}"# } else { b"}" });
        true
    }
}
