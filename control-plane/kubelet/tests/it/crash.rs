//! `kill -9` of the process that hosts the plane leaves no process.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::plane::{Plane, sh};
use super::shim::{alive, eventually};

/// Set for the process that is to be killed.
const VICTIM: &str = "KUBELET_TEST_VICTIM";

/// Not a test of its own: this is what the next one runs in a process of its own and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below in a process of its own"]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let plane = Plane::start().await;
    // Ignores every polite signal; one child in another session, one that was orphaned.
    let script = "trap '' TERM HUP INT; setsid sleep 1000 & echo pid $!; (setsid sh -c 'trap \"\" TERM; sleep 1000 & echo pid $!; wait' &); \
                  echo pid $$$$; while true; do sleep 0.1; done";
    for name in ["a", "b"] {
        plane.create(name, json!({"containers": [sh(script)]})).await;
    }
    for name in ["a", "b"] {
        let pod = plane.until_ready(name).await;
        let mut log = String::new();
        while log.lines().count() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            log = plane.log(&pod, "c", |_| ()).await.unwrap();
        }
        for line in log.lines() {
            println!("victim {line}");
        }
    }
    println!("victim ready");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn kill_9_of_the_plane_leaves_no_process() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "crash::victim"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut pids: Vec<i32> = Vec::new();
    for line in lines {
        let line = line.unwrap();
        match line.split_once("victim ").map(|(_, rest)| rest) {
            Some("ready") => break,
            Some(rest) => pids.push(rest.trim_start_matches("pid ").parse().unwrap()),
            None => {}
        }
    }
    assert_eq!(pids.len(), 6, "{pids:?}");
    assert!(pids.iter().all(|p| alive(*p)), "{pids:?}");
    // Shims and inits are below the victim; they must go too.
    let below = children(i32::try_from(child.id()).unwrap());
    assert!(below.len() >= 2, "a shim for each Pod");
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("every process of the plane ends", || !pids.iter().chain(&below).any(|p| alive(*p))).await;
}

/// The direct children of a process.
fn children(parent: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let lists = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    lists.flat_map(|l| l.split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<i32>>()).collect()
}
