//! What an event of an inference server's stream is: a name, data, a comment.
//!
//! Lines and events are cut by the house's own [`Reader`]. Here is what servers do beside the standard. A JSON text that was
//! written with a line's end within one of its strings goes on in a line of its own, which is no field: it is put together again,
//! the end within a string as the two characters `\n`: perf contract A10. A body that a proxy wrote into the stream as it was
//! has no `data:` before it: it is data all the same, says perf contract 0.2 item 23. And a stream may come under another media
//! type, so that [`looks_like`] asks the bytes.

use std::borrow::Cow;

pub use dormouse_engine_client::sse::{Event, Reader, TooLong};

/// An event, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type, where it is given one.
    pub name: Option<&'a [u8]>,
    /// Its data; several lines of it joined by LF.
    pub data: Option<Cow<'a, [u8]>>,
    /// Its last comment.
    pub comment: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Reads an event.
    #[must_use]
    pub fn read(event: Event<'a>) -> Self {
        let mut message = Self::default();
        let mut json = Json::default();
        for line in event.lines() {
            // Most events are this line alone: then nothing is asked of its JSON.
            if let Some(value) = line.strip_prefix(b"data:") {
                message.add(value.strip_prefix(b" ").unwrap_or(value), b"\n");
                continue;
            }
            json.go_on(message.data.as_deref().unwrap_or_default());
            let (name, value) = dormouse_engine_client::sse::field(line);
            match name {
                _ if json.in_string => message.add(line, b"\\n"),
                b"event" => message.name = Some(value),
                b"data" => message.add(value, b"\n"),
                b"" => message.comment = Some(value.trim_ascii()),
                b"id" | b"retry" => {}
                _ if json.depth > 0 || (message.data.is_none() && line.starts_with(b"{")) => message.add(line, b"\n"),
                _ => {}
            }
        }
        message
    }

    fn add(&mut self, line: &'a [u8], between: &[u8]) {
        match &mut self.data {
            None => self.data = Some(Cow::Borrowed(line)),
            Some(data) => {
                let data = data.to_mut();
                data.extend_from_slice(between);
                data.extend_from_slice(line);
            }
        }
    }
}

/// How far a JSON object is from its end.
#[derive(Clone, Copy, Debug, Default)]
struct Json {
    /// How many of the first bytes are blank, as far as they were looked at.
    blank: usize,
    /// How much of the data was looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Json {
    /// Looks at what has been added to the data. What does not begin as an object is never unfinished.
    fn go_on(&mut self, data: &[u8]) {
        self.blank += data[self.blank..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if data.get(self.blank) != Some(&b'{') {
            return;
        }
        for byte in &data[self.seen..] {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.seen = data.len();
    }
}

/// Whether a body is a stream of events, by its first bytes: `None` while they do not tell.
#[must_use]
pub fn looks_like(body: &[u8]) -> Option<bool> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    /// Who sends more empty lines at first sends no events.
    const BLANK: usize = 1024;
    if body.len() < MARK.len() && MARK.starts_with(body) {
        return None;
    }
    let body = body.strip_prefix(MARK).unwrap_or(body);
    let blank = body.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if blank > BLANK {
        return Some(false);
    }
    let line = &body[blank..];
    let names = [b"data:".as_slice(), b"event:", b"id:", b"retry:", b":"];
    if names.iter().any(|name| line.starts_with(name)) {
        return Some(true);
    }
    if names.iter().any(|name| name.starts_with(line)) { None } else { Some(false) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Name, data and comment of each event, in chunks of this size.
    fn read(stream: &[u8], step: usize) -> Vec<(String, String, String)> {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        let own = |event: Event<'_>| {
            let message = Message::read(event);
            (text(message.name), text(message.data.as_deref()), text(message.comment))
        };
        let (mut reader, mut all) = (Reader::default(), Vec::new());
        for mut chunk in stream.chunks(step) {
            while let Some(event) = reader.next(&mut chunk).unwrap() {
                all.push(own(event));
            }
        }
        all.extend(reader.rest().map(own));
        all
    }

    fn data(stream: &str) -> Vec<String> {
        read(stream.as_bytes(), usize::MAX).into_iter().map(|(_, data, _)| data).collect()
    }

    /// Vector A10; the first of its messages is two here, which is the earliest delimiter's reading.
    #[test]
    fn a_line_end_within_a_text_is_put_back() {
        let stream = b"data: {\"a\":1}\r\n\r\n: ping\n\ndata: {\"x\":\"a\nb\"}\n\ndata: [DONE]\n\n";
        for step in [1, 2, 3, 7, usize::MAX] {
            let all = read(stream, step);
            let of = |data: &str, comment: &str| ("-".to_owned(), data.to_owned(), comment.to_owned());
            assert_eq!(all, [of("{\"a\":1}", "-"), of("-", "ping"), of("{\"x\":\"a\\nb\"}", "-"), of("[DONE]", "-")], "{step}");
        }
        assert_eq!(data("data: {\"x\":\"a\\\"}\nevent: b\n: c\"}"), ["{\"x\":\"a\\\"}\\nevent: b\\n: c\"}"]);
    }

    #[test]
    fn pretty_json_is_one_text_with_or_without_a_name_before_each_line() {
        assert_eq!(data("data: {\ndata:  \"a\": 1\ndata: }\n\n"), ["{\n \"a\": 1\n}"]);
        assert_eq!(data("data: {\n : c\n\"a\": [1,\n:d\n2]\n}\nid: 1\nelse\n\n"), ["{\n : c\n\"a\": [1,\n2]\n}"]);
        assert_eq!(data("{\"error\":\n{\"message\":\"x\"}}"), ["{\"error\":\n{\"message\":\"x\"}}"]);
        assert_eq!(data("<html>\n{\n\n"), ["{"]);
        assert_eq!(data("data: a {\nb\n\n"), ["a {"]);
    }

    #[test]
    fn names_and_comments() {
        let all = read(b"event: error\n:  why \ndata\ndata\n\nretry: 1\nid\n\n", 4);
        let of = |name: &str, data: &str, comment: &str| (name.to_owned(), data.to_owned(), comment.to_owned());
        assert_eq!(all, [of("error", "\n", "why"), of("-", "-", "-")]);
    }

    #[test]
    fn a_stream_is_known_by_its_first_bytes() {
        for stream in ["data:x", "event: a", ": ping", ":", "id:", "retry: 3", "\u{feff}data: x", "\r\n\n: x"] {
            assert_eq!(looks_like(stream.as_bytes()), Some(true), "{stream:?}");
        }
        for other in ["{", "<html>", "data ", "dada", "i ", "\u{feff}{", "\n{", "\u{fefe}"] {
            assert_eq!(looks_like(other.as_bytes()), Some(false), "{other:?}");
        }
        for begin in ["", "d", "data", "retr", "\n", "\u{feff}", "\u{feff}e"] {
            assert_eq!(looks_like(begin.as_bytes()), None, "{begin:?}");
        }
        assert_eq!((looks_like(b"\xef"), looks_like(b"\xef\xbb")), (None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_the_same_in_one_piece_and_in_many(
            stream in prop::collection::vec(prop_oneof![
                Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), Just(b'd'), any::<u8>(),
            ], 0..120),
            step in 1_usize..9,
        ) {
            prop_assert_eq!(read(&stream, step), read(&stream, usize::MAX));
        }
    }
}
