//! `init`.

use clap::{Args, ValueEnum};
use dormouse_console::exit::Failure;

use super::Common;
use super::session::{Session, failed};
use crate::tree::Source;

#[derive(Clone, Debug, Args)]
pub(super) struct InitArgs {
    /// The forge whose workflow is written
    #[arg(long, value_enum, value_name = "FORGE")]
    ci: Forge,
    /// Replace a workflow that is there
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Forge {
    Github,
}

/// Where a workflow lies.
const PATH: &str = ".github/workflows/proposals.yml";
/// The workflow.
const WORKFLOW: &str = include_str!("workflow.yml");

impl InitArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        let Forge::Github = self.ci;
        let session = Session::open(common)?;
        let tree = session.repository.tree(Source::WorkTree).map_err(failed)?;
        let was = match tree.text(PATH).map_err(failed)? {
            Some(Ok(text)) => Some(text),
            Some(Err(trouble)) => return Err(Failure::with_code(3, trouble).into()),
            None => None,
        };
        if was.as_deref() == Some(WORKFLOW) {
            session.note(&format!("{PATH} is as it would be written"));
            return Ok(());
        }
        if was.is_some() && !self.force {
            return Err(Failure::with_code(4, format!("{PATH} is there and says something else; --force replaces it")).into());
        }
        let folder = session.repository.root().join(".github/workflows");
        if !session.common.dry_run {
            std::fs::create_dir_all(&folder).map_err(|why| Failure::with_code(3, format!("{}: {why}", folder.display())))?;
        }
        session.write(PATH, was.as_deref(), WORKFLOW)?;
        session.note(&format!("{PATH} written; one place in it says where the program comes from"));
        Ok(())
    }
}
