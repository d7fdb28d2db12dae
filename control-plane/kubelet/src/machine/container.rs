//! One container of a Pod inside the machine: its state, its runs, its probes.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, ContainerState, ContainerStatus};

use super::backoff::{Backoff, Policy};
use super::probe::{self, ProbeKind, Prober};
use super::{Failure, Now, Settings};
use crate::plan::image;

/// What a container is to its Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: starts in order, stays.
    Sidecar,
    /// One of `spec.containers`.
    App,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal.
    pub signal: Option<i32>,
}

impl Exit {
    /// A process that was killed without anyone seeing its end.
    pub const LOST: Self = Self { code: 137, signal: None };
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) reason: Cow<'static, str>,
    pub(super) message: Option<String>,
    pub(super) started: Option<Timestamp>,
    pub(super) finished: Timestamp,
    pub(super) finished_mono: Duration,
    pub(super) id: Option<String>,
    /// It was ended for a run with another image, which follows at once whatever the policy.
    pub(super) replaced: bool,
}

/// A run in progress.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) attempt: u32,
    pub(super) id: String,
    pub(super) since: Timestamp,
    pub(super) since_mono: Duration,
    /// The `postStart` hook has not come back yet.
    pub(super) hook_pending: bool,
    /// The startup probe has succeeded, or there is none, and the hook came back.
    pub(super) started: bool,
    pub(super) startup: Option<Prober>,
    pub(super) readiness: Option<Prober>,
    pub(super) liveness: Option<Prober>,
    pub(super) stop: Option<Stop>,
}

/// A stop in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) phase: StopPhase,
    /// When patience ends.
    pub(super) kill_at: Duration,
    /// When the stop signal is sent once more.
    pub(super) remind_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopPhase {
    /// `preStop` runs.
    Hook,
    /// The stop signal was sent.
    Signalled,
    /// It was sent twice.
    Reminded,
    /// SIGKILL was sent.
    Killed,
}

/// Where a container is.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Not started yet.
    Waiting,
    /// Asked to start; what it was before is what is still shown.
    Starting { attempt: u32, before: Box<State> },
    /// Could not be started; tried again at `retry_at`.
    Blocked {
        failure: Failure,
        message: String,
        retry_at: Duration,
        /// From when the state is called a back-off.
        back_off_from: Duration,
    },
    /// Runs.
    Running(Box<Run>),
    /// Ended; what comes next depends on the restart policy.
    Ended(Ended),
}

/// How long `ErrImagePull` is shown before it becomes `ImagePullBackOff`.
const PULL_ERROR_SHOWN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) name: String,
    /// The image of its next run.
    pub(super) image: String,
    /// The image of its last run; empty before there was one.
    pub(super) run_image: String,
    /// What starts or runs has an image that the Pod has no longer.
    pub(super) stale: bool,
    pub(super) role: Role,
    pub(super) startup: Option<probe::Settings>,
    pub(super) readiness: Option<probe::Settings>,
    pub(super) liveness: Option<probe::Settings>,
    pub(super) post_start: bool,
    pub(super) pre_stop: bool,
    /// After the stop signal it waits for what others have to do.
    pub(super) waits: bool,
    pub(super) state: State,
    pub(super) last: Option<Ended>,
    pub(super) restarts: u32,
    pub(super) ever_ran: bool,
    pub(super) image_id: String,
    /// The `BackOff` event of the present end was written.
    pub(super) back_off_told: bool,
    pub(super) crash: Backoff,
    pub(super) retry: Backoff,
    pub(super) pull: Backoff,
}

impl Container {
    pub(super) fn new(spec: &Spec, role: Role, settings: &Settings) -> Self {
        let probe = |p: &Option<_>| p.as_ref().map(probe::Settings::from);
        let hooks = spec.lifecycle.as_ref();
        // Plain init containers have no probes and hooks.
        let probes = role != Role::Init;
        Self {
            name: spec.name.clone(),
            image: spec.image.clone().unwrap_or_default(),
            run_image: String::new(),
            stale: false,
            role,
            startup: probe(&spec.startup_probe).filter(|_| probes),
            readiness: probe(&spec.readiness_probe).filter(|_| probes),
            liveness: probe(&spec.liveness_probe).filter(|_| probes),
            post_start: probes && hooks.is_some_and(|l| l.post_start.is_some()),
            waits: image::runs(&settings.programs, spec, |p| p.waits_for_release),
            pre_stop: probes && hooks.is_some_and(|l| l.pre_stop.is_some()),
            state: State::Waiting,
            last: None,
            restarts: 0,
            ever_ran: false,
            image_id: String::new(),
            back_off_told: false,
            crash: Backoff::new(settings.restart),
            retry: Backoff::new(Policy::RETRY),
            pull: Backoff::new(settings.restart),
        }
    }

