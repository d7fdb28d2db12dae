//! Following a table.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Event, Table};

/// The asked revision lies before what the store remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({floor})")]
pub struct Expired {
    /// What was asked for.
    pub asked: u64,
    /// The oldest revision that a watcher may start from.
    pub floor: u64,
    /// The present revision.
    pub now: u64,
}

/// What happened since the last look.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
    /// Everything up to this revision has been told.
    pub revision: u64,
}

/// A place in a table's log.
#[derive(Debug)]
pub struct Watcher {
    table: Arc<Table>,
    seen: u64,
    news: watch::Receiver<u64>,
}

impl Watcher {
    /// Events in one batch at most: bounds the memory of one step.
    const BATCH: usize = 256;

    pub(crate) fn new(table: Arc<Table>, seen: u64, news: watch::Receiver<u64>) -> Self {
        Self { table, seen, news }
    }

    /// Everything up to this revision has been told.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What has happened, without waiting; the batch may be empty and still move the revision.
    ///
    /// # Errors
    /// [`Expired`] when the watcher has fallen behind the log. It stays expired.
    pub fn poll_now(&mut self) -> Result<Batch, Expired> {
        let (events, revision) = self.table.events(self.seen, Self::BATCH)?;
        self.seen = revision;
        Ok(Batch { events, revision })
    }

    /// Waits for events. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Expired`] when the watcher has fallen behind the log.
    pub async fn next(&mut self) -> Result<Batch, Expired> {
        loop {
            // Seen first: a commit after this line wakes `changed`, one before it is in the log.
            self.news.mark_unchanged();
            let batch = self.poll_now()?;
            if !batch.events.is_empty() {
                return Ok(batch);
            }
            if self.news.changed().await.is_err() {
                // The sender lives in the table that we hold: it cannot go first.
                std::future::pending::<()>().await;
            }
        }
    }
}
