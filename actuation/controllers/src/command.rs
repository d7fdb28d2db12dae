//! The verbs of this crate.

use clap::Subcommand;
use dormouse_runtime::program;

use crate::{DualPodsArgs, PopulatorArgs, dual_pods_controller, launcher_populator};

/// Which program, with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The controller that pairs server-requesting with server-providing Pods
    DualPodsController(DualPodsArgs),
    /// The controller that keeps launchers ready
    LauncherPopulator(PopulatorArgs),
}

impl Verb {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::DualPodsController(args) => program::run(|end| dual_pods_controller(args, end)),
            Self::LauncherPopulator(args) => program::run(|end| launcher_populator(args, end)),
        }
    }
}