    /// Takes over what an earlier kubelet reported: what ran then is gone now. `terminal`: nothing of the Pod runs again.
    pub(super) fn adopt(&mut self, status: &ContainerStatus, terminal: bool, now: Now) {
        self.restarts = u32::try_from(status.restart_count).unwrap_or(0);
        let state = status.state.as_ref();
        let ended = if let Some(running) = state.and_then(|s| s.running.as_ref()) {
            Some(Ended {
                exit: Exit::LOST,
                reason: "Error".into(),
                message: Some("the process ended together with the plane that ran it".to_owned()),
                started: running.started_at.as_ref().map(|t| t.0),
                finished: now.wall,
                finished_mono: now.mono,
                id: plain_id(status.container_id.as_deref()),
                replaced: false,
            })
        } else {
            let terminated = |s: &ContainerState| {
                s.terminated.as_ref().map(|t| Ended {
                    exit: Exit { code: t.exit_code, signal: t.signal },
                    reason: t.reason.clone().map_or_else(|| usual_reason(t.exit_code).into(), Cow::Owned),
                    message: t.message.clone(),
                    started: t.started_at.as_ref().map(|t| t.0),
                    finished: t.finished_at.as_ref().map_or(now.wall, |t| t.0),
                    finished_mono: now.mono,
                    id: plain_id(t.container_id.as_deref()),
                    replaced: false,
                })
            };
            state.and_then(terminated).or_else(|| status.last_state.as_ref().and_then(terminated))
        };
        if let Some(ended) = ended {
            self.ever_ran = true;
            self.run_image.clone_from(&status.image);
            // A new sandbox runs its init containers again.
            if self.role == Role::Init && !terminal {
                self.last = Some(ended);
            } else {
                self.state = State::Ended(ended);
            }
        }
    }

    pub(super) fn run(&self) -> Option<&Run> {
        match &self.state {
            State::Running(run) => Some(run),
            _ => None,
        }
    }

