//! The table of test vectors (1.12 of the launcher's contract) as data: `tests/data/launcher-api.json`.
//!
//! Each row runs against a launcher of its own. With `DORMOUSE_LAUNCHER_URL` the rows that need no start flags and no
//! stub engine also run, one after the other, against the launcher there; the others say SKIPPED.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::harness::{Client, Launcher, Lines, Reply, SOON, alive, instance, send, tree_of};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    row: String,
    input: String,
    expected: String,
    /// Why our expectation differs from the original one.
    #[serde(default)]
    changed: Option<String>,
    /// A unit test that covers the row instead.
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    needs: Needs,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

/// What a row needs of the launcher it runs against.
#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Needs {
    /// Nothing but its address.
    #[default]
    Nothing,
    /// A launcher that this test has started.
    Start,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// `METHOD /path`; the expectations below are about its reply.
    http: Option<String>,
    body: Option<Value>,
    raw: Option<String>,
    content_type: Option<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
    status: Option<u16>,
    /// Must be contained in the reply.
    json: Option<Value>,
    /// Must be the reply.
    exact: Option<Value>,
    text: Option<String>,
    length: Option<usize>,
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    reply_headers: HashMap<String, String>,
    /// Repeats the request until the expectations hold.
    #[serde(default)]
    eventually: bool,
    at_least_seconds: Option<f64>,
    less_than_seconds: Option<f64>,

    /// Opens a watch under a name.
    watch: Option<String>,
    query: Option<String>,
    /// Reads lines from the watch of that name.
    lines_of: Option<String>,
    lines: Option<Vec<Value>>,
    #[serde(default)]
    quiet: bool,

    /// Signals an engine.
    kill: Option<String>,
    signal: Option<String>,
    /// Nothing of the engine's session, whose leader was noted by `note`, lives.
    gone: Option<String>,
    note: Option<String>,
    /// The private folder holds so many logs.
    logs: Option<usize>,

    repeat: Option<u32>,
    #[serde(default)]
    steps: Vec<Step>,
}

struct Run<'a> {
    name: String,
    client: Client,
    launcher: Option<&'a Launcher>,
    /// Revision of the launcher when the row began: `$r3` means three more.
    base: u64,
    watches: HashMap<String, Lines>,
    leaders: HashMap<String, i32>,
}

fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("../data/launcher-api.json")).unwrap()
}

