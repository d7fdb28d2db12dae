//! The command: its options, its process, and what came of it.

use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::machine;

/// Longer than this nothing here takes.
const LONGEST: Duration = Duration::from_secs(90);

/// `dormouse perf profile` before it is run.
pub(crate) struct Profile {
    words: Vec<String>,
    options: Vec<String>,
    dir: PathBuf,
    held: Option<TempDir>,
}

impl Profile {
    /// Against this address: short prompts, and the rest as [`Self::plain`].
    pub(crate) fn of(url: &str) -> Self {
        Self::plain(url).with("--isl 20")
    }

    /// Against this address: a seed, nothing scraped, files in a folder of its own.
    pub(crate) fn plain(url: &str) -> Self {
        let tokenizer = machine::cases().join("tokenizer").display().to_string();
        let held = TempDir::new().unwrap();
        let dir = held.path().join("out");
        let common = ["-m", "m", "--url", url, "--tokenizer", &tokenizer, "--no-gpu-telemetry", "--no-server-metrics"];
        let options = common.map(str::to_owned).to_vec();
        let given = Self { words: Vec::new(), options, dir, held: Some(held) };
        given.with("--random-seed 7")
    }

    /// With these options and no others, but for the folder.
    pub(crate) fn bare() -> Self {
        let held = TempDir::new().unwrap();
        Self { words: Vec::new(), options: Vec::new(), dir: held.path().join("out"), held: Some(held) }
    }

    /// Further options, parted by blanks.
    pub(crate) fn with(mut self, options: &str) -> Self {
        self.options.extend(options.split_whitespace().map(str::to_owned));
        self
    }

    /// A further word, as it is.
    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.options.push(word.into());
        self
    }

    /// Words before the command.
    pub(crate) fn under<S: AsRef<str>>(mut self, words: &[S]) -> Self {
        self.words.extend(words.iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Its figures count: it goes before other programs where that is allowed.
    pub(crate) fn first(self) -> Self {
        self.under(&machine::before_others())
    }

    /// Files go here.
    pub(crate) fn into(mut self, dir: &Path) -> Self {
        self.dir = dir.to_owned();
        self
    }

    /// A file with this text in a folder of its own, and its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.held.as_ref().unwrap().path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let line = self.words.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_dormouse"), "perf", "profile"]);
        let line: Vec<&str> = line.chain(self.options.iter().map(String::as_str)).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).arg("--artifact-dir").arg(&self.dir).env_remove("OPENAI_API_KEY");
        // What has no folder of its own to write into would else write beside the sources.
        command.current_dir(self.held.as_ref().map_or_else(std::env::temp_dir, |held| held.path().to_owned()));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (reader(child.stdout.take().unwrap()), reader(child.stderr.take().unwrap()));
        Running { child, out, err, begun: Instant::now(), dir: self.dir, held: self.held }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ran {
        self.start().wait()
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = pipe.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// `dormouse perf profile` while it runs.
pub(crate) struct Running {
    child: Child,
    out: JoinHandle<String>,
    err: JoinHandle<String>,
    begun: Instant,
    pub(crate) dir: PathBuf,
    held: Option<TempDir>,
}

impl Running {
    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended; one that hangs is ended, and the test with it.
    pub(crate) fn wait(mut self) -> Ran {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.begun.elapsed() > LONGEST {
                self.child.kill().unwrap();
                let said = self.err.join().unwrap();
                panic!("it hangs; it said {said}");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let seconds = self.begun.elapsed().as_secs_f64();
        let (out, err) = (self.out.join().unwrap(), self.err.join().unwrap());
        // As a shell has it: a signal that came before anybody listened for it ends a program too.
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Ran { code, seconds, out, err, dir: self.dir, held: self.held }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    /// As a shell has it.
    pub(crate) code: Option<i32>,
    pub(crate) seconds: f64,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) dir: PathBuf,
    #[allow(dead_code, reason = "the folder is there as long as this is")]
    held: Option<TempDir>,
}

impl Ran {
    /// It was right about the server, whether or not this machine was fast enough for its figures; its files are whole.
    pub(crate) fn measured(self) -> Self {
        let bound = self.code == Some(5) && self.err.contains("the client was what was measured");
        assert!(self.code == Some(0) || bound, "exit {:?}\n{}\n{}", self.code, self.out, self.err);
        super::kept_whole(&self.dir);
        self
    }

    /// It ended with this code and said each of these.
    pub(crate) fn ended(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word) || self.out.contains(word), "{word:?} is not said:\n{}\n{}", self.out, self.err);
        }
        self
    }

    /// A file of its folder as JSON.
    pub(crate) fn json(&self, name: &str) -> Value {
        json(&self.dir.join(name))
    }

    /// The summary.
    pub(crate) fn summary(&self) -> Value {
        self.json("profile_export_aiperf.json")
    }

    /// A statistic of a metric of the summary.
    pub(crate) fn figure(&self, tag: &str, stat: &str) -> f64 {
        let summary = self.summary();
        summary[tag][stat].as_f64().unwrap_or_else(|| panic!("no {tag}.{stat}: {}", summary[tag]))
    }

    /// The records of a phase, one by one.
    pub(crate) fn records(&self, phase: &str) -> Vec<Value> {
        let lines = self.lines("profile_export.jsonl");
        lines.into_iter().filter(|record| record["metadata"]["benchmark_phase"] == phase).collect()
    }

    /// A file of its folder as lines of JSON.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A file as JSON.
pub(crate) fn json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Another verb of `dormouse perf`: exit code, and all that it says.
pub(crate) fn dormouse(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dormouse")).arg("perf").args(words).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}
