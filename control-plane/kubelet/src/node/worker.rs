//! The worker of one Pod: feeds its machine and carries out what the machine asks for.
//!
//! Held: the machine, the stage (once prepared), the runs in progress. Ends when no process is left and the object is gone
//! (or the plane ends). Whatever takes time runs in a task of `tasks` and reports back through the inbox; when the worker
//! goes, so do they, and with the last handle to the shim every process.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_controller::Note;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::attend::attend;
use super::context::Node;
use super::prepare::{self, PrepareError, Stage, Wish};
use super::probe::Target;
use super::start::{self, ExecBase, Running};
use super::writer::StatusWriter;
use super::{folder, hook, probe, sweep};
use crate::machine::{Action, Event, Exit, Facts, Failure, Hook, Machine, Record, Settings, Signal, Update, probe::ProbeKind};
use crate::plan::gpus::Given;
use crate::plan::room::Refusal;
use crate::shim::Control;

/// How much later than an init its shim may be seen to have gone.
const GUARD: Duration = Duration::from_millis(200);
/// Reason of the event of a Pod that leftovers keep out.
const WAITS: &str = "WaitingForLeftovers";
/// How the message of a Pod that was not taken begins; its event goes without.
const REJECTED: &str = "Pod was rejected: ";

/// Outcomes that may wait for the worker; tasks that have more wait themselves.
pub(super) const OUTCOMES: usize = 64;

/// What a worker is told about its Pod. Only the newest counts, so a slow worker holds nobody up.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// The object as it is now, or was last.
    pub(super) pod: Arc<Pod>,
    /// The object is gone.
    pub(super) gone: bool,
    /// The plane ends: within this grace.
    pub(super) stop: Option<Duration>,
}

/// What the tasks of a worker report.
enum Report {
    Prepared(Result<Box<Stage>, PrepareError>),
    Started {
        container: usize,
        attempt: u32,
        outcome: Result<Running, (Failure, String)>,
    },
    Machine(Event),
    /// The shim has ended, asked to or not.
    ShimGone,
    Removed,
}

/// A run in progress.
struct Run {
    attempt: u32,
    control: Control,
    exec: ExecBase,
    stop_signal: u8,
}

pub(super) struct Worker {
    node: Arc<Node>,
    pod: Arc<Pod>,
    uid: String,
    machine: Machine,
    about: ObjectReference,
    facts: Facts,
    gpus: Given,
    stage: Option<Arc<Stage>>,
    runs: HashMap<usize, Run>,
    news: watch::Receiver<News>,
    outcomes: mpsc::Receiver<Report>,
    sender: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
    preparing: Option<tokio::task::AbortHandle>,
    writer: Option<StatusWriter>,
    gone: bool,
    stopping: bool,
    removed: bool,
    /// The shim was killed: processes may have escaped it.
    lost: bool,
}

