//! Tests of structural.
