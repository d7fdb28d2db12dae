//! The tables of test vectors of requester (launcher 4.9) and test server (launcher 5.5) as data.
//!
//! Each row runs against a program of its own. With `DORMOUSE_SPI_URL` and `DORMOUSE_PROBES_URL` the requester's rows that
//! need no start flags run against the one there, with `DORMOUSE_TEST_SERVER_URL` those of the test server; others say SKIPPED.

use dormouse_testing::table::{Table, Target};
use dormouse_testing::{eventually, skipped};
use serde_json::{Map, Value};

use crate::harness::{PROBES, Program, SPI};

fn requester() -> Table {
    Table::read("requester", include_str!("../data/requester.json"))
}

fn test_server() -> Table {
    Table::read("test-server", include_str!("../data/test-server.json"))
}

#[test]
fn every_row_of_both_tables_is_here() {
    assert_eq!(requester().numbers(), (1..=16).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    assert_eq!(test_server().numbers().len(), 8);
}

#[tokio::test]
async fn requester_rows_against_ours() {
    ours("requester", requester(), &["--accelerators", "abc-def,dead-beef"]).await;
}

#[tokio::test]
async fn test_server_rows_against_ours() {
    ours("test-server", test_server(), &[]).await;
}

async fn ours(verb: &str, table: Table, default_flags: &[&str]) {
    for row in table.ours() {
        let flags: Vec<&str> = if row.flags.is_empty() { default_flags.to_vec() } else { row.flags.iter().map(String::as_str).collect() };
        let program = Program::start(verb, &flags).await;
        let port = if verb == "requester" { SPI } else { 8000 };
        row.run(&mut Servers { main: program.url(port), probes: program.url(PROBES), program: Some(program) }).await;
    }
}

#[tokio::test]
async fn rows_against_any() {
    let env = |name: &str| std::env::var(name).ok();
    match (env("DORMOUSE_SPI_URL"), env("DORMOUSE_PROBES_URL")) {
        (Some(main), Some(probes)) => theirs(requester(), Servers { main, probes, program: None }).await,
        _ => skipped("set DORMOUSE_SPI_URL and DORMOUSE_PROBES_URL to run the requester's table against one that runs already"),
    }
    match env("DORMOUSE_TEST_SERVER_URL") {
        Some(main) => theirs(test_server(), Servers { main, probes: String::new(), program: None }).await,
        None => skipped("set DORMOUSE_TEST_SERVER_URL to run the test server's table against one that runs already"),
    }
}

async fn theirs(table: Table, mut servers: Servers) {
    for row in table.theirs() {
        row.run(&mut servers).await;
    }
}

/// A requester (its SPI is the main server) or a test server.
struct Servers {
    main: String,
    probes: String,
    program: Option<Program>,
}

impl Target for Servers {
    fn url(&self, server: &str) -> String {
        match server {
            "" => self.main.clone(),
            "probes" => self.probes.clone(),
            other => panic!("no server {other:?}"),
        }
    }

    async fn special(&mut self, name: &str, wish: Map<String, Value>) {
        let [("output", Value::String(expected))] = wish.iter().map(|(k, v)| (k.as_str(), v)).collect::<Vec<_>>()[..] else {
            panic!("{name}: {wish:?} is not understood");
        };
        if let Some(program) = &self.program {
            let holds = || *program.output.lock().unwrap() == expected.as_bytes();
            eventually(&format!("{name}: standard output {expected:?}"), holds).await;
        }
    }
}
