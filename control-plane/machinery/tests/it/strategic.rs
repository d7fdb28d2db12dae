//! Tests of strategic.
