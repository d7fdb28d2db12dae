//! Engines served over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may stop at once

mod admin;
mod embedded;
mod harness;
mod memory;
mod openai;
mod start;
