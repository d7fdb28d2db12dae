//! The dashboard in a terminal: it is entered, and left on every path. The terminal is made by `script`, the program is this test,
//! run again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser as _;
use dormouse_perf_mock::{MockServerArgs, Server};
use dormouse_perf_profile::ProfileArgs;
use dormouse_runtime::exit::Failure;
use rustix::process::{Pid, Signal, kill_process};

const OPTIONS: &str = "DASHBOARD_OPTIONS";
const PANICS: &str = "DASHBOARD_PANICS";
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

#[derive(clap::Parser)]
struct Profile {
    #[command(flatten)]
    args: ProfileArgs,
}

#[derive(clap::Parser)]
struct Mock {
    #[command(flatten)]
    args: MockServerArgs,
}

/// Not a test of its own: what the others start.
#[test]
fn the_program_itself() {
    let Ok(options) = std::env::var(OPTIONS) else { return };
    if std::env::var_os(PANICS).is_some() {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            panic!("somebody fell over");
        });
    }
    let args = Profile::parse_from(["profile"].into_iter().chain(options.split_ascii_whitespace())).args;
    let code = match dormouse_perf_profile::run(&args) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error:#}");
            error.downcast_ref::<Failure>().map_or(1, |failure| failure.code().into())
        }
    };
    std::process::exit(code);
}

