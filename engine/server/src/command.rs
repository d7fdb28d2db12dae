//! The verbs of this crate: `engine …`, and `vllm` as Pods of the embedded plane call it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dormouse_names::env;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::Out;
use dormouse_runtime::{log, program};

use crate::{EngineKind, ModelOptions, make_model, run};

/// What follows `engine`.
#[derive(Debug, Subcommand)]
pub enum EngineVerb {
    /// Serve a simulated model; takes vLLM's `serve` arguments, and --sim-… of its own
    Sim(Raw),
    /// Serve a Llama-family model on the CPU; takes vLLM's `serve` arguments
    Embedded(Raw),
    /// Make a small model whose answers are known, the same folder every time
    MakeModel(MakeModelArgs),
}

/// Arguments that the program reads by itself, help included.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Raw {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    args: Vec<String>,
}

/// Arguments of `engine make-model`.
#[derive(Debug, Args)]
pub struct MakeModelArgs {
    /// Folder to make
    dir: PathBuf,
    /// Name that the model answers with; the folder's name unless given
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    options: ModelOptions,
}

/// What follows `vllm`.
#[derive(Debug, Subcommand)]
pub enum VllmVerb {
    /// Serve a model with the engine that `dormouse up --engine` chose
    Serve(Raw),
}

impl EngineVerb {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Sim(raw) => engine(EngineKind::Sim, raw),
            Self::Embedded(raw) => engine(EngineKind::Embedded, raw),
            Self::MakeModel(args) => {
                let name = args.name.or_else(|| args.dir.file_name().and_then(|n| n.to_str()).map(str::to_owned));
                let name = name.ok_or_else(|| Failure::usage("give the model a name with --name"))?;
                let made = make_model(&args.dir, &name, &args.options).map_err(Failure::usage)?;
                let dir = args.dir.display();
                Out.line(&format!("made {dir}: {made}"))?;
                Ok(Out.line(&format!("serve it: dormouse engine embedded {dir} --port 8000"))?)
            }
        }
    }
}

impl VllmVerb {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What it failed with.
    pub fn run(self) -> anyhow::Result<()> {
        let Self::Serve(raw) = self;
        match std::env::var(env::ENGINE).as_deref() {
            Ok("embedded") => engine(EngineKind::Embedded, raw),
            Ok("sim") | Err(_) => engine(EngineKind::Sim, raw),
            Ok(other) => Err(Failure::usage(format!("{}={other:?} is neither sim nor embedded", env::ENGINE)).into()),
        }
    }
}

fn engine(kind: EngineKind, raw: Raw) -> anyhow::Result<()> {
    log::init(log::Options::default());
    program::run(|end| run(kind, raw.args, end))
}
