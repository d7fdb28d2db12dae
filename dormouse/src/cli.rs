//! The command line: verbs, and which program each is.

use std::ffi::OsString;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{exit, verbs};

/// One command for the life of a model on Kubernetes.
#[derive(Debug, Parser)]
#[command(
    name = "dormouse",
    version,
    about = "One command for the life of a model on Kubernetes",
    after_help = "Examples:\n  dormouse demo                          the main job on this machine, with a table of what it took\n  dormouse up                            a control plane with simulated GPUs; prints how to use kubectl with it\n  dormouse up --nodes 2 --gpus-per-node 4 --detach\n  dormouse status\n  dormouse down\n\nExit codes: 0 ended as asked, 1 failed, 2 usage, 3 port or folder in use, 4 unreadable data."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the embedded control plane with simulated GPU nodes
    Up(Box<verbs::up::UpArgs>),
    /// End a control plane that was started with `up --detach`
    Down(verbs::down::DownArgs),
    /// Show nodes, requesters, launchers and controllers of a plane or cluster
    Status(verbs::status::StatusArgs),
    /// Run the main job on a private plane and print what it took
    Demo(verbs::demo::DemoArgs),
    /// The controller that pairs server-requesting with server-providing Pods
    DualPodsController(dormouse_actuation::DualPodsArgs),
    /// The controller that keeps launchers ready
    LauncherPopulator(dormouse_actuation::PopulatorArgs),
    /// The daemon of a launcher Pod: engine instances behind an HTTP API
    Launcher(Box<dormouse_launcher::Args>),
    /// The sidecar of a launcher Pod
    LauncherNotifier(dormouse_launcher::notifier::Args),
    /// The stub of a server-requesting Pod
    Requester(dormouse_requester::Args),
    /// The peer's requester for clusters without GPUs: allocates over gpu-map and gpu-allocs
    TestRequester(dormouse_requester::test_requester::Args),
    /// The peer's engine for tests: health, sleep and wake, nothing computed
    TestServer(dormouse_requester::test_server::Args),
    /// Inference engines, and models for them
    Engine(verbs::engine::EngineArgs),
    /// What `vllm` means in a Pod of the embedded plane
    #[command(hide = true)]
    Vllm(verbs::engine::VllmArgs),
    /// Answers the queries that requesters and launchers put to nvidia-smi, from the device ledger
    #[command(hide = true)]
    NvidiaSmi(dormouse_requester::nvidia_smi::Args),
    /// The ConfigMap of node to GPU UUID to index
    GpuMap(verbs::gpu_map::GpuMapArgs),
    /// Show the GPU memory ledger of a plane
    Devices(verbs::devices::DevicesArgs),
    /// Print the CustomResourceDefinitions
    Crds,
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Arguments that the program reads by itself, help included.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Raw {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) args: Vec<String>,
}

/// Reads the command line; help and usage errors end the process as clap does (2 for usage).
///
/// # Errors
/// None that clap does not handle itself.
pub(crate) fn parse(args: Vec<OsString>) -> anyhow::Result<Cli> {
    let matches = Cli::command().get_matches_from(args);
    Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

/// Runs what was asked for.
///
/// # Errors
/// What the program failed with.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    use verbs::program;
    match cli.verb {
        Verb::Up(args) => verbs::up::run(&args),
        Verb::Down(args) => verbs::down::run(&args),
        Verb::Status(args) => verbs::status::run(&args),
        Verb::Demo(args) => verbs::demo::run(&args),
        Verb::DualPodsController(args) => program(|end| dormouse_actuation::dual_pods_controller(args, end)),
        Verb::LauncherPopulator(args) => program(|end| dormouse_actuation::launcher_populator(args, end)),
        Verb::Launcher(args) => {
            verbs::log(args.log_level.verbosity());
            program(|end| dormouse_launcher::run(*args, end))
        }
        Verb::LauncherNotifier(args) => {
            verbs::log(0);
            program(|end| dormouse_launcher::notifier::run(args, end))
        }
        Verb::Requester(args) => {
            verbs::log(0);
            program(|end| async { Ok(dormouse_requester::run(args, end).await?) })
        }
        Verb::TestRequester(args) => program(|end| async { Ok(dormouse_requester::test_requester::run(args, end).await?) }),
        Verb::TestServer(args) => {
            verbs::log(0);
            program(|end| async { Ok(dormouse_requester::test_server::run(args, end).await?) })
        }
        Verb::Engine(args) => verbs::engine::run(args),
        Verb::Vllm(args) => verbs::engine::vllm(args),
        Verb::NvidiaSmi(args) => {
            program(|_| async { dormouse_requester::nvidia_smi::run(args).await.map_err(|e| exit::with_code(e.exit_code(), e)) })
        }
        Verb::GpuMap(args) => verbs::gpu_map::run(args),
        Verb::Devices(args) => verbs::devices::run(&args),
        Verb::Crds => verbs::crds(),
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dormouse", &mut text);
            Ok(dormouse_runtime::output::Out.text(&String::from_utf8_lossy(&text))?)
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
}
