//! An answer in time: which bytes leave when, and what becomes of the connection.
//!
//! A [`Script`] is asked for the time of its next write and then for the write itself. A sound answer makes its bytes when they
//! are due, so that ten thousand open streams hold no text; one with a fault is made beforehand by `draft`. All times
//! are on one plan from the begin of service: a late write delays none of the later ones.

use std::collections::VecDeque;

use crate::answer::{Answer, Text};
use crate::head::{EVENTS, Framing, JSON, LAST_CHUNK, Top, push_chunk};
use crate::plan::Gaps;

/// What follows the last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The next request, unless head or client said otherwise.
    Keep,
    Close,
    Reset,
    /// Nothing, for ever.
    Hang,
}

/// What a write was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrote {
    /// It holds generated text, or it is the whole body.
    pub(crate) content: bool,
    pub(crate) end: Option<End>,
}

/// One answer.
#[derive(Debug)]
pub(crate) enum Script {
    Whole { answer: Box<Answer>, at: u64, close: bool, version10: bool },
    Stream(Box<Stream>),
    Made(Box<Made>),
}

impl Script {
    /// When the next write is due.
    pub(crate) fn due(&self) -> u64 {
        match self {
            Self::Whole { at, .. } => *at,
            Self::Stream(stream) => stream.early_head.unwrap_or(stream.due),
            Self::Made(made) => made.due(),
        }
    }

    /// Appends the write that is due.
    pub(crate) fn write(&mut self, text: &mut Text, out: &mut Vec<u8>) -> Wrote {
        match self {
            Self::Whole { answer, close, version10, .. } => {
                text.clear();
                answer.whole(&mut text.bytes);
                let framing = Framing::Length(text.bytes.len());
                Top { status: 200, version10: *version10, content_type: Some(JSON), framing, close: *close, more: "" }.push(out);
                out.extend_from_slice(&text.bytes);
                Wrote { content: true, end: Some(if *close { End::Close } else { End::Keep }) }
            }
            Self::Stream(stream) => stream.write(text, out),
            Self::Made(made) => made.write(out),
        }
    }
}

/// A pause in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stall {
    /// Before this token.
    pub(crate) token: usize,
    pub(crate) for_ns: u64,
}

/// How a stream is cut into events and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) tokens_per_event: usize,
    /// 0: all.
    pub(crate) events_per_write: usize,
}

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Stream {
    answer: Answer,
    gaps: Gaps,
    cut: Cut,
    stall: Option<Stall>,
    /// Tokens that have left.
    sent: usize,
    /// When the next ones leave.
    due: u64,
    /// When the head leaves, if it does not wait for the first token.
    early_head: Option<u64>,
    head_sent: bool,
    close: bool,
    version10: bool,
}

impl Stream {
    /// A stream whose first token is due at `first`.
    pub(crate) fn new(answer: Answer, first: u64, gaps: Gaps, cut: Cut, stall: Option<Stall>) -> Self {
        let mut stream =
            Self { answer, gaps, cut, stall, sent: 0, due: first, early_head: None, head_sent: false, close: false, version10: false };
        // The first token has no gap before it.
        stream.due = first.saturating_add(stream.delay(1));
        stream
    }

    /// How the head goes: at once at that time, or with the first token; whether it says that the connection ends; for whom.
    pub(crate) fn with_head(mut self, early: Option<u64>, close: bool, version10: bool) -> Self {
        // What knows no chunks ends with the connection.
        (self.early_head, self.close, self.version10) = (early, close || version10, version10);
        self
    }

    fn until(&self) -> usize {
        let tokens = self.answer.tokens();
        match self.cut.events_per_write {
            0 => tokens,
            events => self.sent.saturating_add(self.cut.tokens_per_event.saturating_mul(events)).min(tokens),
        }
    }

    /// From the write before until the next one; so many of its tokens came for nothing.
    fn delay(&mut self, free: usize) -> u64 {
        let (from, until) = (self.sent, self.until());
        let stall = self.stall.filter(|stall| (from..until).contains(&stall.token)).map_or(0, |stall| stall.for_ns);
        self.gaps.next((until - from).saturating_sub(free)).saturating_add(stall)
    }

    /// The events of the next write, unframed; its time, and whether it was the last.
    pub(crate) fn next_events(&mut self, text: &mut Text) -> (u64, bool) {
        if self.sent == 0 {
            self.answer.begin(text);
        }
        let until = self.until();
        while self.sent < until {
            let to = self.sent.saturating_add(self.cut.tokens_per_event).min(until);
            self.answer.events(self.sent, to, text);
            self.sent = to;
        }
        let (due, last) = (self.due, self.sent == self.answer.tokens());
        if last {
            self.answer.end(text);
        } else {
            self.due = self.due.saturating_add(self.delay(0));
        }
        (due, last)
    }

