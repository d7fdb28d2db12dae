//! The Pod's cells: READY, STATUS and RESTARTS summarise containers as `kubectl get pods` users expect.
//!
//! The word under STATUS is the last of these that applies: phase, the Pod's own reason, a scheduling gate, the first init
//! container that is not done, the containers from last to first, deletion.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::Column;
use crate::table::age;
use crate::table::read::{NONE, at, int, list, or_none, text};

/// The columns of a Pod.
pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::name(),
        Column::string("Ready", "The aggregate readiness state of this pod for accepting traffic.", ready),
        Column::string("Status", "The aggregate status of the containers in this pod.", status),
        Column::string(
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
            restarts,
        ),
        Column::age(),
        Column::wide("IP", "IP address allocated to the pod. Empty if not yet allocated.", ip),
        Column::wide("Node", "The node the pod was placed on; empty while it waits.", |o, _| {
            or_none(text(o, &["spec", "nodeName"])).into()
        }),
        Column::wide("Nominated Node", "The node that is being made free for this pod.", |o, _| {
            or_none(text(o, &["status", "nominatedNodeName"])).into()
        }),
        Column::wide("Readiness Gates", "How many of the pod's readiness gates are open.", gates),
    ]
}

/// Pods that have ended say so, and `kubectl` can leave them out.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(pod, &["status", "phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

/// What the three cells say.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    ready: usize,
    total: usize,
    status: String,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

/// Restarts of a group of containers.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += int(container, &["restartCount"]);
        let finished = text(container, &["lastState", "terminated", "finishedAt"]).parse().ok();
        self.last = self.last.max(finished);
    }
}

fn ready(pod: &Value, _now: Timestamp) -> Value {
    let summary = summarise(pod);
    format!("{}/{}", summary.ready, summary.total).into()
}

fn status(pod: &Value, _now: Timestamp) -> Value {
    summarise(pod).status.into()
}

fn restarts(pod: &Value, now: Timestamp) -> Value {
    let summary = summarise(pod);
    match summary.last_restart {
        Some(at) if summary.restarts != 0 => format!("{} ({} ago)", summary.restarts, age::human(now.duration_since(at).as_secs())).into(),
        _ => summary.restarts.to_string().into(),
    }
}

fn ip(pod: &Value, _now: Timestamp) -> Value {
    let first = list(pod, &["status", "podIPs"]).first().map_or("", |ip| text(ip, &["ip"]));
    or_none(first).into()
}

fn gates(pod: &Value, _now: Timestamp) -> Value {
    let gates = list(pod, &["spec", "readinessGates"]);
    if gates.is_empty() {
        return NONE.into();
    }
    let is_true = |gate: &&Value| condition(pod, text(gate, &["conditionType"]));
    format!("{}/{}", gates.iter().filter(is_true).count(), gates.len()).into()
}

/// Whether a condition of the Pod is true.
fn condition(pod: &Value, kind: &str) -> bool {
    list(pod, &["status", "conditions"]).iter().any(|c| text(c, &["type"]) == kind && text(c, &["status"]) == "True")
}

