//! `dormouse engine …`: the engines of ours, and a stub from the launcher's tests.

use clap::{Args, Subcommand};

/// Arguments of `engine`.
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    #[command(flatten)]
    Engine(dormouse_engine::EngineVerb),
    /// An engine that computes nothing and misbehaves as told, for tests
    #[cfg(feature = "actuation")]
    #[command(hide = true)]
    Stub(dormouse_launcher::stub_engine::Args),
}

impl EngineArgs {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Engine(verb) => verb.run(),
            #[cfg(feature = "actuation")]
            What::Stub(args) => dormouse_runtime::program::run(|end| dormouse_launcher::stub_engine::run(args, end)),
        }
    }
}
