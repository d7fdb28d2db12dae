//! What is kept of one request.

use crate::answer::{Count, Kind, Name, Usage};
use crate::exchange::Failure;

/// One request's answer, read. Stamps are those that came with the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// How it ended.
    pub outcome: Outcome,
    /// The status, once the head has come.
    pub status: Option<u16>,
    /// When what came.
    pub stamps: Stamps,
    /// Each event with content, in the order in which they came.
    pub pieces: Vec<Piece>,
    /// All text, without anything between its pieces.
    pub text: String,
    /// All reasoning.
    pub reasoning: String,
    /// Names and arguments of all calls of tools.
    pub tools: String,
    /// The last token counts.
    pub usage: Option<Usage>,
    /// With counts in each event: tokens of the first that had content.
    pub first_tokens: Option<Count>,
    /// Why the model ended.
    pub finish: Option<Name>,
    /// How much came.
    pub counters: Counters,
    /// It came as a stream of events.
    pub streamed: bool,
    /// It did so under another media type than that of such streams.
    pub other_media_type: bool,
    /// A success whose stream did not say that it had ended.
    pub incomplete: bool,
    /// There were choices beside the first, of which nothing is kept.
    pub other_choices: bool,
    /// The connection may serve another request.
    pub reusable: bool,
    /// What came, where it was asked to be recorded.
    pub raw: Vec<Raw>,
}

/// A part of an answer as it came, decoded from its coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// When it was complete.
    pub at: u64,
    /// Its bytes: the lines of an event, or a whole body.
    pub bytes: Box<[u8]>,
    /// It is an event of a stream.
    pub event: bool,
}

/// How a request ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It has not, as yet.
    #[default]
    Unfinished,
    /// With an answer.
    Success,
    /// The same request is to be sent elsewhere.
    Moved {
        /// 307 or 308.
        status: u16,
        /// The address as the server wrote it.
        to: String,
    },
    /// With none.
    Failed(Failure),
}

/// When what came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// The end of the head.
    pub headers: Option<u64>,
    /// The first byte of the body.
    pub first_body: Option<u64>,
    /// The last byte of the body.
    pub last_body: Option<u64>,
    /// The end of the answer, or what ended it.
    pub end: Option<u64>,
}

/// How much came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes in all.
    pub bytes: u64,
    /// Reads in all.
    pub reads: u32,
    /// Bytes of the body, as they were sent.
    pub body_bytes: u64,
    /// Reads that had some of the body.
    pub body_reads: u32,
    /// Events.
    pub events: u32,
    /// Events, or bodies, of which no sense could be made.
    pub undecodable: u32,
}

/// An event with content: when it was complete, and which kind it is. Eight bytes, as there are many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Piece(u64);

const KINDS: [Kind; 6] = [Kind::Text, Kind::Reasoning, Kind::ReasoningAndText, Kind::ToolCall, Kind::Embedding, Kind::Rankings];

impl Piece {
    /// A piece that was complete at `at`: nanoseconds on a clock that has run less than seventy years.
    #[must_use]
    pub fn new(at: u64, kind: Kind) -> Self {
        Self(at << 3 | kind as u64)
    }

    /// When it was complete.
    #[must_use]
    pub fn at(self) -> u64 {
        self.0 >> 3
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        let number = usize::try_from(self.0 & 7).unwrap_or_default();
        KINDS.get(number).copied().unwrap_or(Kind::Text)
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {}", self.kind(), self.at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_a_stamp_and_a_kind() {
        for kind in KINDS {
            for at in [0, 1, (1 << 61) - 1] {
                let piece = Piece::new(at, kind);
                assert_eq!((piece.at(), piece.kind()), (at, kind));
            }
        }
        assert_eq!(std::mem::size_of::<Piece>(), 8);
    }
}