/// A run in a terminal of its own.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    seen: Arc<Mutex<Vec<u8>>>,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Terminal {
    /// Starts a run there; none where there are no terminals.
    fn start(more: &str, environment: &[(&str, &str)]) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("util-linux")) {
            eprintln!("SKIPPED: the dashboard in a terminal: there is no script of util-linux here, which makes one");
            return None;
        }
        let server = Server::start(&Mock::parse_from(["mock", "--port", "0", "--ttft-ms", "20", "--itl-ms", "2"]).args).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let prompts = folder.path().join("prompts.jsonl");
        std::fs::write(&prompts, "{\"text\":\"Say something.\"}\n").unwrap();
        let options = format!(
            "-m a-model --url http://{} --endpoint-type chat --streaming --concurrency 4 --osl 8 --input-file {} \
             --custom-dataset-type single_turn --use-server-token-count --no-gpu-telemetry --no-server-metrics --artifact-dir {} {more}",
            server.address(),
            prompts.display(),
            folder.path().join("out").display(),
        );
        let program = "stty rows 24 cols 80; sh -c 'echo pid=$$; exec \"$PROGRAM\" --exact the_program_itself --nocapture'; \
                       code=$?; stty -a; exit $code";
        let mut command = Command::new("script");
        command.args(["-qefc", program, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("SHELL", "/bin/sh").env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.env("PROGRAM", std::env::current_exe().unwrap()).env(OPTIONS, options).envs(environment.iter().copied());
        let mut script = command.spawn().unwrap();
        let (keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sees = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut buffer) {
                sees.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        Some(Self { script, keys, seen, _server: server, _folder: folder })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Waits until something is there.
    fn wait_for(&self, what: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.text().contains(what) {
            assert!(Instant::now() < until, "{what:?} did not come:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let text = self.text();
        let pid = text.split_once("pid=").and_then(|(_, rest)| rest.split_ascii_whitespace().next()).unwrap();
        kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits for its end: the exit code, and what was on the screen and what behind it.
    fn end(mut self) -> (i32, String, String) {
        let until = Instant::now() + Duration::from_secs(60);
        let status = loop {
            match self.script.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > until => {
                    self.script.kill().unwrap();
                    panic!("it does not end:\n{}", self.text());
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        // The last of it is on its way.
        self.wait_for("icanon");
        let text = self.text();
        let (_, inside) = text.split_once(ENTER).unwrap_or_else(|| panic!("no screen was entered:\n{text}"));
        let (inside, behind) = inside.split_once(LEAVE).unwrap_or_else(|| panic!("the screen was not left:\n{text}"));
        let modes: Vec<&str> = behind.split_ascii_whitespace().collect();
        for mode in ["icanon", "isig", "echo", "opost", "icrnl"] {
            assert!(modes.contains(&mode), "{mode:?} is not as it was:\n{behind}");
        }
        assert!(behind.contains("\u{1b}[?25h"), "no cursor:\n{behind}");
        assert!(!behind.contains(ENTER));
        (status.code().unwrap_or(-1), inside.to_owned(), behind.to_owned())
    }
}

/// A busy machine may be what was measured.
fn is_well(code: i32) -> bool {
    code == 0 || code == 5
}

#[test]
fn the_screen_is_left_at_the_end_of_a_run() {
    let Some(terminal) = Terminal::start("--benchmark-duration 2", &[]) else { return };
    let (code, inside, behind) = terminal.end();
    assert!(is_well(code), "{code}\n{behind}");
    // Blanks are not written again: words are looked for.
    for part in ["a-model", "streaming", "1 progress", "TTFT", "running"] {
        assert!(inside.contains(part), "{part:?} is missing:\n{inside}");
    }
    assert!(inside.contains("38;5;6"), "it has colours:\n{inside}");
    assert!(behind.contains("Time to First Token") && !inside.contains("Time to First Token"));
}

#[test]
fn a_key_ends_the_run_as_a_signal_does() {
    for keys in ["q", "\u{3}"] {
        let Some(mut terminal) = Terminal::start("--benchmark-duration 50", &[("NO_COLOR", "1")]) else { return };
        terminal.wait_for("a-model");
        terminal.press("2");
        terminal.wait_for("p99.9");
        terminal.press(keys);
        let (code, inside, behind) = terminal.end();
        assert_eq!(code, 130, "{behind}");
        assert!(!inside.contains("38;5;"), "there is a colour:\n{inside}");
        // What was to be said is said when the screen is gone, and what was measured is shown.
        assert!(behind.contains("interrupted: what was measured is being written") && behind.contains("Time to First Token"), "{behind}");
    }
}

#[test]
fn a_second_key_or_signal_leaves_the_screen_too() {
    for signal in [None, Some(Signal::TERM), Some(Signal::INT)] {
        let Some(mut terminal) = Terminal::start("--benchmark-duration 50", &[]) else { return };
        terminal.wait_for("a-model");
        match signal {
            None => terminal.press("\u{3}\u{3}"),
            Some(signal) => {
                terminal.signal(signal);
                terminal.signal(signal);
            }
        }
        let (code, _, behind) = terminal.end();
        assert_eq!(code, 130, "{behind}");
    }
}

#[test]
fn a_signal_ends_the_run_and_its_screen() {
    for signal in [Signal::INT, Signal::TERM] {
        let Some(terminal) = Terminal::start("--benchmark-duration 50", &[]) else { return };
        terminal.wait_for("TTFT");
        terminal.signal(signal);
        let (code, _, behind) = terminal.end();
        assert_eq!(code, 130, "{behind}");
        assert!(behind.contains("Time to First Token"), "{behind}");
    }
}

#[test]
fn a_panic_is_read_on_the_screen_that_stays() {
    let Some(terminal) = Terminal::start("--benchmark-duration 2", &[(PANICS, "1")]) else { return };
    let (code, inside, behind) = terminal.end();
    assert!(is_well(code), "{code}\n{behind}");
    assert!(behind.contains("somebody fell over") && !inside.contains("somebody fell over"), "{behind}");
}

#[test]
fn a_terminal_that_knows_nothing_gets_lines() {
    let Some(terminal) = Terminal::start("--benchmark-duration 2 --ui dashboard --stats-interval 0.5", &[("TERM", "dumb")]) else { return };
    terminal.wait_for("icanon");
    let text = terminal.text();
    assert!(!text.contains(ENTER) && text.contains("note: --ui dashboard needs a terminal") && text.contains(" in flight, "), "{text}");
}
