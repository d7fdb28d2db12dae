//! What the shipped benchmark can send, and how exact it is: the program itself, with records, tokens and files on, beside a bare
//! hyper loop in the same run, against the mock server as a process of its own.
//!
//! `cargo bench -p dormouse --no-default-features --features perf --bench perf [-- ceiling|accuracy|start]`
//!
//! A figure without its write pattern, its rate of events and the processor time of both sides says nothing: all stand beside it.
//! Machines are shared: compare the two rows of one pattern, which are measured by turns, and take the medians.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(clippy::cast_precision_loss, clippy::print_stdout, reason = "figures for people")]

mod accuracy;
mod bare;
mod ceiling;
mod world;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |what: &str| wanted.is_empty() || wanted.iter().any(|w| w == what);
    if wants("ceiling") {
        ceiling::run();
    }
    if wants("accuracy") {
        accuracy::run();
    }
    if wants("start") {
        ceiling::start();
    }
}
