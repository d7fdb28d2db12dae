//! The peer's end-to-end suites, kept as data under `tests/suites`, run against the real binary or a real cluster.
//!
//! A program of its own and no libtest: each row is printed as it ends, and there are arguments. Every run has a
//! plane of its own with the shipped controllers as Pods on it; they go beside each other. With `--kubeconfig`
//! they go one after another in namespaces of that cluster.

// Tests end by panicking; what cannot be had here is a failed run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod args;
mod cluster;
mod conditions;
mod data;
mod fields;
mod place;
mod runner;
mod steps;
// Shared with the other end-to-end tests; this program does not use all of it.
#[allow(dead_code, unused_imports)]
#[path = "../it/support/mod.rs"]
mod support;
mod vars;

use std::process::ExitCode;

use args::{Args, Asked};
use data::{Run, Suite};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Asked::Run(args)) => args,
        Ok(Asked::Help) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("error: {problem}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    let suites = Suite::all();
    let runs: Vec<(&Suite, &Run)> = suites.iter().flat_map(|s| s.runs.iter().map(move |r| (s, r))).collect();
    if args.list {
        // As libtest lists, for programs that ask.
        runs.iter().for_each(|(_, run)| println!("{}: test", run.name));
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<_> = runs.into_iter().filter(|(_, run)| args.wants(&run.name)).collect();
    // All of them, whatever the first ones say.
    let passed: Vec<bool> = if args.kubeconfig.is_some() {
        // A cluster of somebody has one set of GPUs.
        chosen.into_iter().map(|(suite, run)| runner::run(suite, run, &args)).collect()
    } else {
        std::thread::scope(|scope| {
            let args = &args;
            let threads: Vec<_> = chosen.into_iter().map(|(suite, run)| scope.spawn(move || runner::run(suite, run, args))).collect();
            // A run that panics outside its rows has failed; its message is printed already.
            threads.into_iter().map(|t| t.join().unwrap_or(false)).collect()
        })
    };
    if passed.iter().all(|p| *p) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
