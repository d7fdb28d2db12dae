//! The Pod's machine: which container runs when, and when all is over.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::container::{Container, Exit, Role, State, StopPhase};
use super::probe::ProbeKind;
use super::status::{Board, Timeline};
use super::stop::signal_stop;
use super::{Action, Event, Failure, Hook, Now, Record, Settings, Signal, backoff, change};

/// How long, when the whole node ends, those that wait for others are left to wait before they are told once more.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before volumes, address and shim are there.
    Preparing { in_flight: bool, retry_at: Duration },
    /// Containers start, run and restart.
    Running,
    /// No container starts any more; those that run are being stopped until `until`.
    Stopping { until: Duration },
    /// No process is left.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// Why a Pod ended other than by its containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) reason: String,
    pub(super) message: String,
    /// The node did not take it: nothing of it was ever begun.
    pub(super) rejected: bool,
}

/// See the module's documentation in [`crate::machine`].
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) restart: Restart,
    pub(super) grace: Duration,
    pub(super) containers: Vec<Container>,
    pub(super) stage: Stage,
    pub(super) was_prepared: bool,
    /// The init containers were through once; from then on a restart of a sidecar holds nobody up.
    initialized: bool,
    pub(super) deletion: Option<Duration>,
    pub(super) verdict: Option<Verdict>,
    pub(super) active_until: Option<Duration>,
    /// The whole node ends, and with it whoever the Pod's programs may be waiting for.
    node_ends: bool,
    prepare: backoff::Backoff,
    released: bool,
    delete_asked: bool,
    pub(super) gate_types: Vec<String>,
    pub(super) gates: Vec<Option<String>>,
    pub(super) generation: Option<i64>,
    pub(super) board: Board,
}

