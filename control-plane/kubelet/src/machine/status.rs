//! The status of a Pod, computed from the machine's state. The texts are the kubelet's.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_names::annotation::TIMELINE;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition,
    PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::container::{Container, Ended, Role, State};
use super::pod::{Machine, Stage};
use super::{Failure, Now};

/// Addresses that the executor knows and the machine does not need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The Pod's address, once it has one.
    pub pod_ip: Option<String>,
    /// The node's.
    pub host_ip: String,
}

/// Moments of a Pod's life in microseconds: the annotation [`TIMELINE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// When the object was made, as exactly as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// When the kubelet saw that the Pod is its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Timestamp>,
    /// When the first of its containers (not init containers) started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it first became Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Timestamp>,
}

/// The conditions the kubelet owns, in the order Kubernetes prints them.
const OWNED: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// What the kubelet says of a container that has no end of its own when its Pod has ended.
const UNKNOWN: (&str, &str) = ("ContainerStatusUnknown", "The container could not be located when the pod was terminated");

/// What is remembered between two looks at the state.
#[derive(Clone, Debug)]
pub(super) struct Board {
    start: Timestamp,
    /// The API server's word; it does not change.
    qos: Option<String>,
    phase: &'static str,
    conditions: BTreeMap<&'static str, Condition>,
    /// Conditions of an earlier kubelet are there and would stay as they are.
    had_conditions: bool,
    /// Nobody has written `PodScheduled`: the Pod was made with a node name.
    tell_scheduled: bool,
    pub(super) timeline: Timeline,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    state: bool,
    reason: Option<&'static str>,
    message: Option<String>,
    since: Timestamp,
}

impl Board {
    pub(super) fn new(pod: &Pod, now: Now) -> Self {
        let status = pod.status.as_ref();
        let known = pod.metadata.annotations.as_ref().and_then(|a| a.get(TIMELINE));
        let known: BTreeMap<String, Timestamp> = known.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
        let stamp = |name: &str| known.get(name).copied();
        let conditions: BTreeMap<_, _> = OWNED
            .iter()
            .filter_map(|name| {
                let c = status?.conditions.as_ref()?.iter().find(|c| c.type_ == *name)?;
                let since = c.last_transition_time.as_ref()?.0;
                Some((*name, Condition { state: c.status == "True", reason: None, message: None, since }))
            })
            .collect();
        Self {
            start: status.and_then(|s| s.start_time.as_ref()).map_or(now.wall, |t| t.0),
            qos: status.and_then(|s| s.qos_class.clone()),
            phase: "Pending",
            had_conditions: !conditions.is_empty(),
            conditions,
            tell_scheduled: !status.into_iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == "PodScheduled"),
            timeline: Timeline {
                created: stamp("created").or_else(|| pod.metadata.creation_timestamp.as_ref().map(|t| t.0)),
                scheduled: stamp("scheduled").or(Some(now.wall)),
                started: stamp("started"),
                ready: stamp("ready"),
            },
        }
    }

    /// When a Pod that may be active for so long has been so.
    pub(super) fn until(&self, active: Duration, now: Now) -> Duration {
        let since = Duration::try_from(now.wall.duration_since(self.start)).unwrap_or(Duration::ZERO);
        now.mono + active.saturating_sub(since)
    }

    fn set(&mut self, name: &'static str, state: bool, reason: Option<&'static str>, message: Option<String>, now: Timestamp) {
        let since = self.conditions.get(name).filter(|c| c.state == state).map_or(now, |c| c.since);
        self.conditions.insert(name, Condition { state, reason, message, since });
    }
}

impl Machine {
    /// Recomputes what depends on time and state.
    pub(super) fn refresh(&mut self, now: Now) {
        let wall = now.wall;
        self.board.phase = self.phase();
        let terminal = matches!(self.board.phase, "Succeeded" | "Failed");
        let done_reason = if self.board.phase == "Succeeded" { "PodCompleted" } else { "PodFailed" };

        let sandbox = self.was_prepared && matches!(self.stage, Stage::Running | Stage::Stopping { .. });
        self.board.set("PodReadyToStartContainers", sandbox, None, None, wall);

        let incomplete = self.names(|c| match c.role {
            Role::Init => c.ended().is_none_or(|e| e.exit.code != 0),
            Role::Sidecar => !c.started() && !terminal,
            Role::App => false,
        });
        if self.board.phase == "Succeeded" {
            self.board.set("Initialized", true, Some("PodCompleted"), None, wall);
        } else if incomplete.is_empty() {
            self.board.set("Initialized", true, None, None, wall);
        } else {
            let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
            self.board.set("Initialized", false, Some("ContainersNotInitialized"), Some(message), wall);
        }

        let unready = self.names(|c| c.role != Role::Init && !c.ready());
        let (mut ready, mut reason, mut message) = if terminal {
            (false, Some(done_reason), None)
        } else if unready.is_empty() {
            (true, None, None)
        } else {
            (false, Some("ContainersNotReady"), Some(format!("containers with unready status: [{}]", unready.join(" "))))
        };
        self.board.set("ContainersReady", ready, reason, message.clone(), wall);
        if ready {
            let missing: Vec<String> = self
                .gate_types
                .iter()
                .zip(&self.gates)
                .filter_map(|(gate, state)| match state.as_deref() {
                    None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
                    Some("True") => None,
                    Some(other) => Some(format!("the status of pod readiness gate {gate:?} is not \"True\", but {other}")),
                })
                .collect();
            if !missing.is_empty() {
                (ready, reason, message) = (false, Some("ReadinessGatesNotReady"), Some(missing.join(", ")));
            }
        }
        self.board.set("Ready", ready, reason, message, wall);

        let first = self.containers.iter().filter(|c| c.role == Role::App).filter_map(|c| c.run().map(|r| r.since)).min();
        let timeline = &mut self.board.timeline;
        timeline.started = timeline.started.or(first);
        if ready {
            timeline.ready = timeline.ready.or(Some(wall));
        }
    }

