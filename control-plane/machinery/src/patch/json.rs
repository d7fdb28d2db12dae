//! JSON patch.
