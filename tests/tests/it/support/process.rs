//! Processes: running one with a time limit, and looking at all of this machine through `/proc`.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Exit code; signals have none.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Both outputs, for messages.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}{}", self.status, self.out, self.err)
    }
}

/// Runs a command to its end, with `input` on its standard input.
///
/// # Panics
/// When it cannot be started or has not ended after `limit`; it is killed then.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: &str, limit: Duration) -> Said {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let stdin = child.stdin.take();
    let input = input.to_owned();
    // Beside the readers: a command may print before it has read all.
    let feeder = std::thread::spawn(move || stdin.map(|mut stdin| std::io::Write::write_all(&mut stdin, input.as_bytes())));
    let Some(status) = wait_for_exit(&mut child, limit) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("{command:?} has not ended after {} s; it said\n{}{}", limit.as_secs(), out.join().unwrap(), err.join().unwrap());
    };
    let _ = feeder.join();
    Said { status, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn collect(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for a child's end.
pub(crate) fn wait_for_exit(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return Some(status);
        }
        if begun.elapsed() > limit {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(50));
    }
}

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Words of its command line.
    pub(crate) command: Vec<String>,
    /// Entries of the environment it was started with.
    pub(crate) environment: Vec<String>,
}

impl Process {
    /// All that may be looked at and are no zombies.
    pub(crate) fn all() -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").expect("/proc is there").flatten();
        entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter_map(Self::read).collect()
    }

    fn read(pid: i32) -> Option<Self> {
        let words = |file: &str| {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).ok()?;
            let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
            Some(bytes.split(|b| *b == 0).filter(|w| !w.is_empty()).map(text).collect())
        };
        // `pid (name) state parent …`; the name may hold anything.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut after = stat.rsplit_once(')')?.1.split_whitespace();
        if after.next()? == "Z" {
            return None;
        }
        let parent = after.next()?.parse().ok()?;
        Some(Self { pid, parent, command: words("cmdline")?, environment: words("environ")? })
    }

    /// The value of an environment variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find_map(|e| e.strip_prefix(name)?.strip_prefix('='))
    }
}
