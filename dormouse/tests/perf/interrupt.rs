//! Ctrl-C, at every moment.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kit::machine::beside;
use crate::kit::{Mock, Profile, Ran, kept_whole};

const LOAD: &str =
    "--endpoint-type chat --streaming --concurrency 8 --benchmark-duration 40 --osl 6 --export-level raw --export-outputs-json";

fn until(so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < limit, "it never came to that");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// It ended soon, as an interrupted one does; if there is a folder of a run, its files are whole and its end is known.
fn orderly(run: Ran, since: Instant) -> Ran {
    let took = since.elapsed().as_secs_f64();
    assert_eq!(run.code, Some(130), "{}", run.err);
    assert!(took < 2.0, "it ended {took} s after the signal");
    kept_whole(&run.dir);
    if run.dir.join("profile_export.jsonl").exists() {
        assert_eq!(run.json(".aiperf_results_ready.json")["was_cancelled"], true);
        let summary = run.summary();
        assert_eq!((&summary["was_cancelled"], &summary["is_complete"]), (&true.into(), &false.into()));
        assert!(run.err.contains("interrupted; what was measured is in"), "{}", run.err);
    }
    run
}

fn interrupted(options: &str, when: impl FnOnce(&Mock, &Path)) -> (Ran, Mock) {
    let server = Mock::start("--ttft-ms 40 --itl-ms 5");
    let running = Profile::of(&server.url).with(LOAD).with(options).start();
    let dir = running.dir.clone();
    when(&server, &dir);
    let since = Instant::now();
    running.interrupt();
    let run = running.wait();
    (orderly(run, since), server)
}

#[test]
fn after_a_twentieth_of_a_second() {
    let _beside = beside();
    interrupted("", |_, _| std::thread::sleep(Duration::from_millis(50)));
}

#[test]
fn after_three_tenths_of_a_second() {
    let _beside = beside();
    interrupted("", |_, _| std::thread::sleep(Duration::from_millis(300)));
}

#[test]
fn in_the_middle() {
    let _beside = beside();
    let (run, server) = interrupted("--warmup-request-count 4", |_, dir| {
        until(|| std::fs::metadata(dir.join("profile_export.jsonl")).is_ok_and(|file| file.len() > 0));
        std::thread::sleep(Duration::from_millis(700));
    });
    // What was under way was given up, and everything else counts.
    let records = run.lines("profile_export.jsonl").len();
    let answered = usize::try_from(server.count("answered")).unwrap();
    assert!(records >= answered, "{records} records of {answered} answers");
    assert!(run.figure("request_count", "avg") > 0.0);
}

#[test]
fn in_the_warm_up() {
    let _beside = beside();
    let (run, _) = interrupted("--warmup-duration 20", |_, dir| {
        until(|| std::fs::metadata(dir.join("profile_export.jsonl")).is_ok_and(|file| file.len() > 0));
    });
    assert!(run.records("profiling").is_empty());
}

#[test]
fn while_a_server_hangs() {
    let _beside = beside();
    let server = Mock::start("--fault hang");
    let running = Profile::of(&server.url).with(LOAD).start();
    std::thread::sleep(Duration::from_millis(900));
    let since = Instant::now();
    running.interrupt();
    orderly(running.wait(), since);
}

#[test]
fn while_files_are_written() {
    let _beside = beside();
    let server = Mock::start("");
    let options = "--endpoint-type chat --streaming --concurrency 16 --request-count 1500 --osl 8 --slice-duration 0.05 --export-level raw";
    let mut running = Profile::of(&server.url).with(options).start();
    let summary = running.dir.join("profile_export_aiperf.json.partial");
    let written = running.dir.join("profile_export_aiperf.json");
    until(|| summary.exists() || written.exists());
    let since = Instant::now();
    let over = running.is_over();
    running.interrupt();
    let run = running.wait();
    assert!(since.elapsed() < Duration::from_secs(2) && !over);
    kept_whole(&run.dir);
    // All was measured: that it was interrupted is said, or it was over.
    assert!(matches!(run.code, Some(130 | 0 | 5)), "{:?} {}", run.code, run.err);
    assert_eq!(run.json(".aiperf_results_ready.json")["ready"], true);
    assert_eq!(run.records("profiling").len(), 1500);
}

#[test]
fn before_anything_is_sent() {
    let _beside = beside();
    // Nobody accepts: the model is waited for.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let running = Profile::of(&url).with(LOAD).with("--wait-for-model-timeout 30 --wait-for-model-interval 0.2").start();
    std::thread::sleep(Duration::from_millis(700));
    let since = Instant::now();
    running.interrupt();
    let run = orderly(running.wait(), since);
    assert!(!run.dir.exists(), "a folder for nothing");
}

#[test]
fn twice_is_at_once() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 40");
    let running = Profile::of(&server.url).with(LOAD).start();
    std::thread::sleep(Duration::from_millis(600));
    let since = Instant::now();
    running.interrupt();
    std::thread::sleep(Duration::from_millis(1));
    running.interrupt();
    let run = running.wait();
    assert_eq!(run.code, Some(130), "{}", run.err);
    assert!(since.elapsed() < Duration::from_secs(2));
}

#[test]
fn in_the_second_of_several_runs() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 30");
    let options = "--endpoint-type chat --streaming --concurrency 4 --benchmark-duration 1 --osl 1 --num-profile-runs 5";
    let running = Profile::of(&server.url).with(options).start();
    let second = running.dir.join("profile_runs/run_0002/profile_export.jsonl");
    until(|| std::fs::metadata(&second).is_ok_and(|file| file.len() > 0));
    let since = Instant::now();
    running.interrupt();
    let run = running.wait();
    assert_eq!(run.code, Some(130), "{}", run.err);
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    kept_whole(&run.dir);
    assert!(run.err.contains("of 5 runs"), "{}", run.err);
    assert!(!run.dir.join("profile_runs/run_0003").exists());
}
