//! The verbs of this crate.

use clap::Subcommand;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::{log, program};

use crate::{Args, Error, gpu_map, nvidia_smi, test_requester, test_server};

/// Which program, with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The stub of a server-requesting Pod
    Requester(Args),
    /// The peer's requester for clusters without GPUs: allocates over gpu-map and gpu-allocs
    TestRequester(test_requester::Args),
    /// The peer's engine for tests: health, sleep and wake, nothing computed
    TestServer(test_server::Args),
    /// Answers the queries that requesters and launchers put to nvidia-smi, from the device ledger
    #[command(hide = true)]
    NvidiaSmi(nvidia_smi::Args),
    /// The ConfigMap of node to GPU UUID to index
    GpuMap(gpu_map::Args),
}

impl Verb {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with, with the exit code that the peer's program has.
    pub fn run(self) -> anyhow::Result<()> {
        if !matches!(self, Self::NvidiaSmi(_)) {
            log::init(log::Options::default());
        }
        let ended: Result<(), Error> = match self {
            Self::Requester(args) => program::run(|end| crate::run(args, end)),
            Self::TestRequester(args) => program::run(|end| test_requester::run(args, end)),
            Self::TestServer(args) => program::run(|end| test_server::run(args, end)),
            Self::GpuMap(args) => program::run(|end| gpu_map::run(args, end)),
            Self::NvidiaSmi(args) => {
                return program::block_on(async { nvidia_smi::run(args).await.map_err(|e| Failure::with_code(e.exit_code(), e).into()) });
            }
        };
        ended.map_err(|error| match error.exit_code() {
            1 => error.into(),
            code => Failure::with_code(code, error).into(),
        })
    }
}
