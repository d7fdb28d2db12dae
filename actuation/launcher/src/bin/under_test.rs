//! Launcher, notifier and stub engine in one program: `launcher-under-test [launcher|notify|stub] ARGS…`.

use clap::{Parser, Subcommand};
use dormouse_launcher::{Args, notifier, run, stub_engine};
use dormouse_runtime::log::{Format, Options};

#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Launcher(Args),
    Notify(notifier::Args),
    Stub(stub_engine::Args),
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    dormouse_runtime::log::init(Options { format: Format::Plain, verbosity: 0 });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let shutdown = dormouse_runtime::shutdown::on_signals();
        match command.verb {
            Verb::Launcher(args) => run(args, shutdown).await,
            Verb::Notify(args) => notifier::run(args, shutdown).await,
            Verb::Stub(args) => stub_engine::run(args, shutdown).await,
        }
    })
}
