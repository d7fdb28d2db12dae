//! `dormouse`: one command for the life of a model on Kubernetes.
//!
//! This page only finds out which program is meant (by verb, or by the name it was called under) and gives
//! its result to the shell. One file per verb is in [`verbs`].

mod apply;
mod cli;
mod engine;
mod exit;
mod named;
mod run_folder;
mod systems;
mod table;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The shim of a Pod must not start threads: it comes before everything else.
    if std::env::args_os().next().is_some_and(|name| dormouse_kubelet::shim::is_shim(&name)) {
        dormouse_kubelet::shim::shim_main();
    }
    let args = named::arguments(std::env::args_os());
    exit::code(cli::parse(args).and_then(cli::run))
}
