//! The common chunk of a conversation or a completion, read without a tree and, where its texts need no change, without memory.
//!
//! One pass from brace to brace, in whatever order the members stand. It checks all that a JSON reader checks, and gives up
//! (`None`) at whatever it does not know: an error, parts in place of a text, calls of tools, counts with details, halves of
//! characters, a member twice. What it does give is what the reader of JSON gives, of the same bytes.

use std::borrow::Cow;

use super::openai::{Message, Object};
use super::usage::Count;
use super::{Endpoint, Saying, Usage, finish};

/// Deeper values are left to the reader of JSON.
const DEPTH: u8 = 32;
/// Bytes within a text that stand for themselves.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// What the chunk says, where it is a common one.
pub(super) fn chunk(endpoint: Endpoint, data: &[u8]) -> Option<Saying<'_>> {
    let mut scan = Scan { text: std::str::from_utf8(data).ok()?, at: 0 };
    let (mut seen, mut object, mut choices, mut usage) = (Seen(0), Object::Other, Choices::default(), None);
    scan.object(|scan, key| match key {
        "object" => {
            seen.once(0)?;
            let name = scan.plain()?;
            object = Object::of(endpoint, name);
            (name != "error").then_some(())
        }
        "choices" => {
            seen.once(1)?;
            scan.choices(&mut choices)
        }
        "usage" => {
            seen.once(2)?;
            usage = scan.usage()?;
            Some(())
        }
        "error" => scan.null(),
        "type" | "response" | "usageMetadata" | "meta" => None,
        _ => scan.skip(0),
    })?;
    if scan.at != data.len() {
        return None;
    }
    let others = choices.count > usize::from(choices.first.is_some());
    let saying = Saying { usage, other_choices: others, ..Saying::default() };
    let Some(first) = choices.first.filter(|_| object != Object::Other) else { return Some(saying) };
    Some(Saying {
        content: if first.object == object { first.message.content() } else { None },
        finish: (!first.finish.is_empty()).then(|| finish(&first.finish)),
        ..saying
    })
}

/// Members that have come.
struct Seen(u8);

impl Seen {
    fn once(&mut self, member: u8) -> Option<()> {
        let bit = 1 << member;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        first.then_some(())
    }
}

#[derive(Default)]
struct Choices<'a> {
    count: usize,
    first: Option<Choice<'a>>,
}

