//! The common chunk of a conversation or a completion, read without a tree and, where its texts need no change, without memory.
//!
//! One pass from brace to brace, in whatever order the members stand. It checks all that a JSON reader checks, and gives up
//! (`None`) at whatever it does not know: an error, parts in place of a text, counts with details, halves of
//! characters, a member twice. What it does give is what the reader of JSON gives, of the same bytes.

use std::borrow::Cow;

use super::openai::{Message, Object};
use super::usage::Count;
use super::{Endpoint, Saying, Usage, finish};

/// Deeper values are left to the reader of JSON.
const DEPTH: u8 = 32;
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

/// The text that these bytes are, quotes included, and nothing else.
pub(super) fn text(data: &[u8]) -> Option<Cow<'_, str>> {
    let mut scan = Scan { text: std::str::from_utf8(data).ok()?, at: 0 };
    let (text, escaped) = scan.string()?;
    if scan.at != data.len() {
        return None;
    }
    if escaped { unescaped(text).map(Cow::Owned) } else { Some(Cow::Borrowed(text)) }
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
                    message.tools = scan.tools()?;
                }
                _ => scan.skip(3)?,
            }
            Some(())
        })?;
        Some(message)
    }

    /// Names and arguments of calls, one behind the other.
    fn tools(&mut self) -> Option<Cow<'a, str>> {
        let mut tools = Cow::Borrowed("");
        if self.peek()? == b'n' {
            self.null()?;
            return Some(tools);
        }
        self.list(|scan| {
            let mut seen = Seen(0);
            let (mut name, mut arguments) = (Cow::Borrowed(""), Cow::Borrowed(""));
            scan.object(|scan, key| {
                if key != "function" {
                    return scan.skip(4);
                }
                seen.once(0)?;
                scan.object(|scan, key| {
                    match key {
                        "name" => {
                            seen.once(1)?;
                            name = scan.text_or_null()?;
                        }
                        "arguments" => {
                            seen.once(2)?;
                            arguments = scan.text_or_null()?;
                        }
                        _ => scan.skip(5)?,
                    }
                    Some(())
                })
            })?;
            for text in [name, arguments] {
                // Cow borrows what is added to nothing.
                tools += text;
            }
            Some(())
        })?;
        Some(tools)
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
            at += plain(bytes.get(at..)?);
            match *bytes.get(at)? {
                b'"' => {
                    self.at = at + 1;
                    return Some((self.text.get(begin..at)?, escaped));
                }
                b'\\' => {
                    escaped = true;
                    at += match bytes.get(at + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                        b'u' => {
                            unit(bytes.get(at + 2..at + 6)?)?;
                            6
                        }
                        _ => return None,
                    };
                }
                _ => return None,
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

/// How many bytes at the beginning stand for themselves within a text: eight are looked at in one step.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of each byte that is zero, or smaller than the number; of the lowest such byte for certain.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let smaller = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word & HIGH;
    let mut at = 0;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let found = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | smaller(word, 0x20);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
    at + bytes[at..].iter().take_while(is_plain).count()
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
mod tests;
