//! The kubelet with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod crash;
mod plane;
mod pods;
mod shim;

/// The executable that becomes a shim.
const SHIM: &str = env!("CARGO_BIN_EXE_kubelet-shim-test");
