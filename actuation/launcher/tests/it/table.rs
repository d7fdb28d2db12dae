//! The table of test vectors (launcher 1.12) as data: `tests/data/launcher-api.json`.
//!
//! Each row runs against a launcher of its own. With `DORMOUSE_LAUNCHER_URL` the rows that need no start flags and no
//! stub engine also run, one after the other, against the launcher there; the others say SKIPPED.

use std::collections::HashMap;

use dormouse_testing::skipped;
use dormouse_testing::table::{Row, Table, Target, absent, matches, substitute};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::harness::{Client, Launcher, Lines, alive, instance, send, tree_of};

/// What a step may ask for beside its request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Special {
    /// Opens a watch under a name.
    watch: Option<String>,
    #[serde(default)]
    query: String,
    /// Reads lines from the watch of that name.
    lines_of: Option<String>,
    #[serde(default)]
    lines: Vec<Value>,
    /// JSON pointers to what no line may have.
    #[serde(default)]
    without: Vec<String>,
    /// No further line comes.
    #[serde(default)]
    quiet: bool,

    /// Notes who leads the session of an engine.
    note: Option<String>,
    /// Signals an engine that was noted.
    kill: Option<String>,
    signal: Option<String>,
    /// Nothing of the noted engine's session lives.
    gone: Option<String>,
    /// The private folder holds so many logs.
    logs: Option<usize>,
}

struct Run {
    client: Client,
    url: String,
    launcher: Option<Launcher>,
    /// Revision of the launcher when the row began.
    revision: u64,
    watches: HashMap<String, Lines>,
    leaders: HashMap<String, i32>,
}

fn table() -> Table {
    Table::read("launcher", include_str!("../data/launcher-api.json"))
}

#[test]
fn every_row_of_the_table_is_here() {
    assert_eq!(table().numbers(), (1..=60).map(|n: u32| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_against_our_launcher() {
    let mut running = tokio::task::JoinSet::new();
    for row in table().ours() {
        // A few at a time: each starts a process.
        while running.len() >= 6 {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(async move {
            let flags: Vec<&str> = row.flags.iter().map(String::as_str).collect();
            let launcher = Launcher::start(&flags).await;
            run(&row, &launcher.url.clone(), Some(launcher)).await;
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_against_any_launcher() {
    let Ok(url) = std::env::var("DORMOUSE_LAUNCHER_URL") else {
        return skipped("set DORMOUSE_LAUNCHER_URL to run the launcher's table against one that runs already");
    };
    for row in table().theirs() {
        let client = Client::new(&url);
        client.send(client.request("DELETE", "/v2/vllm/instances")).await;
        run(&row, &url, None).await;
    }
}

async fn run(row: &Row, url: &str, launcher: Option<Launcher>) {
    let client = Client::new(url);
    let revision = client.list().await["revision"].as_u64().unwrap();
    let mut run = Run { client, url: url.to_owned(), launcher, revision, watches: HashMap::new(), leaders: HashMap::new() };
    row.run(&mut run).await;
}

impl Target for Run {
    fn url(&self, _: &str) -> String {
        self.url.clone()
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    async fn special(&mut self, name: &str, wish: Map<String, Value>) {
        let wish: Special = serde_json::from_value(wish.into()).unwrap_or_else(|e| panic!("{name}: {e}"));
        if let Some(watch) = &wish.watch {
            let lines = self.client.watch(&substitute(self.revision, &wish.query)).await;
            let headers = lines.response.headers();
            assert_eq!(headers["content-type"], "application/x-ndjson", "{name}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{name}");
            self.watches.insert(watch.clone(), lines);
        }
        if let Some(watch) = &wish.lines_of {
            let lines = self.watches.get_mut(watch).unwrap();
            for expected in &wish.lines {
                let line = lines.next().await.unwrap_or_else(|| panic!("{name}: the stream has ended"));
                let fits = matches(self.revision, &line, expected).and_then(|()| absent(&line, &wish.without));
                fits.unwrap_or_else(|problem| panic!("{name}: {problem}"));
            }
            assert!(!wish.quiet || lines.quiet().await, "{name}: a line too many");
        }
        if let Some(id) = &wish.note {
            let pid = self.client.get(&instance(id)).await.json()["pid"].as_i64().unwrap();
            self.leaders.insert(id.clone(), i32::try_from(pid).unwrap());
        }
        if let Some(id) = &wish.kill {
            send(self.leaders[id], wish.signal.as_deref().unwrap());
        }
        if let Some(id) = &wish.gone {
            assert!(!alive(self.leaders[id]) && tree_of(self.leaders[id]).is_empty(), "{name}: something of {id} lives");
        }
        if let Some(count) = wish.logs {
            let folder = self.launcher.as_ref().unwrap().folder();
            let logs = std::fs::read_dir(folder).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "log"));
            assert_eq!(logs.count(), count, "{name}");
        }
    }
}
