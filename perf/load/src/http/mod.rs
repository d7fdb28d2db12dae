//! HTTP/1.1 as proxies speak it, without a socket: a request's head is written, an answer is read.
//!
//! [`Reader`] takes bytes as they come and hands back the [`Part`]s of one answer: its head, pieces of its body that lie in those
//! bytes, its end. What comes before the head of the answer proper (1xx), between the pieces of a body (sizes and extensions of
//! chunks) and behind it (trailers) is read and passed over, says perf contract 0.2 item 24. Nothing is held but the head, and that
//! has a limit.
//!
//! How a message ends is what decides over truth and lies in a benchmark, so it is decided in one place (`framing`) and by one
//! type: a body whose length was announced is complete or [`Error::Truncated`]; one that ends with the connection is complete
//! when [`Reader::end`] says so.

mod framing;
mod head;
mod reader;
mod redirect;
mod request;

pub use head::Head;
pub use reader::{Limits, Part, Reader};
pub use redirect::{Redirect, redirect};
pub use request::{NotSendable, write_head};

/// Why an answer cannot be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The connection ended before a byte of the answer.
    #[error("the connection was closed before an answer")]
    NoAnswer,
    /// The connection ended within the head.
    #[error("the connection was closed within the head of the answer")]
    TruncatedHead,
    /// The connection ended within the body.
    #[error("the body ended after {got} bytes{}", missing.map(|n| format!(", {n} bytes too early")).unwrap_or_default())]
    Truncated {
        /// What came of the body.
        got: u64,
        /// What is known to be missing: of the body, or of the chunk under way.
        missing: Option<u64>,
    },
    /// What came is no head of HTTP/1.
    #[error("the head of the answer is malformed: {0}")]
    MalformedHead(&'static str),
    /// The head is larger than is taken, or the trailers are.
    #[error("the head of the answer is larger than {0} bytes")]
    OversizedHead(usize),
    /// The body is not in chunks as it should be.
    #[error("a chunk of the body is malformed: {0}")]
    MalformedChunk(&'static str),
    /// The line before a chunk is longer than is taken.
    #[error("the line before a chunk is longer than {0} bytes")]
    OversizedChunkLine(usize),
    /// The body is transferred in a way that is not known.
    #[error("the transfer coding {0:?} is not supported")]
    UnsupportedTransfer(String),
}
