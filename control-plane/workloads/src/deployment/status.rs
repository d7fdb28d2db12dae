//! PURE: the status of a Deployment, as `kubectl rollout status` reads it: counts, and the conditions `Available`,
//! `Progressing` and `ReplicaFailure` with kube-controller-manager's reasons and words.
//!
//! `Progressing` is an account over time: its `lastUpdateTime` is when progress was seen last, and the deadline runs from there.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::rollout::Strategy;

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// What the new set was, when it became known just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// It was made.
    Created,
    /// It was there already, and no progress was accounted for yet.
    Found,
}

/// Whether, and for how long, progress is waited for.
fn deadline(deployment: &Deployment) -> Option<Duration> {
    let seconds = deployment.spec.progress_deadline_seconds.filter(|s| *s != i32::MAX)?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn condition_of<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|c| c.type_.as_deref() == Some(type_))
}

fn condition(type_: &str, state: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: Some(type_.to_owned()),
        status: Some(state.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// Sets a condition, unless one of the same state and reason is there.
fn set(status: &mut DeploymentStatus, mut new: DeploymentCondition) {
    if let Some(old) = condition_of(status, new.type_.as_deref().unwrap_or_default()) {
        if old.status == new.status && old.reason == new.reason {
            return;
        }
        if old.status == new.status {
            new.last_transition_time.clone_from(&old.last_transition_time);
        }
    }
    replace(status, new);
}

fn replace(status: &mut DeploymentStatus, new: DeploymentCondition) {
    unset(status, new.type_.as_deref().unwrap_or_default());
    status.conditions.get_or_insert_default().push(new);
}

fn unset(status: &mut DeploymentStatus, type_: &str) {
    status.conditions.iter_mut().for_each(|list| list.retain(|c| c.type_.as_deref() != Some(type_)));
}

/// The status with these sets; `new` is the one of the current template.
pub(super) fn status(
    deployment: &Deployment,
    sets: &[&ReplicaSet],
    new: Option<&ReplicaSet>,
    news: News,
    now: Timestamp,
) -> DeploymentStatus {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = counts(deployment, sets, new, &old);
    available(deployment, &mut status, now);
    if deadline(deployment).is_none() {
        unset(&mut status, PROGRESSING);
    } else if deployment.spec.paused == Some(true) {
        paused(&mut status, now);
    } else {
        resumed(&mut status, now);
        progress(deployment, &old, &mut status, new, news, now);
    }
    match sets.iter().find_map(|s| failure(s)) {
        Some(failure) => set(&mut status, failure),
        None => unset(&mut status, REPLICA_FAILURE),
    }
    status
}

fn counts(deployment: &Deployment, sets: &[&ReplicaSet], new: Option<&ReplicaSet>, old: &DeploymentStatus) -> DeploymentStatus {
    let sum = |f: fn(&ReplicaSet) -> i32| sets.iter().map(|s| f(s)).sum::<i32>();
    let some = |n: i32| (n != 0).then_some(n);
    let asked = sum(|s| s.spec.replicas.unwrap_or(1));
    let available = sum(|s| s.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0));
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(|s| s.status.as_ref().map_or(0, |s| s.replicas))),
        updated_replicas: new.and_then(|s| s.status.as_ref()).and_then(|s| some(s.replicas)),
        ready_replicas: some(sum(|s| s.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0))),
        available_replicas: some(available),
        unavailable_replicas: some((asked - available).max(0)),
        terminating_replicas: Some(sum(|s| s.status.as_ref().and_then(|s| s.terminating_replicas).unwrap_or(0))),
        collision_count: old.collision_count,
        conditions: old.conditions.clone(),
    }
}

fn available(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let least = wanted - Strategy::of(&deployment.spec).unavailable(wanted);
    let enough = status.available_replicas.unwrap_or(0) >= least;
    let new = if enough {
        condition(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned(), now)
    } else {
        condition(AVAILABLE, "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.".to_owned(), now)
    };
    set(status, new);
}

