//! The programs of this crate in one: `requester-under-test [requester|test-requester|test-server|nvidia-smi] ARGS…`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dormouse_requester::{Args, nvidia_smi, run, test_requester, test_server};
use dormouse_runtime::log::{Format, Options};
use dormouse_runtime::output::error_line;

#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Requester(Args),
    TestRequester(test_requester::Args),
    TestServer(test_server::Args),
    NvidiaSmi(nvidia_smi::Args),
}

fn main() -> std::io::Result<ExitCode> {
    let command = Command::parse();
    dormouse_runtime::log::init(Options { format: Format::Plain, verbosity: 0 });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        let shutdown = dormouse_runtime::shutdown::on_signals();
        let ended = match command.verb {
            Verb::Requester(args) => run(args, shutdown).await,
            Verb::TestRequester(args) => test_requester::run(args, shutdown).await,
            Verb::TestServer(args) => test_server::run(args, shutdown).await,
            Verb::NvidiaSmi(args) => return nvidia_smi::run(args).await.map_err(|e| (e.to_string(), e.exit_code())),
        };
        ended.map_err(|e| (e.to_string(), e.exit_code()))
    });
    Ok(match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((text, code)) => {
            error_line(&text);
            ExitCode::from(code)
        }
    })
}
