//! The verbs of this crate. `up`, `status` and `devices` are the command's own: all systems have a part in them.

use clap::Subcommand;

use crate::down::{self, DownArgs};

/// Which verb, with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// End a control plane that was started with `up --detach`
    Down(DownArgs),
}

impl Verb {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Down(args) => down::run(args),
        }
    }
}
