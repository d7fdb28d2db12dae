//! `dormouse dep`: the commands. Reports go to standard output, everything else to standard error.

mod index;
mod init;
mod lint;
mod list;
mod new;
mod number;
mod refs;
mod session;
mod triage;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;

/// What all commands take.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The repository, or a folder in it
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// The configuration, in the place of dep.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Colours: auto is those of a terminal
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    /// The day that rules with a clock go by, in the place of today
    #[arg(long, global = true, value_name = "DATE")]
    today: Option<Date>,
    /// Show what would be written, and write nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// Files alone, without git
    #[arg(long, global = true)]
    no_git: bool,
    /// Say nothing beside the report
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

/// `dormouse dep`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  dormouse dep list                                   what there is\n  dormouse dep lint --since origin/main               what is wrong with this change\n  dormouse dep new \"Expire idle cache blocks\"          begin a proposal\n  dormouse dep number claims                          which numbers are taken, on any branch\n  dormouse dep triage                                 what waits\n\nExit codes: 0 nothing to say, 1 findings, 2 usage, 3 files or git, 4 refused, 5 a number that somebody has."
)]
pub struct DepArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Check proposals against the rules
    Lint(Box<lint::LintArgs>),
    /// Numbers: who claims them, which is free, give one
    Number(number::NumberArgs),
    /// Begin a proposal
    New(Box<new::NewArgs>),
    /// List proposals
    List(Box<list::ListArgs>),
    /// Show one proposal
    Show(list::ShowArgs),
    /// Write the index: a table in a README, a file of records
    Index(index::IndexArgs),
    /// One page of what a maintainer should look at
    Triage(triage::TriageArgs),
    /// Check mentions of proposals, like DEP-0017, in code and texts
    Refs(refs::RefsArgs),
    /// Write a workflow that checks proposals
    Init(init::InitArgs),
}

impl DepArgs {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, with its exit code.
    pub fn run(&self) -> anyhow::Result<()> {
        let common = &self.common;
        match &self.verb {
            Verb::Lint(args) => args.run(common),
            Verb::Number(args) => args.run(common),
            Verb::New(args) => args.run(common),
            Verb::List(args) => args.run(common),
            Verb::Show(args) => args.run(common),
            Verb::Index(args) => args.run(common),
            Verb::Triage(args) => args.run(common),
            Verb::Refs(args) => args.run(common),
            Verb::Init(args) => args.run(common),
        }
    }
}
