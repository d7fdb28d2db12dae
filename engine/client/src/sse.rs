//! Reading server-sent events from bytes as they come. PURE.
//!
//! [`Reader::next`] takes bytes off a chunk until an event is complete, and lends that event until it is called again: out of
//! the chunk where the whole event lies in it, otherwise out of the one buffer in which its pieces were put together. So an
//! event costs no memory of its own, and one that came in one piece is not even copied. Lines end with LF, CR or CRLF in any
//! mixture, also where a chunk ends between the two; an empty line ends an event. A mark of byte order at the very beginning is
//! skipped. An event is what its lines say: who looks at [`Event::data`] alone passes over comments, others find them among
//! [`Event::fields`], and who reads what is no event at all has [`Event::lines`].

use std::borrow::Cow;

/// Where nothing else is said: no event of an engine comes near.
const LIMIT: usize = 4 << 20;
const MARK: &[u8] = b"\xef\xbb\xbf";

/// An event is longer than the reader takes. The stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {0} bytes")]
pub struct TooLong(usize);

/// One stream's state.
#[derive(Clone, Debug)]
pub struct Reader {
    /// What earlier chunks held of the event under way, as it came; while an event is lent, that event.
    buffer: Vec<u8>,
    /// Size of the lines of it that have ended, a line's end counted as one.
    size: usize,
    /// Size of the line that has not.
    open: usize,
    /// What both may be together.
    limit: usize,
    /// The event in the buffer has been lent.
    lent: bool,
    /// A CR ended the last line: a LF that follows is part of that.
    after_cr: bool,
    /// How much of the mark of byte order has come; `None` behind it, or where it cannot be any more.
    mark: Option<usize>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(LIMIT)
    }
}

impl Reader {
    /// A reader of events of at most `limit` bytes, a line's end counted as one.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), size: 0, open: 0, limit, lent: false, after_cr: false, mark: Some(0) }
    }

    /// Forgets the stream and begins another; the buffer's memory is kept.
    pub fn restart(&mut self) {
        self.buffer.clear();
        *self = Self { buffer: std::mem::take(&mut self.buffer), ..Self::new(self.limit) };
    }

    /// Reads from `chunk`, from which it takes what it has read: the next event, or `None` when all of the chunk is read.
    ///
    /// # Errors
    /// An event that is too long.
    pub fn next<'a, 'chunk: 'a>(&'a mut self, chunk: &mut &'chunk [u8]) -> Result<Option<Event<'a>>, TooLong> {
        self.forget();
        if self.mark.is_some() {
            self.skip_mark(chunk);
        }
        let bytes = *chunk;
        // Where in `bytes` the event begins, and where the line that is looked at.
        let (mut begin, mut line) = (0, 0);
        loop {
            if self.after_cr && line < bytes.len() {
                self.after_cr = false;
                if bytes[line] == b'\n' {
                    line += 1;
                    // Between events it belongs to none.
                    if self.size == 0 {
                        begin = line;
                    }
                }
            }
            let Some(length) = memchr::memchr2(b'\n', b'\r', &bytes[line..]) else {
                self.grow(bytes.len() - line)?;
                self.buffer.extend_from_slice(&bytes[begin..]);
                *chunk = &[];
                return Ok(None);
            };
            self.grow(length)?;
            let end = line + length;
            self.after_cr = bytes[end] == b'\r';
            line = end + 1;
            if self.open > 0 {
                self.size += self.open + 1;
                self.open = 0;
            } else if self.size > 0 {
                self.size = 0;
                *chunk = &bytes[line..];
                let lines = &bytes[begin..end];
                return Ok(Some(if self.buffer.is_empty() { Event::of(lines) } else { self.lend(lines) }));
            } else {
                begin = line;
            }
        }
    }

    /// What was left without an end when the stream ended.
    pub fn rest(&mut self) -> Option<Event<'_>> {
        self.forget();
        self.give_back_mark();
        let any = self.size + self.open > 0;
        (self.size, self.open) = (0, 0);
        any.then(|| self.lend(&[]))
    }

    fn lend(&mut self, last: &[u8]) -> Event<'_> {
        self.buffer.extend_from_slice(last);
        self.lent = true;
        Event::of(&self.buffer)
    }

    fn forget(&mut self) {
        if self.lent {
            self.buffer.clear();
            self.lent = false;
        }
    }

    fn grow(&mut self, by: usize) -> Result<(), TooLong> {
        self.open += by;
        if self.size + self.open > self.limit { Err(TooLong(self.limit)) } else { Ok(()) }
    }

    fn skip_mark(&mut self, chunk: &mut &[u8]) {
        while let (Some(come), Some((first, later))) = (self.mark, chunk.split_first()) {
            if *first != MARK[come] {
                return self.give_back_mark();
            }
            *chunk = later;
            self.mark = Some(come + 1).filter(|come| *come < MARK.len());
        }
    }

    /// What began like the mark and was none.
    fn give_back_mark(&mut self) {
        let come = self.mark.take().unwrap_or_default();
        self.buffer.extend_from_slice(&MARK[..come]);
        self.open += come;
    }
}

