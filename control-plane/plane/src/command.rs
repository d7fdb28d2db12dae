//! The verbs of this crate. `up` is the command's own: it puts all systems on a plane.

use clap::Subcommand;

use crate::devices::{self, DevicesArgs};
use crate::down::{self, DownArgs};

/// Which verb, with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// End a control plane that was started with `up --detach`
    Down(DownArgs),
    /// Show the GPU memory ledger of a plane
    Devices(DevicesArgs),
}

impl Verb {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Down(args) => down::run(args),
            Self::Devices(args) => devices::run(args),
        }
    }
}
