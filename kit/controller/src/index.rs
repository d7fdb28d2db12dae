//! An index: state in memory that watches keep in step with the API.
//!
//! Everything that changes an index is one of three calls, `apply`, `delete` and `reset`, whatever the watch. Each says
//! which keys it concerns, and why. An index holds no client, no clock and no queue, so that its tests are plain: call,
//! look, compare.

use std::fmt;

use crate::{Change, Reason};

/// The keys that a change concerns, and why.
pub type Touched<Q> = Vec<(Q, Reason)>;

/// State that can be checked against itself.
pub trait Consistent {
    /// Rebuilds what is derived from what is held, from nothing, and compares. Called after each change in debug builds.
    ///
    /// # Errors
    /// The first difference.
    fn consistency_check(&self) -> Result<(), Inconsistent>;
}

/// What is derived is not what it would be if built anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Inconsistent(pub String);

/// State that a watch of `K` keeps in step.
pub trait Index<K>: Consistent {
    /// What is worked on.
    type Key;

    /// The object is new or has changed.
    fn apply(&mut self, object: K) -> Touched<Self::Key>;

    /// The object is gone; what it last was.
    fn delete(&mut self, object: K) -> Touched<Self::Key>;

    /// This is everything there is; whatever else was known is gone.
    fn reset(&mut self, all: Vec<K>) -> Touched<Self::Key>;
}

impl<K> Change<K> {
    /// Folds this change into an index.
    pub fn fold_into<I: Index<K>>(self, index: &mut I) -> Touched<I::Key> {
        let touched = match self {
            Self::Apply(object) => index.apply(object),
            Self::Delete(object) => index.delete(object),
            Self::Reset(all) => index.reset(all),
        };
        debug_assert_eq!(index.consistency_check(), Ok(()));
        touched
    }
}

/// `Ok` when both are equal.
///
/// # Errors
/// Says of what, and how they differ.
pub fn same<T: PartialEq + fmt::Debug>(what: &str, held: &T, rebuilt: &T) -> Result<(), Inconsistent> {
    if held == rebuilt { Ok(()) } else { Err(Inconsistent(format!("{what}: held {held:?}, rebuilt {rebuilt:?}"))) }
}
