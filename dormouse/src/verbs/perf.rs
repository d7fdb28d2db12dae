//! `dormouse perf …`: benchmarks of generative-AI endpoints. The program `aiperf` means it too.

use clap::{Args, Subcommand};
use dormouse_perf_mock::MockServerArgs;
use dormouse_perf_page::ReportArgs;
use dormouse_perf_profile::ProfileArgs;
use dormouse_perf_profile::config_verbs::{self, ConfigArgs};
use dormouse_perf_profile::doctor::{self, DoctorArgs};
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
    /// Measure an endpoint: send load, write the files, say whether the figures are the server's
    #[command(
        after_help = "Examples:\n  dormouse perf profile --demo\n  dormouse perf profile -m my-model --tokenizer DIR --streaming --concurrency 16 --request-count 500\n  dormouse perf profile -m my-model --tokenizer DIR --streaming --request-rate 20 --benchmark-duration 60\n  dormouse perf profile -m my-model --tokenizer DIR --streaming --slo \"ttft:p95<500ms\" --search concurrency:1..128\n\nExit codes: 0 good, 1 nothing succeeded or failed otherwise, 2 usage, 3 the server cannot be reached, 4 too many errors or an objective missed,\n5 the client was what was measured, 130 interrupted (what was measured is written)."
    )]
    Profile(Box<ProfileArgs>),
    /// Find out before a run whether it would work: configuration, server, tokenizer, each field of a request, this machine
    #[command(
        after_help = "One request is posted as perf profile would send it, and a small one for each field that is configured, 20 at most.\n\nExamples:\n  dormouse perf doctor -m my-model --tokenizer DIR --streaming --url http://localhost:8000 --extra-inputs ignore_eos:true\n  dormouse perf doctor --config bench.yaml --no-requests --output json\n\nExit codes: 0 nothing failed, 1 something did, 2 the configuration cannot be followed, 3 the server cannot be reached."
    )]
    Doctor(Box<DoctorArgs>),
    /// Look at configurations: in full, or for what is wrong with them
    Config(ConfigArgs),
    /// Compute a whole summary from the records of a run, ours or AIPerf's
    #[command(
        after_help = "Examples:\n  dormouse perf analyze artifacts/my-run\n  dormouse perf analyze artifacts/my-run --check\n  dormouse perf analyze run1 run2 --write recomputed --slice-duration 1"
    )]
    Analyze(AnalyzeArgs),
    /// Two runs side by side, ours or AIPerf's, with what the tools mean otherwise by the same name
    Compare(CompareArgs),
    /// Runs as one HTML page that stands by itself: whether they may be believed, figures, distributions, timelines
    #[command(
        after_help = "Examples:\n  dormouse perf report artifacts/my-run\n  dormouse perf report artifacts/before artifacts/after -o change.html --title \"Before and after\""
    )]
    Report(ReportArgs),
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
            What::Profile(args) => dormouse_perf_profile::run(args),
            What::Doctor(args) => doctor::run(args),
            What::Config(args) => config_verbs::run(args),
            What::Analyze(args) => analyze::run(args),
            What::Compare(args) => compare::run(args),
            What::Report(args) => dormouse_perf_page::run(args),
            What::MockServer(args) => Ok(dormouse_perf_mock::run(args)?),
        }
    }
}
