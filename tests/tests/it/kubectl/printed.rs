//! What `up` prints can be typed, and what comes of it is seen by `status` and `devices`.

use std::process::Command;
use std::time::Duration;

use dormouse_runtime::output::error_line;
use serde_json::Value;

use crate::support::{Kubectl, Up, repository, run};

#[test]
fn the_lines_that_up_prints_return_tokens() {
    let Some(kubectl) = Kubectl::find() else { return };
    for tool in ["bash", "curl"] {
        if Command::new(tool).arg("--version").output().is_err() {
            error_line(&format!("SKIPPED the_lines_that_up_prints_return_tokens: no {tool} here, which those lines need"));
            return;
        }
    }
    let up = Up::start(&["--nodes", "2", "--gpus-per-node", "4"]);
    let k = kubectl.on(&up);
    let printed = up.stdout();
    assert!(printed.starts_with("ready: https://127.0.0.1:"), "{printed}");
    let lines: Vec<&str> = printed.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).skip(1).collect();
    let [export, apply, wait, curl] = lines[..] else { panic!("four commands, not {lines:#?}") };
    assert_eq!(export, format!("export KUBECONFIG={}", up.kubeconfig().display()));
    assert!(
        apply.starts_with("kubectl apply -f examples/") && wait.starts_with("kubectl wait ") && curl.starts_with("curl "),
        "{lines:#?}"
    );
    // All together, as somebody pastes them at the repository's root.
    let answer = k.shell(&format!("cd {}; {export}; {apply} >&2; {wait} >&2; {curl}", repository().display()), &[]);
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    assert!(!answer["choices"][0]["text"].as_str().unwrap_or_default().trim().is_empty(), "{answer}");
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
