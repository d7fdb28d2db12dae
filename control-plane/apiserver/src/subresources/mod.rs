//! What hangs below objects, one file each: the row of a [`Subresource`](crate::registry::Subresource) and the
//! [`Handler`](crate::registry::Handler) that answers it. A kind that has one names it in its row.

mod binding;
mod eviction;
mod finalize;
mod log;
mod scale;
mod status;
mod token;

pub use scale::ScalePaths;

use crate::registry::Verb;

/// The verbs of a part of an object that is there as long as the object.
const PART: &[Verb] = &[Verb::Get, Verb::Patch, Verb::Update];
