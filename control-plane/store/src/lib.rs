//! Revisioned objects in memory, with a bounded memory of what happened to them.
//!
//! A [`Store`] has one revision that every commit raises, and a [`Table`] per resource. A table keeps each
//! object as its JSON bytes ([`Stored`]) beside a small index ([`Meta`]): a parsed tree would cost ten times
//! as much. A commit checks its precondition, takes the next revision and publishes, under one short lock; it
//! never waits for a reader.
//!
//! Watchers pull: a [`Watcher`] holds the last revision it has seen and reads on in the table's log when it
//! is woken. Nothing is queued per watcher, so a slow one costs nothing and finds, when it has fallen behind
//! the log, that its version is [`Expired`].
//!
//! Invariants: revisions grow without being reused; the events of a table are in order of revision; the
//! state at any revision that the log still covers can be had back ([`Table::list`] with `at`).

mod log;
mod object;
mod store;
mod table;
mod watch;

pub use log::{Event, EventKind};
pub use object::{Draft, Meta, Stored};
pub use store::{Options, Store};
pub use table::{Change, CommitError, Committed, Listing, Query, Table, key};
pub use watch::{Batch, Expired, Watcher};