impl Worker {
    pub(super) fn new(node: Arc<Node>, mut news: watch::Receiver<News>) -> Self {
        let pod = news.borrow_and_update().pod.clone();
        let (sender, outcomes) = mpsc::channel(OUTCOMES);
        let meta = &pod.metadata;
        let (name, namespace) = (meta.name.clone().unwrap_or_default(), meta.namespace.clone().unwrap_or_default());
        let uid = meta.uid.clone().unwrap_or_default();
        let settings = Settings { restart: node.options.restart, programs: node.options.programs.clone() };
        let machine = Machine::new(&pod, &settings, node.now());
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: Some(uid.clone()),
            resource_version: meta.resource_version.clone(),
            field_path: None,
        };
        let writer = StatusWriter::start(node.options.client.clone(), &namespace, name, uid.clone());
        node.remember_status(&uid, writer.newest());
        Self {
            writer: Some(writer),
            facts: Facts { pod_ip: None, host_ip: node.options.node_ip().to_string() },
            node,
            pod,
            uid,
            machine,
            about,
            gpus: Given::new(),
            stage: None,
            runs: HashMap::new(),
            news,
            outcomes,
            sender,
            tasks: JoinSet::new(),
            preparing: None,
            gone: false,
            stopping: false,
            removed: false,
            lost: false,
        }
    }

    /// Runs the Pod to its end. Returns its UID.
    pub(super) async fn run(mut self) -> String {
        let ended_before = self.machine.ended();
        let had = self.pod.status.as_ref().and_then(|s| s.pod_ip.as_ref()).and_then(|ip| ip.parse::<Ipv4Addr>().ok());
        if ended_before {
            self.facts.pod_ip = had.map(|ip| ip.to_string());
            self.node.reserve_address(&self.uid, had);
        } else {
            self.admission().await;
        }
        // The object may have been in deletion when it was first seen.
        self.take_news();
        while !self.finished() {
            let deadline = self.machine.deadline(self.node.now());
            let tick = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(self.node.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.news.changed() => match changed {
                    Ok(()) => self.take_news(),
                    // Whoever runs the Pods has gone: what is dropped now kills the processes.
                    Err(_) => break,
                },
                Some(outcome) = self.outcomes.recv() => self.take(outcome),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(%error, pod = self.about.name, "a task of a Pod failed");
                    }
                }
                () = tick => self.step(Event::Tick),
            }
        }
        self.node.forget(&self.uid);
        self.uid
    }

    /// Waits until the node takes the Pod, or it will not, or nobody wants it any more.
    async fn admission(&mut self) {
        let mut held = self.node.held();
        let mut told = false;
        loop {
            held.mark_unchanged();
            let leftovers = match self.node.admit(&self.uid, &self.pod).await {
                Ok(admitted) => {
                    self.facts.pod_ip = admitted.ip.map(|ip| ip.to_string());
                    self.gpus = admitted.gpus;
                    return;
                }
                Err(Refusal::Rejected(rejection)) => {
                    let why = rejection.message.strip_prefix(REJECTED).unwrap_or(&rejection.message);
                    self.event(true, &rejection.reason, why, None);
                    self.step(Event::Rejected { message: format!("{REJECTED}{why}"), reason: rejection.reason });
                    return;
                }
                Err(Refusal::Waits(leftovers)) => leftovers,
            };
            if !std::mem::replace(&mut told, true) {
                let who = leftovers.join(", ");
                self.event(false, WAITS, &format!("Waiting for the processes of deleted Pods to end: UID {who}"), None);
            }
            tokio::select! {
                _ = held.changed() => {}
                changed = self.news.changed() => {
                    let news = self.news.borrow_and_update().clone();
                    self.pod = news.pod;
                    if changed.is_err() || news.gone || news.stop.is_some() || self.pod.metadata.deletion_timestamp.is_some() {
                        return;
                    }
                }
            }
        }
    }

    fn finished(&self) -> bool {
        self.machine.ended() && self.removed && (self.gone || self.stopping)
    }

    /// The object changed or went, or the plane ends.
    fn take_news(&mut self) {
        let news = self.news.borrow_and_update().clone();
        self.pod = news.pod;
        if news.gone {
            if !std::mem::replace(&mut self.gone, true) {
                // Said already, unless the Pod was let in since.
                self.node.orphan(&self.uid);
                let spec = self.pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
                let grace = self.pod.metadata.deletion_grace_period_seconds.or(spec).and_then(|s| u64::try_from(s).ok());
                self.deletion(Some(Duration::from_secs(grace.unwrap_or(30))));
            }
        } else {
            self.update_machine();
        }
        if let Some(grace) = news.stop {
            self.stopping = true;
            self.step(Event::Stop(grace));
        }
    }

    fn take(&mut self, outcome: Report) {
        match outcome {
            Report::Prepared(Ok(stage)) => {
                let stage = Arc::new(*stage);
                if self.machine.ended() {
                    // The end came first: what was made is taken down by those who wait for it.
                    self.remove(Some(stage));
                    return;
                }
                let (gone, sender) = (stage.shim.gone(), self.sender.clone());
                self.tasks.spawn(async move {
                    gone.await;
                    let _ = sender.send(Report::ShimGone).await;
                });
                self.stage = Some(stage);
                self.step(Event::Prepared);
            }
            Report::Prepared(Err(e)) => self.step(Event::PrepareFailed { reason: e.reason, message: e.message }),
            Report::Started { container, attempt, outcome: Ok(running) } => {
                let stop_signal = self.stop_signal(container);
                self.runs.insert(container, Run { attempt, control: running.control, exec: running.exec, stop_signal });
                self.step(Event::Started { container, attempt, id: running.id, image: running.image });
            }
            Report::Started { container, attempt, outcome: Err((failure, message)) } => {
                self.step(Event::StartFailed { container, attempt, failure, message });
            }
            Report::Machine(event) => {
                if let Event::Exited { container, attempt, .. } = &event
                    && self.runs.get(container).is_some_and(|r| r.attempt == *attempt)
                {
                    self.runs.remove(container);
                }
                self.step(event);
            }
            Report::ShimGone => {
                if !self.machine.ended() {
                    self.lost = true;
                    self.step(Event::Lost);
                }
            }
            Report::Removed => self.removed = true,
        }
    }

    fn update_machine(&mut self) {
        let meta = &self.pod.metadata;
        let deletion = meta.deletion_timestamp.as_ref().map(|_| {
            let seconds = meta.deletion_grace_period_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
            Duration::from_secs(seconds)
        });
        self.deletion(deletion);
    }

    fn deletion(&mut self, deletion: Option<Duration>) {
        self.step(Event::Updated(Update::of(&self.pod, deletion)));
    }

    fn step(&mut self, event: Event) {
        let now = self.node.now();
        let actions = self.machine.step(event, now);
        for action in actions {
            self.act(action);
        }
        // When the plane ends, Pods do not fail: the next plane reports what it finds and follows their policy.
        if !self.gone
            && !self.stopping
            && let Some(writer) = &self.writer
        {
            writer.publish(self.machine.status(&self.facts, now), self.machine.timeline().clone(), self.gpus());
        }
    }

    /// UUIDs of all GPUs that the Pod was given.
    fn gpus(&self) -> Vec<String> {
        let indexes: BTreeSet<usize> = self.gpus.values().flatten().copied().collect();
        indexes.into_iter().map(|index| self.node.options.gpus.uuid(index)).collect()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Prepare => {
                let (node, sender) = (self.node.clone(), self.sender.clone());
                let wish = Wish {
                    pod: self.pod.clone(),
                    about: self.about.clone(),
                    news: self.news.clone(),
                    ip: self.facts.pod_ip.clone().unwrap_or_default(),
                    gpus: self.gpus.clone(),
                };
                if let Some(stage) = self.stage.take() {
                    stage.following.end();
                }
                let (lost, uid) = (std::mem::take(&mut self.lost), self.uid.clone());
                self.preparing = Some(self.tasks.spawn(async move {
                    if lost {
                        let swept = prepare::blocking(move || Ok(sweep::sweep_pod(&uid))).await;
                        tracing::warn!(swept = swept.unwrap_or(0), "the guard of a Pod was killed; what it guarded was ended");
                    }
                    let outcome = prepare::prepare(node, wish).await.map(Box::new);
                    let _ = sender.send(Report::Prepared(outcome)).await;
                }));
            }
            Action::Start { container, attempt } => self.start(container, attempt),
            Action::Signal { container, attempt, signal } => {
                if let Some(run) = self.runs.get(&container).filter(|r| r.attempt == attempt) {
                    match signal {
                        Signal::Stop => run.control.signal(run.stop_signal),
                        Signal::Kill => run.control.kill(),
                    }
                }
            }
            Action::Probe { container, attempt, kind, timeout } => self.probe(container, attempt, kind, timeout),
            Action::Hook { container, attempt, hook, timeout } => self.hook(container, attempt, hook, timeout),
            Action::Record(Record { warning, reason, message, container }) => self.event(warning, reason, &message, container),
            Action::Release => {
                if let Some(preparing) = self.preparing.take() {
                    preparing.abort();
                }
                self.node.release(&self.uid);
                let stage = self.stage.take();
                self.remove(stage);
            }
            Action::Delete => self.delete(),
        }
    }

    fn start(&mut self, container: usize, attempt: u32) {
        let Some(stage) = self.stage.clone() else {
            let message = "the Pod's shim is gone".to_owned();
            self.step(Event::StartFailed { container, attempt, failure: Failure::Sandbox, message });
            return;
        };
        let (node, pod, sender) = (self.node.clone(), self.pod.clone(), self.sender.clone());
        let about = self.about(Some(container));
        self.tasks.spawn(async move {
            let tell = |warning: bool, reason: &str, message: String| node.events.record(&about, Note::new(warning, reason, message));
            match start::start(&node, &pod, &stage, container, attempt, &tell).await {
                Ok((running, watch)) => {
                    let _ = sender.send(Report::Started { container, attempt, outcome: Ok(running) }).await;
                    // The stage holds the shim: it must not keep it alive beyond the Pod's end.
                    let gone = stage.shim.gone();
                    drop(stage);
                    let (exit, message) = attend(watch).await;
                    // Nobody saw the end. If the whole shim went, that must be known before the end is acted upon.
                    if exit == Exit::LOST && tokio::time::timeout(GUARD, gone).await.is_ok() {
                        let _ = sender.send(Report::ShimGone).await;
                    }
                    let _ = sender.send(Report::Machine(Event::Exited { container, attempt, exit, message })).await;
                }
                Err((mut failure, message)) => {
                    if failure == Failure::Start && tokio::time::timeout(GUARD, stage.shim.gone()).await.is_ok() {
                        failure = Failure::Sandbox;
                        let _ = sender.send(Report::ShimGone).await;
                    }
                    let _ = sender.send(Report::Started { container, attempt, outcome: Err((failure, message)) }).await;
                }
            }
        });
    }

    fn probe(&mut self, container: usize, attempt: u32, kind: ProbeKind, timeout: Duration) {
        let (pod, node, sender) = (self.pod.clone(), self.node.clone(), self.sender.clone());
        let Some((stage, exec)) = self.stage.clone().zip(self.runs.get(&container).map(|r| r.exec.clone())) else { return };
        self.tasks.spawn(async move {
            let Some(spec) = start::container_spec(&pod, container) else { return };
            let settings = match kind {
                ProbeKind::Startup => &spec.startup_probe,
                ProbeKind::Readiness => &spec.readiness_probe,
                ProbeKind::Liveness => &spec.liveness_probe,
            };
            let target = Target { node: &node, shim: &stage.shim, exec: &exec, container: spec, ip: &stage.facts.pod_ip };
            let outcome = match settings {
                Some(settings) => probe::run(settings, target, timeout).await,
                None => Ok(()),
            };
            let _ = sender.send(Report::Machine(Event::Probed { container, attempt, kind, outcome })).await;
        });
    }

    fn hook(&mut self, container: usize, attempt: u32, which: Hook, timeout: Option<Duration>) {
        let (pod, node, sender) = (self.pod.clone(), self.node.clone(), self.sender.clone());
        let Some((stage, exec)) = self.stage.clone().zip(self.runs.get(&container).map(|r| r.exec.clone())) else { return };
        self.tasks.spawn(async move {
            let Some(spec) = start::container_spec(&pod, container) else { return };
            let lifecycle = spec.lifecycle.as_ref();
            let handler = lifecycle.and_then(|l| match which {
                Hook::PostStart => l.post_start.as_ref(),
                Hook::PreStop => l.pre_stop.as_ref(),
            });
            let target = Target { node: &node, shim: &stage.shim, exec: &exec, container: spec, ip: &stage.facts.pod_ip };
            let outcome = match handler {
                Some(handler) => hook::run(handler, target, timeout).await,
                None => Ok(()),
            };
            let _ = sender.send(Report::Machine(Event::HookDone { container, attempt, hook: which, outcome })).await;
        });
    }

    fn stop_signal(&self, container: usize) -> u8 {
        let name = start::container_spec(&self.pod, container).and_then(|c| c.lifecycle.as_ref()?.stop_signal.as_deref());
        let signal = name.and_then(|n| n.parse::<nix::sys::signal::Signal>().ok()).unwrap_or(nix::sys::signal::Signal::SIGTERM);
        u8::try_from(signal as i32).unwrap_or(15)
    }

    /// Ends the shim and removes the Pod's files; the logs stay as long as the object.
    fn remove(&mut self, stage: Option<Arc<Stage>>) {
        let (sender, dir) = (self.sender.clone(), self.node.pod_dir(&self.uid));
        self.tasks.spawn(async move {
            if let Some(stage) = stage {
                stage.following.end();
                let shim = stage.shim.clone();
                drop(stage);
                shim.end().await;
            }
            let removed = prepare::blocking(move || folder::remove(&dir)).await;
            if let Err(error) = removed {
                tracing::warn!(%error, "a Pod's folder could not be removed");
            }
            let _ = sender.send(Report::Removed).await;
        });
    }

    /// Writes the last status, then lets the object go.
    fn delete(&mut self) {
        if self.gone {
            return;
        }
        let writer = self.writer.take();
        let now = self.node.now();
        if let Some(writer) = &writer {
            writer.publish(self.machine.status(&self.facts, now), self.machine.timeline().clone(), self.gpus());
        }
        let api: Api<Pod> = Api::namespaced(self.node.options.client.clone(), self.about.namespace.as_deref().unwrap_or("default"));
        let (name, uid) = (self.about.name.clone().unwrap_or_default(), self.uid.clone());
        self.tasks.spawn(async move {
            if let Some(writer) = writer {
                writer.finish().await;
            }
            let mut pause = Duration::from_millis(20);
            loop {
                let only_this = Preconditions { uid: Some(uid.clone()), resource_version: None };
                match api.delete(&name, &DeleteParams::default().grace_period(0).preconditions(only_this)).await {
                    Ok(_) => return,
                    Err(e) if dormouse_controller::not_found(&e) || dormouse_controller::conflict(&e) => return,
                    Err(error) => tracing::warn!(%error, pod = name, "a Pod that has ended could not be deleted"),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
        });
    }

    fn about(&self, container: Option<usize>) -> ObjectReference {
        let init = self.pod.spec.as_ref().and_then(|s| s.init_containers.as_ref()).map_or(0, Vec::len);
        let name = container.and_then(|c| self.machine.container_name(c));
        let list = if container.is_some_and(|c| c < init) { "initContainers" } else { "containers" };
        ObjectReference { field_path: name.map(|n| format!("spec.{list}{{{n}}}")), ..self.about.clone() }
    }

    fn event(&self, warning: bool, reason: &str, message: &str, container: Option<usize>) {
        self.node.events.record(&self.about(container), Note::new(warning, reason, message));
    }
}