#[test]
fn every_row_of_the_table_is_here() {
    let rows = rows();
    let numbers: Vec<String> = rows.iter().map(|r| r.row.clone()).collect();
    assert_eq!(numbers, (1..=56).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    for row in &rows {
        assert!(row.unit.is_some() || !row.steps.is_empty(), "row {} checks nothing", row.row);
        assert!(!row.input.is_empty() && !row.expected.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_against_our_launcher() {
    let mut changed = 0;
    let mut running = tokio::task::JoinSet::new();
    for row in rows() {
        if let Some(reason) = &row.changed {
            changed += 1;
            println!("row {}: expectation changed: {reason}", row.row);
        }
        if let Some(unit) = &row.unit {
            println!("row {}: covered by the unit test {unit}", row.row);
            continue;
        }
        // A few at a time: each starts a process.
        while running.len() >= 6 {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(async move {
            let flags: Vec<&str> = row.flags.iter().map(String::as_str).collect();
            let launcher = Launcher::start(&flags).await;
            let mut run = Run::new(&row, launcher.api(), Some(&launcher)).await;
            run.steps(&row.steps).await;
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    println!("{changed} expectations differ from the original ones");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_against_any_launcher() {
    let Ok(url) = std::env::var("DORMOUSE_LAUNCHER_URL") else {
        println!("SKIPPED: set DORMOUSE_LAUNCHER_URL to run the table against a launcher that runs already");
        return;
    };
    for row in rows() {
        if row.needs == Needs::Start || row.unit.is_some() {
            println!("SKIPPED: row {} needs a launcher started by this test", row.row);
            continue;
        }
        let client = Client::new(&url);
        client.send(client.request("DELETE", "/v2/vllm/instances")).await;
        Run::new(&row, client, None).await.steps(&row.steps).await;
    }
}

impl<'a> Run<'a> {
    async fn new(row: &Row, client: Client, launcher: Option<&'a Launcher>) -> Self {
        let base = client.list().await["revision"].as_u64().unwrap();
        Self { name: format!("row {} ({})", row.row, row.input), client, launcher, base, watches: HashMap::new(), leaders: HashMap::new() }
    }

    async fn steps(&mut self, steps: &[Step]) {
        for (i, step) in steps.iter().enumerate() {
            for _ in 0..step.repeat.unwrap_or(1) {
                Box::pin(self.step(i, step)).await;
            }
        }
    }

    async fn step(&mut self, i: usize, step: &Step) {
        let name = format!("{}, step {i}", self.name);
        self.steps(&step.steps).await;
        if let Some(line) = &step.http {
            self.http(&name, line, step).await;
        }
        if let Some(watch) = &step.watch {
            let query = self.substitute(step.query.as_deref().unwrap_or_default());
            let lines = self.client.watch(&query).await;
            let headers = lines.response.headers();
            assert_eq!(headers["content-type"], "application/x-ndjson", "{name}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{name}");
            self.watches.insert(watch.clone(), lines);
        }
        if let Some(watch) = &step.lines_of {
            let (base, lines) = (self.base, self.watches.get_mut(watch).unwrap());
            for expected in step.lines.iter().flatten() {
                let line = lines.next().await.unwrap_or_else(|| panic!("{name}: the stream has ended"));
                contains(&name, base, &line, expected);
                for pointer in &step.absent {
                    assert!(line.pointer(pointer).is_none(), "{name}: {pointer} in {line}");
                }
            }
            assert!(!step.quiet || lines.quiet().await, "{name}: a line too many");
        }
        if let Some(id) = &step.note {
            let pid = self.client.get(&instance(id)).await.json()["pid"].as_i64().unwrap();
            self.leaders.insert(id.clone(), i32::try_from(pid).unwrap());
        }
        if let Some(id) = &step.kill {
            send(self.leaders[id], step.signal.as_deref().unwrap());
        }
        if let Some(id) = &step.gone {
            assert!(!alive(self.leaders[id]) && tree_of(self.leaders[id]).is_empty(), "{name}: something of {id} lives");
        }
        if let Some(count) = step.logs {
            let folder = self.launcher.unwrap().folder();
            let logs = std::fs::read_dir(folder).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "log"));
            assert_eq!(logs.count(), count, "{name}");
        }
    }

    fn substitute(&self, text: &str) -> String {
        let Some((before, after)) = text.split_once("$r") else { return text.to_owned() };
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let n: u64 = after[..digits].parse().unwrap();
        format!("{before}{}{}", self.base + n, self.substitute(&after[digits..]))
    }

    async fn http(&self, name: &str, line: &str, step: &Step) {
        let (method, path) = line.split_once(' ').unwrap();
        let path = self.substitute(path);
        let deadline = Instant::now() + SOON;
        loop {
            let mut request = self.client.request(method, &path);
            if let Some(body) = &step.body {
                request = request.json(body);
            }
            if let Some(raw) = &step.raw {
                request = request.body(raw.clone()).header("content-type", step.content_type.as_deref().unwrap_or("application/json"));
            }
            for (k, v) in &step.headers {
                request = request.header(k, v);
            }
            let begun = Instant::now();
            let reply = self.client.send(request).await;
            let took = begun.elapsed().as_secs_f64();
            if step.eventually && self.check(step, &reply).is_err() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            if let Err(problem) = self.check(step, &reply) {
                panic!("{name}: {problem} in {} {:?} {}", reply.status, reply.headers, reply.text());
            }
            assert!(step.at_least_seconds.is_none_or(|s| took >= s), "{name}: took only {took} s");
            assert!(step.less_than_seconds.is_none_or(|s| took < s), "{name}: took {took} s");
            return;
        }
    }

    fn check(&self, step: &Step, reply: &Reply) -> Result<(), String> {
        let body = reply.json();
        let fail = |what: String| Err(what);
        if step.status.is_some_and(|s| s != reply.status) {
            return fail(format!("status is not {}", step.status.unwrap()));
        }
        if let Some(expected) = &step.json {
            matches(self.base, &body, expected)?;
        }
        if step.exact.as_ref().is_some_and(|e| *e != body) {
            return fail(format!("body is not {}", step.exact.as_ref().unwrap()));
        }
        if step.text.as_ref().is_some_and(|t| *t != reply.text()) {
            return fail(format!("text is not {:?}", step.text.as_ref().unwrap()));
        }
        if step.length.is_some_and(|n| n != reply.body.len()) {
            return fail(format!("{} bytes, not {}", reply.body.len(), step.length.unwrap()));
        }
        if let Some(pointer) = step.absent.iter().find(|p| body.pointer(p).is_some()) {
            return fail(format!("{pointer} is there"));
        }
        for (header, expected) in &step.reply_headers {
            let got = reply.header(header);
            let fits = match expected.strip_prefix('~') {
                Some(part) => got.contains(part),
                None => got == *expected,
            };
            if !fits {
                return fail(format!("header {header} is {got:?}, not {expected:?}"));
            }
        }
        Ok(())
    }
}

fn contains(name: &str, base: u64, got: &Value, expected: &Value) {
    if let Err(problem) = matches(base, got, expected) {
        panic!("{name}: {problem}");
    }
}

/// Whether `expected` is contained in `got`: further members of objects do not matter; strings with `$` are patterns.
fn matches(base: u64, got: &Value, expected: &Value) -> Result<(), String> {
    let differs = || Err(format!("{got} is not {expected}"));
    match expected {
        Value::String(s) if s == "$int" => {
            if got.is_u64() {
                Ok(())
            } else {
                differs()
            }
        }
        Value::String(s) if s == "$uuid4" => {
            let text = got.as_str().unwrap_or_default();
            let fits = text.len() == 36 && text.as_bytes()[14] == b'4' && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
            if fits { Ok(()) } else { differs() }
        }
        Value::String(s) if s.starts_with("$r") => {
            let n: u64 = s[2..].parse().unwrap();
            if got.as_u64() == Some(base + n) { Ok(()) } else { Err(format!("{got} is not {} ({s})", base + n)) }
        }
        Value::Object(members) => members.iter().try_for_each(|(k, v)| match got.get(k) {
            Some(got) => matches(base, got, v),
            None => Err(format!("no {k:?} in {got}")),
        }),
        Value::Array(items) => match got.as_array() {
            Some(got) if got.len() == items.len() => got.iter().zip(items).try_for_each(|(g, e)| matches(base, g, e)),
            _ => differs(),
        },
        other => {
            if got == other {
                Ok(())
            } else {
                differs()
            }
        }
    }
}
