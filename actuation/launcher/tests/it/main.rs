//! Real launchers, as child processes, with an engine that misbehaves on request.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]
#![allow(clippy::disallowed_methods, clippy::large_futures, reason = "tests may be plain")]

mod cleanup;
mod harness;
mod life;
mod notifier;
mod streams;
mod table;