struct Choice<'a> {
    /// What kind of answer it belongs to.
    object: Object,
    message: Message<'a>,
    finish: Cow<'a, str>,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Each member of an object.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        self.blank();
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.plain()?;
            self.blank();
            self.take(b':')?;
            self.blank();
            member(self, key)?;
            self.blank();
            if self.take(b'}').is_some() {
                return Some(());
            }
            self.take(b',')?;
            self.blank();
        }
    }

    /// Each member of a list.
    fn list(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        self.blank();
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            member(self)?;
            self.blank();
            if self.take(b']').is_some() {
                return Some(());
            }
            self.take(b',')?;
            self.blank();
        }
    }

    fn choices(&mut self, choices: &mut Choices<'a>) -> Option<()> {
        if self.peek()? == b'n' {
            return self.null();
        }
        self.list(|scan| {
            choices.count += 1;
            let (mut seen, mut index) = (Seen(0), 0);
            let mut choice = Choice { object: Object::Other, message: Message::default(), finish: "".into() };
            scan.object(|scan, key| {
                match key {
                    "index" => {
                        seen.once(0)?;
                        index = scan.number_or_null()?.unwrap_or_default();
                    }
                    "finish_reason" => {
                        seen.once(1)?;
                        choice.finish = scan.text_or_null()?;
                    }
                    "delta" | "message" | "text" => {
                        // One of them: which counts is said by the name of the whole.
                        seen.once(2)?;
                        (choice.object, choice.message) = match key {
                            "text" => (Object::Text, Message { content: scan.text_or_null()?, ..Message::default() }),
                            "delta" => (Object::Delta, scan.message()?),
                            _ => (Object::Message, scan.message()?),
                        };
                    }
                    _ => scan.skip(2)?,
                }
                Some(())
            })?;
            if index == 0 && choices.first.is_none() {
                choices.first = Some(choice);
            }
            Some(())
        })
    }

    fn message(&mut self) -> Option<Message<'a>> {
        let (mut seen, mut message) = (Seen(0), Message::default());
        if self.peek()? == b'n' {
            self.null()?;
            return Some(message);
        }
        self.object(|scan, key| {
            match key {
                "content" => {
                    seen.once(0)?;
                    message.content = scan.text_or_null()?;
                }
                "reasoning_content" => {
                    seen.once(1)?;
                    message.reasoning_content = scan.text_or_null()?;
                }
                "reasoning" => {
                    seen.once(2)?;
                    message.reasoning = scan.text_or_null()?;
                }
                "tool_calls" => {
                    seen.once(3)?;
                    if scan.peek()? == b'n' {
                        scan.null()?;
                    } else {
                        scan.list(|_| None)?;
                    }
                }
                _ => scan.skip(3)?,
            }
            Some(())
        })?;
        Some(message)
    }

    /// Counts without details.
    fn usage(&mut self) -> Option<Option<Usage>> {
        if self.peek()? == b'n' {
            self.null()?;
            return Some(None);
        }
        let (mut seen, mut any, mut usage) = (Seen(0), false, Usage::default());
        self.object(|scan, key| {
            any = true;
            let (member, count) = match key {
                "prompt_tokens" => (0, &mut usage.prompt),
                "completion_tokens" => (1, &mut usage.completion),
                "total_tokens" => (2, &mut usage.total),
                _ => return scan.null(),
            };
            seen.once(member)?;
            *count = scan.number_or_null()?.and_then(Count::new);
            Some(())
        })?;
        Some(any.then_some(usage))
    }

    fn null(&mut self) -> Option<()> {
        self.word("null")
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes());
        found.then(|| self.at += word.len())
    }

    fn text_or_null(&mut self) -> Option<Cow<'a, str>> {
        if self.peek()? == b'n' {
            self.null()?;
            return Some("".into());
        }
        let (text, escaped) = self.string()?;
        if escaped { unescaped(text).map(Cow::Owned) } else { Some(Cow::Borrowed(text)) }
    }

    /// A text without escapes.
    fn plain(&mut self) -> Option<&'a str> {
        let (text, escaped) = self.string()?;
        (!escaped).then_some(text)
    }

    /// A text as it stands, and whether it has escapes.
    fn string(&mut self) -> Option<(&'a str, bool)> {
        self.take(b'"')?;
        let bytes = self.text.as_bytes();
        let (begin, mut at, mut escaped) = (self.at, self.at, false);
        loop {
            let byte = *bytes.get(at)?;
            if PLAIN[usize::from(byte)] {
                at += 1;
            } else if byte == b'"' {
                self.at = at + 1;
                return Some((self.text.get(begin..at)?, escaped));
            } else if byte == b'\\' {
                escaped = true;
                at += match bytes.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' => {
                        unit(bytes.get(at + 2..at + 6)?)?;
                        6
                    }
                    _ => return None,
                };
            } else {
                return None;
            }
        }
    }

    /// A whole number that is not negative and that nobody writes otherwise.
    fn number_or_null(&mut self) -> Option<Option<u64>> {
        if self.peek()? == b'n' {
            self.null()?;
            return Some(None);
        }
        let rest = self.text.as_bytes().get(self.at..)?;
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let usual = (1..=15).contains(&digits) && (digits == 1 || rest[0] != b'0') && !matches!(rest.get(digits), Some(b'.' | b'e' | b'E'));
        if !usual {
            return None;
        }
        self.at += digits;
        Some(Some(rest[..digits].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))))
    }

    /// Passes over any value.
    fn skip(&mut self, depth: u8) -> Option<()> {
        if depth > DEPTH {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(|scan, _| scan.skip(depth + 1)),
            b'[' => self.list(|scan| scan.skip(depth + 1)),
            b'n' => self.null(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.skip_number(),
        }
    }

    /// Passes over a number that no reader finds too large.
    fn skip_number(&mut self) -> Option<()> {
        let _ = self.take(b'-');
        let begin = self.at;
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.take(b'-')?;
            self.digits()?;
        }
        (self.at - begin <= 40).then_some(())
    }

    fn digits(&mut self) -> Option<()> {
        let begin = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }
}

