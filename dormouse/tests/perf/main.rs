//! `dormouse perf profile` as its users have it: the program as a process, a server as another, and the files that it leaves.
//!
//! It lies beside the command and not in `tests/`: cargo builds the program itself for the tests of its own package
//! (`CARGO_BIN_EXE_dormouse`), with the features asked for, and the control plane that `dormouse-tests` needs is none of them:
//!
//! ```sh
//! cargo test -p dormouse --no-default-features --features perf --test perf
//! ```
//!
//! The server is `perf mock-server`, whose `/stats` is the truth that figures are held against. What takes time as a figure runs alone
//! ([`kit::machine::alone`]), before others where the system allows it; everything else runs beside each other, and says nothing of
//! whether the client was fast enough: a run may be `client-bound` there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod kit;

mod arrivals;
mod bad_input;
mod closed;
mod disk;
mod endpoints;
mod faults;
mod interrupt;
mod phases;
mod recompute;
mod search;
mod sessions;
mod several;
mod situations;
mod trust;
