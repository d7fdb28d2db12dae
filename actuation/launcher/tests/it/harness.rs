//! Starting launchers and talking to them.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

pub(crate) use dormouse_testing::{SOON, eventually, own_ip};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// The program that holds launcher, notifier and stub engine.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_launcher-under-test");
/// An engine that takes any options and sleeps.
pub(crate) const SLEEPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sleeper.sh");

/// A launcher process with a folder and a loopback address of its own, so that all can use the same ports.
pub(crate) struct Launcher {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) ip: Ipv4Addr,
    pub(crate) port: u16,
    dir: Option<tempfile::TempDir>,
}

impl Launcher {
    /// A launcher whose engine is the stub, with further flags.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut launcher = Self::start_in(dir.path(), own_ip(), 0, flags).await;
        launcher.dir = Some(dir);
        launcher
    }

    /// As [`Launcher::start`] in a given place.
    pub(crate) async fn start_in(dir: &Path, ip: Ipv4Addr, port: u16, flags: &[&str]) -> Self {
        Self::start_with(dir, ip, port, flags, &[]).await
    }

    /// As [`Launcher::start_in`] with further environment.
    pub(crate) async fn start_with(dir: &Path, ip: Ipv4Addr, port: u16, flags: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(["launcher", "--mock-gpus", "--mock-gpu-count", "2", "--port", &port.to_string()])
            .args(["--log-dir", dir.to_str().unwrap()]);
        if !flags.contains(&"--engine-command") {
            command.args(["--engine-command", &format!("{PROGRAM} stub")]);
        }
        for name in ["NODE_NAME", "NAMESPACE", "DORMOUSE_DEVICES", "DORMOUSE_POD_UID", "POD_NAME", "KUBECONFIG", "CUDA_VISIBLE_DEVICES"] {
            command.env_remove(name);
        }
        let mut child = command
            .args(flags)
            .env("DORMOUSE_POD_IP", ip.to_string())
            .envs(env.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut tell = Some(tell);
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, rest)) = line.split_once("listening address=")
                    && let Some(tell) = tell.take()
                {
                    let _ = tell.send(rest.split_whitespace().next().unwrap().to_owned());
                }
                println!("{line}");
            }
        });
        let address = timeout(SOON, told).await.unwrap().unwrap();
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        Self { child, url: format!("http://{address}"), ip, port, dir: None }
    }

    pub(crate) fn api(&self) -> Client {
        Client::new(&self.url)
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id().unwrap()).unwrap()
    }

    /// The private folder.
    pub(crate) fn folder(&self) -> PathBuf {
        private_folder(self.dir.as_ref().unwrap().path(), self.pid())
    }

    /// Sends a signal by `kill`'s name for it.
    pub(crate) fn signal(&self, name: &str) {
        send(self.pid(), name);
    }
}

/// The private folder of the launcher with that PID.
pub(crate) fn private_folder(dir: &Path, pid: i32) -> PathBuf {
    let prefix = format!("launcher-{pid}-");
    let mut entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries.find(|e| e.file_name().to_str().unwrap().starts_with(&prefix)).unwrap().path()
}

/// Sends a signal to one process.
pub(crate) fn send(pid: i32, name: &str) {
    let signal = match name {
        "KILL" => rustix::process::Signal::KILL,
        "TERM" => rustix::process::Signal::TERM,
        other => panic!("signal {other}"),
    };
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// A client of one launcher.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    base: String,
}

/// A reply in hand.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let http = dormouse_runtime::http::client(dormouse_runtime::http::Timeouts { total: None, ..Default::default() }).unwrap();
        Self { http, base: base.trim_end_matches('/').to_owned() }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.base))
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.timeout(Duration::from_secs(40)).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn put(&self, id: &str, body: &Value) -> Reply {
        self.send(self.request("PUT", &instance(id)).json(body)).await
    }

    /// Creates an instance of the stub with those options; its port is free.
    pub(crate) async fn create(&self, id: &str, options: &str) -> Value {
        let reply = self.put(id, &json!({"options": format!("--port 0 {options}")})).await;
        assert_eq!(reply.status, StatusCode::CREATED.as_u16(), "{}", reply.text());
        reply.json()
    }

    pub(crate) async fn delete(&self, id: &str) -> Reply {
        self.send(self.request("DELETE", &instance(id))).await
    }

    pub(crate) async fn list(&self) -> Value {
        self.get("/v2/vllm/instances").await.json()
    }

    /// Waits until an instance's state has that value at that member.
    pub(crate) async fn wait_for(&self, id: &str, member: &str, value: &Value) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let state = self.get(&instance(id)).await.json();
            if state[member] == *value {
                return state;
            }
            assert!(Instant::now() < deadline, "{id}: {member} is not {value} in {state}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Opens a watch.
    pub(crate) async fn watch(&self, query: &str) -> Lines {
        let response = self.request("GET", &format!("/v2/vllm/instances/watch{query}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Lines { response, rest: Vec::new() }
    }
}

pub(crate) fn instance(id: &str) -> String {
    format!("/v2/vllm/instances/{id}")
}

/// A stream of lines.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) response: reqwest::Response,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            match timeout(SOON, self.response.chunk()).await.expect("a line in time").unwrap() {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => {
                    assert!(self.rest.is_empty(), "the stream ended within a line");
                    return None;
                }
            }
        }
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn quiet(&mut self) -> bool {
        timeout(Duration::from_millis(300), self.next()).await.is_err()
    }
}

/// Processes whose environment at start held that instance's mark, or whose session is the leader's.
pub(crate) fn tree_of(leader: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 1..].split_whitespace().collect();
        if fields[3] == leader.to_string() && fields[0] != "Z" {
            found.push(pid);
        }
    }
    found
}

/// Whether a process exists and is no zombie.
pub(crate) fn alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat[stat.rfind(')').unwrap()..].starts_with(") Z")
}
