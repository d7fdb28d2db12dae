//! Merge patch.
