//! Answers with a fault: the sound answer as a draft, what the fault changes of it, and the bytes that result.
//!
//! A draft is what an answer consists of before it is bytes: status, head, events in writes, frame, end. Most faults are
//! one change of one of these. What a fault means only for streams leaves a whole body as it is.

mod coding;
mod lines;

use crate::answer::{Answer, Counts, Odd, Text, error};
use crate::fault::Fault;
use crate::head::{EVENTS, Framing, JSON, LAST_CHUNK, Top, push_chunk, reason};
use crate::plan::Gaps;
use crate::script::{Cut, End, Made, Part, Stall, Stream};

/// Time for what was sent to arrive before a reset throws it away, and between the halves of a character.
const APART_NS: u64 = 2_000_000;
/// Of the events of the fault big-chunks.
const BIG: usize = 1 << 20;

/// A sound answer, not yet spoilt.
#[derive(Debug)]
pub(crate) struct Sound {
    pub(crate) answer: Answer,
    pub(crate) stream: bool,
    /// Where the request went, for redirects.
    pub(crate) target: String,
    pub(crate) start: u64,
    pub(crate) ttft: u64,
    pub(crate) gaps: Gaps,
    pub(crate) cut: Cut,
    pub(crate) stall: Option<Stall>,
    pub(crate) close: bool,
    pub(crate) version10: bool,
    pub(crate) byte_gap_ns: u64,
}

/// Events that leave together.
#[derive(Debug)]
struct Write {
    at: u64,
    events: Vec<Vec<u8>>,
    content: bool,
}

/// How the chunks of the transfer encoding look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunks {
    Plain,
    Extended,
    OneByte,
}

#[derive(Debug)]
struct Draft {
    status: u16,
    content_type: Option<&'static str>,
    more: String,
    interim: &'static [u8],
    framing: Framing,
    chunks: Chunks,
    trailers: bool,
    /// The body is ended as its frame wants it.
    finished: bool,
    writes: Vec<Write>,
    end: End,
    close: bool,
    version10: bool,
    byte_gap: Option<u64>,
    split_characters: bool,
    start: u64,
}

/// The status that an answer with this fault has.
pub(crate) fn status(fault: Fault) -> u16 {
    match fault {
        Fault::Status(code) | Fault::Redirect(code) => code,
        _ => 200,
    }
}

