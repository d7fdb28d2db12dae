//! The tables of test vectors 4.9 (requester) and 5.5 (test server) of the launcher's contract as data.
//!
//! Each row runs against a program of its own. With `DORMOUSE_SPI_URL` and `DORMOUSE_PROBES_URL` the requester's rows that
//! need no start flags run against the one there, with `DORMOUSE_TEST_SERVER_URL` those of the test server; others say SKIPPED.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::harness::{PROBES, Program, SOON, SPI, client};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    row: String,
    input: String,
    expected: String,
    /// Why our expectation differs from the original one.
    #[serde(default)]
    changed: Option<String>,
    /// Another test that covers the row.
    #[serde(default)]
    test: Option<String>,
    /// Needs a program started by this test: its state or flags matter.
    #[serde(default)]
    start: bool,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// `METHOD /path` on the SPI (or the test server).
    http: Option<String>,
    /// The same on the probes port.
    probes: Option<String>,
    body: Option<String>,
    status: Option<u16>,
    text: Option<String>,
    text_starts: Option<String>,
    text_ends: Option<String>,
    json: Option<Value>,
    content_type: Option<String>,
    #[serde(default)]
    eventually: bool,
    /// What standard output holds.
    output: Option<String>,
}

struct Urls {
    spi: String,
    probes: String,
}

const REQUESTER: &str = include_str!("../data/requester.json");
const TEST_SERVER: &str = include_str!("../data/test-server.json");

fn rows(text: &str) -> Vec<Row> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_row_of_both_tables_is_here() {
    let numbers = |text| rows(text).into_iter().map(|r| r.row).collect::<Vec<_>>();
    assert_eq!(numbers(REQUESTER), (1..=16).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    assert_eq!(numbers(TEST_SERVER).len(), 8);
    for row in rows(REQUESTER).iter().chain(&rows(TEST_SERVER)) {
        assert!(row.test.is_some() || !row.steps.is_empty(), "row {} checks nothing", row.row);
        assert!(!row.input.is_empty() && !row.expected.is_empty());
    }
}

#[tokio::test]
async fn requester_rows_against_ours() {
    ours("requester", REQUESTER, &["--accelerators", "abc-def,dead-beef"]).await;
}

#[tokio::test]
async fn test_server_rows_against_ours() {
    ours("test-server", TEST_SERVER, &[]).await;
}

async fn ours(verb: &str, table: &str, default_flags: &[&str]) {
    for row in rows(table) {
        if let Some(reason) = &row.changed {
            println!("{verb} row {}: expectation changed: {reason}", row.row);
        }
        if let Some(test) = &row.test {
            println!("{verb} row {}: covered by {test}", row.row);
            continue;
        }
        let flags: Vec<&str> = if row.flags.is_empty() { default_flags.to_vec() } else { row.flags.iter().map(String::as_str).collect() };
        let program = Program::start(verb, &flags).await;
        let urls = match verb {
            "requester" => Urls { spi: program.url(SPI), probes: program.url(PROBES) },
            _ => Urls { spi: program.url(8000), probes: String::new() },
        };
        run(verb, &row, &urls, Some(&program)).await;
    }
}

#[tokio::test]
async fn rows_against_any() {
    let env = |name: &str| std::env::var(name).ok();
    match (env("DORMOUSE_SPI_URL"), env("DORMOUSE_PROBES_URL")) {
        (Some(spi), Some(probes)) => theirs("requester", REQUESTER, &Urls { spi, probes }).await,
        _ => println!("SKIPPED: set DORMOUSE_SPI_URL and DORMOUSE_PROBES_URL to run the table against a requester that runs already"),
    }
    match env("DORMOUSE_TEST_SERVER_URL") {
        Some(spi) => theirs("test-server", TEST_SERVER, &Urls { spi, probes: String::new() }).await,
        None => println!("SKIPPED: set DORMOUSE_TEST_SERVER_URL to run the table against a test server that runs already"),
    }
}

async fn theirs(verb: &str, table: &str, urls: &Urls) {
    for row in rows(table) {
        if row.start || row.test.is_some() {
            println!("SKIPPED: {verb} row {} needs a program started by this test", row.row);
        } else {
            run(verb, &row, urls, None).await;
        }
    }
}

async fn run(verb: &str, row: &Row, urls: &Urls, program: Option<&Program>) {
    for (i, step) in row.steps.iter().enumerate() {
        let name = format!("{verb} row {} ({}), step {i}", row.row, row.input);
        let deadline = Instant::now() + SOON;
        loop {
            match check(step, urls, program).await {
                Ok(()) => break,
                Err(_) if step.eventually && Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(problem) => panic!("{name}: {problem}"),
            }
        }
    }
}

async fn check(step: &Step, urls: &Urls, program: Option<&Program>) -> Result<(), String> {
    if let Some((line, base)) = step.http.as_ref().map(|l| (l, &urls.spi)).or(step.probes.as_ref().map(|l| (l, &urls.probes))) {
        let (method, path) = line.split_once(' ').unwrap();
        let request = client().request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", base.trim_end_matches('/')));
        let response = request.body(step.body.clone().unwrap_or_default()).send().await.map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        let text = response.text().await.unwrap();
        let got = format!("{status} {content_type} {text:?}");
        let fits = step.status.is_none_or(|s| s == status)
            && step.text.as_ref().is_none_or(|t| *t == text)
            && step.text_starts.as_ref().is_none_or(|t| text.starts_with(t))
            && step.text_ends.as_ref().is_none_or(|t| text.ends_with(t))
            && step.json.as_ref().is_none_or(|j| serde_json::from_str::<Value>(&text).is_ok_and(|t| t == *j))
            && step.content_type.as_ref().is_none_or(|c| *c == content_type);
        if !fits {
            return Err(format!("got {got}"));
        }
    }
    if let (Some(expected), Some(program)) = (&step.output, program) {
        let output = String::from_utf8_lossy(&program.output.lock().unwrap()).into_owned();
        if output != *expected {
            return Err(format!("standard output is {output:?}"));
        }
    }
    Ok(())
}