    fn write(&mut self, text: &mut Text, out: &mut Vec<u8>) -> Wrote {
        let framing = if self.version10 { Framing::ToClose } else { Framing::Chunked };
        let early = self.early_head.take().is_some();
        if !self.head_sent {
            self.head_sent = true;
            let (close, version10, more) = (self.close, self.version10, "cache-control: no-cache\r\n");
            Top { status: 200, version10, content_type: Some(EVENTS), framing, close, more }.push(out);
        }
        if early {
            return Wrote { content: false, end: None };
        }
        text.clear();
        let (_, last) = self.next_events(text);
        if framing == Framing::Chunked {
            text.events().for_each(|event| push_chunk(event, out));
            out.extend_from_slice(if last { LAST_CHUNK } else { b"" });
        } else {
            out.extend_from_slice(&text.bytes);
        }
        let end = if self.close { End::Close } else { End::Keep };
        Wrote { content: true, end: last.then_some(end) }
    }
}

/// One write of an answer that was made beforehand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) content: bool,
}

/// An answer that was made beforehand.
#[derive(Debug)]
pub(crate) struct Made {
    parts: VecDeque<Part>,
    /// Bytes of the first part that have left.
    left: usize,
    end: End,
    end_at: u64,
    /// Each byte is a write of its own, so long after the one before.
    byte_gap: Option<u64>,
    /// When the next byte may leave.
    next: u64,
}

impl Made {
    pub(crate) fn new(parts: Vec<Part>, end: End, end_at: u64, byte_gap: Option<u64>) -> Self {
        let parts = parts.into_iter().filter(|part| !part.bytes.is_empty()).collect();
        Self { parts, left: 0, end, end_at, byte_gap, next: 0 }
    }

    fn due(&self) -> u64 {
        self.parts.front().map_or(self.end_at, |part| part.at).max(self.next)
    }

    fn write(&mut self, out: &mut Vec<u8>) -> Wrote {
        let due = self.due();
        let Some(part) = self.parts.front() else { return Wrote { content: false, end: Some(self.end) } };
        let content = part.content;
        let rest = &part.bytes[self.left..];
        let (now, gap) = self.byte_gap.map_or((rest.len(), 0), |gap| (1, gap));
        out.extend_from_slice(&rest[..now.min(rest.len())]);
        self.next = due.saturating_add(gap);
        self.left += now;
        if self.left >= part.bytes.len() {
            self.parts.pop_front();
            self.left = 0;
        }
        // An end that needs no pause comes with the last byte.
        let over = self.parts.is_empty() && self.end_at <= due;
        Wrote { content, end: over.then_some(self.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Endpoint;

    fn stream(tokens: usize, cut: (usize, usize), stall: Option<Stall>) -> Stream {
        let mut answer = Answer::new(Endpoint::Chat, 1, 0, "m".to_owned());
        answer.content = tokens;
        Stream::new(answer, 100, Gaps::Fixed(10), Cut { tokens_per_event: cut.0, events_per_write: cut.1 }, stall)
    }

    /// When each write is due, and how many events it has.
    fn writes(mut stream: Stream) -> Vec<(u64, usize)> {
        let (mut writes, mut text) = (Vec::new(), Text::default());
        loop {
            text.clear();
            let (due, last) = stream.next_events(&mut text);
            writes.push((due, text.events().count()));
            if last {
                return writes;
            }
        }
    }

    #[test]
    fn a_write_leaves_when_its_last_token_is_due() {
        // The first event says the role; finish, usage and [DONE] are with the last token.
        assert_eq!(writes(stream(3, (1, 1), None)), [(100, 2), (110, 1), (120, 4)]);
        assert_eq!(writes(stream(5, (2, 1), None)), [(110, 2), (130, 1), (140, 4)]);
        assert_eq!(writes(stream(5, (1, 2), None)), [(110, 3), (130, 2), (140, 4)]);
        assert_eq!(writes(stream(5, (1, 0), None)), [(140, 9)]);
        assert_eq!(writes(stream(1, (9, 9), None)), [(100, 5)]);
    }

    #[test]
    fn a_stall_delays_what_follows_it() {
        let stall = |token| Some(Stall { token, for_ns: 1000 });
        assert_eq!(writes(stream(3, (1, 1), stall(1))), [(100, 2), (1110, 1), (1120, 4)]);
        assert_eq!(writes(stream(3, (1, 1), stall(0)))[0].0, 1100);
        assert_eq!(writes(stream(3, (1, 0), stall(2))), [(1120, 7)]);
    }

    #[test]
    fn what_was_made_leaves_whole_or_byte_by_byte() {
        let parts = || vec![Part { at: 5, bytes: b"abc".to_vec(), content: true }, Part { at: 6, bytes: b"d".to_vec(), content: false }];
        let mut made = Made::new(parts(), End::Keep, 6, None);
        let mut out = Vec::new();
        assert_eq!((made.due(), made.write(&mut out).end, made.due(), made.write(&mut out).end), (5, None, 6, Some(End::Keep)));
        assert_eq!(out, b"abcd");
        let mut made = Made::new(parts(), End::Reset, 0, Some(10));
        let mut dues = Vec::new();
        loop {
            dues.push(made.due());
            if let Some(end) = made.write(&mut out).end {
                assert_eq!((end, dues), (End::Reset, vec![5, 15, 25, 35]));
                break;
            }
        }
        let mut nothing = Made::new(Vec::new(), End::Hang, 9, None);
        assert_eq!((nothing.due(), nothing.write(&mut out)), (9, Wrote { content: false, end: Some(End::Hang) }));
    }
}
