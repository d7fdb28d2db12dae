//! PURE: what must happen so that a set has what it asks for.

use std::collections::HashMap;
use std::time::Duration;

use dormouse_machinery::selector::Selector;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;
use serde_json::json;

use crate::pods::{Availability, PodFacts};

/// Pods made or deleted at once by one pass; the rest follows in the next.
const BURST: usize = 500;

/// What must happen so that a set has what it asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Pods to make.
    pub create: usize,
    /// Pods to delete: name and UID.
    pub delete: Vec<(String, String)>,
    /// Pods without a controller that match: name and UID.
    pub adopt: Vec<(String, String)>,
    /// Pods of ours that match no longer: name and UID.
    pub release: Vec<(String, String)>,
    /// `status` as it is to be.
    pub status: SetStatus,
    /// When time alone changes something: a ready Pod becomes available, Pods may be made again.
    pub recheck: Option<Duration>,
}

/// The counts of a set's status.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct SetStatus {
    pub replicas: i32,
    pub fully_labeled: i32,
    pub ready: i32,
    pub available: i32,
    pub terminating: i32,
}

/// Decides for one set. `pods` are those of its namespace; for the time of `wait` it makes none.
pub(super) fn plan<'a>(
    set: &ReplicaSet,
    selector: &Selector,
    pods: impl Iterator<Item = &'a PodFacts>,
    wait: Option<Duration>,
    now: Timestamp,
) -> Plan {
    let uid = set.uid().unwrap_or_default();
    let deleting = set.metadata.deletion_timestamp.is_some();
    let spec = &set.spec;
    let template = spec.template.as_ref().and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.as_ref());
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let mut plan = Plan::default();
    let mut mine = Vec::new();
    for pod in pods {
        let matches = selector.matches(&pod.labels);
        match &pod.controller {
            Some(owner) if owner.uid != uid => continue,
            Some(_) if !matches => {
                if !pod.deleting {
                    plan.release.push((pod.name.clone(), pod.uid.clone()));
                }
                continue;
            }
            None if matches && pod.active() && !deleting => plan.adopt.push((pod.name.clone(), pod.uid.clone())),
            None => continue,
            Some(_) => {}
        }
        if pod.deleting {
            plan.status.terminating += 1;
        }
        if pod.active() {
            mine.push(pod);
        }
    }
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let labeled = |p: &&&PodFacts| template.is_none_or(|t| t.iter().all(|(k, v)| p.labels.get(k) == Some(v)));
    plan.status.replicas = count(mine.len());
    plan.status.fully_labeled = count(mine.iter().filter(labeled).count());
    plan.status.ready = count(mine.iter().filter(|p| p.ready_since.is_some()).count());
    for pod in &mine {
        match pod.available(min_ready, now) {
            Availability::Yes => plan.status.available += 1,
            Availability::In(left) => {
                let left = Duration::from_secs(u64::try_from(left).unwrap_or(1).max(1));
                plan.recheck = Some(plan.recheck.map_or(left, |sooner| sooner.min(left)));
            }
            Availability::No => {}
        }
    }
    if deleting {
        return plan;
    }
    let want = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    if mine.len() < want {
        match wait {
            None => plan.create = (want - mine.len()).min(BURST),
            Some(wait) => plan.recheck = Some(plan.recheck.map_or(wait, |sooner| sooner.min(wait))),
        }
    } else if mine.len() > want {
        let mut mates: HashMap<&str, usize> = HashMap::new();
        for node in mine.iter().filter_map(|p| p.node.as_deref()) {
            *mates.entry(node).or_default() += 1;
        }
        let excess = mine.len() - want;
        mine.sort_by_cached_key(|p| p.deletion_rank(&mates));
        plan.delete = mine.iter().take(excess.min(BURST)).map(|p| (p.name.clone(), p.uid.clone())).collect();
    }
    plan
}

/// The selector of a set.
///
/// # Errors
/// When it cannot be used.
pub(super) fn selector(set: &ReplicaSet) -> Result<Selector, String> {
    Selector::from_label_selector(&json!(set.spec.selector)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::Phase;

    fn set(replicas: i32) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "n", "uid": "u"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x", "v": "1"}}}},
        }))
        .unwrap()
    }

    fn pod(name: &str, owner: Option<&str>, app: &str) -> PodFacts {
        let mut p = PodFacts::of(
            &serde_json::from_value(
                json!({"metadata": {"name": name, "namespace": "n", "uid": format!("u-{name}"), "labels": {"app": app}}}),
            )
            .unwrap(),
        );
        p.controller =
            owner.map(|uid| k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference { uid: uid.into(), ..Default::default() });
        p
    }

    fn decide(set: &ReplicaSet, pods: &[PodFacts]) -> Plan {
        plan(set, &selector(set).unwrap(), pods.iter(), None, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn missing_pods_are_made_and_finished_ones_do_not_count() {
        let mut done = pod("d", Some("u"), "x");
        done.phase = Phase::Failed;
        let p = decide(&set(3), &[pod("a", Some("u"), "x"), done, pod("other", Some("v"), "x")]);
        assert_eq!((p.create, p.status.replicas), (2, 1));
    }

    #[test]
    fn while_a_set_waits_it_makes_nothing_and_looks_again() {
        let wait = Some(Duration::from_millis(700));
        let (set, pods) = (set(3), [pod("a", Some("u"), "x")]);
        let p = plan(&set, &selector(&set).unwrap(), pods.iter(), wait, Timestamp::UNIX_EPOCH);
        assert_eq!((p.create, p.recheck), (0, wait));
    }

    #[test]
    fn the_least_useful_pods_go_first() {
        let mut ready = pod("ready", Some("u"), "x");
        ready.node = Some("n1".into());
        ready.phase = Phase::Running;
        ready.ready_since = Some(Timestamp::UNIX_EPOCH);
        let mut running = ready.clone();
        (running.name, running.uid, running.ready_since) = ("running".into(), "u-running".into(), None);
        let p = decide(&set(1), &[ready, running, pod("waiting", Some("u"), "x")]);
        assert_eq!(p.delete.iter().map(|d| d.0.as_str()).collect::<Vec<_>>(), ["waiting", "running"]);
        assert_eq!((p.status.ready, p.status.available), (1, 1));
    }

    #[test]
    fn orphans_that_match_are_adopted_and_strays_released() {
        let p = decide(&set(1), &[pod("orphan", None, "x"), pod("stray", Some("u"), "y")]);
        assert_eq!((p.adopt.len(), p.release.len(), p.create), (1, 1, 0));
        assert_eq!(p.status.fully_labeled, 0);
    }

    #[test]
    fn a_set_being_deleted_makes_nothing() {
        let mut s = set(3);
        s.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        assert_eq!(decide(&s, &[]).create, 0);
    }
}