/// What has run out of time stays so; else a pause stops the clock.
fn paused(status: &mut DeploymentStatus, now: Timestamp) {
    if condition_of(status, PROGRESSING).is_none_or(|c| c.reason.as_deref() != Some(TIMED_OUT)) {
        set(status, condition(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".to_owned(), now));
    }
}

fn resumed(status: &mut DeploymentStatus, now: Timestamp) {
    if condition_of(status, PROGRESSING).is_some_and(|c| c.reason.as_deref() == Some(PAUSED)) {
        set(status, condition(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".to_owned(), now));
    }
}

fn progress(
    deployment: &Deployment,
    old: &DeploymentStatus,
    status: &mut DeploymentStatus,
    new: Option<&ReplicaSet>,
    news: News,
    now: Timestamp,
) {
    let name = new.map(ResourceExt::name_any);
    match (news, &name) {
        (News::Created, Some(name)) => {
            let message = format!("Created new replica set {name:?}");
            return set(status, condition(PROGRESSING, "True", "NewReplicaSetCreated", message, now));
        }
        (News::Found, Some(name)) => {
            let message = format!("Found new replica set {name:?}");
            set(status, condition(PROGRESSING, "True", "FoundNewReplicaSet", message, now));
        }
        _ => {}
    }
    let subject = name.map_or_else(|| format!("Deployment {:?}", deployment.name_any()), |name| format!("ReplicaSet {name:?}"));
    let was = condition_of(old, PROGRESSING);
    // What was complete stays so until the template changes, whatever becomes of its Pods.
    if status.replicas == status.updated_replicas && was.is_some_and(|c| c.reason.as_deref() == Some(COMPLETE)) {
        return;
    }
    if complete(deployment, status) {
        set(status, condition(PROGRESSING, "True", COMPLETE, format!("{subject} has successfully progressed."), now));
    } else if advanced(old, status) {
        let mut new = condition(PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."), now);
        if let Some(was) = was.filter(|was| was.status.as_deref() == Some("True")) {
            new.last_transition_time.clone_from(&was.last_transition_time);
        }
        replace(status, new);
    } else if timed_out(deployment, status, now) {
        set(status, condition(PROGRESSING, "False", TIMED_OUT, format!("{subject} has timed out progressing."), now));
    }
}

/// Whether more Pods are new, ready or available than before, or fewer are old.
fn advanced(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |count: Option<i32>| count.unwrap_or(0);
    let of_old_sets = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || of_old_sets(new) < of_old_sets(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

fn timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let Some(condition) = condition_of(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(COMPLETE) => false,
        Some(TIMED_OUT) => true,
        _ => left(deployment, condition, now).is_some_and(|left| left.is_zero()),
    }
}

/// How much of the deadline is left.
fn left(deployment: &Deployment, condition: &DeploymentCondition, now: Timestamp) -> Option<Duration> {
    let since = condition.last_update_time.as_ref()?.0;
    let gone = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
    Some(deadline(deployment)?.saturating_sub(gone))
}

/// When this status, written, is worth another look though nothing changes: its deadline.
pub(super) fn recheck(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Option<Duration> {
    let condition = condition_of(status, PROGRESSING)?;
    if deployment.spec.paused == Some(true) || matches!(condition.reason.as_deref(), Some(COMPLETE | TIMED_OUT)) {
        return None;
    }
    // Stamps have whole seconds.
    left(deployment, condition, now).map(|left| left + Duration::from_secs(1))
}

/// Whether everything that runs is of the current template, and all of it.
pub(super) fn complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = Some(deployment.spec.replicas.unwrap_or(1)).filter(|n| *n != 0);
    [status.updated_replicas, status.replicas, status.available_replicas].iter().all(|n| *n == wanted)
}

/// Whether `Progressing` says nothing yet.
pub(super) fn unaccounted(deployment: &Deployment) -> bool {
    deadline(deployment).is_some() && deployment.status.as_ref().is_none_or(|s| condition_of(s, PROGRESSING).is_none())
}

/// What a set says of Pods that it could not make.
fn failure(set: &ReplicaSet) -> Option<DeploymentCondition> {
    let failed = set.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_.as_deref() == Some(REPLICA_FAILURE))?;
    Some(DeploymentCondition {
        type_: Some(REPLICA_FAILURE.to_owned()),
        status: failed.status.clone(),
        reason: failed.reason.clone(),
        message: failed.message.clone(),
        last_update_time: failed.last_transition_time.clone(),
        last_transition_time: failed.last_transition_time.clone(),
    })
}

/// What becomes known by a failed creation of the new set.
pub(super) fn not_created(deployment: &Deployment, name: &str, why: &str, now: Timestamp) -> DeploymentStatus {
    let mut status = deployment.status.clone().unwrap_or_default();
    let message = format!("Failed to create new replica set {name:?}: {why}");
    set(&mut status, condition(PROGRESSING, "False", "ReplicaSetCreateError", message, now));
    status
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(more: Value, status: Option<&DeploymentStatus>) -> Deployment {
        let mut spec = json!({"replicas": 2, "progressDeadlineSeconds": 8, "selector": {}, "template": {}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "d", "generation": 3}, "spec": spec, "status": status})).unwrap()
    }

    fn sets(replicas: i32, available: i32) -> ReplicaSet {
        let status = json!({"replicas": replicas, "readyReplicas": available, "availableReplicas": available});
        serde_json::from_value(json!({"metadata": {"name": "d-1"}, "spec": {"replicas": 2, "selector": {}}, "status": status})).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn said(status: &DeploymentStatus, type_: &str) -> String {
        let c = condition_of(status, type_).unwrap();
        let moment = |t: &Option<Time>| t.as_ref().unwrap().0.as_second();
        let (update, transition) = (moment(&c.last_update_time), moment(&c.last_transition_time));
        format!("{}/{} {update}/{transition} {}", c.status.as_deref().unwrap(), c.reason.as_deref().unwrap(), c.message.as_deref().unwrap())
    }

    /// One status after the other of a Deployment of one set.
    fn step(old: Option<&DeploymentStatus>, more: Value, set: &ReplicaSet, news: News, second: i64) -> DeploymentStatus {
        status(&deployment(more, old), &[set], Some(set), news, at(second))
    }

    #[test]
    fn a_rollout_that_gets_on_and_ends() {
        let s = step(None, json!({}), &sets(0, 0), News::Created, 10);
        assert_eq!(said(&s, PROGRESSING), "True/NewReplicaSetCreated 10/10 Created new replica set \"d-1\"");
        assert_eq!(said(&s, AVAILABLE), "False/MinimumReplicasUnavailable 10/10 Deployment does not have minimum availability.");
        let s = step(Some(&s), json!({}), &sets(2, 0), News::None, 11);
        assert_eq!(said(&s, PROGRESSING), "True/ReplicaSetUpdated 11/10 ReplicaSet \"d-1\" is progressing.");
        let s = step(Some(&s), json!({}), &sets(2, 1), News::None, 15);
        assert_eq!(said(&s, PROGRESSING), "True/ReplicaSetUpdated 15/10 ReplicaSet \"d-1\" is progressing.");
        let s = step(Some(&s), json!({}), &sets(2, 2), News::None, 16);
        assert_eq!(said(&s, PROGRESSING), "True/NewReplicaSetAvailable 16/10 ReplicaSet \"d-1\" has successfully progressed.");
        assert_eq!((s.unavailable_replicas, s.observed_generation), (None, Some(3)));
        // A Pod that fails later is no roll-out.
        let s = step(Some(&s), json!({}), &sets(2, 1), News::None, 400);
        assert!(said(&s, PROGRESSING).starts_with("True/NewReplicaSetAvailable"));
        assert_eq!(recheck(&deployment(json!({}), None), &s, at(400)), None);
    }

    #[test]
    fn the_deadline_runs_from_the_last_progress() {
        let s = step(None, json!({}), &sets(0, 0), News::Created, 10);
        let s = step(Some(&s), json!({}), &sets(2, 0), News::None, 11);
        assert_eq!(recheck(&deployment(json!({}), None), &s, at(12)), Some(Duration::from_secs(8)));
        let s = step(Some(&s), json!({}), &sets(2, 0), News::None, 18);
        assert!(said(&s, PROGRESSING).starts_with("True/ReplicaSetUpdated 11"));
        let s = step(Some(&s), json!({}), &sets(2, 0), News::None, 19);
        assert_eq!(said(&s, PROGRESSING), "False/ProgressDeadlineExceeded 19/19 ReplicaSet \"d-1\" has timed out progressing.");
        // A pause does not hide it; progress does.
        let paused = step(Some(&s), json!({"paused": true}), &sets(2, 0), News::None, 20);
        assert!(said(&paused, PROGRESSING).starts_with("False/ProgressDeadlineExceeded 19"));
        let s = step(Some(&s), json!({}), &sets(2, 2), News::None, 30);
        assert!(said(&s, PROGRESSING).starts_with("True/NewReplicaSetAvailable 30/30"));
    }

    #[test]
    fn a_pause_is_unknown_and_stops_the_clock() {
        let s = step(None, json!({}), &sets(2, 0), News::Found, 10);
        let s = step(Some(&s), json!({"paused": true}), &sets(2, 0), News::None, 11);
        assert_eq!(said(&s, PROGRESSING), "Unknown/DeploymentPaused 11/11 Deployment is paused");
        assert_eq!(recheck(&deployment(json!({"paused": true}), None), &s, at(11)), None);
        let s = step(Some(&s), json!({}), &sets(2, 0), News::None, 100);
        assert_eq!(said(&s, PROGRESSING), "Unknown/DeploymentResumed 100/11 Deployment is resumed");
    }

    #[test]
    fn without_a_deadline_nothing_is_accounted_for() {
        let s = step(None, json!({"progressDeadlineSeconds": i32::MAX}), &sets(2, 0), News::Created, 10);
        assert!(condition_of(&s, PROGRESSING).is_none());
        assert!(!unaccounted(&deployment(json!({"progressDeadlineSeconds": null}), None)));
    }

    #[test]
    fn recreate_needs_all_of_its_pods() {
        let more = json!({"strategy": {"type": "Recreate"}});
        assert!(said(&step(None, more.clone(), &sets(2, 1), News::None, 1), AVAILABLE).starts_with("False"));
        assert!(said(&step(None, more, &sets(2, 2), News::None, 1), AVAILABLE).starts_with("True"));
    }
}
