//! Tests of strict.
