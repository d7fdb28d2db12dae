//! The frame in use: `examples/mirror.rs` against the API server, in process and as a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod leases;
#[path = "../../examples/mirror.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "its main is not run here")]
mod mirror;
mod server;
