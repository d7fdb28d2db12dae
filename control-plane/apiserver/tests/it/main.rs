//! The server through its in-process client and its handler, over HTTPS, and by `kubectl`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod basics;
mod golden;
mod https;
mod kubectl;
mod plane;
