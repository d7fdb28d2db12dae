//! The mock server as a process, and its truth.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::ask;
use super::machine::before_others;

/// A running mock server; dropping it ends it.
pub(crate) struct Mock {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
}

/// One request as the server saw it. Times are nanoseconds; those of content since the arrival.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) arrival: i64,
    pub(crate) wall: i64,
    pub(crate) first: Option<i64>,
    pub(crate) last: Option<i64>,
    pub(crate) tokens: i64,
    pub(crate) status: i64,
    pub(crate) disconnected: bool,
}

impl Mock {
    /// With these options, at any port.
    pub(crate) fn start(options: &str) -> Self {
        Self::under::<&str>(&[], options)
    }

    /// Its times count: it goes before other programs where that is allowed.
    pub(crate) fn first(options: &str) -> Self {
        Self::under(&before_others(), options)
    }

    /// With words before the command.
    pub(crate) fn under<S: AsRef<str>>(words: &[S], options: &str) -> Self {
        let line = words.iter().map(AsRef::as_ref).chain([env!("CARGO_BIN_EXE_dormouse"), "perf", "mock-server", "--port", "0"]);
        let line: Vec<&str> = line.chain(options.split_whitespace()).collect();
        let mut child = Command::new(line[0]).args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://"), "the server says {url:?}");
        Self { child, url: url.trim().to_owned() }
    }

    fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What it says of itself, once nothing is under way any more.
    pub(crate) fn stats(&self) -> Value {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let stats: Value = serde_json::from_slice(&ask("GET", self.address(), "/stats?requests=1000000")).unwrap();
            if stats["in_flight"]["now"] == 0 || Instant::now() > until {
                return stats;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How many requests have come, while others are under way.
    pub(crate) fn arrived(&self) -> i64 {
        let stats: Value = serde_json::from_slice(&ask("GET", self.address(), "/stats")).unwrap();
        stats["requests"]["arrived"].as_i64().unwrap()
    }

    /// A counter of requests.
    pub(crate) fn count(&self, what: &str) -> i64 {
        self.stats()["requests"][what].as_i64().unwrap()
    }

    /// The requests one by one, by arrival.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let stats = self.stats();
        let columns = stats["columns"].as_array().unwrap();
        let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
        let row = |row: &Value| Row {
            arrival: row[at("arrival_monotonic_ns")].as_i64().unwrap(),
            wall: row[at("arrival_wall_ns")].as_i64().unwrap(),
            first: row[at("first_content_ns")].as_i64(),
            last: row[at("last_content_ns")].as_i64(),
            tokens: row[at("tokens")].as_i64().unwrap(),
            status: row[at("status")].as_i64().unwrap(),
            disconnected: row[at("disconnected")].as_bool().unwrap(),
        };
        stats["rows"].as_array().unwrap().iter().map(row).collect()
    }

    /// Forgets.
    pub(crate) fn reset(&self) {
        ask("POST", self.address(), "/stats/reset");
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many of these spans were at most at the same time, and on average between two moments.
pub(crate) fn at_once(spans: &[(i64, i64)], from: i64, to: i64) -> (usize, f64) {
    let mut steps: Vec<(i64, i64)> = spans.iter().flat_map(|(begin, end)| [(*begin, 1), (*end, -1)]).collect();
    // Who leaves at the moment at which another comes makes room for it.
    steps.sort_unstable();
    let (mut now, mut most) = (0_i64, 0_i64);
    for (_, step) in steps {
        now += step;
        most = most.max(now);
    }
    #[allow(clippy::cast_precision_loss, reason = "an average")]
    let average = spans.iter().map(|(b, e)| (*e.min(&to) - *b.max(&from)).max(0) as f64).sum::<f64>() / (to - from) as f64;
    (usize::try_from(most).unwrap(), average)
}