/// The bytes of an answer with a fault.
pub(crate) fn spoil(mut sound: Sound, fault: Fault) -> Made {
    spoil_answer(&mut sound.answer, fault);
    let (endpoint, stream, byte_gap) = (sound.answer.endpoint, sound.stream, sound.byte_gap_ns);
    let failure = sound.answer.clone();
    let target = std::mem::take(&mut sound.target);
    let mut draft = draft(sound);
    let whole = |draft: &mut Draft, bytes: Vec<u8>| {
        draft.content_type = Some(JSON);
        draft.writes = vec![Write { at: draft.start, events: vec![bytes], content: false }];
        draft.framing = Framing::Length(0);
    };
    let failed = |draft: &mut Draft| {
        let mut text = Text::default();
        if stream {
            failure.error_event("the engine has died (fault of the mock server)", &mut text);
            if endpoint != crate::args::Endpoint::Messages {
                text.push(b"data: [DONE]\n\n");
                text.end();
            }
        } else {
            error(endpoint, 500, "the engine has died (fault of the mock server)", &mut text.bytes);
            text.end();
            draft.writes.clear();
        }
        let at = draft.writes.last().map_or(draft.start, |write| write.at);
        draft.writes.push(Write { at, events: text.events().map(<[u8]>::to_vec).collect(), content: false });
    };
    match fault {
        Fault::Status(code) => {
            let mut bytes = Vec::new();
            error(endpoint, code, &format!("{} (fault of the mock server)", reason(code)), &mut bytes);
            whole(&mut draft, bytes);
            draft.status = code;
            if matches!(code, 429 | 503) {
                draft.more.push_str("retry-after: 1\r\n");
            }
        }
        Fault::Redirect(code) => {
            whole(&mut draft, Vec::new());
            draft.status = code;
            draft.more = format!("location: /redirected{target}\r\n");
        }
        Fault::ResetBeforeHeaders => draft.nothing(End::Reset),
        Fault::CloseBeforeHeaders => draft.nothing(End::Close),
        Fault::Hang => draft.nothing(End::Hang),
        Fault::ResetMidStream => draft.half(End::Reset),
        Fault::CloseMidStream => draft.half(End::Close),
        Fault::HangMidStream => draft.half(End::Hang),
        Fault::Truncated => {
            draft.half(End::Keep);
            // A whole body that is cut is told by its length alone.
            (draft.finished, draft.close) = (stream, draft.close || !stream);
        }
        Fault::ErrorBeforeContent => {
            draft.writes.clear();
            failed(&mut draft);
        }
        Fault::ErrorAfterContent => {
            draft.keep_half();
            failed(&mut draft);
        }
        Fault::UndecodableJson => draft.break_json(),
        Fault::EmptyAnswer => {
            let nothing: &[u8] = match (stream, endpoint) {
                (false, _) => b"{}",
                (true, crate::args::Endpoint::Messages) => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                (true, _) => b"data: [DONE]\n\n",
            };
            let at = draft.writes.first().map_or(draft.start, |write| write.at);
            draft.writes = vec![Write { at, events: vec![nothing.to_vec()], content: false }];
        }
        Fault::SlowLoris => draft.byte_gap = Some(byte_gap),
        Fault::OneByteWrites => draft.byte_gap = Some(0),
        Fault::OneByteChunks => (draft.framing, draft.chunks) = (Framing::Chunked, Chunks::OneByte),
        Fault::ChunkExtensions => (draft.framing, draft.chunks) = (Framing::Chunked, Chunks::Extended),
        Fault::Trailers => {
            (draft.framing, draft.trailers) = (Framing::Chunked, true);
            draft.more.push_str("trailer: x-mock-trailer\r\n");
        }
        Fault::WrongContentType => draft.content_type = Some("text/plain"),
        Fault::NoContentType => draft.content_type = None,
        Fault::Crlf | Fault::Cr | Fault::MixedLineEnds | Fault::Bom | Fault::Comments | Fault::MultiLineData if stream => {
            lines::change(fault, draft.writes.iter_mut().flat_map(|write| &mut write.events));
        }
        Fault::SplitUnicode => draft.split_characters = true,
        Fault::Gzip | Fault::Deflate | Fault::UnknownCoding => {
            draft.more.push_str(coding::header(fault));
            coding::encode(fault, draft.writes.iter_mut().flat_map(|write| &mut write.events));
        }
        Fault::ContinueFirst => draft.interim = b"HTTP/1.1 100 Continue\r\n\r\n",
        Fault::EarlyHints => draft.interim = b"HTTP/1.1 103 Early Hints\r\nlink: </mock>; rel=preload\r\n\r\n",
        Fault::Http10 => (draft.version10, draft.framing, draft.close) = (true, Framing::ToClose, true),
        Fault::ConnectionClose => draft.close = true,
        Fault::CloseAfterAnswer => draft.end = End::Close,
        // Of the answer itself nothing is wrong: these have changed it above, or concern when it leaves, or streams alone.
        _ => {}
    }
    draft.into_made()
}

fn spoil_answer(answer: &mut Answer, fault: Fault) {
    let odd = match fault {
        Fault::UsageFloat => Odd::Float,
        Fault::UsageNull => Odd::Null,
        Fault::UsageNegative => Odd::Negative,
        Fault::UsageHuge => Odd::Huge,
        Fault::UsageText => Odd::Text,
        _ => Odd::No,
    };
    if odd != Odd::No {
        answer.odd = odd;
        // Whether it was asked for or not.
        answer.counts = if answer.counts == Counts::Never { Counts::Last } else { answer.counts };
    }
    answer.wide = fault == Fault::SplitUnicode;
    if fault == Fault::BigChunks {
        (answer.padding, answer.reasoning, answer.content) = (BIG, 0, 4);
    }
}

