//! What tests share: recorded behaviour and what of it is pending ([`golden`]); for tests of programs (feature `programs`)
//! the contracts' tables of test vectors as data (`table`), addresses of their own, waits.
//!
//! Only ever a dev-dependency.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

pub mod golden;
#[cfg(feature = "programs")]
mod programs;
#[cfg(feature = "programs")]
pub mod table;

use std::io::Write;

#[cfg(feature = "programs")]
pub use programs::{SOON, eventually, own_ip};

/// Writes a line that is seen also when the test passes, whose output is kept back.
pub fn said(what: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{what}\n").as_bytes());
}

/// Says that a test proves nothing here, and why.
pub fn skipped(what: &str) {
    said(&format!("SKIPPED: {what}"));
}
