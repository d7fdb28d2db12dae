//! Why a request failed, as a record says it.
//!
//! | What happened | code | class |
//! |---|---|---|
//! | a status outside 2xx; a redirect that is not followed | the status | its reason |
//! | an error in a stream, as event or as data | the server's, else 502 | `SSEResponseError` |
//! | nothing in a 2xx that is content; an error as whole body | - | `InvalidInferenceResultError` |
//! | no connection could be made | - | `ClientConnectorError` |
//! | the connection ended before, or within, the head | - | `ServerDisconnectedError` |
//! | it was reset: before the head, behind it | - | `ClientOSError`, `ClientPayloadError` |
//! | a body cut short, chunks or coding that are none | - | `ClientPayloadError` |
//! | a head that is none | - | `ClientResponseError` |
//! | a coding that is not known | - | `ContentEncodingError` |
//! | more than is taken | - | `ResponseTooLargeError` |
//! | a limit of time | - | `TimeoutError` |
//! | cancelled | 499 | `RequestCancellationError` |
//!
//! The classes are the peer's, or its library's, where it has one: perf contract 4.5, and 0.2 items 9 and 23.

use crate::answer::{Name, Refusal};
use crate::{decode, http, sse};

/// What kind of thing went wrong: for those who decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The status says so.
    Status,
    /// The answer points to another request.
    Redirect,
    /// There was no connection to send it on.
    Connect,
    /// The connection ended before a byte of an answer: what was sent on a connection that had served before may be sent again.
    NoAnswer,
    /// What came is no answer of HTTP.
    Malformed,
    /// The answer ended too early.
    Truncated,
    /// The body is in a coding that is not known, or not in the one it should be in.
    Coding,
    /// More came than is taken.
    TooLarge,
    /// The server says that it failed, in an answer that began well.
    Server,
    /// There is no content in it.
    Empty,
    /// The connection broke.
    Broken,
    /// It took too long.
    TimedOut,
    /// It was not wanted any more.
    Cancelled,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of thing went wrong.
    pub cause: Cause,
    /// A status of HTTP, or what stands for one.
    pub code: Option<u16>,
    /// The class of the error.
    pub class: Name,
    /// In words: the server's where it has any.
    pub message: String,
}

/// How a connection, or the wait for it, ended before the answer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// The connection was reset, or failed otherwise; in the system's words.
    Connection(String),
    /// A limit of time; which.
    TimedOut(String),
    /// The request was cancelled; why.
    Cancelled(String),
}

impl Failure {
    fn new(cause: Cause, class: &'static str, message: impl Into<String>) -> Self {
        Self { cause, code: None, class: Name::Borrowed(class), message: message.into() }
    }

    /// There was no connection to send it on.
    #[must_use]
    pub fn connect(words: impl Into<String>) -> Self {
        Self::new(Cause::Connect, "ClientConnectorError", words)
    }

    /// The answers pointed from one to the next without an end.
    #[must_use]
    pub fn too_many_redirects(status: u16, to: &str) -> Self {
        Self::status(Cause::Redirect, status, "", format!("too many redirects, the last of them to {to}"))
    }

    /// The answer points to where nothing can be sent.
    #[must_use]
    pub fn nowhere(status: u16, words: String) -> Self {
        Self::status(Cause::Redirect, status, "", words)
    }

    /// It was not wanted any more before there was a connection to send it on.
    #[must_use]
    pub fn unsent(why: Break) -> Self {
        Self::broken(why, false)
    }

    pub(super) fn status(cause: Cause, status: u16, reason: &str, message: String) -> Self {
        let reason = if reason.trim().is_empty() { usual_reason(status) } else { reason.trim() };
        let message = if message.trim().is_empty() { reason.to_owned() } else { message };
        Self { cause, code: Some(status), class: Name::Owned(reason.to_owned()), message }
    }

    pub(super) fn http(error: &http::Error) -> Self {
        use http::Error as E;
        let (cause, class) = match error {
            E::NoAnswer => (Cause::NoAnswer, "ServerDisconnectedError"),
            E::TruncatedHead => (Cause::Truncated, "ServerDisconnectedError"),
            E::Truncated { .. } => (Cause::Truncated, "ClientPayloadError"),
            E::MalformedHead(_) => (Cause::Malformed, "ClientResponseError"),
            E::MalformedChunk(_) => (Cause::Malformed, "ClientPayloadError"),
            E::OversizedHead(_) | E::OversizedChunkLine(_) => (Cause::TooLarge, "ResponseTooLargeError"),
            E::UnsupportedTransfer(_) => (Cause::Coding, "ContentEncodingError"),
        };
        Self::new(cause, class, error.to_string())
    }

    pub(super) fn coding(error: &decode::Error) -> Self {
        let (cause, class) = match error {
            decode::Error::Unsupported(_) => (Cause::Coding, "ContentEncodingError"),
            decode::Error::Corrupt { .. } => (Cause::Coding, "ClientPayloadError"),
            decode::Error::Truncated(_) => (Cause::Truncated, "ClientPayloadError"),
        };
        Self::new(cause, class, error.to_string())
    }

    pub(super) fn event(error: sse::TooLong) -> Self {
        Self::new(Cause::TooLarge, "ResponseTooLargeError", error.to_string())
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(Cause::TooLarge, "ResponseTooLargeError", format!("the body is larger than {limit} bytes"))
    }

    pub(super) fn in_stream(refusal: Refusal) -> Self {
        let code = Some(refusal.code.unwrap_or(502));
        Self { code, ..Self::new(Cause::Server, "SSEResponseError", refusal.message) }
    }

    pub(super) fn in_body(refusal: Refusal) -> Self {
        Self { code: refusal.code, ..Self::new(Cause::Server, "InvalidInferenceResultError", refusal.message) }
    }

    /// `text`: what the server said instead.
    pub(super) fn empty(text: &str) -> Self {
        let colon = if text.is_empty() { "" } else { ": " };
        Self::new(Cause::Empty, "InvalidInferenceResultError", format!("no content in the answer{colon}{text}"))
    }

    /// `in_body` when the head had come.
    pub(super) fn broken(why: Break, in_body: bool) -> Self {
        match why {
            Break::Connection(words) if in_body => Self::new(Cause::Broken, "ClientPayloadError", words),
            Break::Connection(words) => Self::new(Cause::Broken, "ClientOSError", words),
            Break::TimedOut(words) => Self::new(Cause::TimedOut, "TimeoutError", words),
            Break::Cancelled(words) => Self { code: Some(499), ..Self::new(Cause::Cancelled, "RequestCancellationError", words) },
        }
    }
}

/// What servers that send no reason would have said.
fn usual_reason(status: u16) -> &'static str {
    match status {
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "HTTP error",
    }
}
