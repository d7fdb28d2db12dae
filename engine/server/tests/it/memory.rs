//! Memory that sleep gives back, measured in a process of its own: others in this one would disturb the figures.

use std::path::Path;
use std::process::Command;

use dormouse_engine::{EngineKind, ModelOptions, make_model};

use crate::harness::{dev, start};

/// Set for the child only.
const FOLDER: &str = "DORMOUSE_TEST_MEMORY_FOLDER";
/// Large against what else changes in a process.
const SIZE: u64 = 24_000_000;

/// A figure of this process in bytes.
fn status(name: &str) -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 1024
}

#[test]
fn sleep_gives_memory_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("memory");
    make_model(&folder, "memory", &ModelOptions { size: SIZE, ..ModelOptions::default() }).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::child", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, &folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by sleep_gives_memory_back in a process of its own"]
async fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        panic!("{FOLDER} is not set");
    };
    let tensors = i64::try_from(std::fs::metadata(Path::new(&folder).join("model.safetensors")).unwrap().len()).unwrap();
    let e = start(EngineKind::Embedded, &format!("{folder} --enable-sleep-mode"), dev()).await.unwrap();
    let answer = e.completion("who?").await;
    for level in [1, 2, 1, 2] {
        let (anonymous, resident) = (status("RssAnon"), status("VmRSS"));
        e.done(&format!("/sleep?level={level}")).await;
        let (less_anonymous, less_resident) = (anonymous - status("RssAnon"), resident - status("VmRSS"));
        println!("level {level}: tensors {tensors}, anonymous -{less_anonymous}, resident -{less_resident}");
        assert!(less_anonymous * 10 >= tensors * 9, "level {level}: anonymous memory fell by {less_anonymous} of {tensors}");
        if level == 2 {
            // The mapped file is gone as well as the copy.
            assert!(less_resident * 10 >= tensors * 18, "resident memory fell by {less_resident} of twice {tensors}");
        }
        e.done("/wake_up").await;
        assert_eq!(e.completion("who?").await, answer);
    }
}
