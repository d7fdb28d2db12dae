//! A running `dormouse up`.
//!
//! It has a folder of its own that is also its `HOME`: what it starts carries that path or the UID of one of its Pods
//! in the environment, and so is found again in `/proc`, whoever its parent is by then.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::{Api, Process, dormouse, name_of, repository, until, wait_for_exit};

/// A plane starts in a fraction of a second; machines of CI are slow and busy.
const START: Duration = Duration::from_secs(60);
/// After `up` has ended, its shims see that and end what is left.
const SWEEP: Duration = Duration::from_secs(5);

/// The name that planes of tests run under, each in a folder of its own.
const NAME: &str = "e2e";

/// A shell starts its background jobs with SIGINT ignored, and children inherit that: a Ctrl-C in the first milliseconds of
/// a program would be lost. What has a handler is the default again in a child.
fn hear_interrupts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        signal_hook::flag::register_conditional_default(Signal::SIGINT as i32, Arc::new(AtomicBool::new(true))).unwrap();
    });
}

/// A plane, and everything it has started.
pub(crate) struct Up {
    folder: TempDir,
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    api: Option<Api>,
    /// UIDs of Pods that ever ran here.
    uids: BTreeSet<String>,
}

impl Up {
    /// Starts one on a free port and waits until it says that it is ready.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// Starts one with further variables in its environment and waits until it says that it is ready.
    pub(crate) fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut up = Self::spawn_verb(Self::new_folder(), &Self::arguments(args), variables);
        until("`up` is ready", START, || {
            if let Some(status) = up.child.try_wait().unwrap() {
                up.ended = Some(status);
                panic!("`up` ended with {status}:\n{}", up.output());
            }
            up.output().contains("\n  # use it").then_some(())
        });
        up.api = Some(Api::from_file(&up.kubeconfig()));
        up
    }

    /// Starts one and does not wait.
    pub(crate) fn spawn(args: &[&str]) -> Self {
        Self::spawn_in(Self::new_folder(), args)
    }

    fn new_folder() -> TempDir {
        tempfile::Builder::new().prefix("dormouse-e2e-").tempdir().unwrap()
    }

    /// Starts one in the folder of an earlier one.
    pub(crate) fn spawn_in(folder: TempDir, args: &[&str]) -> Self {
        Self::spawn_verb(folder, &Self::arguments(args), &[])
    }

    fn arguments<'a>(args: &[&'a str]) -> Vec<&'a str> {
        let listen: &[&str] = if args.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        [&["up", "--name", NAME], args, listen].concat()
    }

    /// Starts another verb that has a plane inside.
    pub(crate) fn spawn_verb(folder: TempDir, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let name = NAME.to_owned();
        let log = |what: &str| File::create(folder.path().join(what)).unwrap();
        let mut command = Self::command(folder.path());
        command
            .args(args)
            .envs(variables.iter().copied())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(log("out"))
            .stderr(log("err"));
        hear_interrupts();
        let child = command.spawn().expect("the binary runs");
        Self { folder, name, child, ended: None, api: None, uids: BTreeSet::new() }
    }

    /// The binary with run folder, home and temporary files under `folder`.
    pub(crate) fn command(folder: &Path) -> Command {
        let mut command = Command::new(dormouse());
        command.env("XDG_RUNTIME_DIR", folder).env("HOME", folder).env_remove("KUBECONFIG").env_remove("RUST_LOG");
        command.current_dir(repository());
        command
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Process of `up`.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The folder that `--name` stands for.
    pub(crate) fn run_folder(&self) -> PathBuf {
        self.folder().join("dormouse").join(&self.name)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.run_folder().join("kubeconfig")
    }

    /// Its API.
    pub(crate) fn api(&self) -> &Api {
        self.api.as_ref().expect("the plane was started with `start`")
    }

    /// What it has printed.
    pub(crate) fn output(&self) -> String {
        let read = |what: &str| String::from_utf8_lossy(&std::fs::read(self.folder().join(what)).unwrap_or_default()).into_owned();
        format!("{}{}", read("out"), read("err"))
    }

    /// What it has printed to standard output.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.folder().join("out")).unwrap()
    }

    /// Everything that is alive of this plane.
    pub(crate) fn processes(&mut self) -> Vec<Process> {
        let me = self.pid();
        let all = Process::all();
        // Pods show themselves as children of `up` before their end is at stake.
        let uid = |p: &Process| p.variable("DORMOUSE_POD_UID").map(str::to_owned);
        self.uids.extend(all.iter().filter(|p| p.parent == me).filter_map(uid));
        let folder = self.folder().to_str().expect("a plain path").to_owned();
        let ours = |p: &Process| {
            p.pid == me || p.environment.iter().any(|e| e.contains(&folder)) || uid(p).is_some_and(|u| self.uids.contains(&u))
        };
        all.into_iter().filter(ours).collect()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let status = wait_for_exit(&mut self.child, limit);
        let status = status.unwrap_or_else(|| panic!("`up` has not ended after {} s; it said:\n{}", limit.as_secs(), self.output()));
        self.ended = Some(status);
        status
    }

    /// Waits until nothing of it is alive, and gives its folder for another one.
    #[track_caller]
    pub(crate) fn nothing_survives(mut self) -> TempDir {
        assert!(self.ended.is_some(), "`up` was to end first");
        let mut left = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < SWEEP {
            left = self.processes();
            if left.is_empty() {
                return std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("`up` has ended and left {left:#?}");
    }

    /// Ends it at once, by SIGTERM and then Ctrl-C, and looks that nothing survives.
    #[track_caller]
    pub(crate) fn end(mut self) {
        assert!(self.processes().len() > 1 || self.output().contains("ready:"), "nothing was found that could survive");
        self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        let mut next = Duration::from_millis(150);
        let status = loop {
            if let Some(status) = wait_for_exit(&mut self.child, next) {
                break status;
            }
            assert!(begun.elapsed() < START, "`up` does not end");
            // The first one may come before `up` listens for it.
            self.signal(Signal::SIGINT);
            next = Duration::from_millis(500);
        };
        self.ended = Some(status);
        assert_eq!(status.code(), Some(0), "`up` was ended as asked:\n{}", self.output());
        self.nothing_survives();
    }

    /// What is worth reading after a failure.
    fn dump(&self) {
        eprintln!("---- what `up` printed\n{}", self.output());
        let Some(api) = &self.api else { return };
        let list = |path: &str| api.request("GET", path, "application/json", "").ok().and_then(|l| l["items"].as_array().cloned());
        let pods = list("/api/v1/pods").unwrap_or_default();
        for node in list("/api/v1/nodes").unwrap_or_default() {
            eprintln!("---- node {} {}", name_of(&node), node["spec"]);
        }
        for pod in &pods {
            let meta = &pod["metadata"];
            eprintln!("---- Pod {} on {}", name_of(pod), pod["spec"]["nodeName"]);
            eprintln!("  deleted: {} finalizers: {} labels: {}", meta["deletionTimestamp"], meta["finalizers"], meta["labels"]);
            eprintln!("  annotations: {}", meta["annotations"]);
            eprintln!("  status: {}", pod["status"]);
            let path =
                format!("/api/v1/namespaces/{}/pods/{}/log?tailLines=60", meta["namespace"].as_str().unwrap_or_default(), name_of(pod));
            eprintln!("  log:\n{}", api.text(&path).unwrap_or_default());
        }
        for event in list("/api/v1/events").unwrap_or_default() {
            let about = event["involvedObject"]["name"].as_str().unwrap_or_default().to_owned();
            eprintln!("event {about}: {} {} x{}", event["reason"], event["message"], event["count"]);
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if std::thread::panicking() {
            self.dump();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    /// What `/is_sleeping` of the engine of a Pod says, at port 8000 and over plain HTTP.
    pub(crate) fn sleeping(&self, pod: &Value) -> Option<bool> {
        let ip = pod["status"]["podIP"].as_str()?;
        let (status, body) = self.api().http(&format!("http://{ip}:8000/is_sleeping"))?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        (status == 200).then(|| answer["is_sleeping"].as_bool())?
    }
}
