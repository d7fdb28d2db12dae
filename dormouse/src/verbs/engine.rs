//! `dormouse engine …`, and `vllm` as Pods of the embedded plane call it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dormouse_engine::{Kind, ModelOptions};
use dormouse_runtime::output::Out;

use super::{log, program};
use crate::cli::Raw;
use crate::exit;

/// Arguments of `engine`.
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    #[command(subcommand)]
    what: EngineVerb,
}

#[derive(Debug, Subcommand)]
enum EngineVerb {
    /// Serve a simulated model; takes vLLM's `serve` arguments, and --sim-… of its own
    Sim(Raw),
    /// Serve a Llama-family model on the CPU; takes vLLM's `serve` arguments
    Embedded(Raw),
    /// Make a small model whose answers are known, the same folder every time
    MakeModel(MakeModelArgs),
    /// An engine that computes nothing and misbehaves as told, for tests
    #[command(hide = true)]
    Stub(dormouse_launcher::stub_engine::Args),
}

#[derive(Debug, Args)]
struct MakeModelArgs {
    /// Folder to make
    dir: PathBuf,
    /// Name that the model answers with; the folder's name unless given
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    options: ModelOptions,
}

/// Arguments of `vllm`.
#[derive(Debug, Args)]
pub(crate) struct VllmArgs {
    #[command(subcommand)]
    what: VllmVerb,
}

#[derive(Debug, Subcommand)]
enum VllmVerb {
    /// Serve a model with the engine that `dormouse up --engine` chose
    Serve(Raw),
}

pub(crate) fn run(args: EngineArgs) -> anyhow::Result<()> {
    match args.what {
        EngineVerb::Sim(raw) => serve(Kind::Sim, raw.args),
        EngineVerb::Embedded(raw) => serve(Kind::Embedded, raw.args),
        EngineVerb::MakeModel(args) => {
            let name = args.name.or_else(|| args.dir.file_name().and_then(|n| n.to_str()).map(str::to_owned));
            let name = name.ok_or_else(|| exit::usage("give the model a name with --name"))?;
            let made = dormouse_engine::make_model(&args.dir, &name, &args.options).map_err(exit::usage)?;
            let dir = args.dir.display();
            Out.line(&format!("made {dir}: {made}"))?;
            Ok(Out.line(&format!("serve it: dormouse engine embedded {dir} --port 8000"))?)
        }
        EngineVerb::Stub(args) => program(|end| dormouse_launcher::stub_engine::run(args, end)),
    }
}

pub(crate) fn vllm(args: VllmArgs) -> anyhow::Result<()> {
    let VllmVerb::Serve(raw) = args.what;
    let kind = match std::env::var(dormouse_names::env::ENGINE).as_deref() {
        Ok("embedded") => Kind::Embedded,
        Ok("sim") | Err(_) => Kind::Sim,
        Ok(other) => return Err(exit::usage(format!("{}={other:?} is neither sim nor embedded", dormouse_names::env::ENGINE))),
    };
    serve(kind, raw.args)
}

fn serve(kind: Kind, argv: Vec<String>) -> anyhow::Result<()> {
    log(0);
    program(|end| dormouse_engine::run(kind, argv, end))
}
