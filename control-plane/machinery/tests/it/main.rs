//! Recorded behaviour of Kubernetes against this crate, and properties over arbitrary input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test is the point of a test

mod golden;
mod json_patch;
mod jsonpath;
mod names;
mod openapi;
mod protobuf;
mod quantities;
mod selectors;
mod strategic;
mod strict;
mod structural;
mod yaml;
