//! `kill -9` of the process that hosts the plane leaves no process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::plane::{Plane, sh};
use super::shim::{alive, eventually};

/// Set for the process that is to be killed: the folder to work in.
const VICTIM: &str = "KUBELET_TEST_VICTIM";

/// Not a test of its own: this is what the next one runs in a process of its own and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below in a process of its own"]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let dir = tempfile::Builder::new().tempdir_in(std::env::var_os(VICTIM).unwrap()).unwrap();
    println!("victim folder {}", dir.path().display());
    let plane = Plane::at(dir, |_| ()).await;
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

/// A victim that runs: its process, its folder, the processes of its containers.
struct Victim {
    process: Child,
    folder: PathBuf,
    pids: Vec<i32>,
}

fn start(parent: &Path) -> Victim {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "crash::victim"])
        .env(VICTIM, parent)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut folder, mut pids) = (PathBuf::new(), Vec::new());
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split_once("victim ").map(|(_, rest)| rest.split_once(' ').unwrap_or((rest, ""))) {
            Some(("ready", _)) => break,
            Some(("folder", path)) => folder = path.into(),
            Some(("pid", pid)) => pids.push(pid.parse().unwrap()),
            _ => {}
        }
    }
    assert!(pids.len() == 6 && pids.iter().all(|p| alive(*p)), "{pids:?}");
    Victim { process, folder, pids }
}

#[tokio::test]
async fn kill_9_of_the_plane_leaves_no_process() {
    let parent = tempfile::tempdir().unwrap();
    let mut victim = start(parent.path());
    // Shims and inits are below the victim; they must go too.
    let below = children(i32::try_from(victim.process.id()).unwrap());
    assert!(below.len() >= 2, "a shim for each Pod");
    victim.process.kill().unwrap();
    victim.process.wait().unwrap();
    eventually("every process of the plane ends", || !victim.pids.iter().chain(&below).any(|p| alive(*p))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_survives_the_death_of_all_guards_is_swept_by_the_next_start() {
    let parent = tempfile::tempdir().unwrap();
    let mut victim = start(parent.path());
    let pods: Vec<String> = std::fs::read_dir(victim.folder.join("dormouse-1/pods"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    // Stopped first, so that none of them can act on the death of another.
    let guards: Vec<i32> = pods.iter().flat_map(|uid| marked(uid, |line| line.starts_with("dormouse-shim"))).collect();
    assert!(guards.len() >= 4, "a shim and an init for each Pod: {guards:?}");
    guards.iter().for_each(|p| signal(*p, Signal::STOP));
    victim.process.kill().unwrap();
    victim.process.wait().unwrap();
    guards.iter().for_each(|p| signal(*p, Signal::KILL));
    eventually("the guards end", || !guards.iter().any(|p| alive(*p))).await;
    let strays: Vec<i32> = victim.pids.iter().copied().filter(|p| alive(*p)).collect();
    assert!(!strays.is_empty(), "otherwise there is nothing to sweep");

    let server = dormouse_apiserver::ApiServer::new(dormouse_apiserver::Options::default());
    let (number, _claim) = super::plane::claim();
    let mut options = dormouse_kubelet::Options::new(server.client(), "dormouse-1", &victim.folder, super::SHIM);
    options.plane = number;
    let _next = dormouse_kubelet::Kubelet::start(options).await.unwrap();
    eventually("the strays end", || !strays.iter().any(|p| alive(*p))).await;
    assert!(!victim.folder.join("dormouse-1/pods").exists());
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// Processes whose environment holds the mark of a Pod and whose command line pleases.
pub(crate) fn marked(uid: &str, pleases: impl Fn(&str) -> bool) -> Vec<i32> {
    let mark = format!("DORMOUSE_POD_UID={uid}");
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).into_owned();
        pleases(&line) && read("environ").split(|b| *b == 0).any(|e| e == mark.as_bytes())
    })
    .collect()
}

/// The direct children of a process.
fn children(parent: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let lists = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    lists.flat_map(|l| l.split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<i32>>()).collect()
}
