//! What `up` prints can be typed, and what comes of it is seen by `status` and `devices`.

use std::process::Command;
use std::time::Duration;

use dormouse_runtime::output::error_line;
use serde_json::Value;

use crate::support::{Kubectl, On, Up, repository, run};

/// What is printed after the address, without comments.
pub(crate) fn lines(printed: &str) -> Vec<&str> {
    assert!(printed.starts_with("ready: https://127.0.0.1:"), "{printed}");
    printed.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).skip(1).collect()
}

/// Runs the lines all together, as somebody pastes them at the repository's root; what the last one, the curl line, gave.
pub(crate) fn pasted(k: &On<'_>, lines: &[&str]) -> Value {
    let [first @ .., curl] = lines else { panic!("no lines") };
    assert_eq!(first.first(), Some(&format!("export KUBECONFIG={}", k.up.kubeconfig().display()).as_str()));
    assert!(curl.starts_with("curl "), "{lines:#?}");
    let script = first.iter().map(|line| format!("{line} >&2\n")).collect::<String>();
    let answer = k.shell(&format!("cd {}\n{script}{curl}", repository().display()), &[]);
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    assert!(!answer["choices"][0]["text"].as_str().unwrap_or_default().trim().is_empty(), "{answer}");
    answer
}

/// Whether there is what the lines need; says loudly what is not.
pub(crate) fn can_paste() -> bool {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let missing = ["bash", "curl"].into_iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    if let Some(tool) = missing {
        error_line(&format!("SKIPPED {test}: no {tool} here, which those lines need"));
    }
    missing.is_none()
}

#[test]
fn the_lines_that_up_prints_return_tokens() {
    let Some(kubectl) = Kubectl::find().filter(|_| can_paste()) else { return };
    let up = Up::start(&["--nodes", "2", "--gpus-per-node", "4"]);
    let k = kubectl.on(&up);
    let printed = up.stdout();
    let lines = lines(&printed);
    let [_, apply, wait, _] = lines[..] else { panic!("four commands, not {lines:#?}") };
    assert!(apply.starts_with("kubectl apply -f examples/") && wait.starts_with("kubectl wait "), "{lines:#?}");
    let answer = pasted(&k, &lines);
    assert_eq!(answer["usage"]["completion_tokens"], 16, "{answer}");

    let dormouse = |args: &[&str]| run(Up::command(up.folder()).args(args), "", Duration::from_secs(20));
    let status = dormouse(&["status", "--name", up.name()]);
    assert_eq!(status.code(), Some(0), "{}", status.all());
    for part in ["dormouse-1", "dormouse-2", "GPU-7", "direct-", "sim-model", "fma-dual-pods-controller"] {
        assert!(status.out.contains(part), "{part} is not in\n{}", status.out);
    }
    let status = dormouse(&["status", "--name", up.name(), "--output", "json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(status["nodes"].as_array().unwrap().len(), 2, "{status}");
    assert_eq!(status["requesters"][0]["ready"], true, "{status}");
    assert_eq!(status["requesters"][0]["errors"], serde_json::json!([]), "{status}");
    let devices = dormouse(&["devices", "--name", up.name()]);
    assert_eq!(devices.code(), Some(0), "{}", devices.all());
    assert!(devices.out.contains("GPU-0") && devices.out.contains("sim-model"), "{}", devices.out);
    up.end();
}

#[test]
fn the_lines_for_the_embedded_engine_return_tokens_of_a_model_that_they_make() {
    let Some(kubectl) = Kubectl::find().filter(|_| can_paste()) else { return };
    let up = Up::start(&["--engine", "embedded"]);
    let answer = pasted(&kubectl.on(&up), &lines(&up.stdout()));
    assert_eq!(answer["choices"][0]["text"], "tiny: a dormouse sleeps deeply and wakes in an instant.", "{answer}");
    up.end();
}

#[test]
fn where_no_model_can_be_served_up_says_so_and_prints_no_lines_for_one() {
    for (args, why) in [
        (&["--gpus-per-node", "0"][..], "--gpus-per-node 0"),
        (&["--controllers", "none"], "--controllers"),
        (&["--controllers", "none", "--gpus-per-node", "0", "--gpu-map", "none"], "no GPUs"),
    ] {
        let up = Up::start(args);
        let printed = up.stdout();
        assert_eq!(lines(&printed), [format!("export KUBECONFIG={}", up.kubeconfig().display())], "{args:?}");
        assert!(printed.lines().any(|l| l.starts_with("  # no model ") && l.contains(why)), "{args:?}: {printed}");
        up.end();
    }
}
