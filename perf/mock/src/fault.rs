//! Everything that can be wrong with an answer, by name: one table makes parsing, the listing and the help.
//!
//! A fault is chosen for a share of the requests (`--fault NAME:RATE`) or for one of them (header `x-mock-fault: NAME`). What it
//! does to the answer's bytes is in `draft`.

use std::fmt::{self, Display, Formatter, Write};
use std::str::FromStr;

/// What a fault does to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table below says what each is")]
pub enum Fault {
    Status(u16),
    Redirect(u16),
    ResetBeforeHeaders,
    ResetMidStream,
    CloseBeforeHeaders,
    CloseMidStream,
    Truncated,
    ErrorBeforeContent,
    ErrorAfterContent,
    UndecodableJson,
    EmptyAnswer,
    SlowLoris,
    OneByteWrites,
    OneByteChunks,
    BigChunks,
    WrongContentType,
    NoContentType,
    Crlf,
    Cr,
    MixedLineEnds,
    Bom,
    Comments,
    MultiLineData,
    SplitUnicode,
    Gzip,
    Deflate,
    UnknownCoding,
    ContinueFirst,
    EarlyHints,
    EarlyAnswer,
    Http10,
    ConnectionClose,
    CloseAfterAnswer,
    Trailers,
    ChunkExtensions,
    Hang,
    HangMidStream,
    UsageFloat,
    UsageNull,
    UsageNegative,
    UsageHuge,
    UsageText,
}

/// Every fault with its name and what it does. Codes of status and redirect are in the name.
pub const FAULTS: &[(&str, Fault, &str)] = &[
    ("status-NNN", Fault::Status(503), "an error with this code (400 to 599) and the endpoint's error object as body"),
    ("redirect-NNN", Fault::Redirect(307), "301, 302, 303, 307 or 308 to the same path below /redirected, which answers"),
    ("reset-before-headers", Fault::ResetBeforeHeaders, "the connection is reset where the answer would begin"),
    ("reset-mid-stream", Fault::ResetMidStream, "the connection is reset after half of the answer"),
    ("close-before-headers", Fault::CloseBeforeHeaders, "the connection ends where the answer would begin"),
    ("close-mid-stream", Fault::CloseMidStream, "the connection ends after half of the answer, the body unfinished"),
    ("truncated", Fault::Truncated, "a stream ends properly after half of its content: no finish reason, no usage, no [DONE]"),
    ("error-before-content", Fault::ErrorBeforeContent, "an error object in the data of a 200 before any content"),
    ("error-after-content", Fault::ErrorAfterContent, "an error object in the data of a 200 after half of the content"),
    ("undecodable-json", Fault::UndecodableJson, "the event in the middle is broken JSON; so is a whole body"),
    ("empty-answer", Fault::EmptyAnswer, "a 200 without any content: a stream of [DONE] alone, a whole body of {}"),
    ("slow-loris", Fault::SlowLoris, "one byte every --loris-ms, headers included"),
    ("one-byte-writes", Fault::OneByteWrites, "each byte is a write of its own"),
    ("one-byte-chunks", Fault::OneByteChunks, "each byte is a chunk of the transfer encoding"),
    ("big-chunks", Fault::BigChunks, "four tokens of 1 MiB of text each"),
    ("wrong-content-type", Fault::WrongContentType, "text/plain, whatever the body is"),
    ("no-content-type", Fault::NoContentType, "no Content-Type at all"),
    ("crlf", Fault::Crlf, "lines of the stream end with CR LF"),
    ("cr", Fault::Cr, "lines of the stream end with CR"),
    ("mixed-line-ends", Fault::MixedLineEnds, "LF, CR LF and CR by turns, line by line"),
    ("bom", Fault::Bom, "the stream begins with a byte order mark"),
    ("comments", Fault::Comments, "comment lines between events, id and retry fields in them"),
    ("multi-line-data", Fault::MultiLineData, "each event's JSON is spread over two data lines"),
    ("split-unicode", Fault::SplitUnicode, "text beyond ASCII, each write ending inside of a character"),
    ("gzip", Fault::Gzip, "Content-Encoding gzip, flushed event by event"),
    ("deflate", Fault::Deflate, "Content-Encoding deflate, flushed event by event"),
    ("unknown-coding", Fault::UnknownCoding, "Content-Encoding x-mock, whose bytes nobody can read"),
    ("continue-first", Fault::ContinueFirst, "100 Continue before the answer, whether it was expected or not"),
    ("early-hints", Fault::EarlyHints, "103 Early Hints with a header before the answer"),
    ("early-answer", Fault::EarlyAnswer, "the answer leaves when the head has come, before the body; a stream if Accept says so"),
    ("http10", Fault::Http10, "HTTP/1.0, a body without length that the end of the connection ends"),
    ("connection-close", Fault::ConnectionClose, "Connection: close, and it is closed after the answer"),
    ("close-after-answer", Fault::CloseAfterAnswer, "the connection is closed after the answer without a word"),
    ("trailers", Fault::Trailers, "a chunked body with trailer fields"),
    ("chunk-extensions", Fault::ChunkExtensions, "chunk sizes with extensions, leading zeros and capital digits"),
    ("hang", Fault::Hang, "no byte is ever sent, and the connection stays"),
    ("hang-mid-stream", Fault::HangMidStream, "after half of the answer no byte is sent, and the connection stays"),
    ("usage-float", Fault::UsageFloat, "token counts of usage as 4.0"),
    ("usage-null", Fault::UsageNull, "token counts of usage are null"),
    ("usage-negative", Fault::UsageNegative, "token counts of usage are -1"),
    ("usage-huge", Fault::UsageHuge, "token counts of usage are 1e30"),
    ("usage-text", Fault::UsageText, "token counts of usage are text"),
];

