//! The `git` program. What it is asked is plumbing or said in full, so that nobody's settings change the answer.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::error::Error;

/// How long a git is waited for. The slowest question, a log of a large trunk, takes seconds.
const LIMIT: Duration = Duration::from_mins(2);

/// Variables that name another repository, or another state of this one, than that of the folder.
const FOREIGN: [&str; 10] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
    "GIT_EXTERNAL_DIFF",
];

/// Settings that would change what is read.
const PLAIN: [&str; 5] =
    ["core.quotePath=false", "color.ui=false", "log.diffMerges=separate", "log.follow=false", "log.showSignature=false"];

/// Git in a folder.
#[derive(Clone, Debug)]
pub(super) struct Git {
    folder: PathBuf,
    limit: Duration,
}

/// How a git ended.
#[derive(Debug)]
pub(super) struct Ended<T> {
    /// What was read of what it wrote.
    pub(super) value: T,
    /// It says that it did what was asked.
    pub(super) success: bool,
    /// The status it ended with.
    pub(super) code: Option<i32>,
    /// What it said.
    pub(super) said: String,
}

/// Why there was no git to ask.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such program.
    Absent,
    /// Another one.
    Error(Error),
}

impl Git {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), limit: LIMIT }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn command(&self, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new("git");
        command.arg("--no-pager").arg("--literal-pathspecs");
        for setting in PLAIN {
            command.args(["-c", setting]);
        }
        command.arg("-C").arg(&self.folder).args(arguments);
        for name in FOREIGN {
            command.env_remove(name);
        }
        // GIT_INDEX_FILE stays: within a hook of a commit it names the index that is going to be committed.
        command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("GIT_NO_LAZY_FETCH", "1");
        command
    }

    fn named(arguments: &[&OsStr]) -> String {
        arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    fn failed(&self, arguments: &[&OsStr], said: impl Into<String>) -> Error {
        Error::Git { command: Self::named(arguments), said: said.into(), folder: self.folder.clone() }
    }

    /// Runs it: `input` is what it is given, `read` takes what it writes while it runs.
    pub(super) fn stream<T>(
        &self,
        arguments: &[&OsStr],
        input: Option<&[u8]>,
        read: impl FnOnce(&mut dyn BufRead) -> std::io::Result<T>,
    ) -> Result<Ended<T>, Fault> {
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = match self.command(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Err(Fault::Absent),
            Err(why) => return Err(Fault::Error(self.failed(arguments, why.to_string()))),
        };
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdin, Some(stdout), Some(stderr)) = pipes else {
            let _ = child.kill();
            return Err(Fault::Error(self.failed(arguments, "it has no output")));
        };
        let (over, done) = mpsc::channel::<()>();
        let limit = self.limit;
        std::thread::scope(|scope| {
            // Whoever does not end is ended: all reads and writes below come to an end then.
            let guard = scope.spawn(move || guard(child, &done, limit));
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // A git that stops early closes its end; it says why itself.
                scope.spawn(move || stdin.write_all(input));
            }
            let errors = scope.spawn(move || {
                let mut said = Vec::new();
                let _ = stderr.take(64 << 10).read_to_end(&mut said);
                String::from_utf8_lossy(&said).trim().to_owned()
            });
            let mut stdout = BufReader::with_capacity(256 << 10, stdout);
            let value = read(&mut stdout);
            drop(stdout);
            let said = errors.join().unwrap_or_default();
            drop(over);
            let Ok(Some(status)) = guard.join() else {
                let (command, folder) = (Self::named(arguments), self.folder.clone());
                return Err(Fault::Error(Error::Slow { command, seconds: limit.as_secs(), folder }));
            };
            match value {
                Ok(value) => Ok(Ended { value, success: status.success(), code: status.code(), said }),
                Err(why) => {
                    let said = if said.is_empty() { why.to_string() } else { said };
                    Err(Fault::Error(self.failed(arguments, said)))
                }
            }
        })
    }

    /// Runs it to its end, whatever that is.
    pub(super) fn attempt(&self, arguments: &[&str]) -> Result<Ended<Vec<u8>>, Fault> {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        self.stream(&arguments, None, |stdout| {
            let mut all = Vec::new();
            stdout.read_to_end(&mut all)?;
            Ok(all)
        })
    }

    /// Runs it; the end has to be a good one.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, Error> {
        let ended = self.attempt(arguments).map_err(|fault| self.fault(fault))?;
        let all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        if ended.success { Ok(ended.value) } else { Err(self.failed(&all, said(&ended.said))) }
    }

    /// A fault where there was a git a moment ago.
    pub(super) fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::Absent => {
                Error::NoGit { root: self.folder.clone(), what: "this", why: "there is no program git; install it".to_owned() }
            }
            Fault::Error(error) => error,
        }
    }

    /// The contents of objects, in the order of their names, each as it comes; `None` for one larger than `limit`, with its size.
    pub(super) fn blobs(&self, ids: &[&str], limit: usize, mut each: impl FnMut(usize, Result<Vec<u8>, usize>)) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let input: String = ids.iter().flat_map(|id| [id, "\n"]).collect();
        let arguments = [OsStr::new("cat-file"), OsStr::new("--batch")];
        let ended = self.stream(&arguments, Some(input.as_bytes()), |stdout| {
            let mut head = String::new();
            for (at, id) in ids.iter().enumerate() {
                head.clear();
                stdout.read_line(&mut head)?;
                let size = head.trim_end().rsplit(' ').next().and_then(|size| size.parse::<usize>().ok());
                let Some(size) = size else {
                    return Err(std::io::Error::other(format!("object {id} is not in this clone ({})", head.trim_end())));
                };
                if size > limit {
                    std::io::copy(&mut (&mut *stdout).take(size as u64 + 1), &mut std::io::sink())?;
                    each(at, Err(size));
                    continue;
                }
                let mut bytes = vec![0; size];
                stdout.read_exact(&mut bytes)?;
                stdout.read_exact(&mut [0])?;
                each(at, Ok(bytes));
            }
            Ok(())
        });
        let ended = ended.map_err(|fault| self.fault(fault))?;
        if ended.success { Ok(()) } else { Err(self.failed(&arguments, said(&ended.said))) }
    }
}

/// The first line of what git says, which is what is wrong; hints follow.
pub(super) fn said(all: &str) -> String {
    let first = all.lines().next().unwrap_or("it says nothing");
    first.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned()
}

/// Waits for a child's end; `None` when it had to be ended.
fn guard(mut child: Child, done: &mpsc::Receiver<()>, limit: Duration) -> Option<std::process::ExitStatus> {
    let begun = Instant::now();
    // Nobody sends: the other end is dropped once all is read.
    let _ = done.recv_timeout(limit);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if begun.elapsed() < limit => std::thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_waits_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
        let git = Git { folder: folder.path().to_owned(), limit: Duration::from_millis(100) };
        let slow = git.attempt(&["hash-object", "--no-filters", "pipe"]);
        assert!(matches!(slow, Err(Fault::Error(Error::Slow { .. }))), "{slow:?}");
    }

    #[test]
    fn what_it_says_is_told() {
        let error = Git::new(&std::env::temp_dir()).run(&["no-such-command"]).unwrap_err();
        assert!(error.to_string().contains("`git no-such-command` failed: ") && error.exit() == 3, "{error}");
    }
}
