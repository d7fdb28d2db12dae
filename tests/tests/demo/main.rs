//! The figures of `dormouse demo` follow what was changed, and nothing else does.
//!
//! A binary of its own with one test, so that nothing of ours runs beside it. On a machine where the same
//! thing measured twice differs by more than what is looked for, it says SKIPPED: it could prove nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../it/support/binary.rs"]
mod binary;

use std::process::Command;

use dormouse_runtime::output::error_line;
use serde_json::Value;

/// Attempts before the machine counts as too noisy.
const ATTEMPTS: u32 = 2;
/// Two runs of the same thing may differ by so much, in seconds, for the rest to mean something.
const NOISE: f64 = 0.004;

/// Medians of the hot path.
#[derive(Debug, Clone, Copy)]
struct Hot {
    control: f64,
    engine: f64,
}

fn demo(further: &[&str]) -> Hot {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary::dormouse());
    command.args(["demo", "--output", "json", "--only", "hot", "--iterations", "8"]).args(further);
    command.current_dir(binary::repository()).env("TMPDIR", folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "dormouse.demo/1");
    assert_eq!(report["problems"], serde_json::json!([]));
    let hot = report["paths"].as_array().unwrap().iter().find(|p| p["path"] == "hot").expect("the hot path");
    assert!(hot["modelled"].as_array().unwrap().contains(&"engine_seconds".into()), "what the simulator was told is labelled");
    let median = |what: &str| hot[what]["p50"].as_f64().unwrap();
    Hot { control: median("control_seconds"), engine: median("engine_seconds") }
}

#[test]
fn figures_follow_what_was_changed_and_nothing_else() {
    for attempt in 1..=ATTEMPTS {
        let base = demo(&[]);
        let fast = demo(&["--link", "100"]);
        let late = demo(&["--delay-ready-ms", "100"]);
        let again = demo(&[]);
        // Past libtest's capture, which hides what a passed test prints.
        error_line(&format!("base {base:?}\ntwice the link {fast:?}\nbecome-ready 100 ms later {late:?}\nbase again {again:?}"));
        if (base.control - again.control).abs() > NOISE || (base.engine - again.engine).abs() > NOISE {
            error_line(&format!("attempt {attempt} of {ATTEMPTS}: the machine is too noisy"));
            continue;
        }
        let (control, engine) = ((base.control + again.control) / 2.0, (base.engine + again.engine) / 2.0);
        assert!((fast.engine / engine - 0.5).abs() <= 0.05, "engine time halves within 10 %");
        assert!((fast.control - control).abs() <= 0.005, "control stays within 5 ms");
        assert!((late.control - control - 0.1).abs() <= 0.01, "control grows by 100 ms within 10");
        assert!((late.engine - engine).abs() <= 0.1 * engine, "engine time stays");
        return;
    }
    error_line(&format!("SKIPPED: the same measured twice differs by more than {NOISE} s on this machine; the figures were not compared"));
}
