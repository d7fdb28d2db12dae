//! The controllers against a real API server in process, and a node made of stubs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod crash;
mod direct;
mod hot;
mod launchers;
mod population;
mod stage;
