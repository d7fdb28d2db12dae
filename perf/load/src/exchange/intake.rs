//! From a head, pieces of a body and its end to what is kept, whatever transport they came by.
//!
//! | Body is | Decided by | Read as |
//! |---|---|---|
//! | `Refused` | a status outside 2xx | text of the error, as much as is kept |
//! | `Events` | its media type; its first bytes, when a stream was asked for | one event after the other |
//! | `Undecided` | - : a stream was asked for and it has another media type | its first bytes |
//! | `Whole` | all others | one answer, at its end |
//!
//! The first failure stands: what comes behind it is counted and passed over, so that the connection comes to its end. It is
//! `hopeless` when nothing behind it can be read; then the connection is of no use.

use crate::answer::{self, Said, Saying};
use crate::decode::Decoder;
use crate::http::{Head, Redirect, redirect};
use crate::sse::{self, Message};

use super::failure::{Break, Cause, Failure};
use super::{Answered, Ask, Limits, Outcome, Piece, Raw};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// The head has not come.
    None,
    Refused,
    Undecided,
    Events,
    Whole,
}

/// One answer on its way in.
#[derive(Debug)]
pub struct Intake {
    ask: Ask,
    limits: Limits,
    body: Body,
    decoder: Option<Box<Decoder>>,
    /// Bytes of the body so far, decoded.
    size: usize,
    /// What is kept of them: all of a whole body, the beginning of others.
    kept: Vec<u8>,
    events: sse::Reader,
    told: Told,
    /// Where the answer points, and its reason.
    moved: Option<Outcome>,
    reason: String,
    hopeless: bool,
}

/// What was said so far.
#[derive(Debug)]
struct Told {
    reader: answer::Reader,
    answered: Answered,
    failure: Option<Failure>,
    /// The stream has said that it ends.
    done: bool,
    /// What comes is kept as it is.
    recording: bool,
}

impl Intake {
    /// Nothing of the answer to `ask` has come.
    #[must_use]
    pub fn new(ask: Ask, limits: Limits) -> Self {
        let told =
            Told { reader: answer::Reader::new(ask.endpoint), answered: Answered::default(), failure: None, done: false, recording: false };
        Self {
            ask,
            limits,
            body: Body::None,
            decoder: None,
            size: 0,
            kept: Vec::new(),
            events: sse::Reader::new(limits.event),
            told,
            moved: None,
            reason: String::new(),
            hopeless: false,
        }
    }

    /// Forgets the answer and begins another; memory for reading is kept.
    pub fn restart(&mut self, ask: Ask) {
        let mut new = Self::new(ask, self.limits);
        self.kept.clear();
        // But not that of one large answer.
        self.kept.shrink_to(1 << 20);
        std::mem::swap(&mut new.kept, &mut self.kept);
        self.events.restart();
        std::mem::swap(&mut new.events, &mut self.events);
        new.told.recording = self.told.recording;
        new.told.reader = new.told.reader.of_field(self.told.reader.field().cloned());
        *self = new;
    }

    /// The text of this answer, and of those that follow, is there.
    pub fn look_at(&mut self, field: Option<answer::Field>) {
        self.told.reader = answer::Reader::new(self.ask.endpoint).of_field(field);
    }

    /// Keeps what comes as it is, of this answer and of those that follow.
    pub fn record(&mut self) {
        self.told.recording = true;
    }

    /// What has come of the answer. For counting, and for taking it away at its end.
    pub fn answered(&mut self) -> &mut Answered {
        &mut self.told.answered
    }

    /// Whether content has come.
    #[must_use]
    pub fn has_content(&self) -> bool {
        !self.told.answered.pieces.is_empty()
    }