fn summarise(pod: &Value) -> Summary {
    let phase = text(pod, &["status", "phase"]);
    let mut status = match text(pod, &["status", "reason"]) {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    let gated = |c: &Value| text(c, &["type"]) == "PodScheduled" && text(c, &["reason"]) == "SchedulingGated";
    if list(pod, &["status", "conditions"]).iter().any(gated) {
        "SchedulingGated".clone_into(&mut status);
    }

    // Sidecars are init containers that stay: they count among the containers.
    let declared = list(pod, &["spec", "initContainers"]);
    let is_sidecar = |name: &str| declared.iter().any(|c| text(c, &["name"]) == name && text(c, &["restartPolicy"]) == "Always");
    let sidecars = declared.iter().filter(|c| text(c, &["restartPolicy"]) == "Always").count();
    let total = list(pod, &["spec", "containers"]).len() + sidecars;

    let (mut init, mut sidecar) = (Restarts::default(), Restarts::default());
    let mut ready = 0;
    let mut initializing = false;
    for (index, container) in list(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
        let stays = is_sidecar(text(container, &["name"]));
        init.add(container);
        if stays {
            sidecar.add(container);
        }
        let terminated = at(container, &["state", "terminated"]);
        if !terminated.is_null() && int(terminated, &["exitCode"]) == 0 {
            continue;
        }
        if stays && at(container, &["started"]).as_bool() == Some(true) {
            ready += usize::from(is_ready(container));
            continue;
        }
        let waiting = text(container, &["state", "waiting", "reason"]);
        status = if !terminated.is_null() {
            format!("Init:{}", ended(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", declared.len())
        };
        initializing = true;
        break;
    }

    let mut shown = init;
    if !initializing || condition(pod, "Initialized") {
        shown = sidecar;
        let mut running = false;
        for container in list(pod, &["status", "containerStatuses"]).iter().rev() {
            shown.add(container);
            let terminated = at(container, &["state", "terminated"]);
            let waiting = text(container, &["state", "waiting", "reason"]);
            if !waiting.is_empty() {
                waiting.clone_into(&mut status);
            } else if !terminated.is_null() {
                status = ended(terminated);
            } else if is_ready(container) && !at(container, &["state", "running"]).is_null() {
                running = true;
                ready += 1;
            }
        }
        // Some containers have done their work and others go on: the Pod is running.
        if status == "Completed" && running {
            let word = if condition(pod, "Ready") { "Running" } else { "NotReady" };
            word.clone_into(&mut status);
        }
    }

    if !at(pod, &["metadata", "deletionTimestamp"]).is_null() {
        if text(pod, &["status", "reason"]) == "NodeLost" {
            "Unknown".clone_into(&mut status);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut status);
        }
    }
    Summary { ready, total, status, restarts: shown.count, last_restart: shown.last }
}

fn is_ready(container: &Value) -> bool {
    at(container, &["ready"]).as_bool() == Some(true)
}

/// How a container ended: its reason, else signal or exit code.
fn ended(terminated: &Value) -> String {
    let signal = int(terminated, &["signal"]);
    match text(terminated, &["reason"]) {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", int(terminated, &["exitCode"])),
        reason => reason.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]
mod tests {
    use super::*;

    fn cells(pod: &Value) -> (String, String, String) {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let text = |v: Value| v.as_str().unwrap().to_owned();
        (text(ready(pod, now)), text(status(pod, now)), text(restarts(pod, now)))
    }

    fn pod(phase: &str, containers: Value) -> Value {
        let names: Vec<Value> = containers.as_array().unwrap().iter().map(|c| json!({"name": c["name"]})).collect();
        json!({"metadata": {"name": "p"}, "spec": {"containers": names}, "status": {"phase": phase, "containerStatuses": containers}})
    }

    fn is(pod: &Value, ready: &str, status: &str, restarts: &str) {
        assert_eq!(cells(pod), (ready.to_owned(), status.to_owned(), restarts.to_owned()));
    }

    #[test]
    fn running_waiting_and_ended() {
        let running = json!({"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}});
        is(&pod("Running", json!([running])), "1/1", "Running", "0");
        is(&pod("Pending", json!([{"name": "a", "state": {"waiting": {"reason": "ErrImagePull"}}}])), "0/1", "ErrImagePull", "0");
        let crashing = json!({"name": "a", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:55:00Z"}}});
        is(&pod("Running", json!([crashing])), "0/1", "CrashLoopBackOff", "3 (5m ago)");
        let done = json!({"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        is(&pod("Succeeded", json!([done])), "0/1", "Completed", "0");
        is(&pod("Failed", json!([{"name": "a", "state": {"terminated": {"exitCode": 3}}}])), "0/1", "ExitCode:3", "0");
        is(&pod("Failed", json!([{"name": "a", "state": {"terminated": {"exitCode": 137, "signal": 9}}}])), "0/1", "Signal:9", "0");
        is(&json!({"spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Pending"}}), "0/1", "Pending", "0");
    }

    #[test]
    fn some_done_and_some_running() {
        let mut mixed = pod(
            "Running",
            json!([
            {"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            {"name": "b", "ready": true, "state": {"running": {}}}]),
        );
        is(&mixed, "1/2", "NotReady", "0");
        mixed["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        is(&mixed, "1/2", "Running", "0");
    }

    #[test]
    fn init_containers() {
        let waiting = json!([{"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}]);
        let with = |inits: Value, statuses: Value| {
            let mut pod = pod("Pending", waiting.clone());
            pod["spec"]["initContainers"] = inits;
            pod["status"]["initContainerStatuses"] = statuses;
            pod
        };
        let two = json!([{"name": "i1"}, {"name": "i2"}]);
        is(&with(two.clone(), json!([{"name": "i1", "state": {"running": {}}}, {"name": "i2"}])), "0/1", "Init:0/2", "0");
        let first_done = json!({"name": "i1", "state": {"terminated": {"exitCode": 0}}});
        is(
            &with(two.clone(), json!([first_done, {"name": "i2", "state": {"waiting": {"reason": "PodInitializing"}}}])),
            "0/1",
            "Init:1/2",
            "0",
        );
        is(
            &with(
                two.clone(),
                json!([first_done, {"name": "i2", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
            ),
            "0/1",
            "Init:CrashLoopBackOff",
            "2",
        );
        is(
            &with(two.clone(), json!([{"name": "i1", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}])),
            "0/1",
            "Init:Error",
            "0",
        );
        is(&with(two.clone(), json!([{"name": "i1", "state": {"terminated": {"exitCode": 2}}}])), "0/1", "Init:ExitCode:2", "0");
        is(&with(two, json!([first_done, {"name": "i2", "state": {"terminated": {"exitCode": 0}}}])), "0/1", "PodInitializing", "0");
        // A started sidecar counts as a container and lets the others begin.
        let sidecar = with(
            json!([{"name": "s", "restartPolicy": "Always"}]),
            json!([{"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}}]),
        );
        is(&sidecar, "1/2", "PodInitializing", "1");
    }

    #[test]
    fn deletion_and_gates() {
        let running = json!([{"name": "a", "ready": true, "state": {"running": {}}}]);
        let mut ending = pod("Running", running);
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        is(&ending, "1/1", "Terminating", "0");
        ending["status"]["reason"] = json!("NodeLost");
        is(&ending, "1/1", "Unknown", "0");
        let gated = json!({"spec": {"containers": [{}], "readinessGates": [{"conditionType": "x"}]}, "status": {"phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}, {"type": "x", "status": "True"}]}});
        is(&gated, "0/1", "SchedulingGated", "0");
        assert_eq!(gates(&gated, Timestamp::UNIX_EPOCH), "1/1");
        assert_eq!(ip(&gated, Timestamp::UNIX_EPOCH), "<none>");
    }
}
