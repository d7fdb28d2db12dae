//! Situations of users (`tests/cases/perf`), each with a server of its own in Python, told by `check.py` what is right.

use std::process::{Command, Stdio};

use crate::kit::machine::{self, say};

/// How often a case is run in which nothing was wrong but that the client found itself too slow.
const TRIES: usize = 3;

/// Without optimization the client is slower than its own allowance where events are of 300 kB: it says so, and is right.
const TOO_MUCH_FOR_A_DEBUG_BUILD: [&str; 1] = ["06-bytes-and-big-lines"];

/// What `check.py` says of a case: the lines of what failed, and all.
fn judged(name: &str) -> (Vec<String>, String) {
    let dir = machine::cases();
    let mut line = machine::before_others();
    line.extend(["python3".to_owned(), dir.join("check.py").display().to_string(), dir.join("cases").join(name).display().to_string()]);
    line.extend([format!("{} perf", env!("CARGO_BIN_EXE_dormouse")), "-v".to_owned()]);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("OPENAI_API_KEY").stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let mut failed: Vec<String> = said.lines().filter(|line| line.starts_with("FAIL")).map(str::to_owned).collect();
    if !output.status.success() && failed.is_empty() {
        failed.push(format!("check.py: {}", output.status));
    }
    (failed, said)
}

/// A busy machine is found out by the command itself (exit 5): that is right, and says nothing of the case. It is said, and run again.
fn busy(failed: &[String]) -> bool {
    matches!(failed, [one] if one.starts_with("FAIL: exit: got 5,"))
}

#[test]
fn each_situation_ends_as_it_should() {
    if !machine::works(&["python3", "--version"]) {
        machine::skipped("the situations of tests/cases/perf", "there is no python3");
        return;
    }
    let _alone = machine::alone();
    let mut cases: Vec<String> =
        std::fs::read_dir(machine::cases().join("cases")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    cases.sort();
    assert_eq!(cases.len(), 34, "{cases:?}");
    let mut wrong = Vec::new();
    for case in &cases {
        for left in (0..TRIES).rev() {
            let (failed, said) = judged(case);
            if failed.is_empty() {
                break;
            }
            if busy(&failed) {
                let reasons: Vec<&str> = said.lines().filter(|line| line.starts_with("client-bound:")).collect();
                let excused = cfg!(debug_assertions) && TOO_MUCH_FOR_A_DEBUG_BUILD.contains(&case.as_str());
                let then = ["NOT PROVED in a debug build", "run again"][usize::from(left > 0)];
                say(&format!("{case}: exit 5, {then}: {}", reasons.join("; ")));
                if left > 0 || excused {
                    continue;
                }
            }
            wrong.push(format!("{case}\n  {}\n{}", failed.join("\n  "), said.lines().rev().take(12).collect::<Vec<_>>().join("\n    ")));
            break;
        }
    }
    assert!(wrong.is_empty(), "{} of {} situations:\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}
