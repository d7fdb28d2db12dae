//! The patches of the API: what a `PATCH` body means for each content type that is not server-side apply.

pub mod json;
pub mod merge;
pub mod strategic;