const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let code = |prefix: &str| name.strip_prefix(prefix).and_then(|code| code.parse::<u16>().ok());
        if let Some(code) = code("status-").filter(|code| (400..600).contains(code)) {
            return Ok(Self::Status(code));
        }
        if let Some(code) = code("redirect-").filter(|code| REDIRECTS.contains(code)) {
            return Ok(Self::Redirect(code));
        }
        let row = FAULTS.iter().find(|(known, _, _)| *known == name && !known.ends_with("-NNN"));
        row.map(|(_, fault, _)| *fault).ok_or_else(|| format!("no fault is called {name:?}; --list-faults lists them"))
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status-{code}"),
            Self::Redirect(code) => write!(f, "redirect-{code}"),
            other => f.write_str(FAULTS.iter().find(|(_, fault, _)| fault == other).map_or("", |(name, _, _)| name)),
        }
    }
}

/// A fault and the share of requests that have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultRate {
    /// Which.
    pub fault: Fault,
    /// Of how many, from 0 to 1.
    pub rate: f64,
}

impl FromStr for FaultRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rate) = text.split_once(':').unwrap_or((text, "1"));
        Ok(Self { fault: name.parse()?, rate: share(rate)? })
    }
}

/// A share from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is no number from 0 to 1"))
}

/// The table as lines of text.
#[must_use]
pub fn listing() -> String {
    let mut text = String::new();
    for (name, _, what) in FAULTS {
        let _ = writeln!(text, "  {name:<22}{what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (name, fault, what) in FAULTS {
            let name = fault.to_string().replace("NNN", name);
            assert_eq!(name.parse(), Ok(*fault), "{name}");
            assert!(!what.is_empty());
        }
        assert_eq!("status-429".parse(), Ok(Fault::Status(429)));
        for wrong in ["status-200", "status-", "redirect-305", "status-NNN", "crlf ", ""] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
        assert_eq!("crlf:0.25".parse(), Ok(FaultRate { fault: Fault::Crlf, rate: 0.25 }));
        assert!("crlf:2".parse::<FaultRate>().is_err());
        assert!(listing().contains("  slow-loris            one byte"));
    }
}
