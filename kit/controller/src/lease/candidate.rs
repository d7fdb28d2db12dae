//! PURE: what a candidate for a lease does next, by client-go's rules.
//!
//! Held: what the lease was seen to be and since when *by our own clock* (stamps of others are not compared with it), and
//! when the last renewal of ours that was confirmed had been sent. Invariant: we lead only between that moment and the
//! renew deadline after it, and no other candidate that keeps these rules leads before the duration after it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;

use super::Timing;

/// A moment, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Now {
    /// Time since boot: all that is decided is decided by it.
    pub(super) boot: Duration,
    /// What is written into the lease, for people.
    pub(super) wall: Timestamp,
}

/// A lease as the API has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Empty: nobody's.
    pub(super) holder: String,
    pub(super) duration: Duration,
    pub(super) acquired: Option<Timestamp>,
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: i32,
    /// The version to replace; empty: there is none yet.
    pub(super) version: String,
}

/// What was learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// The wait is over.
    Woke,
    /// This is the lease; none: there is none.
    Read(Option<Record>),
    /// What was written stands, as this.
    Written(Record),
    /// Someone else wrote before.
    Refused,
    /// Nothing is known of what became of the call.
    Failed,
}

/// What to do next; its end is the next news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    /// Create, when its version is empty; else replace that version.
    Write(Record),
    Wait(Duration),
    /// The lease that was held is lost: nothing more may be done.
    Stop,
}

/// One candidate.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    me: String,
    timing: Timing,
    seen: Option<(Record, Duration)>,
    /// When the write that is under way was sent.
    sent: Duration,
    /// When the last write that was confirmed was sent.
    confirmed: Option<Duration>,
    attempts: u64,
}

impl Candidate {
    pub(super) fn new(me: String, timing: Timing) -> Self {
        Self { me, timing, seen: None, sent: Duration::ZERO, confirmed: None, attempts: 0 }
    }

    /// Until when calls may begin; none: we do not lead.
    pub(super) fn leads_until(&self) -> Option<Duration> {
        self.confirmed.map(|at| at + self.timing.renew_deadline)
    }

    /// Takes news in and says what to do.
    pub(super) fn step(&mut self, news: News, now: Now) -> Action {
        if self.leads_until().is_some_and(|until| until <= now.boot) {
            // Whatever the news are, they come too late.
            return self.stop();
        }
        match news {
            News::Woke => match &self.seen {
                Some((record, _)) if self.confirmed.is_some() => {
                    let renewal = self.renewal(record.clone(), now);
                    self.write(renewal, now)
                }
                _ => Action::Read,
            },
            News::Read(None) => {
                let none = Record {
                    holder: String::new(),
                    duration: self.timing.duration,
                    acquired: None,
                    renewed: None,
                    transitions: -1,
                    version: String::new(),
                };
                let first = self.renewal(none, now);
                self.write(first, now)
            }
            News::Read(Some(record)) => self.read(record, now),
            News::Written(record) => {
                self.seen = Some((record, now.boot));
                // An answer may come so late that it confirms what is over. Only who does not lead yet comes here with it, and
                // it goes on waiting.
                self.confirmed = Some(self.sent).filter(|sent| now.boot < *sent + self.timing.renew_deadline);
                self.wait(now)
            }
            // A leader learns at once who was faster; others have time.
            News::Refused if self.confirmed.is_some() => Action::Read,
            News::Refused | News::Failed => self.wait(now),
        }
    }

    fn read(&mut self, record: Record, now: Now) -> Action {
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record.clone(), now.boot));
        }
        let mine = record.holder == self.me;
        if !mine && self.confirmed.is_some() {
            return self.stop();
        }
        let since = self.seen.as_ref().map_or(now.boot, |(_, since)| *since);
        if !mine && !record.holder.is_empty() && now.boot < since + record.duration {
            return self.wait(now);
        }
        let renewal = self.renewal(record, now);
        self.write(renewal, now)
    }

    /// The record as we want it, over what is there.
    fn renewal(&self, old: Record, now: Now) -> Record {
        let mine = old.holder == self.me;
        Record {
            holder: self.me.clone(),
            duration: self.timing.duration,
            acquired: old.acquired.filter(|_| mine).or(Some(now.wall)),
            renewed: Some(now.wall),
            transitions: if mine { old.transitions } else { old.transitions.saturating_add(1) },
            version: old.version,
        }
    }

    fn write(&mut self, record: Record, now: Now) -> Action {
        self.sent = now.boot;
        Action::Write(record)
    }

    /// Until the next attempt, and not past the deadline. Who only waits for its turn spreads its attempts, as client-go does.
    fn wait(&mut self, now: Now) -> Action {
        self.attempts += 1;
        let retry = self.timing.retry;
        Action::Wait(match self.leads_until() {
            Some(until) => retry.min(until.saturating_sub(now.boot)),
            None => {
                let mut hasher = DefaultHasher::new();
                (&self.me, self.attempts).hash(&mut hasher);
                let share = u32::try_from(hasher.finish() % 1_000).unwrap_or(0);
                retry + retry * 12 / 10 * share / 1_000
            }
        })
    }

    fn stop(&mut self) -> Action {
        self.confirmed = None;
        Action::Stop
    }

    /// Gives the lease up: what to write so that others need not wait; none: it is not ours to give.
    pub(super) fn release(&mut self, now: Now) -> Option<Record> {
        let leads = self.leads_until().is_some_and(|until| now.boot < until);
        self.confirmed = None;
        let (record, _) = self.seen.clone().filter(|_| leads)?;
        let brief = Duration::from_secs(1);
        Some(Record { holder: String::new(), duration: brief, acquired: Some(now.wall), renewed: Some(now.wall), ..record })
    }
}
