//! The command line: a table of the verbs that the systems built in bring.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use dormouse_console::exit::Failure;
use dormouse_console::output::Out;
use dormouse_names::program::lacking;

use crate::systems;

/// One command for the life of a model on Kubernetes.
#[derive(Debug, Parser)]
#[command(
    name = "dormouse",
    version,
    about = "One command for the life of a model on Kubernetes",
    after_help = "Examples:\n  dormouse demo                          the main job on this machine, with a table of what it took\n  dormouse up                            a control plane with simulated GPUs; prints how to use kubectl with it\n  dormouse up --nodes 2 --gpus-per-node 4 --detach\n  dormouse status\n  dormouse down\n\nExit codes: 0 ended as asked, 1 failed, 2 usage, 3 port or folder in use."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the embedded control plane with simulated GPU nodes
    #[cfg(feature = "plane")]
    Up(Box<crate::verbs::up::UpArgs>),
    #[cfg(feature = "plane")]
    #[command(flatten)]
    Plane(dormouse_plane::Verb),
    /// Show who holds the memory of a plane's GPUs
    #[cfg(feature = "plane")]
    Devices(crate::verbs::devices::DevicesArgs),
    /// Show nodes, requesters, launchers and controllers of a plane or cluster
    #[cfg(any(feature = "plane", feature = "actuation"))]
    Status(crate::verbs::status::StatusArgs),
    /// Run the main job on a private plane and print what it took
    #[cfg(all(feature = "plane", feature = "actuation", feature = "engine"))]
    Demo(crate::verbs::demo::DemoArgs),
    #[cfg(feature = "actuation")]
    #[command(flatten)]
    Actuation(dormouse_actuation::Verb),
    #[cfg(feature = "actuation")]
    #[command(flatten)]
    Launcher(dormouse_launcher::Verb),
    #[cfg(feature = "actuation")]
    #[command(flatten)]
    Requester(dormouse_requester::Verb),
    /// Inference engines, and models for them
    #[cfg(feature = "engine")]
    Engine(crate::verbs::engine::EngineArgs),
    /// Benchmarks of generative-AI endpoints, and their files
    #[cfg(feature = "perf")]
    #[command(version)]
    Perf(crate::verbs::perf::PerfArgs),
    /// Enhancement proposals of a repository: what holds, what waits, what is wrong with a change
    #[cfg(feature = "dep")]
    #[command(version)]
    Dep(Box<dormouse_proposals::verb::DepArgs>),
    /// What `vllm` means in a Pod of the embedded plane
    #[cfg(feature = "engine")]
    #[command(hide = true, subcommand)]
    Vllm(dormouse_engine::VllmVerb),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Reads the command line; help and usage errors end the process as clap does (2 for usage).
///
/// # Errors
/// A verb that is not built in, by the feature that would bring it.
pub(crate) fn parse(args: Vec<OsString>) -> anyhow::Result<Cli> {
    match Cli::command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(cli),
        Err(error) => match not_built_in(&error) {
            Some(said) => Err(Failure::usage(said).into()),
            None => error.exit(),
        },
    }
}

fn not_built_in(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let features = systems::lacking(verb);
    (!features.is_empty()).then(|| lacking(verb, &features))
}

/// Runs what was asked for.
///
/// # Errors
/// What the program failed with.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.verb {
        #[cfg(feature = "plane")]
        Verb::Up(args) => crate::verbs::up::run(&args),
        #[cfg(feature = "plane")]
        Verb::Plane(verb) => verb.run(),
        #[cfg(feature = "plane")]
        Verb::Devices(args) => crate::verbs::devices::run(&args),
        #[cfg(any(feature = "plane", feature = "actuation"))]
        Verb::Status(args) => crate::verbs::status::run(&args),
        #[cfg(all(feature = "plane", feature = "actuation", feature = "engine"))]
        Verb::Demo(args) => crate::verbs::demo::run(&args),
        #[cfg(feature = "actuation")]
        Verb::Actuation(verb) => verb.run(),
        #[cfg(feature = "actuation")]
        Verb::Launcher(verb) => verb.run(),
        #[cfg(feature = "actuation")]
        Verb::Requester(verb) => verb.run(),
        #[cfg(feature = "engine")]
        Verb::Engine(args) => args.run(),
        #[cfg(feature = "perf")]
        Verb::Perf(args) => args.run(),
        #[cfg(feature = "dep")]
        Verb::Dep(args) => args.run(),
        #[cfg(feature = "engine")]
        Verb::Vllm(verb) => verb.run(),
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dormouse", &mut text);
            Ok(Out.text(&String::from_utf8_lossy(&text))?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_verbs_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Else a build without it could not say what would bring it.
    #[test]
    fn every_verb_belongs_to_a_system() {
        let verbs: Vec<String> = Cli::command().get_subcommands().map(|v| v.get_name().to_owned()).collect();
        for verb in &verbs {
            assert!(systems::verbs().any(|v| v == verb) || verb == "completions", "{verb} is in no row of the systems");
        }
        for verb in systems::verbs().filter(|v| systems::lacking(v).is_empty()) {
            assert!(verbs.iter().any(|v| v == verb), "{verb} is built in and no verb");
        }
    }

    #[test]
    fn an_unknown_verb_is_nobodys() {
        let error = Cli::command().try_get_matches_from(["dormouse", "upp"]).unwrap_err();
        assert_eq!((error.exit_code(), not_built_in(&error)), (2, None));
    }
}
