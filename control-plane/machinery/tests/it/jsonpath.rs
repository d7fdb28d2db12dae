//! Tests of jsonpath.
