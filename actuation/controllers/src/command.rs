//! The verbs of this crate.

use clap::Subcommand;
use dormouse_machinery::yaml;
use dormouse_runtime::output::Out;
use dormouse_runtime::program;

use crate::{DualPodsArgs, PopulatorArgs, dual_pods_controller, launcher_populator};

/// Which program, with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The controller that pairs server-requesting with server-providing Pods
    DualPodsController(DualPodsArgs),
    /// The controller that keeps launchers ready
    LauncherPopulator(PopulatorArgs),
    /// Print the CustomResourceDefinitions
    Crds,
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
            Self::Crds => crds(),
        }
    }
}

/// As YAML documents.
fn crds() -> anyhow::Result<()> {
    for crd in dormouse_apis::fma::definitions() {
        Out.text(&format!("---\n{}", yaml::to_string(&crd)))?;
    }
    Ok(())
}
