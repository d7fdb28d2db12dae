//! The tables and the one revision.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::{Stored, Table};

/// The revision of an empty store. Above 1, so that version 1, which clients use as "long ago", is expired.
const FIRST: u64 = 2;

/// How much a store remembers.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Events that each table keeps for watchers.
    pub log_events: usize,
    /// Bytes of objects in those events, per table.
    pub log_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { log_events: 4096, log_bytes: 8 << 20 }
    }
}

/// One commit, as the durable log gets it: in order of revision, before anyone can see it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Revision of the commit.
    pub revision: u64,
    /// Table.
    pub table: &'a str,
    /// Key inside the table.
    pub key: &'a str,
    /// The new state; `None` for a removal.
    pub object: Option<&'a Stored>,
}

/// A commit that could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("journal: {0}")]
pub struct JournalError(pub String);

/// Where commits are written down before they are published.
///
/// It is called under the lock that orders commits: it must only append (to a buffer or a file), not wait
/// for a disk. A commit whose record is refused does not happen.
pub trait Journal: Send + Sync {
    /// Appends one commit.
    ///
    /// # Errors
    /// When the record cannot be kept.
    fn append(&self, record: Record<'_>) -> Result<(), JournalError>;
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    /// The last revision; moves only under `sequence`.
    revision: AtomicU64,
    sequence: Mutex<Option<Arc<dyn Journal>>>,
}

impl Shared {
    /// The last revision that was given out.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Takes the next revision. `make` builds the record's object for it.
    pub(crate) fn next(&self, table: &str, key: &str, make: impl FnOnce(u64) -> (Arc<Stored>, bool)) -> Result<Arc<Stored>, JournalError> {
        let journal = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = self.revision.load(Ordering::Relaxed) + 1;
        let (object, removal) = make(revision);
        if let Some(journal) = journal.as_ref() {
            journal.append(Record { revision, table, key, object: (!removal).then_some(&*object) })?;
        }
        self.revision.store(revision, Ordering::Release);
        Ok(object)
    }
}

/// All tables. Cloning it is cheap and shares everything.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    tables: Arc<RwLock<HashMap<String, Arc<Table>>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let shared = Shared { options, revision: AtomicU64::new(FIRST), sequence: Mutex::new(None) };
        Self { shared: Arc::new(shared), tables: Arc::default() }
    }

    /// Sends every commit from now on to `journal` first.
    pub fn set_journal(&self, journal: Arc<dyn Journal>) {
        *self.shared.sequence.lock().unwrap_or_else(PoisonError::into_inner) = Some(journal);
    }

    /// The revision of the last commit.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.shared.revision()
    }

    /// The table of that name, made when it is asked for the first time.
    #[must_use]
    pub fn table(&self, name: &str) -> Arc<Table> {
        if let Some(table) = self.tables.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(table);
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let table = tables.entry(name.to_owned()).or_insert_with(|| Arc::new(Table::new(name, Arc::clone(&self.shared), FIRST)));
        Arc::clone(table)
    }

    /// Names of the tables that were asked for so far.
    #[must_use]
    pub fn table_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tables.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        names.sort();
        names
    }
}
