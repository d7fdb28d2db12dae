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

pub(crate) struct Shared {
    pub(crate) options: Options,
    /// The last revision; moves only under `sequence`.
    revision: AtomicU64,
    sequence: Mutex<()>,
}

impl Shared {
    /// The last revision that was given out.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Takes the next revision. `make` builds the object for it, before anyone can see that it is given out.
    pub(crate) fn next(&self, make: impl FnOnce(u64) -> Arc<Stored>) -> Arc<Stored> {
        let _turn = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = self.revision.load(Ordering::Relaxed) + 1;
        let object = make(revision);
        self.revision.store(revision, Ordering::Release);
        object
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
        let shared = Shared { options, revision: AtomicU64::new(FIRST), sequence: Mutex::new(()) };
        Self { shared: Arc::new(shared), tables: Arc::default() }
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
}
