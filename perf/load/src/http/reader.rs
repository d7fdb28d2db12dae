//! The state of one answer that is being read.
//!
//! | State | Left by |
//! |---|---|
//! | `Head` | an empty line; back into itself behind a 1xx |
//! | `Length`, `Connection` | the last byte; the connection's end |
//! | `Chunk` | its parts below, behind a chunk of size zero and the trailers |
//! | `Complete` | - : what comes behind it is left to the caller, who may not use the connection again when something does |
//!
//! A reader that has given an error gives it again: nothing behind it has a meaning.

use super::framing::{Framing, framing, persists};
use super::{Error, Head};

/// With this each answer begins: what does not is not waited for.
const BEGIN: &[u8] = b"HTTP/";

/// What an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the head, and of the trailers.
    pub head: usize,
    /// Bytes of the line before a chunk, its extensions included.
    pub chunk_line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 << 10, chunk_line: 16 << 10 }
    }
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The head has come: see [`Reader::head`].
    Head,
    /// A piece of the body; never empty.
    Body(&'a [u8]),
    /// The answer is complete.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    Connection,
    Chunk(Chunk),
    /// Complete, and not said yet.
    Ending,
    Complete,
}

/// Where in a body of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In the digits of the size.
    Size { size: u64, digits: u8 },
    /// Behind them, in what is passed over.
    Extension { size: u64 },
    /// Before this many bytes of the body.
    Data { left: u64 },
    /// Before the line's end behind the data; a CR of it has come.
    Behind { cr: bool },
    /// In the trailers; in a line of them, if it is not empty.
    Trailers { in_line: bool },
}

/// Reads one answer after the other from one connection.
#[derive(Clone, Debug)]
pub struct Reader {
    limits: Limits,
    /// What has come of a head that is not complete.
    partial: Vec<u8>,
    /// How far in it an end was looked for.
    looked: usize,
    head: Head,
    to_head: bool,
    state: State,
    framing: Framing,
    /// Bytes of the body so far.
    got: u64,
    /// Bytes of the line before the chunk, or of the trailers.
    line: usize,
    /// A byte of this answer has come.
    begun: bool,
    failed: Option<Error>,
}

impl Reader {
    /// A reader of the answer to a request; `to_head` when that is a HEAD, whose answers have no body.
    #[must_use]
    pub fn new(limits: Limits, to_head: bool) -> Self {
        Self {
            limits,
            partial: Vec::new(),
            looked: 0,
            head: Head::default(),
            to_head,
            state: State::Head,
            framing: Framing::None,
            got: 0,
            line: 0,
            begun: false,
            failed: None,
        }
    }

    /// Forgets the answer and begins another; memory is kept.
    pub fn restart(&mut self, to_head: bool) {
        self.partial.clear();
        self.head.clear();
        let (partial, head) = (std::mem::take(&mut self.partial), std::mem::take(&mut self.head));
        *self = Self { partial, head, ..Self::new(self.limits, to_head) };
    }

    /// The head; nothing in it before [`Part::Head`].
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether a byte of the answer has come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the answer is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether the connection may serve another request: the answer is complete, and neither its version nor its head nor its
    /// body's end says otherwise.
    #[must_use]
    pub fn may_reuse(&self) -> bool {
        self.is_complete() && persists(&self.head, self.framing)
    }

