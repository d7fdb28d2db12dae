//! What a request asks for, read from its JSON in one pass and without a tree.
//!
//! The pass knows the members of the outermost object that matter and jumps over everything else, strings by `memchr`. It is
//! strict about what it looks at and says `None` where it is not sure (an escaped key, a number with a fraction, anything that
//! is no JSON); then [`read`] asks serde_json, which decides whether the body is refused. What lies between commas and
//! brackets elsewhere is not checked: this is no validator.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;
use serde_json::Value;

/// What matters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// The model's name as it stands between its quotes in JSON.
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) stream: bool,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage: bool,
    /// Bytes of text in the prompt, escapes as they stand, and token ids in it.
    pub(crate) prompt_bytes: usize,
    pub(crate) prompt_ids: usize,
    /// Elements of `input`, one if it is a text or a list of token ids.
    pub(crate) inputs: usize,
    pub(crate) dimensions: Option<u64>,
    /// Where the prompt stands in the body: its longest member.
    pub(crate) prompt: Range<usize>,
}

impl Asked<'_> {
    /// Tokens of the prompt: ids count as they are, four bytes of text are one, and there is at least one.
    pub(crate) fn prompt_tokens(&self) -> usize {
        (self.prompt_ids + self.prompt_bytes.div_ceil(4)).max(1)
    }
}

/// Reads a body; `Err` says why it is refused.
pub(crate) fn read(body: &[u8]) -> Result<Asked<'_>, String> {
    if let Some(asked) = scan(body) {
        return Ok(asked);
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("the body is no JSON: {e}"))?;
    let again = serde_json::to_vec(&value).map_err(|e| e.to_string())?;
    if !value.is_object() {
        return Err("the body is no JSON object".to_owned());
    }
    // Written anew it has no escapes in its keys, so that one reading serves both; what the pass still cannot take is wrong.
    let asked = scan(&again).ok_or_else(|| "a member has the wrong type".to_owned())?;
    // Where the prompt stood is not known any more.
    Ok(Asked { model: asked.model.map(|m| Cow::Owned(m.into_owned())), prompt: 0..0, ..asked })
}

struct Pass<'a> {
    body: &'a [u8],
    at: usize,
}

fn scan(body: &[u8]) -> Option<Asked<'_>> {
    let mut pass = Pass { body, at: 0 };
    let mut asked = Asked::default();
    let (mut max_tokens, mut max_completion) = (None, None);
    pass.object(|pass, key| {
        match key {
            b"stream" => asked.stream = pass.boolean()?,
            b"model" => asked.model = Some(Cow::Borrowed(std::str::from_utf8(pass.string()?).ok()?)),
            b"max_tokens" => max_tokens = pass.number()?,
            b"max_completion_tokens" | b"max_output_tokens" => max_completion = pass.number()?,
            b"dimensions" => asked.dimensions = pass.number()?,
            b"stream_options" if pass.peek()? == b'{' => pass.object(|pass, key| {
                match key {
                    b"include_usage" => asked.include_usage = pass.boolean()?,
                    b"continuous_usage_stats" => asked.continuous_usage = pass.boolean()?,
                    _ => pass.skip(&mut Text::default())?,
                }
                Some(())
            })?,
            b"messages" | b"prompt" | b"input" | b"system" | b"instructions" => {
                let mut text = Text { counts: true, ..Text::default() };
                let start = pass.at;
                pass.skip(&mut text)?;
                if pass.at - start > asked.prompt.len() {
                    asked.prompt = start..pass.at;
                }
                asked.prompt_bytes += text.bytes;
                asked.prompt_ids += text.ids;
                if key == b"input" {
                    // A flat list of ids is one input.
                    asked.inputs = if text.flat_ids { 1 } else { text.elements.unwrap_or(1) };
                }
            }
            _ => pass.skip(&mut Text::default())?,
        }
        Some(())
    })?;
    pass.blank();
    asked.max_tokens = max_completion.or(max_tokens);
    (pass.at == body.len()).then_some(asked)
}

/// What a value that is jumped over holds.
#[derive(Debug, Default)]
struct Text {
    /// Whether the strings that come belong to the prompt: not roles, types, ids.
    counts: bool,
    bytes: usize,
    ids: usize,
    /// Elements of the value if it is a list.
    elements: Option<usize>,
    /// It is a list of numbers.
    flat_ids: bool,
}

