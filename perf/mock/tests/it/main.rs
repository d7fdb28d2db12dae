//! The server as its clients see it: real sockets, in process, and a client that shares no code with it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod client;
mod faults;
mod http;
mod load;
mod program;
mod shapes;

use clap::{CommandFactory, Parser};
use dormouse_perf_mock::{MockServerArgs, Server};
use serde_json::Value;

use client::Client;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: MockServerArgs,
}

/// Options as they are typed, at any port.
fn args(options: &str) -> MockServerArgs {
    let words = ["mock", "--port", "0"].into_iter().chain(options.split_whitespace());
    Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{e}")).args
}

/// What `--help` says.
fn help() -> String {
    Cli::command().render_long_help().to_string()
}

fn server(options: &str) -> Server {
    Server::start(&args(options)).unwrap()
}

fn connect(server: &Server) -> Client {
    Client::new(server.address())
}

fn stats(server: &Server) -> Value {
    serde_json::from_slice(&server.stats(usize::MAX)).unwrap()
}

/// Asks again until the truth is so: records are written right after the bytes have left.
fn stats_when(server: &Server, so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let said = stats(server);
        if so(&said) {
            return said;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("never so: {}", stats(server));
}
