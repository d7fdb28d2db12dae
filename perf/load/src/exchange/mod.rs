//! One request's answer: from bytes with their stamps to what a record is made of.
//!
//! [`Exchange`] is a connection's reading half. It is handed what each read brought, and when; [`Exchange::read`] says whether more
//! must come. Whatever happened, [`Exchange::take`] gives an [`Answered`], and its [`Outcome`] says what a record says: the
//! success of a 2xx with content, the address where the same request is to be sent, a [`Failure`] with code, class and message.
//! Below it lies [`Intake`], which knows no transport, so that HTTP/2 comes to the same.
//!
//! A stream is a success when it said that it had ended, or when its body ended as HTTP says and there was content; it is
//! `incomplete` when it was only the latter, says perf contract 0.2 item 13. A failure that a server tells in its stream stands,
//! whatever came before it.
//!
//! Nothing here grows without a bound: [`Limits`].

mod answered;
mod failure;
mod intake;

pub use answered::{Answered, Counters, Outcome, Piece, Raw, Stamps};
pub use failure::{Break, Cause, Failure};
pub use intake::Intake;

use crate::answer::{Endpoint, Field};
use crate::http::{self, Part};

/// What was asked, as far as it says how the answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which kind of answer it has.
    pub endpoint: Endpoint,
    /// A stream was asked for.
    pub streaming: bool,
}

/// What an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Head and chunk lines.
    pub http: http::Limits,
    /// Bytes of one event.
    pub event: usize,
    /// Bytes of the body, decoded.
    pub body: usize,
    /// Bytes of a server's words that are kept.
    pub message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { http: http::Limits::default(), event: 16 << 20, body: 256 << 20, message: 16 << 10 }
    }
}

/// Where an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More must come.
    More,
    /// It is complete; so many bytes came behind it. Where that is not none the connection is of no more use.
    Complete {
        /// Bytes behind the answer.
        left: usize,
    },
    /// It cannot be read on: the connection is of no more use.
    Hopeless,
}

/// Reads one answer after the other from one connection.
#[derive(Debug)]
pub struct Exchange {
    http: http::Reader,
    intake: Intake,
    over: bool,
}

impl Exchange {
    /// Nothing of the answer to `ask` has come.
    #[must_use]
    pub fn new(ask: Ask, limits: Limits) -> Self {
        Self { http: http::Reader::new(limits.http, false), intake: Intake::new(ask, limits), over: false }
    }

    /// Begins another answer on the same connection; memory for reading is kept.
    pub fn restart(&mut self, ask: Ask) {
        self.http.restart(false);
        self.intake.restart(ask);
        self.over = false;
    }

    /// Keeps what comes as it is, of this answer and of those that follow: see [`Answered::raw`].
    pub fn record(&mut self) {
        self.intake.record();
    }

    /// The text of this answer, and of those that follow, is there: of answers to templates.
    pub fn look_at(&mut self, field: Option<Field>) {
        self.intake.look_at(field);
    }

    /// Whether content has come.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.intake.has_content()
    }

    /// Whether a byte of the answer has come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.http.has_begun()
    }

    /// Whether the request has failed already, be it that there is more to read.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.intake.has_failed()
    }

    /// The head, once it has come.
    #[must_use]
    pub fn head(&self) -> &http::Head {
        self.http.head()
    }

    /// A read brought `bytes` at `at`.
    pub fn read(&mut self, at: u64, bytes: &[u8]) -> Progress {
        if self.over {
            return if self.http.is_complete() { Progress::Complete { left: bytes.len() } } else { Progress::Hopeless };
        }
        let counters = &mut self.intake.answered().counters;
        counters.bytes += bytes.len() as u64;
        counters.reads += 1;
        let before = counters.body_bytes;
        let progress = self.parts(at, bytes);
        let counters = &mut self.intake.answered().counters;
        counters.body_reads += u32::from(counters.body_bytes > before);
        progress
    }

    /// The connection has ended, as connections do. An answer that ends with it is complete by that.
    pub fn end(&mut self, at: u64) {
        if !self.over {
            self.over = true;
            match self.http.end() {
                Ok(()) => self.intake.end(at),
                Err(error) => self.intake.cut(at, Failure::http(&error)),
            }
        }
    }

    /// The connection broke, or nobody waits any more.
    pub fn broken(&mut self, at: u64, why: Break) {
        if !self.over {
            self.over = true;
            self.intake.broken(at, why);
        }
    }

    /// What came. Empty when it was taken before.
    pub fn take(&mut self) -> Answered {
        std::mem::take(self.intake.answered())
    }

    fn parts(&mut self, at: u64, bytes: &[u8]) -> Progress {
        let mut left = bytes;
        loop {
            match self.http.next(&mut left) {
                Ok(Some(Part::Head)) => self.intake.head(at, self.http.head()),
                Ok(Some(Part::Body(piece))) => self.intake.body(at, piece),
                Ok(Some(Part::End)) => {
                    self.over = true;
                    self.intake.end(at);
                    self.intake.answered().reusable = self.http.may_reuse() && left.is_empty();
                    return Progress::Complete { left: left.len() };
                }
                Ok(None) => return Progress::More,
                Err(error) => {
                    self.over = true;
                    self.intake.cut(at, Failure::http(&error));
                    return Progress::Hopeless;
                }
            }
            if self.intake.is_hopeless() {
                self.over = true;
                // Why is known already.
                self.intake.conclude(at);
                return Progress::Hopeless;
            }
        }
    }
}
