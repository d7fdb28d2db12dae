//! The chunks of one stream are the same but for one text each: what is around it need not be read again.
//!
//! When the scanner has found such a chunk, the bytes before and behind its text are kept. One that begins and ends with the same
//! bytes, and has a text between them, says the same with that text; so the rest is two comparisons. Where it does not fit the
//! scanner has it.

use super::scan;
use super::{Content, Kind, Saying};

/// Longer chunks (with log probabilities, say) differ in more than a text.
const MOST: usize = 4 << 10;

/// What is around the text of the chunks of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// All before the text, its quote included, then all behind it, its quote included. Empty when nothing is known.
    bytes: Vec<u8>,
    /// Where the second begins.
    behind: usize,
    /// What the text is.
    kind: Option<Kind>,
}

impl Around {
    /// What the chunk says, when it is like the one before.
    pub(super) fn chunk<'a>(&self, data: &'a [u8]) -> Option<Saying<'a>> {
        let (before, behind) = self.bytes.split_at_checked(self.behind)?;
        // The quotes belong to the text, which is not empty.
        if before.is_empty() || data.len() <= self.bytes.len() || !data.starts_with(before) || !data.ends_with(behind) {
            return None;
        }
        let text = scan::text(data.get(before.len() - 1..data.len() - behind.len() + 1)?)?;
        let content = match self.kind? {
            Kind::Reasoning => Content::of("".into(), text, "".into()),
            Kind::ToolCall => Content::of("".into(), "".into(), text),
            _ => Content::of(text, "".into(), "".into()),
        };
        Some(Saying { content, ..Saying::default() })
    }

    /// Keeps what is around the text of this chunk, when there is one and it says nothing else.
    pub(super) fn learn(&mut self, data: &[u8], saying: &Saying<'_>) {
        let Some(content) = saying.content.as_ref().filter(|_| data.len() <= MOST) else { return };
        let alone = saying.finish.is_none() && saying.usage.is_none() && !saying.other_choices && !saying.done;
        let text = match content.kind {
            Kind::Text if alone => &*content.text,
            Kind::Reasoning if alone => &*content.reasoning,
            // The only one of its names and arguments that is not empty: where there were more it lies elsewhere.
            Kind::ToolCall if alone => &*content.tools,
            _ => return,
        };
        // A text that had escapes lies elsewhere.
        if !data.as_ptr_range().contains(&text.as_ptr()) {
            return;
        }
        let begin = text.as_ptr() as usize - data.as_ptr() as usize;
        let (Some(before), Some(behind)) = (data.get(..begin), data.get(begin + text.len()..)) else { return };
        self.bytes.clear();
        self.bytes.extend_from_slice(before);
        self.bytes.extend_from_slice(behind);
        self.behind = begin;
        self.kind = Some(content.kind);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Endpoint, Reader, Said};
    use super::*;

    #[test]
    fn a_text_in_the_same_bytes_is_all_that_is_read() {
        let mut around = Around::default();
        let chunk = |text: &str| format!(r#"{{"object":"text_completion","choices":[{{"text":"{text}"}}],"usage":null}}"#);
        let (first, second) = (chunk("a"), chunk(" \\n\\u00e4b"));
        assert_eq!(around.chunk(first.as_bytes()), None);
        around.learn(first.as_bytes(), &scan::chunk(Endpoint::Completions, first.as_bytes()).unwrap());
        let text = |data: &str| around.chunk(data.as_bytes()).map(|saying| saying.content.unwrap().text.into_owned());
        assert_eq!((text(&first), text(&second)), (Some("a".to_owned()), Some(" \n\u{e4}b".to_owned())));
        for other in [chunk(""), chunk("a").replace("null", "{}"), chunk("a\\"), chunk("a\",\"x\":\"b"), chunk("\n"), chunk("\\ud83d")] {
            assert_eq!(text(&other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_was_before_changes_nothing(
            events in prop::collection::vec((
                prop::sample::select(vec!["content", "reasoning", "reasoning_content", "role"]),
                "([a-z \u{4e16}\"]|\\\\(n|u00e4|ud83d|x)){0,4}",
                prop::sample::select(vec!["", ",\"reasoning\":\"b\"", ",\"content\":\"c\"", ",\"content\":null"]),
                prop::sample::select(vec!["null", "\"stop\""]),
                prop::sample::select(vec!["null", "{\"completion_tokens\":1}"]),
                0..2,
                prop::option::of(prop::sample::select(vec!["name", "arguments", "id"])),
            ), 0..12),
        ) {
            let mut reader = Reader::new(Endpoint::Chat);
            for (name, text, more, finish, usage, index, call) in events {
                let more = call.map_or(more.to_owned(), |key| format!(",\"tool_calls\":[{{\"function\":{{\"{key}\":\"{text}\"}}}}]"));
                let text = if call.is_some() { "" } else { &text };
                let event = format!(
                    "{{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":{index},\"delta\":{{\"{name}\":\"{text}\"{more}}},\"finish_reason\":{finish}}}],\"usage\":{usage}}}"
                );
                let alone = Reader::new(Endpoint::Chat).event(None, event.as_bytes());
                prop_assert_eq!(reader.event(None, event.as_bytes()), alone, "{}", event);
            }
            let nothing = matches!(reader.event(None, b"{\"object\":\"chat.completion.chunk\"}"), Said::Saying(Saying { content: None, .. }));
            prop_assert!(nothing);
        }
    }
}
