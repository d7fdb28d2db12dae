//! The server and the program as processes, and what they cost.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dormouse");
const TOKENIZER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../perf/data/tests/tokenizer");

/// The mock server, as a process.
pub(crate) struct Mock {
    child: Child,
    pub(crate) address: String,
}

impl Mock {
    pub(crate) fn start(options: &str) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["perf", "mock-server", "--port", "0"]).args(options.split_whitespace()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().trim_start_matches("http://").to_owned() }
    }

    /// Its own truth.
    pub(crate) fn stats(&self) -> Value {
        serde_json::from_slice(&self.ask("GET", "/stats")).unwrap()
    }

    pub(crate) fn reset(&self) {
        self.ask("POST", "/stats/reset");
    }

    fn ask(&self, method: &str, path: &str) -> Vec<u8> {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        write!(socket, "{method} {path} HTTP/1.1\r\nHost: mock\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let body = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
        answer[body..].to_vec()
    }

    /// Processor time so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run of the program came to.
pub(crate) struct Ran {
    pub(crate) summary: Value,
    pub(crate) wall: f64,
    /// Processor time of the whole process.
    pub(crate) cpu: f64,
}

impl Ran {
    pub(crate) fn figure(&self, path: &str) -> f64 {
        path.split('.').fold(&self.summary, |value, name| &value[name]).as_f64().unwrap_or(f64::NAN)
    }
}

/// Folders of this run.
pub(crate) fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("dormouse-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs `perf profile`, with records, and with a tokenizer unless the server counts.
pub(crate) fn profile(mock: &Mock, folder: &Path, options: &str) -> Ran {
    let prompts = folder.join("prompts.jsonl");
    if !prompts.exists() {
        let lines: String = (0..100).map(|n| format!("{{\"text\":\"one two three four five six seven eight nine {n}\"}}\n")).collect();
        std::fs::write(&prompts, lines).unwrap();
    }
    let out = folder.join("out");
    let mut command = Command::new("sh");
    // The shell's own child is waited for by `times`, so that its cost is known.
    let script = "\"$@\" >/dev/null 2>&1; code=$?; times; exit $code";
    command.args(["-c", script, "sh", PROGRAM, "perf", "profile", "-m", "mock", "--url", &mock.address, "--ui", "none"]);
    command.args(["--no-gpu-telemetry", "--no-server-metrics", "--custom-dataset-type", "single_turn", "--input-file"]).arg(&prompts);
    command.arg("--artifact-dir").arg(&out);
    if !options.contains("--use-server-token-count") {
        command.args(["--tokenizer", TOKENIZER]);
    }
    command.args(options.split_whitespace());
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let wall = begin.elapsed().as_secs_f64();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 5)), "{options}: {code:?} {}", String::from_utf8_lossy(&output.stderr));
    let times = String::from_utf8_lossy(&output.stdout);
    let cpu = times.lines().last().unwrap_or_default().split_whitespace().map(seconds).sum();
    let text = std::fs::read(out.join("profile_export_aiperf.json")).unwrap();
    Ran { summary: serde_json::from_slice(&text).unwrap(), wall, cpu }
}

/// The largest resident memory of a run that is made for that.
pub(crate) fn resident(mock: &Mock, folder: &Path, options: &str) -> f64 {
    let mut command = Command::new(PROGRAM);
    command.args(["perf", "profile", "-m", "mock", "--url", &mock.address, "--ui", "none", "--no-gpu-telemetry", "--no-server-metrics"]);
    command.args(["--custom-dataset-type", "single_turn", "--input-file"]).arg(folder.join("prompts.jsonl"));
    command.arg("--artifact-dir").arg(folder.join("resident")).args(options.split_whitespace());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0.0_f64;
    loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
            most = most.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0));
        }
        if child.try_wait().unwrap().is_some() {
            return most;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// As a shell prints it: `0m1.234s`.
fn seconds(text: &str) -> f64 {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap_or(("0", "0"));
    minutes.parse::<f64>().unwrap_or(0.0) * 60.0 + seconds.parse::<f64>().unwrap_or(0.0)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