    /// Reads from `input`, from which it takes what it has read: the next part, or `None` when more must come.
    ///
    /// # Errors
    /// The answer cannot be read on.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let read = self.advance(input);
        if let Err(error) = &read {
            self.failed = Some(error.clone());
        }
        read
    }

    /// The connection has ended. An answer that ends with it is complete by that.
    ///
    /// # Errors
    /// It was not at its end, or was no answer before.
    pub fn end(&mut self) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let truncated = |missing| Err(Error::Truncated { got: self.got, missing });
        let ended = match self.state {
            State::Head if !self.begun => Err(Error::NoAnswer),
            State::Head => Err(Error::TruncatedHead),
            State::Length(left) | State::Chunk(Chunk::Data { left }) => truncated(Some(left)),
            // All of the body has come when the chunk of size zero has.
            State::Chunk(Chunk::Trailers { .. }) | State::Connection | State::Ending | State::Complete => Ok(()),
            State::Chunk(_) => truncated(None),
        };
        match &ended {
            Ok(()) => {
                // Whatever the head says.
                self.framing = Framing::Connection;
                self.state = State::Complete;
            }
            Err(error) => self.failed = Some(error.clone()),
        }
        ended
    }

    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Error> {
        loop {
            match self.state {
                State::Complete => return Ok(None),
                State::Ending => {
                    self.state = State::Complete;
                    return Ok(Some(Part::End));
                }
                _ if input.is_empty() => return Ok(None),
                State::Head => {
                    if !self.read_head(input)? {
                        return Ok(None);
                    }
                    // What announces the answer is none.
                    if !(100..200).contains(&self.head.status()) || self.head.status() == 101 {
                        self.framing = framing(&self.head, self.to_head)?;
                        self.state = match self.framing {
                            Framing::None | Framing::Length(0) => State::Ending,
                            Framing::Length(length) => State::Length(length),
                            Framing::Connection => State::Connection,
                            Framing::Chunked => State::Chunk(Chunk::Size { size: 0, digits: 0 }),
                        };
                        return Ok(Some(Part::Head));
                    }
                    self.head.clear();
                }
                State::Connection => return Ok(Some(self.body(input, u64::MAX))),
                State::Length(left) => {
                    let before = self.got;
                    let part = self.body(input, left);
                    let left = left - (self.got - before);
                    self.state = if left == 0 { State::Ending } else { State::Length(left) };
                    return Ok(Some(part));
                }
                State::Chunk(Chunk::Data { left }) => {
                    let before = self.got;
                    let part = self.body(input, left);
                    let left = left - (self.got - before);
                    self.state = State::Chunk(if left == 0 { Chunk::Behind { cr: false } } else { Chunk::Data { left } });
                    return Ok(Some(part));
                }
                State::Chunk(mut chunk) => {
                    let ended = self.between(&mut chunk, input)?;
                    self.state = if ended { State::Ending } else { State::Chunk(chunk) };
                }
            }
        }
    }

    /// Takes at most `most` bytes of the body.
    fn body<'a>(&mut self, input: &mut &'a [u8], most: u64) -> Part<'a> {
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
        let (piece, later) = input.split_at(length);
        *input = later;
        self.got += length as u64;
        Part::Body(piece)
    }

    /// Reads what stands between pieces of the body, up to the next one or the end of the input; whether
    /// that ended the answer.
    fn between(&mut self, chunk: &mut Chunk, input: &mut &[u8]) -> Result<bool, Error> {
        while let Some((&byte, later)) = input.split_first() {
            *input = later;
            self.line += 1;
            *chunk = match (*chunk, byte) {
                (Chunk::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                    let digit = char::from(byte).to_digit(16).unwrap_or_default();
                    let size = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                    let size = size.ok_or(Error::MalformedChunk("a size that no body has"))?;
                    Chunk::Size { size, digits: digits.saturating_add(1) }
                }
                (Chunk::Size { digits: 0, .. }, _) => return Err(Error::MalformedChunk("no size")),
                (Chunk::Size { size, .. } | Chunk::Extension { size }, b'\n') => {
                    self.line = 0;
                    if size == 0 { Chunk::Trailers { in_line: false } } else { Chunk::Data { left: size } }
                }
                (Chunk::Size { size, .. }, b';' | b' ' | b'\t' | b'\r') => Chunk::Extension { size },
                (Chunk::Size { .. }, _) => return Err(Error::MalformedChunk("a size that is no number")),
                (Chunk::Extension { size }, _) => Chunk::Extension { size },
                (Chunk::Behind { .. }, b'\n') => {
                    self.line = 0;
                    Chunk::Size { size: 0, digits: 0 }
                }
                (Chunk::Behind { cr: false }, b'\r') => Chunk::Behind { cr: true },
                (Chunk::Behind { .. }, _) => return Err(Error::MalformedChunk("more data than its size")),
                (Chunk::Trailers { in_line: false }, b'\n') => return Ok(true),
                (Chunk::Trailers { in_line }, b'\r') => Chunk::Trailers { in_line },
                (Chunk::Trailers { .. }, _) => Chunk::Trailers { in_line: byte != b'\n' },
                (Chunk::Data { left }, _) => Chunk::Data { left },
            };
            match chunk {
                Chunk::Data { .. } => return Ok(false),
                Chunk::Trailers { .. } if self.line > self.limits.head => return Err(Error::OversizedHead(self.limits.head)),
                Chunk::Size { .. } | Chunk::Extension { .. } if self.line > self.limits.chunk_line => {
                    return Err(Error::OversizedChunkLine(self.limits.chunk_line));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Reads a head; whether it is complete.
    fn read_head(&mut self, input: &mut &[u8]) -> Result<bool, Error> {
        self.begun = true;
        if self.partial.is_empty() {
            // Empty lines before it belong to nothing.
            while let Some((b'\r' | b'\n', later)) = input.split_first() {
                *input = later;
            }
            let begin = &input[..input.len().min(BEGIN.len())];
            if !BEGIN.starts_with(begin) {
                return Err(Error::MalformedHead("not HTTP"));
            }
            if let Some(end) = end_of_head(input, &mut 0) {
                let (head, later) = input.split_at(end);
                if end > self.limits.head {
                    return Err(Error::OversizedHead(self.limits.head));
                }
                *input = later;
                self.head.read(head)?;
                return Ok(true);
            }
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(&input[..input.len().min(self.limits.head + 1 - before)]);
        let begin = &self.partial[..self.partial.len().min(BEGIN.len())];
        if !BEGIN.starts_with(begin) {
            return Err(Error::MalformedHead("not HTTP"));
        }
        let Some(end) = end_of_head(&self.partial, &mut self.looked) else {
            *input = &[];
            return if self.partial.len() > self.limits.head { Err(Error::OversizedHead(self.limits.head)) } else { Ok(false) };
        };
        if end > self.limits.head {
            return Err(Error::OversizedHead(self.limits.head));
        }
        *input = &input[end - before..];
        self.head.read(&self.partial[..end])?;
        self.partial.clear();
        self.looked = 0;
        Ok(true)
    }
}

/// Where the head in `bytes` ends, behind its empty line. No line before `looked` is the last one but one; where that is taken up
/// next time is put there.
fn end_of_head(bytes: &[u8], looked: &mut usize) -> Option<usize> {
    while let Some(at) = memchr::memchr(b'\n', &bytes[*looked..]) {
        let behind = *looked + at + 1;
        match &bytes[behind..] {
            [b'\n', ..] => return Some(behind + 1),
            [b'\r', b'\n', ..] => return Some(behind + 2),
            [] | [b'\r'] => return None,
            _ => *looked = behind,
        }
    }
    *looked = bytes.len();
    None
}
