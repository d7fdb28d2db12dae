//! What `dormouse up` costs: time from exec to the first ConfigMap created over TLS by a client that already
//! waits for the kubeconfig, and resident memory with the definitions installed, two nodes and no Pods but the
//! controllers.
//!
//! `cargo bench -p dormouse-tests --bench up`; `DORMOUSE_BENCH_SETTLE` (seconds, 60) is how long memory settles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

#[path = "../tests/it/support/binary.rs"]
mod binary;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const RUNS: usize = 20;

struct Up(Child);

impl Up {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(binary::dormouse());
        command.args(["up", "--name", "bench"]).args(args).env("XDG_RUNTIME_DIR", folder);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// From the start to the kubeconfig, and to the answer.
async fn first_config_map(args: &[&str]) -> (Duration, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("dormouse/bench/kubeconfig");
    let begun = Instant::now();
    let _up = Up::start(folder.path(), args);
    // The file appears whole, by a rename.
    while !kubeconfig.exists() {
        tokio::time::sleep(Duration::from_micros(200)).await;
        assert!(begun.elapsed() < Duration::from_secs(30), "no kubeconfig after 30 s");
    }
    let written = begun.elapsed();
    let file = Kubeconfig::read_from(&kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(Client::try_from(config).unwrap());
    let map = ConfigMap { metadata: ObjectMeta { name: Some("first".into()), ..ObjectMeta::default() }, ..ConfigMap::default() };
    api.create(&PostParams::default(), &map).await.unwrap();
    (written, begun.elapsed())
}

/// `VmRSS` of a process in KiB.
fn resident(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Time from spawning a process of this binary to its end, when it does nothing: the floor of every start.
fn floor() -> Duration {
    let begun = Instant::now();
    assert!(Command::new(binary::dormouse()).arg("--version").stdout(Stdio::null()).status().unwrap().success());
    begun.elapsed()
}

fn milliseconds(values: &mut [Duration]) -> (f64, f64) {
    values.sort();
    (values[values.len() / 2].as_secs_f64() * 1e3, values[values.len() - 1].as_secs_f64() * 1e3)
}

#[tokio::main]
async fn main() {
    dormouse_runtime::tls::install_provider();
    let mut floors: Vec<Duration> = (0..RUNS).map(|_| floor()).collect();
    let (mut files, mut times) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (written, answered) = first_config_map(&["--controllers", "none", "--gpu-map", "none"]).await;
        files.push(written);
        times.push(answered);
    }
    let ((f50, _), (k50, _), (p50, max)) = (milliseconds(&mut floors), milliseconds(&mut files), milliseconds(&mut times));
    println!(
        "exec to first ConfigMap over TLS: median {p50:.1} ms, max of {RUNS} {max:.1} ms; promise 25 ms; kubeconfig there after {k50:.1} ms; floor (exec of --version) {f50:.1} ms"
    );

    let folder = tempfile::tempdir().unwrap();
    let settle = std::env::var("DORMOUSE_BENCH_SETTLE").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let up = Up::start(folder.path(), &["--nodes", "2"]);
    tokio::time::sleep(Duration::from_secs(settle)).await;
    let mb = |kib: u64| kib as f64 * 1024.0 / 1e6;
    let (all, anonymous) = (resident(up.0.id(), "VmRSS"), resident(up.0.id(), "RssAnon"));
    println!("resident memory of up after {settle} s: {:.1} MB, of it {:.1} MB anonymous; promise 30 MB", mb(all), mb(anonymous));
}
