//! The unmodified `kubectl`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use dormouse_runtime::output::error_line;

use super::{Said, Up, repository, run};

/// Few commands of the tests take this long by themselves.
const PATIENCE: Duration = Duration::from_secs(60);

/// `${KUBECTL:-kubectl}`, which runs here.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: String,
}

impl Kubectl {
    /// `None`, loudly, where there is none: written past what the test harness keeps to itself.
    pub(crate) fn find() -> Option<Self> {
        static FOUND: OnceLock<Option<Kubectl>> = OnceLock::new();
        let found = FOUND.get_or_init(|| {
            let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
            let version = Command::new(&program).args(["version", "--client"]).stdin(Stdio::null()).output();
            match version {
                Ok(output) if output.status.success() => {
                    let text = String::from_utf8_lossy(&output.stdout);
                    error_line(&format!("kubectl is {program}: {}", text.lines().next().unwrap_or_default()));
                    Some(Self { program })
                }
                _ => None,
            }
        });
        if found.is_none() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            error_line(&format!("SKIPPED {test}: no kubectl runs here, so that it proves nothing; set KUBECTL to one"));
        }
        found.clone()
    }

    /// For a plane, as its administrator.
    pub(crate) fn on<'a>(&self, up: &'a Up) -> On<'a> {
        On { program: self.program.clone(), up, patience: PATIENCE }
    }
}

/// `kubectl` with the kubeconfig of a plane.
pub(crate) struct On<'a> {
    program: String,
    pub(crate) up: &'a Up,
    patience: Duration,
}

impl On<'_> {
    /// The same, for commands that take longer.
    pub(crate) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.up.kubeconfig()).env("HOME", self.up.folder()).current_dir(repository());
        command
    }

    /// Runs it with these arguments and this input.
    #[track_caller]
    pub(crate) fn args(&self, args: &[&str], input: &str) -> Said {
        run(self.command(&self.program).args(args), input, self.patience)
    }

    /// Runs a command line, split at spaces.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Said {
        self.args(&line.split(' ').collect::<Vec<_>>(), "")
    }

    /// Runs a command line that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        self.feed(line, "")
    }

    /// Runs a command line that must fail; its error text.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str) -> String {
        let said = self.run(line);
        assert!(!said.status.success(), "kubectl {line} should fail: {}", said.all());
        said.err
    }

    /// Runs a command line that must succeed with this input, a manifest mostly; what it printed.
    #[track_caller]
    pub(crate) fn feed(&self, line: &str, input: &str) -> String {
        let said = self.args(&line.split(' ').collect::<Vec<_>>(), input);
        assert!(said.status.success(), "kubectl {line}: {}", said.all());
        said.out
    }

    /// Runs a shell script in which `kubectl` is this one; what it printed.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str, environment: &[(&str, &str)]) -> String {
        let mut command = self.command("bash");
        command.args(["-euo", "pipefail", "-c", script]).envs(environment.iter().copied());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.folder().display()));
        let said = run(&mut command, "", self.patience);
        assert!(said.status.success(), "{script}\n{}", said.all());
        said.out
    }

    /// A folder in which `kubectl` is a script that runs ours, whatever it is called.
    fn folder(&self) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.up.folder().join("path");
        let script = folder.join("kubectl");
        if !script.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            // By its full path: this folder comes first in PATH.
            let found = run(Command::new("sh").args(["-c", "command -v -- \"$0\"", &self.program]), "", PATIENCE).out;
            std::fs::write(&script, format!("#!/bin/sh\nexec '{}' \"$@\"\n", found.trim())).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    /// Starts a command line that goes on printing.
    pub(crate) fn follow(&self, line: &str) -> Follow {
        let mut command = self.command(&self.program);
        command.args(line.split(' ')).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (to, lines) = channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = to.send(line);
            }
        });
        Follow { what: line.to_owned(), child, lines, seen: Vec::new() }
    }
}

/// A command that goes on printing until it is dropped.
pub(crate) struct Follow {
    what: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Follow {
    /// Waits for a line.
    ///
    /// # Panics
    /// When none comes in time.
    #[track_caller]
    pub(crate) fn line(&mut self, what: &str, limit: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            match self.lines.recv_timeout(limit.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("kubectl {} does not print {what}; it printed {:#?}", self.what, self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("kubectl {} ended before {what}; it printed {:#?}", self.what, self.seen),
            }
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows of a printed table as words; columns are two spaces apart or more.
pub(crate) fn table(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect()).collect()
}