/// An event; of at least one line.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its lines, each with its end; behind the last may be none.
    lines: &'a [u8],
}

impl<'a> Event<'a> {
    fn of(lines: &'a [u8]) -> Self {
        let end = lines.iter().rposition(|b| !matches!(b, b'\n' | b'\r')).map_or(0, |last| last + 1);
        Self { lines: &lines[..end] }
    }

    /// Its lines, in their order; none is empty.
    pub fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        let mut left = self.lines;
        std::iter::from_fn(move || {
            let begin = left.iter().position(|b| !matches!(b, b'\n' | b'\r'))?;
            let line = &left[begin..];
            let end = memchr::memchr2(b'\n', b'\r', line).unwrap_or(line.len());
            left = &line[end..];
            Some(&line[..end])
        })
    }

    /// Names and values of its lines, in their order. A comment has an empty name.
    pub fn fields(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.lines().map(field)
    }

    /// Its data, several lines of it joined by LF; `None` when it has none, which is then a comment or a name alone.
    #[must_use]
    pub fn data(self) -> Option<Cow<'a, [u8]>> {
        let mut all = self.fields().filter(|(name, _)| *name == b"data").map(|(_, value)| value);
        let first = all.next()?;
        let Some(second) = all.next() else { return Some(Cow::Borrowed(first)) };
        let mut joined = [first, second].join(&b'\n');
        for more in all {
            joined.push(b'\n');
            joined.extend_from_slice(more);
        }
        Some(Cow::Owned(joined))
    }

    /// Its type, where it is given one.
    #[must_use]
    pub fn name(self) -> Option<&'a [u8]> {
        self.fields().filter(|(name, _)| *name == b"event").last().map(|(_, value)| value)
    }
}