fn draft(sound: Sound) -> Draft {
    let Sound { answer, start, ttft, mut gaps, cut, stall, close, version10, .. } = sound;
    let first = start.saturating_add(ttft);
    let (mut text, mut writes) = (Text::default(), Vec::new());
    if sound.stream {
        let mut stream = Stream::new(answer, first, gaps, cut, stall);
        loop {
            text.clear();
            let (at, last) = stream.next_events(&mut text);
            writes.push(Write { at, events: text.events().map(<[u8]>::to_vec).collect(), content: true });
            if last {
                break;
            }
        }
    } else {
        answer.whole(&mut text.bytes);
        let at = first.saturating_add(gaps.next(answer.tokens().saturating_sub(1))).saturating_add(stall.map_or(0, |stall| stall.for_ns));
        writes.push(Write { at, events: vec![text.bytes], content: true });
    }
    let framing = match (sound.stream, version10) {
        (true, true) => Framing::ToClose,
        (true, false) => Framing::Chunked,
        (false, _) => Framing::Length(0),
    };
    Draft {
        status: 200,
        content_type: Some(if sound.stream { EVENTS } else { JSON }),
        more: String::new(),
        interim: b"",
        framing,
        chunks: Chunks::Plain,
        trailers: false,
        finished: true,
        writes,
        end: End::Keep,
        close: close || framing == Framing::ToClose,
        version10,
        byte_gap: None,
        split_characters: false,
        start,
    }
}

impl Draft {
    fn nothing(&mut self, end: End) {
        self.writes.clear();
        (self.finished, self.end) = (false, end);
    }

    /// Half of the answer, and then this.
    fn half(&mut self, end: End) {
        if let Framing::Length(_) = self.framing {
            // The head goes on to promise all of it.
            self.framing = Framing::Length(self.length());
        }
        self.keep_half();
        (self.finished, self.end) = (false, end);
    }

    fn length(&self) -> usize {
        self.writes.iter().flat_map(|write| &write.events).map(Vec::len).sum()
    }

    fn keep_half(&mut self) {
        let events: usize = self.writes.iter().map(|write| write.events.len()).sum();
        if events < 2 {
            self.writes.iter_mut().flat_map(|write| &mut write.events).for_each(|event| event.truncate(event.len() / 2));
            return;
        }
        let mut left = events / 2;
        for write in &mut self.writes {
            write.events.truncate(left);
            left -= write.events.len();
        }
        self.writes.retain(|write| !write.events.is_empty());
    }

    /// The event in the middle loses the bracket that ends its object.
    fn break_json(&mut self) {
        let mut events: Vec<&mut Vec<u8>> = self.writes.iter_mut().flat_map(|write| &mut write.events).collect();
        let middle = events.len() / 2;
        if let Some(event) = events.get_mut(middle)
            && let Some(at) = event.iter().rposition(|byte| *byte == b'}')
        {
            event.remove(at);
        }
    }

    fn into_made(mut self) -> Made {
        let mut parts = Vec::new();
        if !self.interim.is_empty() {
            parts.push(Part { at: self.start, bytes: self.interim.to_vec(), content: false });
        }
        if self.framing == Framing::Length(0) {
            self.framing = Framing::Length(self.length());
        }
        let close = self.close;
        let mut head = Vec::new();
        if self.finished || !self.writes.is_empty() {
            let (status, version10, content_type) = (self.status, self.version10, self.content_type);
            Top { status, version10, content_type, framing: self.framing, close, more: &self.more }.push(&mut head);
        }
        let last = self.writes.len().saturating_sub(1);
        for (number, write) in self.writes.iter().enumerate() {
            let mut bytes = std::mem::take(&mut head);
            write.events.iter().for_each(|event| self.push_event(event, &mut bytes));
            if number == last && self.finished && self.framing == Framing::Chunked {
                bytes.extend_from_slice(if self.trailers { b"0\r\nx-mock-trailer: done\r\n\r\n" } else { LAST_CHUNK });
            }
            let second = if self.split_characters { split(&mut bytes) } else { Vec::new() };
            parts.push(Part { at: write.at, bytes, content: write.content });
            parts.push(Part { at: write.at.saturating_add(APART_NS), bytes: second, content: write.content });
        }
        let end = if self.end == End::Keep && close { End::Close } else { self.end };
        let last_at = parts.iter().rev().find(|part| !part.bytes.is_empty()).map_or(self.start, |part| part.at);
        let pause = if end == End::Reset && !parts.is_empty() { APART_NS } else { 0 };
        Made::new(parts, end, last_at.saturating_add(pause), self.byte_gap)
    }