    /// Whether it has failed already, be it that there is more to read.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.told.failure.is_some()
    }

    /// Whether nothing that may come can be read.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.hopeless
    }

    /// The head has come.
    pub fn head(&mut self, at: u64, head: &Head) {
        self.told.answered.stamps.headers = Some(at);
        self.told.answered.status = Some(head.status());
        if !head.is_success() {
            self.body = Body::Refused;
            // What cannot be decoded is no text of an error.
            self.decoder = Decoder::of(head).ok().flatten().map(Box::new);
            self.reason = head.reason().to_owned();
            self.moved = redirect(head).map(|to| self.points_to(head.status(), to));
            return;
        }
        let media_type = head.get("content-type").and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        self.body = if media_type.eq_ignore_ascii_case("text/event-stream") {
            Body::Events
        } else if self.ask.streaming {
            Body::Undecided
        } else {
            Body::Whole
        };
        match Decoder::of(head) {
            Ok(decoder) => self.decoder = decoder.map(Box::new),
            Err(error) => self.give_up(Failure::coding(&error)),
        }
    }

    /// A piece of the body has come.
    pub fn body(&mut self, at: u64, piece: &[u8]) {
        let answered = &mut self.told.answered;
        answered.counters.body_bytes += piece.len() as u64;
        answered.stamps.first_body.get_or_insert(at);
        answered.stamps.last_body = Some(at);
        let Some(mut decoder) = self.decoder.take() else { return self.decoded(at, piece) };
        let mut left = piece;
        while !self.hopeless {
            match decoder.next(&mut left) {
                Ok(Some(piece)) => self.decoded(at, piece),
                Ok(None) => break,
                Err(error) => self.give_up(Failure::coding(&error)),
            }
        }
        self.decoder = Some(decoder);
    }

    /// The answer has come to its end, as it should.
    pub fn end(&mut self, at: u64) {
        if let Some(Err(error)) = self.decoder.as_mut().map(|decoder| decoder.end()) {
            self.fail(Failure::coding(&error));
        }
        if self.told.failure.is_none() {
            match self.body {
                Body::Events => {
                    if let Some(event) = self.events.rest() {
                        self.told.event(at, event);
                    }
                }
                Body::Undecided | Body::Whole => self.told.whole(at, &self.kept),
                Body::Refused | Body::None => {}
            }
        }
        self.conclude(at);
    }

    /// The connection, or the wait, ended before the answer did.
    pub fn broken(&mut self, at: u64, why: Break) {
        let failure = Failure::broken(why, self.body != Body::None);
        self.cut(at, failure);
    }

    /// Nothing more will come, for this reason. It is none when all that was wanted has come.
    pub(super) fn cut(&mut self, at: u64, failure: Failure) {
        let known = self.body == Body::Refused && failure.cause != Cause::Cancelled;
        if !known {
            self.fail(failure);
        }
        self.conclude(at);
    }

    pub(super) fn conclude(&mut self, at: u64) {
        let text = || String::from_utf8_lossy(&self.kept[..self.kept.len().min(self.limits.message)]).into_owned();
        let failure = self.told.failure.take();
        let answered = &mut self.told.answered;
        answered.stamps.end = Some(at);
        answered.outcome = match (failure, self.body) {
            (Some(failure), _) => Outcome::Failed(failure),
            (None, Body::Refused) => self.moved.take().unwrap_or_else(|| {
                Outcome::Failed(Failure::status(Cause::Status, answered.status.unwrap_or_default(), &self.reason, text()))
            }),
            (None, _) if answered.pieces.is_empty() => Outcome::Failed(Failure::empty(text().trim())),
            (None, body) => {
                answered.incomplete =
                    body == Body::Events && self.ask.endpoint.says_its_end() && !self.told.done && answered.finish.is_none();
                Outcome::Success
            }
        };
    }

    fn points_to(&self, status: u16, to: Redirect<'_>) -> Outcome {
        match to {
            Redirect::Follow(to) => Outcome::Moved { status, to: to.to_owned() },
            Redirect::Refuse(to) => {
                let words = format!("the server points to {to}, but to another request than this, which is not sent");
                Outcome::Failed(Failure::status(Cause::Redirect, status, &self.reason, words))
            }
        }
    }

    fn decoded(&mut self, at: u64, piece: &[u8]) {
        // As far as it may go it is read, so that how it was cut changes nothing.
        let room = self.limits.body - self.size;
        let (piece, too_much) = (&piece[..piece.len().min(room)], piece.len() > room);
        self.size += piece.len();
        if self.told.failure.is_none() && !piece.is_empty() {
            self.take(at, piece);
        }
        if too_much {
            self.give_up(Failure::too_large(self.limits.body));
        }
    }

    fn take(&mut self, at: u64, piece: &[u8]) {
        match self.body {
            Body::Refused => self.keep(piece),
            Body::Whole => self.kept.extend_from_slice(piece),
            Body::Events => self.read_events(at, piece),
            Body::Undecided => {
                self.kept.extend_from_slice(piece);
                match sse::looks_like(&self.kept) {
                    Some(true) => {
                        self.body = Body::Events;
                        self.told.answered.other_media_type = true;
                        let begin = std::mem::take(&mut self.kept);
                        self.read_events(at, &begin);
                    }
                    Some(false) => self.body = Body::Whole,
                    None => {}
                }
            }
            Body::None => {}
        }
    }

    /// Keeps what may have to be told: the server's words in place of an answer.
    fn keep(&mut self, piece: &[u8]) {
        let room = self.limits.message.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn read_events(&mut self, at: u64, mut piece: &[u8]) {
        self.told.answered.streamed = true;
        if self.told.answered.pieces.is_empty() {
            self.keep(piece);
        }
        loop {
            match self.events.next(&mut piece) {
                Ok(Some(event)) => self.told.event(at, event),
                Ok(None) => return,
                Err(error) => return self.give_up(Failure::event(error)),
            }
        }
    }

    /// What is wrong behind the end that a stream has told is no failure of it; that it was not wanted is.
    fn fail(&mut self, failure: Failure) {
        if !self.told.done || failure.cause == Cause::Cancelled {
            self.told.failure.get_or_insert(failure);
        }
    }

    fn give_up(&mut self, failure: Failure) {
        self.fail(failure);
        self.hopeless = true;
    }
}