/// Name and value of a line: what stands before the first colon, and what behind it, less one blank.
#[must_use]
pub fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = line.iter().position(|b| *b == b':') else { return (line, &line[line.len()..]) };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fields of an event.
    type Fields = Vec<(Vec<u8>, Vec<u8>)>;

    /// The events, read in chunks of these lengths, then the rest at once.
    fn read(stream: &[u8], chunks: &[usize], reader: &mut Reader) -> Result<Vec<Fields>, TooLong> {
        let own = |event: Event<'_>| event.fields().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        let mut events = Vec::new();
        let mut left = stream;
        for length in chunks.iter().copied().chain([usize::MAX]) {
            let (mut chunk, later) = left.split_at(length.min(left.len()));
            left = later;
            while let Some(event) = reader.next(&mut chunk)? {
                events.push(own(event));
            }
        }
        events.extend(reader.rest().map(own));
        Ok(events)
    }

    fn data(stream: &str) -> Vec<Option<String>> {
        let (mut reader, mut left, mut all) = (Reader::default(), stream.as_bytes(), Vec::new());
        let text = |event: Event<'_>| event.data().map(|d| String::from_utf8(d.into_owned()).unwrap());
        while let Some(event) = reader.next(&mut left).unwrap() {
            all.push(text(event));
        }
        all.extend(reader.rest().map(text));
        all
    }

    #[test]
    fn lines_end_in_three_ways_and_data_may_have_several() {
        let some = |texts: &[&str]| texts.iter().map(|t| Some((*t).to_owned())).collect::<Vec<_>>();
        assert_eq!(data("data: {\"a\":1}\r\n\r\ndata:b\r\rdata:  c\n\ndata: [DONE]\n\n"), some(&["{\"a\":1}", "b", " c", "[DONE]"]));
        assert_eq!(data("data: a\ndata\nevent: x\ndata: b\n\n\n\n"), some(&["a\n\nb"]));
        assert_eq!(data("\u{feff}data: a\n\n\u{feff}data: b\n\n: ping\n\n"), [Some("a".to_owned()), None, None]);
        assert_eq!(data("data: whole\n\ndata: cut of"), some(&["whole", "cut of"]));
        assert!(data("").is_empty() && data("\n\r\n\r").is_empty() && data("\u{feff}\n\n").is_empty());
    }

    #[test]
    fn an_event_in_one_piece_is_not_copied() {
        let stream = b"\xef\xbb\xbf: a\r\n\r\ndata: b\rdata: c\n\ndata: d\n\ndat".as_slice();
        let (mut reader, mut left) = (Reader::default(), stream);
        for wanted in [b": a".as_slice(), b"data: b\rdata: c", b"data: d"] {
            let event = reader.next(&mut left).unwrap().unwrap();
            assert_eq!(event.lines, wanted);
            assert!(stream.as_ptr_range().contains(&event.lines.as_ptr()));
        }
        assert!(reader.next(&mut left).unwrap().is_none());
        let event = reader.next(&mut b"a: e\r\r".as_slice()).unwrap().unwrap();
        assert_eq!(event.lines().collect::<Vec<_>>(), [b"data: e"]);
        reader.restart();
        assert!(reader.next(&mut b"\xef\xbb\xbf\ndata".as_slice()).unwrap().is_none());
        assert_eq!(reader.rest().unwrap().fields().next(), Some((b"data".as_slice(), b"".as_slice())));
        assert!(reader.rest().is_none());
    }

    #[test]
    fn what_only_begins_like_the_mark_is_text() {
        for cut in [1, 2] {
            let (mut reader, mut stream) = (Reader::default(), [&MARK[..cut], b"a\n\n"].concat());
            assert_eq!(read(&stream, &[1, 1, 1], &mut reader).unwrap(), [[([&MARK[..cut], b"a"].concat(), Vec::new())]]);
            stream.truncate(cut);
            reader.restart();
            assert_eq!(read(&stream, &[], &mut reader).unwrap(), [[(stream, Vec::new())]]);
        }
    }

    #[test]
    fn events_have_names_and_comments() {
        let (mut reader, mut left) = (Reader::default(), b":why\nevent: error\ndata\n\n".as_slice());
        let event = reader.next(&mut left).unwrap().unwrap();
        assert_eq!((event.name(), event.data().as_deref()), (Some(b"error".as_slice()), Some(b"".as_slice())));
        assert_eq!(event.fields().next(), Some((b"".as_slice(), b"why".as_slice())));
        assert!(left.is_empty());
    }

    #[test]
    fn what_is_too_long_is_refused_however_it_comes() {
        let lines = "data: 1234567890\n".repeat(3);
        for stream in [lines.as_str(), "data: 12345678901234567890"] {
            for chunks in [vec![], vec![1; stream.len()]] {
                assert_eq!(read(stream.as_bytes(), &chunks, &mut Reader::new(20)), Err(TooLong(20)), "{chunks:?}");
            }
        }
        let short = "data: 1234567890123\r\n\r\n".repeat(3);
        assert_eq!(read(short.as_bytes(), &[], &mut Reader::new(20)).unwrap().len(), 3);
    }

    /// Lines and how each ends, and what is to be read from them.
    fn rendered(events: &[Vec<(String, String)>], endings: &[u8]) -> Vec<u8> {
        let mut stream = Vec::new();
        let mut endings = endings.iter().cycle();
        let mut line = |text: &str| {
            let ending = match endings.next() {
                // CR before would take this LF to itself.
                Some(0) if text.is_empty() && stream.ends_with(b"\r") => "\r\n",
                Some(0) => "\n",
                Some(1) => "\r",
                _ => "\r\n",
            };
            stream.extend_from_slice(text.as_bytes());
            stream.extend_from_slice(ending.as_bytes());
        };
        for event in events {
            event.iter().for_each(|(name, value)| line(&format!("{name}: {value}")));
            line("");
        }
        stream
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(
            events in prop::collection::vec(prop::collection::vec(("(data|event|id||x)", "[^\r\n]{0,12}"), 1..4), 0..5),
            endings in prop::collection::vec(0_u8..3, 1..12),
            chunks in prop::collection::vec(0_usize..9, 0..60),
        ) {
            let stream = rendered(&events, &endings);
            let wanted: Vec<Fields> =
                events.iter().map(|e| e.iter().map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes())).collect()).collect();
            prop_assert_eq!(read(&stream, &chunks, &mut Reader::default()).unwrap(), wanted);
        }

        #[test]
        fn any_bytes_are_read_the_same_in_one_piece_and_in_many(
            stream in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(0xef), Just(0xbb), Just(0xbf), any::<u8>()], 0..80),
            chunks in prop::collection::vec(0_usize..5, 0..80),
            limit in 1_usize..40,
        ) {
            let whole = read(&stream, &[], &mut Reader::new(limit));
            prop_assert_eq!(read(&stream, &chunks, &mut Reader::new(limit)), whole);
        }
    }
}
