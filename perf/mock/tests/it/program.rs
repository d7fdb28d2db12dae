//! The server as a program: one line when it listens, a clean end by a signal. The program is this test, run again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::args;
use crate::client::{CHAT, Client};

const OPTIONS: &str = "MOCK_PROGRAM_OPTIONS";

/// Not a test of its own: what the others start.
#[test]
fn the_program_itself() {
    if let Ok(options) = std::env::var(OPTIONS) {
        dormouse_perf_mock::run(&args(&options)).unwrap();
    }
}

fn program(options: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "program::the_program_itself", "--nocapture"]).env(OPTIONS, options);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn it_says_where_it_listens_and_ends_by_a_signal() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = program("--threads 2");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| line.unwrap().split_once("http://").map(|(_, address)| address.to_owned())).unwrap();
        let mut client = Client::new(line.parse().unwrap());
        assert_eq!(client.post(CHAT, &json!({"messages": []})).status, 200);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(client.ended().unwrap(), 0);
    }
}

#[test]
fn the_faults_are_listed() {
    let said = program("--list-faults").wait_with_output().unwrap();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("  slow-loris            one byte"));
}
