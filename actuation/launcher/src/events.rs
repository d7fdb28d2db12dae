//! Revisions and the buffer of events. PURE.
//!
//! One counter per launcher process, from 0, raised by one per event. The newest [`CAPACITY`] events are kept as the
//! lines that watchers receive, fewer when they are so large that memory would suffer; `oldest` is an exclusive bound: a
//! watcher that knows everything up to `oldest` misses nothing.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;

/// Events kept.
pub(crate) const CAPACITY: usize = 1000;
/// Bytes of events kept; the newest event is kept whatever its size. A usual event has a few hundred bytes.
const CAPACITY_BYTES: usize = 8 << 20;

/// What happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum InstanceEvent {
    /// It exists; in a snapshot also for one that has ended.
    Created,
    /// Its process has ended by itself.
    Stopped,
    /// It was deleted.
    Deleted,
}

/// A revision that cannot be served from the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone {
    /// The oldest that can.
    pub(crate) oldest: u64,
}

/// The events of a launcher.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    revision: u64,
    lines: VecDeque<Bytes>,
    bytes: usize,
}

impl EventLog {
    /// The revision of the latest event; 0 before the first.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The exclusive lower bound of what is buffered.
    pub(crate) fn oldest(&self) -> u64 {
        self.revision - self.lines.len() as u64
    }

    /// Records an event under the next revision; `line` is given that revision.
    pub(crate) fn push(&mut self, line: impl FnOnce(u64) -> Bytes) -> u64 {
        self.revision += 1;
        let line = line(self.revision);
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > CAPACITY || (self.bytes > CAPACITY_BYTES && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |l| l.len());
        }
        self.revision
    }

    /// The events after `since`, at most `limit` of them, oldest first, and the revision of the last one.
    pub(crate) fn after(&self, since: u64, limit: usize) -> Result<(Vec<Bytes>, u64), Gone> {
        let oldest = self.oldest();
        if since < oldest || since > self.revision {
            return Err(Gone { oldest });
        }
        // Not more than the buffer's length, checked above.
        let skip = usize::try_from(since - oldest).unwrap_or(usize::MAX);
        let lines: Vec<Bytes> = self.lines.iter().skip(skip).take(limit).cloned().collect();
        let last = since + lines.len() as u64;
        Ok((lines, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(events: u64) -> EventLog {
        let mut log = EventLog::default();
        for _ in 0..events {
            log.push(|r| Bytes::from(format!("{r}\n")));
        }
        log
    }

    #[test]
    fn oldest_is_an_exclusive_bound() {
        assert_eq!(log(0).oldest(), 0);
        assert_eq!(log(1000).oldest(), 0);
        let full = log(1005);
        assert_eq!((full.oldest(), full.revision()), (5, 1005));
        assert_eq!(full.after(4, 9), Err(Gone { oldest: 5 }));
        assert_eq!(full.after(5, usize::MAX).unwrap().0.len(), 1000);
        assert_eq!(full.after(1005, 9), Ok((vec![], 1005)));
        assert_eq!(full.after(1006, 9), Err(Gone { oldest: 5 }), "the future is as unavailable as the past");
    }

    #[test]
    fn large_events_are_kept_by_size() {
        let mut log = EventLog::default();
        for _ in 0..10 {
            log.push(|_| Bytes::from(vec![0; CAPACITY_BYTES / 4]));
        }
        assert_eq!((log.oldest(), log.revision()), (6, 10));
        log.push(|_| Bytes::from(vec![0; CAPACITY_BYTES + 1]));
        assert_eq!((log.oldest(), log.bytes), (10, CAPACITY_BYTES + 1));
        log.push(|_| Bytes::new());
        assert_eq!((log.oldest(), log.bytes), (11, 0));
    }

    #[test]
    fn a_limited_read_says_where_to_go_on() {
        let log = log(10);
        let (lines, at) = log.after(3, 4).unwrap();
        assert_eq!((lines, at), ((4..8).map(|r| Bytes::from(format!("{r}\n"))).collect(), 7));
    }
}
