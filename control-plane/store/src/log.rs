//! The bounded memory of one table.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Stored;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was created.
    Added,
    /// It changed.
    Modified,
    /// It was removed; the event shows its last content.
    Deleted,
}

/// One commit, as watchers see it.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The object after the commit; for a removal its last content with the commit's revision.
    pub object: Arc<Stored>,
    /// The object before the commit.
    pub previous: Option<Arc<Stored>>,
}

impl Event {
    /// The revision of the commit.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.object.revision()
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    /// With their revisions beside them: every watcher looks for its place, and shall not touch the events on the way.
    events: VecDeque<(u64, Arc<Event>)>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
    /// What happened after this revision is remembered.
    floor: u64,
}

impl Log {
    pub(crate) fn new(floor: u64, max_events: usize, max_bytes: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, max_events, max_bytes, floor }
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.object.bytes().len();
        self.events.push_back((event.revision(), event));
        while self.events.len() > self.max_events || (self.bytes > self.max_bytes && self.events.len() > 1) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((revision, first)) = self.events.pop_front() {
            self.bytes -= first.object.bytes().len();
            self.floor = revision;
        }
    }

    /// The events after `revision`, oldest first; `None` when some are forgotten.
    pub(crate) fn after(&self, revision: u64) -> Option<impl DoubleEndedIterator<Item = &Arc<Event>>> {
        if revision < self.floor {
            return None;
        }
        let from = match self.events.back() {
            Some((last, _)) if *last > revision => self.events.partition_point(|(at, _)| *at <= revision),
            _ => self.events.len(),
        };
        Some(self.events.range(from..).map(|(_, event)| event))
    }
}