/// The character of an escape's four digits, where it is a whole one.
fn unit(digits: &[u8]) -> Option<char> {
    let number = digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))?;
    char::from_u32(number)
}

/// A text without its escapes, which have been looked at before.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut left = text;
    while let Some(at) = memchr::memchr(b'\\', left.as_bytes()) {
        out.push_str(left.get(..at)?);
        let escape = *left.as_bytes().get(at + 1)?;
        out.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unit(left.as_bytes().get(at + 2..at + 6)?)?,
            other => char::from(other),
        });
        left = left.get(at + if escape == b'u' { 6 } else { 2 }..)?;
    }
    out.push_str(left);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Content, openai, refusal::Refusal};
    use super::*;

    const ENDPOINTS: [Endpoint; 2] = [Endpoint::Chat, Endpoint::Completions];

    /// What the scanner says, after the reader of JSON has said the same.
    fn scanned(endpoint: Endpoint, data: &[u8]) -> Option<Saying<'_>> {
        let said = chunk(endpoint, data)?;
        let value: serde_json::Value = serde_json::from_slice(data).unwrap();
        assert_eq!(Refusal::of(&value), None);
        assert_eq!(said, openai::saying(endpoint, &value), "{}", String::from_utf8_lossy(data));
        Some(said)
    }

    #[test]
    fn usual_chunks_are_scanned() {
        let text = |text: &'static str| Content::of(text.into(), "".into(), "".into());
        for (data, wanted) in [
            (
                r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" Hi"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
                text(" Hi"),
            ),
            (
                r#"{"choices": [{"delta": {"content": "a\n\"\u00e4\\"}, "index": 0, "finish_reason": "stop"}], "object": "chat.completion.chunk", "error": null}"#,
                text("a\n\"ä\\"),
            ),
            (
                r#"{"object":"chat.completion.chunk","choices":[{"delta":{"role":"assistant","content":"","tool_calls":[],"reasoning":null}}]}"#,
                None,
            ),
            (
                r#"{"object":"chat.completion.chunk","choices":[{"delta":{"reasoning_content":"","reasoning":"hm","content":"x"}}]}"#,
                Content::of("x".into(), "hm".into(), "".into()),
            ),
            (
                r#"{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"whole"}}],"x":[1,-0.5e-7,true,{"y":"\ud7ff"}]}"#,
                text("whole"),
            ),
            (r#"{"object":"other","choices":[{"delta":{"content":"x"}}]}"#, None),
            (r#"{"choices":[{"delta":{"content":"x"}}]}"#, None),
        ] {
            assert_eq!(scanned(Endpoint::Chat, data.as_bytes()).unwrap().content, wanted, "{data}");
        }
        let completion = br#"{"object":"text_completion","choices":[{"index":0,"text":" Hi","logprobs":{"tokens":[" Hi"]}}]}"#;
        assert_eq!(scanned(Endpoint::Completions, completion).unwrap().content, text(" Hi"));
        assert_eq!(scanned(Endpoint::Chat, completion).unwrap().content, None);
        let counts = br#"{"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":20,"total_tokens":24,"completion_tokens":4,"prompt_tokens_details":null}}"#;
        assert_eq!(scanned(Endpoint::Chat, counts).unwrap().usage.unwrap().completion, Count::new(4));
        let two = br#"{"object":"chat.completion.chunk","choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"yes"},"finish_reason":"new"}]}"#;
        let two = scanned(Endpoint::Chat, two).unwrap();
        assert_eq!((two.content, two.other_choices, two.finish.as_deref()), (text("yes"), true, Some("new")));
    }

    #[test]
    fn what_is_not_usual_is_left() {
        for data in [
            r#"{"error":{"message":"x"}}"#,
            r#"{"object":"error","message":"x"}"#,
            r#"{"object":"a","object":"b"}"#,
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":"x"}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{}]}}]}"#,
            r#"{"choices":[{"delta":{"content":"\ud83d\ude00"}}]}"#,
            r#"{"usage":{"prompt_tokens":4.0}}"#,
            r#"{"usage":{"completion_tokens_details":{}}}"#,
            r#"{"a":1e5}"#,
            "{\"a\":\"\n\"}",
            "{\"a\":01}",
            "{\"a\":1}x",
            "{\"a\":1",
            "[]",
            "",
        ] {
            assert_eq!(chunk(Endpoint::Chat, data.as_bytes()), None, "{data}");
        }
    }

    /// Texts with all that JSON can have in them, written as JSON.
    fn string() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z \u{e4}\u{4e16}]{0,8}".prop_map(|text| format!("\"{text}\"")),
            r#"("([a-z ]|\\(n|t|"|\\|/|u00e4|u4e16|ud83d|ude00|ud83d\\ude00)){0,4}")"#,
        ]
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            4 => string(),
            2 => Just("null".to_owned()),
            1 => "(true|false|0|-0|1|7|12|1\\.0|-3|1e3|1e-3|9007199254740993|00)",
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
                prop::collection::vec((key(), inner), 0..4).prop_map(object),
            ]
        })
    }

    fn key() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "object",
            "choices",
            "usage",
            "error",
            "index",
            "delta",
            "message",
            "text",
            "content",
            "reasoning",
            "reasoning_content",
            "tool_calls",
            "finish_reason",
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "logprobs",
            "id",
            "type",
        ])
    }

    fn object(members: Vec<(&'static str, String)>) -> String {
        let members: Vec<String> = members.into_iter().map(|(key, value)| format!("\"{key}\" :{value}")).collect();
        format!("{{{}}}", members.join(", "))
    }

    /// Members that are mostly what they should be.
    fn answer() -> impl Strategy<Value = String> {
        let or = |usual: BoxedStrategy<String>| prop_oneof![6 => usual, 1 => value()].boxed();
        let texts = move || or(prop_oneof![string(), Just("null".to_owned())].boxed());
        let some = |keys: &'static [&'static str], value: BoxedStrategy<String>| {
            prop::collection::vec((prop::sample::select(keys), value), 0..3).prop_map(object).boxed()
        };
        let delta = or(some(&["role", "content", "reasoning", "reasoning_content"], texts()));
        let number = or("[0-9]{1,16}".boxed());
        let choice = (
            prop::option::of(number.clone()),
            prop::sample::select(vec!["delta", "message"]),
            prop::option::of(delta),
            prop::option::of(texts()),
            prop::option::of(texts()),
        )
            .prop_map(|(index, place, delta, text, finish)| {
                let members = [("index", index), (place, delta), ("text", text), ("finish_reason", finish)];
                object(members.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
            })
            .boxed();
        let choices = or(prop::collection::vec(or(choice), 0..3).prop_map(|all| format!("[{}]", all.join(" , "))).boxed());
        let usage = or(some(&["prompt_tokens", "completion_tokens", "total_tokens", "x"], number));
        let name = or(r#""(chat\.completion(\.chunk)?|(text_)?completion|error)""#.boxed());
        let members = (
            prop::option::weighted(0.9, name),
            prop::option::weighted(0.9, choices),
            prop::option::of(usage),
            prop::option::weighted(0.1, value()),
            prop::option::weighted(0.2, value()),
            any::<bool>(),
        );
        members.prop_map(|(name, choices, usage, error, other, turned)| {
            let members = [("object", name), ("choices", choices), ("usage", usage), ("error", error), ("id", other)];
            let mut members: Vec<_> = members.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
            if turned {
                members.reverse();
            }
            object(members)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn scanner_and_reader_agree(answer in answer()) {
            for endpoint in ENDPOINTS {
                scanned(endpoint, answer.as_bytes());
            }
        }

        /// Also where a byte of it is another one.
        #[test]
        fn scanner_and_reader_agree_on_what_is_broken(answer in answer(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut bytes = answer.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            for endpoint in ENDPOINTS {
                scanned(endpoint, &bytes);
            }
        }
    }
}
