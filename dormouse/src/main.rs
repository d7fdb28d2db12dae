//! `dormouse`: one command for the life of a model on Kubernetes.
//!
//! This page only finds out which program is meant (by verb, or by the name it was called under) and gives
//! its result to the shell. What each system brings is in [`systems`]; verbs that bring systems together are in [`verbs`].

#[cfg(feature = "plane")]
mod apply;
mod cli;
#[cfg(feature = "plane")]
mod controllers;
#[cfg(feature = "plane")]
mod engine;
mod exit;
mod named;
mod systems;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The shim of a Pod must not start threads: it comes before everything else.
    #[cfg(feature = "plane")]
    dormouse_plane::shim_if_called();
    #[cfg(feature = "plane")]
    if let Some(why) = named::host_program() {
        return exit::code(Err(dormouse_console::exit::Failure::usage(why).into()));
    }
    let args = named::arguments(std::env::args_os());
    exit::code(cli::parse(args).and_then(cli::run))
}
