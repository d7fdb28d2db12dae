//! Reply time of PUT and resident memory of a launcher: `cargo bench -p dormouse-launcher`.
//!
//! Prints each figure beside its promise and its floors: what it takes this process to start the same trivial program, and
//! the launcher to answer the smallest request. Each round measures all of them one after the other, so that a busy machine
//! slows them alike; `PUT less floors` is taken round by round, and the processor time of the launcher does not know of
//! other programs at all. As root, `chrt -f 5 cargo bench -p dormouse-launcher` keeps other programs off the processors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark may end at any surprise"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

const PROGRAM: &str = env!("CARGO_BIN_EXE_launcher-under-test");
const ROUNDS: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(bench());
}

fn line(what: &str, mut samples: Vec<Duration>, promise: &str) {
    samples.sort();
    let at = |percent: usize| samples[(samples.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{what:<36} p50 {:7.3} ms   p99 {:7.3} ms   max {:7.3} ms   n {:4}   {promise}", at(50), at(99), at(100), samples.len());
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Time to start the program that the launcher is told to start.
fn spawn() -> Duration {
    let begun = Instant::now();
    let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let took = begun.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

async fn timed(work: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    work.await;
    begun.elapsed()
}

/// What all threads of a process have had of the processors.
fn cpu_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok();
    Duration::from_nanos(tasks.flatten().filter_map(of).sum())
}

async fn bench() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("load of this machine: {}", load.split(' ').next().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut child = tokio::process::Command::new(PROGRAM)
        .args(["launcher", "--mock-gpus", "--host", "127.0.0.1", "--port", "0", "--port-check", "off", "--engine-command", "sleep"])
        .args(["--log-dir", dir.path().to_str().unwrap()])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some((_, rest)) = line.split_once("listening address=") {
            break format!("http://{}/v2/vllm/instances", rest.split_whitespace().next().unwrap());
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let http = dormouse_runtime::http::client(dormouse_runtime::http::Timeouts::default()).unwrap();
    let body = json!({"options": "60", "gpu_uuids": ["GPU-0"], "annotations": {"isc-name": "x", "inference-port": "8005"}});

    let pid = child.id().unwrap();
    http.get(&url).send().await.unwrap();
    println!("resident, idle: {:.1} MiB (promise: under 30)", resident(pid) as f64 / 1024.0);
    let health = url.replace("/v2/vllm/instances", "/health");
    let (mut spawns, mut pings, mut puts, mut extra, mut cpu, mut deletes, mut lists) =
        (vec![], vec![], vec![], vec![], vec![], vec![], vec![]);
    for i in 0..ROUNDS {
        let spawned = spawn();
        let ping = timed(async { assert_eq!(http.get(&health).send().await.unwrap().status(), 200) }).await;
        let id = format!("{url}/x{i}");
        let before = cpu_time(pid);
        let put = timed(async { assert_eq!(http.put(&id).json(&body).send().await.unwrap().status(), 201) }).await;
        cpu.push(cpu_time(pid).saturating_sub(before));
        deletes.push(timed(async { assert_eq!(http.delete(&id).send().await.unwrap().status(), 200) }).await);
        extra.push(put.saturating_sub(spawned + ping));
        spawns.push(spawned);
        pings.push(ping);
        puts.push(put);
    }
    for i in 0..100 {
        http.put(format!("{url}/y{i}")).json(&body).send().await.unwrap();
    }
    for _ in 0..100 {
        lists.push(timed(async { drop(http.get(&url).send().await.unwrap().bytes().await.unwrap()) }).await);
    }
    line("floor: start of the program", spawns, "");
    line("floor: smallest request", pings, "");
    line("PUT reply", puts, "(promise: 5 ms)");
    line("PUT less floors", extra, "");
    line("PUT, processor time of the launcher", cpu, "");
    line("DELETE reply, obedient engine", deletes, "");
    line("list of 100 instances", lists, "(promise: 2 ms)");
    println!("resident, 100 instances: {:.1} MiB (promise: under 30)", resident(pid) as f64 / 1024.0);
    http.delete(&url).send().await.unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), rustix::process::Signal::TERM)
        .unwrap();
    child.wait().await.unwrap();
}
