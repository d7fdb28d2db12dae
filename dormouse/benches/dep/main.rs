//! `dormouse dep` on large repositories, beside reading and hashing the same files.
//!
//! Documents are made up, 18 kB each, with links to one another, in a repository of git. The program is the one that is shipped, from
//! its start to its end. Promises: 5,000 documents linted in 1 s and 300 MB on two cores, 700 in 0.2 s; 5,000 listed in 0.3 s; the 18
//! of upstream linted in 50 ms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program for a terminal")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Of each figure the median of so many.
const REPEATS: usize = 5;
const SIZE: usize = 18 * 1024;
const WORDS: [&str; 12] = ["cache", "block", "idle", "router", "prefix", "worker", "queue", "token", "lease", "tenant", "shard", "window"];

fn document(number: usize, all: usize) -> String {
    let mut text = format!(
        "# Proposal About {} {number}\n\n**Status**: Approved\n\n**Authors**: @ada\n\n**Category**: Architecture\n\n**Replaces**: N/A\n\n\
         **Replaced By**: N/A\n\n**Sponsor**: @brin\n\n**Required Reviewers**: @chen, @dov\n\n**Review Date**: 2026-02-01\n\n\
         **Pull Request**: #{number}\n\n**Implementation PR / Tracking Issue**: #{number}\n\n# Summary\n\nA short text.\n\n# Motivation\n\n",
        WORDS[number % WORDS.len()]
    );
    let mut at = number;
    let mut paragraph = |text: &mut String| {
        for _ in 0..60 {
            at = at.wrapping_mul(1_103_515_245).wrapping_add(12_345) % 2_147_483_648;
            let _ = write!(text, "{} ", WORDS[at % WORDS.len()]);
        }
        let other = 1 + at % all;
        let _ = write!(text, "see [DEP-{other:04}]({other:04}-p{other}.md#summary) and `code {at}`.\n\n");
    };
    paragraph(&mut text);
    text.push_str("## Goals\n\n* One\n* Two\n\n# Proposal\n\n");
    while text.len() < SIZE - 600 {
        paragraph(&mut text);
        text.push_str("```rust\nlet x = f(1);\n```\n\n");
    }
    text.push_str("# Alternate Solutions\n\n## Alt 1 Nothing\n\n**Reason Rejected:** It would stay as it is.\n");
    text
}

fn repository(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder.join("deps")).unwrap();
    for number in 1..=count {
        std::fs::write(folder.join(format!("deps/{number:04}-p{number}.md")), document(number, count)).unwrap();
    }
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.args(words).current_dir(folder).stdout(Stdio::null());
        command.envs([
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ]);
        assert!(command.status().unwrap().success());
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "all"]);
}

/// The median time of a command, and the memory of the largest of all commands so far.
fn timed(folder: &Path, words: &[&str]) -> (Duration, u64) {
    let mut times: Vec<Duration> = (0..REPEATS)
        .map(|_| {
            let begin = Instant::now();
            let ended = Command::new(env!("CARGO_BIN_EXE_dormouse"))
                .arg("dep")
                .args(words)
                .current_dir(folder)
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(matches!(ended.code(), Some(0 | 1)), "{words:?}: {ended}");
            begin.elapsed()
        })
        .collect();
    times.sort();
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    (times[REPEATS / 2], u64::try_from(usage.max_rss()).unwrap_or(0) / 1024)
}

/// Reading and hashing the files, on one core.
fn floor(folder: &Path) -> Duration {
    use sha2::Digest as _;
    let begin = Instant::now();
    let mut hash = sha2::Sha256::new();
    for entry in std::fs::read_dir(folder.join("deps")).unwrap() {
        // Pictures lie in folders.
        let path = entry.unwrap().path();
        if path.is_file() {
            hash.update(std::fs::read(path).unwrap());
        }
    }
    std::hint::black_box(hash.finalize());
    begin.elapsed()
}

fn say(what: &str, (time, memory): (Duration, u64), floor: Duration, promise: &str) {
    println!(
        "{what}: {:.0} ms ({promise}); reading and hashing {:.0} ms; {memory} MiB at most",
        time.as_secs_f64() * 1e3,
        floor.as_secs_f64() * 1e3
    );
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small");
    repository(&small, 700);
    say("lint of 700", timed(&small, &["lint", "--trunk"]), floor(&small), "200 promised");
    let large = folder.path().join("large");
    repository(&large, 5_000);
    say("list of 5,000", timed(&large, &["list"]), floor(&large), "300 promised");
    say("lint of 5,000", timed(&large, &["lint", "--trunk"]), floor(&large), "1,000 and 300 MiB promised");
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/proposals/upstream.bundle");
    let from = std::env::var_os(dormouse_names::env::DEP_CORPUS).map_or(bundle, Into::into);
    if !from.exists() {
        println!("SKIPPED the 18 of upstream: DORMOUSE_DEP_CORPUS=FOLDER names a clone");
        return;
    }
    let upstream = folder.path().join("upstream");
    assert!(Command::new("git").args(["clone", "-q"]).arg(from).arg(&upstream).status().unwrap().success());
    assert!(Command::new("git").args(["checkout", "-q", "dfdfb78"]).current_dir(&upstream).status().unwrap().success());
    say("lint of upstream's 18", timed(&upstream, &["lint", "--trunk"]), floor(&upstream), "50 promised");
}
