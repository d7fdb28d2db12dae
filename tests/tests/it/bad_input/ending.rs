//! Ends that come from outside: Ctrl-C at any moment, twice, SIGTERM with deaf Pods, `kill -9`. Nothing survives.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{GOOD, SETS, engine, requester};
use crate::support::{Up, condition, until};

const SOON: Duration = Duration::from_secs(30);

/// A Pod that does not end by itself nor at SIGTERM, with a descendant that left its session.
fn deaf_pod(up: &Up) {
    let line = "trap : TERM INT; setsid sh -c 'trap : TERM INT; while :; do sleep 1; done' & while :; do sleep 0.1; done";
    let pod = json!({"metadata": {"name": "deaf"}, "spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sh", "-c", line]}]}});
    up.api().create("/api/v1/namespaces/default/pods", &pod);
    until("the deaf Pod runs", SOON, || up.api().pod("deaf").filter(|p| condition(p, "Ready")));
}

/// A requester, its provider and both controllers.
fn served(up: &Up) {
    up.api().create(SETS, &requester("pair", &engine("pair", &GOOD)));
    until("it is served", SOON, || up.api().pods("app=pair").into_iter().find(|p| condition(p, "Ready")));
}

#[test]
fn ctrl_c_at_any_moment_ends_everything() {
    let mut folder = None;
    for delay in [0, 3, 10, 20, 40, 60, 90, 130, 200, 300, 500, 900, 1500] {
        let args = ["--nodes", "2"];
        // In the folder of the last one: what an interrupted start leaves must not be in the way of the next.
        let mut up = match folder.take() {
            Some(folder) => Up::spawn_in(folder, &args),
            None => Up::spawn(&args),
        };
        std::thread::sleep(Duration::from_millis(delay));
        up.processes();
        up.signal(Signal::SIGINT);
        let status = up.wait(Duration::from_secs(14));
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::SIGINT as i32);
        // In its first moments no handler is there yet, and the signal itself ends it.
        assert!(status.code() == Some(0) || (by_signal && delay < 100), "after {delay} ms: {status}\n{}", up.output());
        assert!(!up.output().contains("panicked"), "after {delay} ms:\n{}", up.output());
        folder = Some(up.nothing_survives());
    }
    let up = Up::spawn_in(folder.unwrap(), &[]);
    until("and the next one starts", SOON, || up.output().contains("ready:").then_some(()));
    drop(up);
}

#[test]
fn ctrl_c_ends_a_demo() {
    for delay in [20, 50, 100, 700, 3500] {
        let mut demo = Up::spawn_verb(tempfile::tempdir().unwrap(), &["demo"], &[]);
        std::thread::sleep(Duration::from_millis(delay));
        demo.processes();
        demo.signal(Signal::SIGINT);
        let status = demo.wait(Duration::from_secs(14));
        let said = demo.output();
        assert!(!status.success(), "after {delay} ms it has not done what it was to do: {said}");
        assert!(!said.contains("panicked") && (delay < 100 || said.ends_with("error: interrupted\n")), "after {delay} ms: {said}");
        let folder = demo.nothing_survives();
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(left.iter().all(|name| name == "out" || name == "err"), "after {delay} ms its folder is left: {left:?}");
    }
}

#[test]
fn sigterm_gives_pods_their_grace_and_no_more() {
    let mut up = Up::start(&[]);
    served(&up);
    deaf_pod(&up);
    assert!(up.processes().len() > 8, "there is much that could survive");
    let begun = Instant::now();
    up.signal(Signal::SIGTERM);
    let status = up.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{}", up.output());
    assert!(begun.elapsed() > Duration::from_secs(5), "deaf Pods had some grace: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(13), "10 s in all, and what it takes to tidy up: {:?}", begun.elapsed());
    up.nothing_survives();
}

/// A requester that is told to end waits for its controller, which ends at the same time: it must not use up the grace.
#[test]
fn ctrl_c_does_not_wait_for_requesters() {
    let mut up = Up::start(&[]);
    served(&up);
    up.processes();
    let begun = Instant::now();
    up.signal(Signal::SIGINT);
    let status = up.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{}", up.output());
    assert!(begun.elapsed() < Duration::from_secs(6), "well within the grace of 10 s: {:?}", begun.elapsed());
    up.nothing_survives();
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let mut up = Up::start(&["--controllers", "none"]);
    deaf_pod(&up);
    up.processes();
    up.signal(Signal::SIGINT);
    until("it says that Pods have their grace", SOON, || up.output().contains("ending").then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    up.signal(Signal::SIGINT);
    assert_eq!(up.wait(SOON).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    up.nothing_survives();
}

#[test]
fn kill_9_of_up_leaves_no_process() {
    let mut up = Up::start(&["--nodes", "2", "--gpus-per-node", "4"]);
    served(&up);
    deaf_pod(&up);
    let before = up.processes();
    // up, and per Pod a shim and a program at least: both controllers, requester, provider, the deaf one with its child.
    assert!(before.len() >= 12, "{before:#?}");
    up.signal(Signal::SIGKILL);
    let status = up.wait(SOON);
    assert_eq!(status.code(), None);
    let folder = up.nothing_survives();
    // What it left in its folder is swept by the next one.
    let up = Up::spawn_in(folder, &[]);
    until("the next one starts", SOON, || up.output().contains("ready:").then_some(()));
    drop(up);
}