    fn push_event(&self, event: &[u8], out: &mut Vec<u8>) {
        match (self.framing, self.chunks) {
            (Framing::Chunked, Chunks::Plain) => push_chunk(event, out),
            (Framing::Chunked, Chunks::OneByte) => event.iter().for_each(|byte| push_chunk(&[*byte], out)),
            (Framing::Chunked, Chunks::Extended) => {
                out.extend_from_slice(format!("00{:X};mock=\"a;b\"\r\n", event.len()).as_bytes());
                out.extend_from_slice(event);
                out.extend_from_slice(b"\r\n");
            }
            _ => out.extend_from_slice(event),
        }
    }
}

/// Cuts bytes inside of their last character of several bytes and gives back what follows.
fn split(bytes: &mut Vec<u8>) -> Vec<u8> {
    let inside = bytes.iter().rposition(|byte| byte & 0xc0 == 0x80);
    inside.map_or_else(Vec::new, |at| bytes.split_off(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Endpoint;

    /// Each write of a stream of four tokens with this fault: when, and what.
    fn writes(fault: Fault) -> Vec<(u64, Vec<u8>)> {
        let mut answer = Answer::new(Endpoint::Chat, 1, 0, "m".to_owned());
        answer.content = 4;
        let sound = Sound {
            answer,
            stream: true,
            target: "/x".to_owned(),
            start: 1000,
            ttft: 100,
            gaps: Gaps::Fixed(10),
            cut: Cut { tokens_per_event: 1, events_per_write: 1 },
            stall: None,
            close: false,
            version10: false,
            byte_gap_ns: 7,
        };
        let mut script = crate::script::Script::Made(Box::new(spoil(sound, fault)));
        let (mut writes, mut text) = (Vec::new(), Text::default());
        loop {
            let (due, mut out) = (script.due(), Vec::new());
            let wrote = script.write(&mut text, &mut out);
            writes.push((due, out));
            if wrote.end.is_some() {
                return writes;
            }
        }
    }

    #[test]
    fn characters_are_cut_between_writes() {
        let writes = writes(Fault::SplitUnicode);
        let halves = writes.chunks(2).filter(|pair| {
            let whole = pair.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>();
            pair.iter().all(|(_, bytes)| std::str::from_utf8(bytes).is_err()) && std::str::from_utf8(&whole).is_ok()
        });
        assert_eq!(halves.count(), 4);
        // The second half comes later, but before it would be taken for a stall.
        assert_eq!((writes[0].0, writes[1].0), (1100, 1100 + APART_NS));
    }

    #[test]
    fn bytes_are_writes_of_their_own() {
        let sound: Vec<u8> = writes(Fault::ConnectionClose).into_iter().flat_map(|(_, bytes)| bytes).collect();
        for (fault, gap) in [(Fault::OneByteWrites, 0), (Fault::SlowLoris, 7)] {
            let writes = writes(fault);
            assert!(writes.iter().all(|(_, bytes)| bytes.len() == 1));
            assert!(writes.windows(2).all(|two| two[1].0 >= two[0].0 + gap));
            // All but the line that the other has.
            assert_eq!(writes.len(), sound.len() - "connection: close\r\n".len());
        }
    }

    #[test]
    fn a_reset_waits_for_what_was_sent() {
        let writes = writes(Fault::ResetMidStream);
        let (last, end) = (&writes[writes.len() - 2], &writes[writes.len() - 1]);
        assert_eq!((end.0 - last.0, end.1.len()), (APART_NS, 0));
    }
}