    fn names(&self, pick: impl Fn(&Container) -> bool) -> Vec<&str> {
        self.containers.iter().filter(|c| pick(c)).map(|c| c.name.as_str()).collect()
    }

    fn phase(&self) -> &'static str {
        if self.stage == Stage::Ended {
            if self.verdict.is_some() {
                return "Failed";
            }
            let apps: Vec<&Container> = self.containers.iter().filter(|c| c.role == Role::App).collect();
            let all_well = !apps.is_empty() && apps.iter().all(|c| c.ended().is_some_and(|e| e.exit.code == 0));
            return if all_well { "Succeeded" } else { "Failed" };
        }
        let mut waiting_never_ran = false;
        for c in &self.containers {
            match c.role {
                Role::Init => {
                    if c.ended().is_none_or(|e| e.exit.code != 0) {
                        return "Pending";
                    }
                }
                Role::Sidecar => {
                    if !c.ever_ran {
                        return "Pending";
                    }
                }
                Role::App => waiting_never_ran |= !c.ever_ran,
            }
        }
        if waiting_never_ran { "Pending" } else { "Running" }
    }

    /// The status as it is now; what others own (foreign conditions) is left out.
    #[must_use]
    pub fn status(&self, facts: &Facts, now: Now) -> PodStatus {
        let of = |init: bool| -> Vec<ContainerStatus> {
            let mut list: Vec<ContainerStatus> = (0..self.containers.len())
                .filter(|i| (self.containers[*i].role != Role::App) == init)
                .map(|i| self.container_status(i, now))
                .collect();
            if !init {
                list.sort_by(|a, b| a.name.cmp(&b.name));
            }
            list
        };
        // A reason at the level of the Pod comes with its end: until then there may be processes.
        let verdict = self.verdict.as_ref().filter(|_| self.ended());
        // Of a Pod that the node did not take, there is nothing to tell but that.
        let rejected = verdict.is_some_and(|v| v.rejected);
        let (init, apps) = if rejected { (Vec::new(), Vec::new()) } else { (of(true), of(false)) };
        let mut conditions: Vec<PodCondition> = OWNED
            .iter()
            .filter_map(|name| self.board.conditions.get_key_value(name))
            .map(|(name, c)| PodCondition {
                type_: (*name).to_owned(),
                status: if c.state { "True" } else { "False" }.to_owned(),
                reason: c.reason.map(str::to_owned),
                message: c.message.clone(),
                last_transition_time: Some(Time(whole_seconds(c.since))),
                observed_generation: self.generation,
                ..PodCondition::default()
            })
            .collect();
        if self.board.tell_scheduled {
            conditions.push(PodCondition {
                type_: "PodScheduled".to_owned(),
                status: "True".to_owned(),
                last_transition_time: Some(Time(whole_seconds(self.board.start))),
                observed_generation: self.generation,
                ..PodCondition::default()
            });
        }
        PodStatus {
            phase: Some(self.board.phase.to_owned()),
            reason: verdict.map(|v| v.reason.clone()),
            message: verdict.map(|v| v.message.clone()).filter(|m| !m.is_empty()),
            conditions: (!rejected || self.board.had_conditions).then_some(conditions),
            init_container_statuses: (!init.is_empty()).then_some(init),
            container_statuses: (!apps.is_empty()).then_some(apps),
            host_ip: (!rejected).then(|| facts.host_ip.clone()),
            host_ips: (!rejected).then(|| vec![HostIP { ip: facts.host_ip.clone() }]),
            pod_ip: facts.pod_ip.clone(),
            pod_ips: facts.pod_ip.clone().map(|ip| vec![PodIP { ip }]),
            start_time: Some(Time(whole_seconds(self.board.start))),
            qos_class: self.board.qos.clone(),
            observed_generation: self.generation,
            ..PodStatus::default()
        }
    }

    fn container_status(&self, i: usize, now: Now) -> ContainerStatus {
        let c = &self.containers[i];
        let mut shown = &c.state;
        while let State::Starting { before, .. } = shown {
            shown = before;
        }
        let mut last = c.last.as_ref();
        let mut id = None;
        let state = match shown {
            State::Waiting | State::Starting { .. } | State::Blocked { .. } if self.counts_as_ended(i) => unknown(),
            State::Waiting | State::Starting { .. } => waiting(self.waiting_reason(), None),
            State::Blocked { failure, message, back_off_from, .. } => {
                let reason = match failure {
                    Failure::Image if now.mono < *back_off_from => "ErrImagePull",
                    Failure::Image => "ImagePullBackOff",
                    Failure::Config => "CreateContainerConfigError",
                    Failure::Mount | Failure::Sandbox => self.waiting_reason(),
                    Failure::Start => "RunContainerError",
                };
                let message = match reason {
                    "ImagePullBackOff" => format!("Back-off pulling image {:?}: ErrImagePull: {message}", c.image),
                    _ => message.clone(),
                };
                waiting(reason, Some(message))
            }
            State::Running(run) => {
                id = Some(run.id.clone());
                ContainerState {
                    running: Some(ContainerStateRunning { started_at: Some(Time(whole_seconds(run.since))) }),
                    ..ContainerState::default()
                }
            }
            // Its policy may forbid that it leaves an end, so the API is not told of one: it waits for its next run.
            State::Ended(ended) if ended.replaced && !self.ended() => {
                last = Some(ended);
                waiting(self.waiting_reason(), None)
            }
            State::Ended(ended) => {
                id.clone_from(&ended.id);
                let delay = c.crash.blocked_until(ended.finished_mono).filter(|(at, _)| *at > now.mono);
                match delay {
                    Some((_, delay)) if self.stage == Stage::Running && self.restarts(i) => {
                        last = Some(ended);
                        let text = format!(
                            "back-off {} restarting failed container={} pod={}_{}({})",
                            go_duration(delay),
                            c.name,
                            self.name,
                            self.namespace,
                            self.uid
                        );
                        waiting("CrashLoopBackOff", Some(text))
                    }
                    _ => ContainerState { terminated: Some(terminated(ended)), ..ContainerState::default() },
                }
            }
        };
        let ran = matches!(shown, State::Running(_) | State::Ended(_)) && !c.run_image.is_empty();
        ContainerStatus {
            name: c.name.clone(),
            image: if ran { &c.run_image } else { &c.image }.clone(),
            image_id: if c.image_id.is_empty() { String::new() } else { format!("dormouse://{}", c.image_id) },
            container_id: id.map(|id| format!("dormouse://{id}")),
            ready: c.ready(),
            started: Some(c.started()),
            restart_count: i32::try_from(c.restarts).unwrap_or(i32::MAX),
            state: Some(state),
            last_state: Some(
                last.map_or_else(ContainerState::default, |e| ContainerState {
                    terminated: Some(terminated(e)),
                    ..ContainerState::default()
                }),
            ),
            ..ContainerStatus::default()
        }
    }

    /// Whether the Pod has ended and the `i`-th container, which waits, is shown as if it had ended too. The kubelet leaves
    /// waiting what could not have been begun: everything behind the first init container that was not through.
    fn counts_as_ended(&self, i: usize) -> bool {
        if !self.ended() {
            return false;
        }
        let touched = |c: &Container| c.last.is_some() || !matches!(c.state, State::Waiting | State::Blocked { .. });
        let init = self.containers.iter().filter(|c| c.role != Role::App).count();
        let (before, apps) = self.containers.split_at(init);
        if i < init {
            return i == 0 || before[i..].iter().any(touched);
        }
        before.last().is_none_or(|c| c.ended().or(c.last.as_ref()).is_some_and(|e| e.exit.code == 0)) || apps.iter().any(touched)
    }

    /// The same for all containers of a Pod, as the kubelet has it.
    fn waiting_reason(&self) -> &'static str {
        if self.containers.iter().any(|c| c.role != Role::App) { "PodInitializing" } else { "ContainerCreating" }
    }
}

fn unknown() -> ContainerState {
    let (reason, message) = UNKNOWN;
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState { waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }), ..ContainerState::default() }
}

fn terminated(ended: &Ended) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: ended.exit.code,
        signal: ended.exit.signal,
        reason: Some(ended.reason.clone().into_owned()),
        message: ended.message.clone(),
        started_at: ended.started.or(Some(ended.finished)).map(|t| Time(whole_seconds(t))),
        finished_at: Some(Time(whole_seconds(ended.finished))),
        container_id: ended.id.as_ref().map(|id| format!("dormouse://{id}")),
    }
}

/// API times have whole seconds.
fn whole_seconds(t: Timestamp) -> Timestamp {
    Timestamp::from_second(t.as_second()).unwrap_or(t)
}

/// `10s`, `2m40s`: Go's way.
fn go_duration(d: Duration) -> String {
    let s = d.as_secs();
    match (s / 60, s % 60) {
        (0, 0) => format!("{}ms", d.as_millis()),
        (0, s) => format!("{s}s"),
        (m, s) => format!("{m}m{s}s"),
    }
}