impl Told {
    fn event(&mut self, at: u64, event: sse::Event<'_>) {
        if self.failure.is_some() {
            return;
        }
        self.answered.counters.events += 1;
        if self.recording {
            let lines: Vec<&[u8]> = event.lines().collect();
            self.answered.raw.push(Raw { at, bytes: lines.join(&b'\n').into(), event: true });
        }
        let message = Message::read(event);
        if message.name == Some(b"error") {
            self.failure = Some(failed(&message));
            return;
        }
        let Some(data) = &message.data else { return };
        match self.reader.event(message.name, data) {
            Said::Saying(saying) => take(&mut self.answered, &mut self.done, at, saying),
            Said::Refusal(refusal) => self.failure = Some(Failure::in_stream(refusal)),
            Said::Undecodable => self.answered.counters.undecodable += 1,
        }
    }

    fn whole(&mut self, at: u64, body: &[u8]) {
        if self.recording {
            self.answered.raw.push(Raw { at, bytes: body.into(), event: false });
        }
        match self.reader.body(body) {
            Said::Saying(saying) => take(&mut self.answered, &mut self.done, at, saying),
            Said::Refusal(refusal) => self.failure = Some(Failure::in_body(refusal)),
            Said::Undecodable => self.answered.counters.undecodable += 1,
        }
    }
}

fn take(answered: &mut Answered, done: &mut bool, at: u64, saying: Saying<'_>) {
    if let Some(content) = saying.content {
        if answered.pieces.is_empty() {
            answered.first_tokens = saying.usage.and_then(|usage| usage.completion);
        }
        answered.pieces.push(Piece::new(at, content.kind));
        answered.text.push_str(&content.text);
        answered.reasoning.push_str(&content.reasoning);
        answered.tools.push_str(&content.tools);
    }
    answered.usage = saying.usage.or(answered.usage);
    if saying.finish.is_some() {
        answered.finish = saying.finish;
    }
    answered.other_choices |= saying.other_choices;
    *done |= saying.done;
}

/// An event that is named an error: in the words of its comment, else of its data.
fn failed(message: &Message<'_>) -> Failure {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let data = message.data.as_deref().unwrap_or_default();
    let refusal = serde_json::from_slice(data).ok().and_then(|value| answer::Refusal::of(&value));
    let mut refusal = refusal.unwrap_or_else(|| answer::Refusal { code: None, class: None, message: words(data) });
    if let Some(comment) = message.comment.filter(|comment| !comment.is_empty()) {
        refusal.message = words(comment);
    }
    if refusal.message.is_empty() {
        refusal.message = "an event named error, without words".to_owned();
    }
    Failure::in_stream(refusal)
}