impl<'a> Pass<'a> {
    fn blank(&mut self) {
        while self.body.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.blank();
        self.body.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The inside of a string, its escapes as they stand.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            let rest = self.body.get(self.at..)?;
            let stop = memchr2(b'"', b'\\', rest)?;
            self.at += stop + 1;
            if rest[stop] == b'"' {
                return self.body.get(start..self.at - 1);
            }
            self.at += 1;
        }
    }

    fn word(&mut self) -> &'a [u8] {
        self.blank();
        let rest = self.body.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.word() {
            b"true" => Some(true),
            b"false" | b"null" => Some(false),
            _ => None,
        }
    }

    /// A whole number of at least 0, or null.
    fn number(&mut self) -> Option<Option<u64>> {
        match self.word() {
            b"null" => Some(None),
            word => std::str::from_utf8(word).ok()?.parse().ok().map(Some),
        }
    }

    /// Calls `member` with each key, standing at its value.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            return self.take(b'}');
        }
        loop {
            let key = self.string()?;
            if key.contains(&b'\\') {
                return None;
            }
            self.take(b':')?;
            member(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.take(b'}'),
            }
        }
    }

    /// Jumps over one value of any depth.
    fn skip(&mut self, text: &mut Text) -> Option<()> {
        let (mut depth, mut numbers, mut commas, mut empty) = (0_usize, 0_usize, 0_usize, true);
        let list = self.peek()? == b'[';
        loop {
            let next = self.peek()?;
            empty &= depth == 0 || matches!(next, b']' | b'}');
            match next {
                b'"' => {
                    let string = self.string()?;
                    if depth > 0 && self.peek()? == b':' {
                        self.at += 1;
                        // Inside of what belongs to the prompt only these hold its text.
                        text.counts = matches!(string, b"content" | b"text" | b"input_text" | b"arguments");
                        continue;
                    }
                    text.bytes += if text.counts { string.len() } else { 0 };
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' if depth > 0 => {
                    commas += usize::from(depth == 1);
                    self.at += 1;
                    continue;
                }
                _ => {
                    let word = self.word();
                    let number = word.first()?.is_ascii_digit() || word[0] == b'-';
                    if !number && !matches!(word, b"true" | b"false" | b"null") {
                        return None;
                    }
                    text.ids += usize::from(number && text.counts && depth > 0);
                    numbers += usize::from(number && depth == 1);
                }
            }
            if depth == 0 {
                let elements = if empty { 0 } else { commas + 1 };
                text.elements = list.then_some(elements);
                text.flat_ids = list && numbers > 0 && numbers == elements;
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_usual_request_needs_no_tree() {
        let body = br#"{"messages":[{"role":"user","content":"twelve bytes"}],"model":"m\u00e9","stream":true,
            "max_completion_tokens":128,"tools":[{"type":"function"}],"stream_options":{"include_usage":true}}"#;
        let asked = scan(body).unwrap();
        let model = asked.model.as_deref();
        assert_eq!((model, asked.stream, asked.max_tokens), (Some("m\\u00e9"), true, Some(128)));
        assert_eq!((asked.include_usage, asked.continuous_usage, asked.prompt_bytes, asked.prompt_tokens()), (true, false, 12, 3));
    }

    #[test]
    fn inputs_and_ids_are_counted() {
        let inputs =
            |input: &str| read(format!("{{\"input\":{input}}}").as_bytes()).map(|a| (a.inputs, a.prompt_ids, a.prompt_bytes)).unwrap();
        assert_eq!(inputs(r#""one""#), (1, 0, 3));
        assert_eq!(inputs(r#"["one","three"]"#), (2, 0, 8));
        assert_eq!(inputs("[1,2,3]"), (1, 3, 0));
        assert_eq!(inputs("[[1,2],[3]]"), (2, 3, 0));
        assert_eq!(inputs("[]"), (0, 0, 0));
        assert_eq!(inputs(r#"[{"type":"message","content":[{"type":"input_text","text":"four"}]}]"#), (1, 0, 4));
    }

    #[test]
    fn what_the_pass_doubts_serde_decides() {
        let escaped = br#"{"str\u0065am":true,"max_tokens":3}"#;
        assert_eq!(scan(escaped), None);
        assert!(read(escaped).is_ok_and(|a| a.stream && a.max_tokens == Some(3)));
        for wrong in
            ["", "{", "[]", "{\"a\":}", "{\"stream\":1}", "{\"max_tokens\":1.5}", "{\"a\":\"x}", "{} x", "{\"a\":tru}", "{\"a\":]}"]
        {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(read(b"{\"max_tokens\":5,\"max_completion_tokens\":null}").is_ok_and(|a| a.max_tokens == Some(5)));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![any::<String>(), "[a-z\"\\\\{}:, ]{0,12}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,8}", inner, 0..5).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        /// Whatever stands around them, the members are found, and nothing inside of other values is taken for one.
        #[test]
        fn members_are_found_among_anything(other in any_json(), more in any_json(), stream in any::<bool>(), max in any::<u32>(), pretty in any::<bool>()) {
            let value = json!({"a": other, "stream": stream, "messages": more, "max_tokens": max, "model": "m", "z": {"stream": !stream}});
            let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let asked = scan(&body).unwrap();
            prop_assert_eq!((asked.stream, asked.max_tokens, asked.model.as_deref()), (stream, Some(u64::from(max)), Some("m")));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
            let _ = read(&bytes);
            let good = br#"{"messages":[{"role":"user","content":"a\"b"}],"stream":true,"input":[1,[2]],"stream_options":{"include_usage":true}}"#;
            let _ = read(&good[..cut.min(good.len())]);
        }
    }
}
