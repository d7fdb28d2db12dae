//! The verbs of this crate.

use clap::Subcommand;
use dormouse_runtime::{log, program};

use crate::{Args, notifier, run};

/// Which program, with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The daemon of a launcher Pod: engine instances behind an HTTP API
    Launcher(Box<Args>),
    /// The sidecar of a launcher Pod
    LauncherNotifier(notifier::Args),
}

impl Verb {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with.
    pub fn run(self) -> anyhow::Result<()> {
        let verbosity = if let Self::Launcher(args) = &self { args.log_level.verbosity() } else { 0 };
        log::init(log::Options { verbosity, ..log::Options::default() });
        match self {
            Self::Launcher(args) => program::run(|end| run(*args, end)),
            Self::LauncherNotifier(args) => program::run(|end| notifier::run(args, end)),
        }
    }
}