impl Machine {
    /// A machine for `pod` as it was first seen. What an earlier kubelet reported as running has ended.
    #[must_use]
    pub fn new(pod: &Pod, settings: &Settings, now: Now) -> Self {
        let meta = &pod.metadata;
        let spec = pod.spec.as_ref();
        let mut containers = Vec::new();
        for c in spec.iter().flat_map(|s| s.init_containers.iter().flatten()) {
            let role = if c.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init };
            containers.push(Container::new(c, role, settings));
        }
        for c in spec.iter().flat_map(|s| s.containers.iter()) {
            containers.push(Container::new(c, Role::App, settings));
        }
        let status = pod.status.as_ref();
        let terminal = status.and_then(|s| s.phase.as_deref()).is_some_and(|p| p == "Succeeded" || p == "Failed");
        let statuses =
            status.into_iter().flat_map(|s| s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten()));
        for status in statuses {
            if let Some(c) = containers.iter_mut().find(|c| c.name == status.name) {
                c.adopt(status, terminal, now);
            }
        }
        let verdict = status.filter(|s| s.phase.as_deref() == Some("Failed")).and_then(|s| {
            Some(Verdict {
                reason: s.reason.clone()?,
                message: s.message.clone().unwrap_or_default(),
                rejected: s.container_statuses.is_none(),
            })
        });
        let board = Board::new(pod, now);
        let gate_types: Vec<String> =
            spec.iter().flat_map(|s| s.readiness_gates.iter().flatten()).map(|g| g.condition_type.clone()).collect();
        let mut machine = Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            restart: match spec.and_then(|s| s.restart_policy.as_deref()) {
                Some("Never") => Restart::Never,
                Some("OnFailure") => Restart::OnFailure,
                _ => Restart::Always,
            },
            grace: spec
                .and_then(|s| s.termination_grace_period_seconds)
                .and_then(|s| u64::try_from(s).ok())
                .map_or(Duration::from_secs(30), Duration::from_secs),
            containers,
            stage: if terminal { Stage::Ended } else { Stage::Preparing { in_flight: false, retry_at: Duration::ZERO } },
            was_prepared: false,
            initialized: false,
            deletion: None,
            verdict,
            active_until: change::active_deadline(pod).map(|active| board.until(active, now)),
            node_ends: false,
            prepare: backoff::Backoff::new(backoff::Policy::RETRY),
            released: false,
            delete_asked: false,
            gates: vec![None; gate_types.len()],
            gate_types,
            generation: meta.generation,
            board,
        };
        machine.refresh(now);
        machine
    }

    /// Takes an event and says what must be done. An event that comes late or twice changes nothing.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut out = Vec::new();
        self.apply(event, now, &mut out);
        self.advance(now, &mut out);
        self.refresh(now);
        out
    }

    /// When a [`Event::Tick`] is wanted.
    #[must_use]
    pub fn deadline(&self, now: Now) -> Option<Duration> {
        let of_stage = match self.stage {
            Stage::Preparing { in_flight: false, retry_at } if !self.containers.iter().any(Container::active) => Some(retry_at),
            Stage::Preparing { .. } | Stage::Stopping { .. } | Stage::Ended => None,
            Stage::Running => (0..self.containers.len()).filter(|i| self.restarts(*i)).filter_map(|i| self.restart_at(i)).min(),
        };
        let active = self.active_until.filter(|_| matches!(self.stage, Stage::Preparing { .. } | Stage::Running));
        let blocked_count = self.stage == Stage::Running;
        let containers = self.containers.iter().filter(|c| blocked_count || c.run().is_some()).filter_map(|c| c.deadline(now.mono));
        containers.chain(of_stage).chain(active).min()
    }

    /// Whether no process is left and none will come.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// The stamps of its life.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.board.timeline
    }

    /// Name of the `index`-th container, init containers first.
    #[must_use]
    pub fn container_name(&self, index: usize) -> Option<&str> {
        self.containers.get(index).map(|c| c.name.as_str())
    }

    pub(super) fn of_attempt(&mut self, container: usize, attempt: u32) -> Option<&mut Container> {
        self.containers.get_mut(container).filter(|c| c.attempt() == Some(attempt))
    }

    fn apply(&mut self, event: Event, now: Now, out: &mut Vec<Action>) {
        match event {
            Event::Rejected { reason, message } => {
                if matches!(self.stage, Stage::Preparing { .. }) {
                    self.verdict = Some(Verdict { reason, message, rejected: true });
                    self.stage = Stage::Ended;
                }
            }
            Event::Prepared => {
                if matches!(self.stage, Stage::Preparing { in_flight: true, .. }) {
                    self.prepare.clear();
                    self.was_prepared = true;
                    self.stage = Stage::Running;
                }
            }
            Event::PrepareFailed { reason, message } => {
                if matches!(self.stage, Stage::Preparing { in_flight: true, .. }) {
                    let delay = self.prepare.next(now.mono, now.mono);
                    self.stage = Stage::Preparing { in_flight: false, retry_at: now.mono + delay };
                    out.push(record(true, reason, message, None));
                }
            }
            Event::Lost => {
                if self.stage == Stage::Running {
                    self.stage = Stage::Preparing { in_flight: false, retry_at: now.mono };
                }
            }
            Event::Started { container, attempt, id, image } => {
                if let Some(c) = self.of_attempt(container, attempt) {
                    c.begin_run(id, image, now);
                    let (post_start, stale) = (c.post_start, c.stale);
                    if stale {
                        self.replace(container, now, out);
                    } else if post_start {
                        out.push(Action::Hook { container, attempt, hook: Hook::PostStart, timeout: None });
                    }
                }
            }
            Event::StartFailed { container, attempt, failure, message } => {
                if self.of_attempt(container, attempt).is_some() {
                    self.start_failed(container, failure, message, now, out);
                }
            }
            Event::Exited { container, attempt, exit, message } => {
                if let Some(c) = self.of_attempt(container, attempt) {
                    c.end(exit, None, message, now);
                }
            }
            Event::Probed { container, attempt, kind, outcome } => self.probed(container, attempt, kind, outcome, now, out),
            Event::HookDone { container, attempt, hook, outcome } => self.hook_done(container, attempt, hook, outcome, now, out),
            Event::Updated(update) => self.update(update, now, out),
            Event::Stop(grace) => {
                self.node_ends = true;
                self.stop(grace, now);
            }
            Event::Tick => {}
        }
    }

    fn start_failed(&mut self, container: usize, failure: Failure, message: String, now: Now, out: &mut Vec<Action>) {
        let c = &mut self.containers[container];
        let index = Some(container);
        match failure {
            Failure::Image => {
                out.push(record(true, "Failed", format!("Failed to pull image {:?}: {message}", c.image), index));
                out.push(record(true, "Failed", "Error: ErrImagePull".to_owned(), index));
                c.block(failure, message, now);
            }
            Failure::Config => {
                out.push(record(true, "Failed", format!("Error: {message}"), index));
                c.block(failure, message, now);
            }
            Failure::Mount => {
                out.push(record(true, "FailedMount", message.clone(), None));
                c.block(failure, message, now);
            }
            Failure::Sandbox => {
                let text = "Pod sandbox changed, it will be killed and re-created.".to_owned();
                out.push(record(false, "SandboxChanged", text, None));
                c.block(failure, message, now);
            }
            Failure::Start => {
                out.push(record(true, "Failed", format!("Error: {message}"), index));
                c.end(Exit { code: 128, signal: None }, Some("StartError"), Some(message), now);
            }
        }
    }

    fn probed(&mut self, index: usize, attempt: u32, kind: ProbeKind, outcome: Result<(), String>, now: Now, out: &mut Vec<Action>) {
        let Some(c) = self.of_attempt(index, attempt) else { return };
        let grace = c.run().and_then(|r| match kind {
            ProbeKind::Startup => r.startup.as_ref(),
            ProbeKind::Liveness => r.liveness.as_ref(),
            ProbeKind::Readiness => None,
        });
        let grace = grace.and_then(|p| p.settings().grace);
        let kill = c.probed(kind, outcome.is_ok(), now);
        let (name, role) = (c.name.clone(), c.role);
        if let Err(text) = outcome {
            out.push(record(true, "Unhealthy", format!("{} probe failed: {text}", kind.title()), Some(index)));
        }
        if kill {
            let probe = kind.title().to_lowercase();
            let why = match (role, self.restart) {
                (Role::App, Restart::Never) => format!("Container {name} failed {probe} probe"),
                (Role::App, _) => format!("Container {name} failed {probe} probe, will be restarted"),
                _ => format!("Init container {name} failed {probe} probe"),
            };
            self.begin_stop(index, grace.unwrap_or(self.grace), why, now, out);
        }
    }

    /// Brings the Pod forward as far as it can go now.
    fn advance(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.active_until.is_some_and(|at| at <= now.mono) && matches!(self.stage, Stage::Preparing { .. } | Stage::Running) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            out.push(record(false, "DeadlineExceeded", message.clone(), None));
            self.verdict = Some(Verdict { reason: "DeadlineExceeded".to_owned(), message, rejected: false });
            self.stop(self.grace, now);
        }
        self.probes_and_kills(now, out);
        if let Stage::Preparing { in_flight: false, retry_at } = self.stage
            && retry_at <= now.mono
            // After a loss the runs that are ending must report first.
            && !self.containers.iter().any(Container::active)
        {
            self.stage = Stage::Preparing { in_flight: true, retry_at };
            out.push(Action::Prepare);
        }
        if self.stage == Stage::Running {
            self.run_containers(now, out);
        }
        if let Stage::Stopping { until } = self.stage {
            self.stop_containers(until, now, out);
        }
        if self.node_ends {
            for stop in self.containers.iter_mut().filter(|c| c.waits).filter_map(|c| c.run_mut()?.stop.as_mut()) {
                if stop.phase == StopPhase::Signalled {
                    stop.remind_at.get_or_insert(now.mono + PATIENCE);
                }
            }
        }
        if self.stage == Stage::Ended {
            if !self.released {
                self.released = true;
                out.push(Action::Release);
            }
            if self.deletion.is_some() && !self.delete_asked {
                self.delete_asked = true;
                out.push(Action::Delete);
            }
        }
    }

    fn probes_and_kills(&mut self, now: Now, out: &mut Vec<Action>) {
        for (container, c) in self.containers.iter_mut().enumerate() {
            let Some(run) = c.run_mut() else { continue };
            let attempt = run.attempt;
            let stopping = run.stop.is_some();
            let probers = [
                (ProbeKind::Startup, &mut run.startup),
                (ProbeKind::Liveness, &mut run.liveness),
                (ProbeKind::Readiness, &mut run.readiness),
            ];
            for (kind, prober) in probers {
                if stopping && kind != ProbeKind::Readiness {
                    continue;
                }
                if let Some(p) = prober
                    && p.begin(now.mono)
                {
                    out.push(Action::Probe { container, attempt, kind, timeout: p.settings().timeout });
                }
            }
            let Some(stop) = &mut run.stop else { continue };
            if stop.phase == StopPhase::Signalled && stop.remind_at.is_some_and(|at| at <= now.mono) {
                stop.phase = StopPhase::Reminded;
                out.push(Action::Signal { container, attempt, signal: Signal::Stop });
            }
            if stop.kill_at > now.mono {
                continue;
            }
            match stop.phase {
                StopPhase::Hook => signal_stop(run, container, now, out),
                StopPhase::Signalled | StopPhase::Reminded => {
                    stop.phase = StopPhase::Killed;
                    out.push(Action::Signal { container, attempt, signal: Signal::Kill });
                }
                StopPhase::Killed => {}
            }
        }
    }

    fn run_containers(&mut self, now: Now, out: &mut Vec<Action>) {
        let mut initialized = true;
        for i in 0..self.containers.len() {
            let role = self.containers[i].role;
            if !initialized {
                break;
            }
            match role {
                Role::Init => {
                    let done = self.containers[i].ended().is_some_and(|e| e.exit.code == 0);
                    if !done {
                        initialized = false;
                        if self.containers[i].ended().is_some() && self.restart == Restart::Never {
                            self.stop(self.grace, now);
                            return;
                        }
                        self.start_if_due(i, now, out);
                    }
                }
                Role::Sidecar => {
                    self.start_if_due(i, now, out);
                    let c = &self.containers[i];
                    initialized = c.started() || self.initialized;
                }
                Role::App => self.start_if_due(i, now, out),
            }
        }
        self.initialized |= initialized;
        let mut apps = self.containers.iter().enumerate().filter(|(_, c)| c.role == Role::App);
        if initialized && apps.clone().next().is_some() && apps.all(|(i, c)| c.ended().is_some() && !self.restarts(i)) {
            self.stop(self.grace, now);
        }
    }

    fn start_if_due(&mut self, i: usize, now: Now, out: &mut Vec<Action>) {
        let due = match &self.containers[i].state {
            State::Waiting => true,
            State::Blocked { retry_at, back_off_from, failure, .. } => {
                let due = *retry_at <= now.mono;
                if *failure == Failure::Image && *back_off_from <= now.mono && !self.containers[i].back_off_told {
                    self.containers[i].back_off_told = true;
                    out.push(record(false, "BackOff", format!("Back-off pulling image {:?}", self.containers[i].image), Some(i)));
                }
                due
            }
            State::Ended(_) if self.restarts(i) => match self.restart_at(i) {
                Some(at) if at > now.mono => {
                    let text = format!(
                        "Back-off restarting failed container {} in pod {}_{}({})",
                        self.containers[i].name, self.name, self.namespace, self.uid
                    );
                    if !self.containers[i].back_off_told {
                        self.containers[i].back_off_told = true;
                        out.push(record(true, "BackOff", text, Some(i)));
                    }
                    false
                }
                _ => true,
            },
            _ => false,
        };
        if due {
            let c = &mut self.containers[i];
            if let State::Ended(ended) = &c.state {
                let (finished, replaced) = (ended.finished_mono, ended.replaced);
                if replaced {
                    c.crash.clear();
                } else {
                    c.crash.next(finished, now.mono);
                }
            }
            let attempt = c.begin_start();
            out.push(Action::Start { container: i, attempt });
        }
    }

    /// Whether the `i`-th container, which has ended, starts again.
    pub(super) fn restarts(&self, i: usize) -> bool {
        let c = &self.containers[i];
        let Some(ended) = c.ended() else { return false };
        if ended.replaced {
            return true;
        }
        let failed = ended.exit.code != 0;
        match (c.role, self.restart) {
            (Role::Sidecar, _) => true,
            (Role::Init, restart) => failed && restart != Restart::Never,
            (Role::App, Restart::Always) => true,
            (Role::App, Restart::OnFailure) => failed,
            (Role::App, Restart::Never) => false,
        }
    }

    /// When the `i`-th container, which has ended, may start again; `None`: at once.
    pub(super) fn restart_at(&self, i: usize) -> Option<Duration> {
        let c = &self.containers[i];
        c.ended().filter(|e| !e.replaced).and_then(|e| c.crash.blocked_until(e.finished_mono)).map(|(at, _)| at)
    }
}

pub(super) fn record(warning: bool, reason: &'static str, message: String, container: Option<usize>) -> Action {
    Action::Record(Record { warning, reason, message, container })
}
