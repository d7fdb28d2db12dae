//! The kubelet with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]
#![allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it")]

mod crash;
mod leftovers;
mod live;
mod odd;
mod plane;
mod pods;
mod shim;

/// The executable that becomes a shim.
const SHIM: &str = env!("CARGO_BIN_EXE_kubelet-shim-test");