    pub(super) fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.state {
            State::Running(run) => Some(run),
            _ => None,
        }
    }

    pub(super) fn ended(&self) -> Option<&Ended> {
        match &self.state {
            State::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    /// Whether a process may exist.
    pub(super) fn active(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Running(_))
    }

    /// Runs and is past its startup probe and hook.
    pub(super) fn started(&self) -> bool {
        self.run().is_some_and(|r| r.started)
    }

    /// `ready` of its status.
    pub(super) fn ready(&self) -> bool {
        match (&self.state, self.role) {
            (State::Ended(e), Role::Init) => e.exit.code == 0,
            (State::Running(run), Role::Sidecar | Role::App) => {
                run.started && run.readiness.as_ref().is_none_or(|p| p.verdict() == Some(true))
            }
            _ => false,
        }
    }

    /// Number of the next attempt.
    pub(super) fn next_attempt(&self) -> u32 {
        if self.ever_ran { self.restarts.saturating_add(1) } else { self.restarts }
    }

    /// Number of the attempt that is under way.
    pub(super) fn attempt(&self) -> Option<u32> {
        match &self.state {
            State::Starting { attempt, .. } => Some(*attempt),
            State::Running(run) => Some(run.attempt),
            _ => None,
        }
    }

    /// The executor is asked to start it.
    pub(super) fn begin_start(&mut self) -> u32 {
        let attempt = self.next_attempt();
        self.stale = false;
        let before = Box::new(std::mem::replace(&mut self.state, State::Waiting));
        self.state = State::Starting { attempt, before };
        attempt
    }

    /// Leaves `Starting`: an end that was still shown becomes the last state.
    fn leave_starting(&mut self) -> u32 {
        match std::mem::replace(&mut self.state, State::Waiting) {
            State::Starting { attempt, before } => {
                if let State::Ended(ended) = *before {
                    self.last = Some(ended);
                }
                attempt
            }
            other => {
                self.state = other;
                self.restarts
            }
        }
    }

    /// The run begins.
    pub(super) fn begin_run(&mut self, id: String, image: String, now: Now) {
        let attempt = self.leave_starting();
        self.restarts = attempt;
        self.image_id = image;
        if !self.stale {
            self.run_image.clone_from(&self.image);
        }
        self.ever_ran = true;
        self.retry.clear();
        self.pull.clear();
        self.back_off_told = false;
        let mut run = Run {
            attempt,
            id,
            since: now.wall,
            since_mono: now.mono,
            hook_pending: self.post_start,
            started: false,
            startup: None,
            readiness: None,
            liveness: None,
            stop: None,
        };
        if !run.hook_pending {
            self.arm(&mut run, now);
        }
        self.state = State::Running(Box::new(run));
    }

    /// The `postStart` hook came back: probes begin.
    pub(super) fn hook_returned(&mut self, now: Now) {
        let State::Running(mut run) = std::mem::replace(&mut self.state, State::Waiting) else { return };
        run.hook_pending = false;
        self.arm(&mut run, now);
        self.state = State::Running(run);
    }

    fn arm(&self, run: &mut Run, now: Now) {
        run.startup = self.startup.map(|s| Prober::new(s, run.since_mono));
        if run.startup.is_none() {
            self.has_started(run, now);
        }
    }

    fn has_started(&self, run: &mut Run, now: Now) {
        run.started = true;
        let prober = |settings: Option<probe::Settings>| {
            settings.map(|s| {
                let mut prober = Prober::new(s, run.since_mono);
                prober.hurry(now.mono, run.since_mono);
                prober
            })
        };
        run.readiness = prober(self.readiness);
        run.liveness = prober(self.liveness);
    }

    /// Notes the outcome of a probe; returns whether the container must be killed for it.
    pub(super) fn probed(&mut self, kind: ProbeKind, ok: bool, now: Now) -> bool {
        let State::Running(mut run) = std::mem::replace(&mut self.state, State::Waiting) else { return false };
        let prober = match kind {
            ProbeKind::Startup => &mut run.startup,
            ProbeKind::Readiness => &mut run.readiness,
            ProbeKind::Liveness => &mut run.liveness,
        };
        let verdict = prober.as_mut().and_then(|p| p.finish(ok, now.mono));
        let mut kill = false;
        match (kind, verdict) {
            (ProbeKind::Startup, Some(true)) => {
                run.startup = None;
                self.has_started(&mut run, now);
            }
            (ProbeKind::Startup | ProbeKind::Liveness, Some(false)) => kill = run.stop.is_none(),
            _ => {}
        }
        self.state = State::Running(run);
        kill
    }

    /// The start failed at something that is tried again.
    pub(super) fn block(&mut self, failure: Failure, message: String, now: Now) {
        self.leave_starting();
        let backoff = if failure == Failure::Image { &mut self.pull } else { &mut self.retry };
        // What failed for an image that the Pod has no longer says nothing about the next attempt.
        let delay = if std::mem::take(&mut self.stale) { Duration::ZERO } else { backoff.next(now.mono, now.mono) };
        self.state =
            State::Blocked { failure, message, retry_at: now.mono + delay, back_off_from: now.mono + PULL_ERROR_SHOWN.min(delay / 2) };
    }

    /// The run ended, or never came to be.
    pub(super) fn end(&mut self, exit: Exit, reason: Option<&'static str>, message: Option<String>, now: Now) {
        let (started, id) = match &self.state {
            State::Running(run) => (Some(run.since), Some(run.id.clone())),
            _ => (None, None),
        };
        if matches!(self.state, State::Starting { .. }) {
            self.restarts = self.leave_starting();
            self.ever_ran = true;
        }
        self.back_off_told = false;
        let reason = reason.unwrap_or_else(|| usual_reason(exit.code)).into();
        let replaced = std::mem::take(&mut self.stale);
        self.state = State::Ended(Ended { exit, reason, message, started, finished: now.wall, finished_mono: now.mono, id, replaced });
    }

    /// The next moment at which a running or blocked container needs a tick.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        match &self.state {
            State::Running(run) => {
                // A container that is being stopped is probed for readiness only; the others must not kill it twice.
                let readiness = run.readiness.as_ref().and_then(Prober::next_due);
                match run.stop {
                    Some(stop) if stop.phase == StopPhase::Killed => readiness,
                    Some(stop) => {
                        let remind = stop.remind_at.filter(|_| stop.phase == StopPhase::Signalled);
                        readiness.into_iter().chain([stop.kill_at]).chain(remind).min()
                    }
                    None => [&run.startup, &run.liveness].into_iter().flatten().filter_map(Prober::next_due).chain(readiness).min(),
                }
            }
            State::Blocked { retry_at, back_off_from, .. } => Some(if now < *back_off_from { *back_off_from } else { *retry_at }),
            State::Ended(_) | State::Waiting | State::Starting { .. } => None,
        }
    }
}

fn usual_reason(code: i32) -> &'static str {
    if code == 0 { "Completed" } else { "Error" }
}

fn plain_id(id: Option<&str>) -> Option<String> {
    id.map(|i| i.strip_prefix("dormouse://").unwrap_or(i).to_owned()).filter(|i| !i.is_empty())
}
