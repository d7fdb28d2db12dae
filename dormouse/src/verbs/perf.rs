//! `dormouse perf …`: benchmarks of generative-AI endpoints. The program `aiperf` means it too.

use clap::{Args, Subcommand};
use dormouse_perf_mock::MockServerArgs;
use dormouse_perf_report::analyze::{self, AnalyzeArgs};
use dormouse_perf_report::compare::{self, CompareArgs};

/// Arguments of `perf`.
#[derive(Debug, Args)]
pub(crate) struct PerfArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compute a whole summary from the records of a run, ours or AIPerf's
    #[command(
        after_help = "Examples:\n  dormouse perf analyze artifacts/my-run\n  dormouse perf analyze artifacts/my-run --check\n  dormouse perf analyze run1 run2 --write recomputed --slice-duration 1"
    )]
    Analyze(AnalyzeArgs),
    /// Two runs side by side, ours or AIPerf's, with what the tools mean otherwise by the same name
    Compare(CompareArgs),
    /// A server whose timing is known, to measure a benchmark with
    #[command(
        alias = "mock",
        after_help = "Examples:\n  dormouse perf mock-server --port 8000 --ttft-ms 20 --itl-ms 5\n  dormouse perf mock-server --port 0 --max-concurrency 8      a server with a known knee\n  curl -s localhost:8000/stats                                its own truth"
    )]
    MockServer(Box<MockServerArgs>),
}

impl PerfArgs {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Analyze(args) => analyze::run(args),
            What::Compare(args) => compare::run(args),
            What::MockServer(args) => Ok(dormouse_perf_mock::run(args)?),
        }
    }
}
