//! What no input may do to the parsers of the benchmark and of proposals, whoever wrote it: a server, a proxy, a person.
//!
//! Each of [`TARGETS`] takes any bytes and panics where something does not hold: not only that the parser ends without a panic,
//! but that however the bytes are cut into reads the same is read, that a plain reading of the standard gives the same, that what
//! is made of it is what it says to be, and that memory keeps to its bounds. `fuzz/run TARGET SECONDS` looks for such bytes with
//! libFuzzer; `tests/corpus.rs` runs what lies in `corpus/TARGET`, which are examples to begin from and what once was found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what does not hold is told by a panic")]

mod cuts;
pub mod memory;
mod targets {
    pub(super) mod dataset;
    pub(super) mod exchange;
    pub(super) mod http;
    pub(super) mod prometheus;
    pub(super) mod proposal;
    pub(super) mod records;
    pub(super) mod sse;
    pub(super) mod yaml;
}

use targets::{dataset, exchange, http, prometheus, proposal, records, sse, yaml};

/// A check of any bytes.
pub type Check = fn(&[u8]);

/// Names and checks.
pub const TARGETS: [(&str, Check); 8] = [
    ("sse", sse::check),
    ("http", http::check),
    ("exchange", exchange::check),
    ("dataset", dataset::check),
    ("yaml", yaml::check),
    ("prometheus", prometheus::check),
    ("records", records::check),
    ("proposal", proposal::check),
];

/// The check of this name.
#[must_use]
pub fn target(name: &str) -> Option<Check> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}

/// Bytes that choose how the rest is taken, one of so many each; `a` is the first. What is not there is the first, too.
fn choose<const N: usize>(data: &[u8], among: [usize; N]) -> ([usize; N], &[u8]) {
    let mut chosen = among;
    for (at, among) in among.iter().enumerate() {
        chosen[at] = usize::from(data.get(at).unwrap_or(&b'a').wrapping_sub(b'a')) % among;
    }
    (chosen, data.get(N..).unwrap_or_default())
}
