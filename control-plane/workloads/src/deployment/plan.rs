//! PURE: what must happen so that a Deployment gets on, as kube-controller-manager decides it.
//!
//! One ReplicaSet per template: the one that runs the present template (the hash label left out) is *new*, whoever made it and
//! when. It carries the greatest revision; one that is used again gets the next number and remembers its earlier ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt;
use serde_json::Value;

use super::rollout::{self, SetFacts, Strategy};
use super::status::{self, News};

/// The label by which Pods of one template are told from those of others.
pub(super) const HASH: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of a Deployment that say nothing of its sets.
const OWN: [&str; 6] =
    ["kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MOST, "deprecated.deployment.rollback.to"];
/// Longest history of revisions kept on a set, in bytes.
const HISTORY_MAX: usize = 2_000;

/// Annotations to write; `None`: to take away.
pub(super) type Notes = BTreeMap<String, Option<String>>;

/// A set to make.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Make {
    pub(super) replicas: i32,
    pub(super) notes: Notes,
}

/// A set to change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Adjust {
    pub(super) name: String,
    pub(super) notes: Notes,
    /// From and to.
    pub(super) replicas: Option<(i32, i32)>,
    pub(super) min_ready: Option<i32>,
}

/// What must happen.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) make: Option<Make>,
    pub(super) adjust: Vec<Adjust>,
    /// Sets of the history that is not kept.
    pub(super) drop: Vec<String>,
    pub(super) status: DeploymentStatus,
    /// The Deployment's own annotation.
    pub(super) revision: Option<String>,
    pub(super) recheck: Option<Duration>,
}

/// Decides for one Deployment. `sets` are those it controls, oldest first.
pub(super) fn plan(deployment: &Deployment, sets: &[Arc<ReplicaSet>], now: Timestamp) -> Plan {
    let spec = &deployment.spec;
    let (wanted, strategy, paused) = (spec.replicas.unwrap_or(1), Strategy::of(spec), spec.paused == Some(true));
    let deleting = deployment.metadata.deletion_timestamp.is_some();
    let template = template_value(&spec.template);
    let new = sets.iter().find(|s| s.spec.template.as_ref().is_some_and(|t| template_value(t) == template));
    let is_new = |set: &ReplicaSet| new.is_some_and(|new| new.metadata.uid == set.metadata.uid);
    let next = sets.iter().filter(|s| !is_new(s)).map(|s| revision(s)).max().unwrap_or(0) + 1;
    let all: Vec<&ReplicaSet> = sets.iter().map(AsRef::as_ref).collect();
    let account = |news| status::status(deployment, &all, new.map(AsRef::as_ref), news, now);
    let news = if new.is_some() && !paused && status::unaccounted(deployment) { News::Found } else { News::None };
    let status = account(news);
    let recheck = status::recheck(deployment, &status, now);
    let mut plan = Plan { make: None, adjust: Vec::new(), drop: Vec::new(), status, revision: None, recheck };
    if deleting {
        plan.recheck = None;
        return plan;
    }
    let mut adjust: BTreeMap<String, Adjust> = BTreeMap::new();
    let mut of = |set: &ReplicaSet, change: &mut dyn FnMut(&mut Adjust)| {
        let name = set.name_any();
        change(adjust.entry(name.clone()).or_insert(Adjust { name, notes: Notes::new(), replicas: None, min_ready: None }));
    };
    if let Some(set) = new {
        let notes = notes(deployment, Some(set), next);
        plan.revision = notes.get(REVISION).cloned().flatten().or_else(|| set.annotations().get(REVISION).cloned());
        if !notes.is_empty() {
            of(set, &mut |a| a.notes.extend(notes.clone()));
        }
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        if set.spec.min_ready_seconds.unwrap_or(0) != min_ready {
            of(set, &mut |a| a.min_ready = Some(min_ready));
        }
    }
    let facts: Vec<SetFacts> = sets.iter().map(|s| facts(s, is_new(s))).collect();
    let known = deployment.status.as_ref().and_then(|s| s.replicas).unwrap_or(0);
    let scaling = paused || rollout::was_scaled(wanted, &facts);
    let wish = if scaling { rollout::scale(wanted, strategy, &facts, known) } else { rollout::rollout(wanted, strategy, &facts) };
    let totals = [(DESIRED, wanted), (MOST, wanted.saturating_add(strategy.surge()))];
    for (set, facts) in sets.iter().zip(&facts) {
        let Some(replicas) = wish.get(&facts.name) else { continue };
        let stale = totals.iter().filter(|(key, n)| set.annotations().get(*key) != Some(&n.to_string()));
        let stale: Notes = stale.map(|(key, n)| ((*key).to_owned(), Some(n.to_string()))).collect();
        if *replicas != facts.wanted || !stale.is_empty() {
            of(set, &mut |a| {
                a.notes.extend(stale.clone());
                a.replicas = (*replicas != facts.wanted).then_some((facts.wanted, *replicas));
            });
        }
    }
    plan.adjust = adjust.into_values().collect();
    if new.is_none() && !scaling && wish.is_empty() {
        plan.make = rollout::first_replicas(wanted, strategy, &facts).map(|replicas| {
            let mut notes = notes(deployment, None, next);
            notes.extend(totals.map(|(key, n)| (key.to_owned(), Some(n.to_string()))));
            Make { replicas, notes }
        });
    }
    if paused || status::complete(deployment, &plan.status) {
        plan.drop = history(deployment, sets.iter().filter(|s| !is_new(s)));
    }
    plan
}

/// The annotations that the new set lacks: those of the Deployment, and its revision.
fn notes(deployment: &Deployment, set: Option<&Arc<ReplicaSet>>, next: i64) -> Notes {
    let had = |key: &str| set.and_then(|s| s.annotations().get(key));
    let copied = deployment.annotations().iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
    let mut notes: Notes = copied.filter(|(key, value)| had(key) != Some(value)).map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
    let old = had(REVISION).and_then(|r| r.parse::<i64>().ok());
    // Sets that are gone may have had greater ones: a revision never goes back.
    if old.is_none_or(|old| old < next) {
        notes.insert(REVISION.to_owned(), Some(next.to_string()));
        if let Some(old) = old.filter(|old| *old > 0) {
            let mut history: Vec<String> = had(HISTORY).into_iter().flat_map(|h| h.split(',')).map(str::to_owned).collect();
            history.push(old.to_string());
            while history.len() > 1 && history.join(",").len() > HISTORY_MAX {
                history.remove(0);
            }
            notes.insert(HISTORY.to_owned(), Some(history.join(",")));
        }
    }
    notes
}

/// Idle old sets beyond `revisionHistoryLimit`, oldest revision first.
fn history<'a>(deployment: &Deployment, old: impl Iterator<Item = &'a Arc<ReplicaSet>>) -> Vec<String> {
    let keep = usize::try_from(deployment.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
    let mut old: Vec<&Arc<ReplicaSet>> = old.filter(|s| s.metadata.deletion_timestamp.is_none()).collect();
    old.sort_by_key(|s| revision(s));
    let idle = |s: &ReplicaSet| {
        let status = s.status.as_ref();
        let seen = status.and_then(|s| s.observed_generation) >= s.metadata.generation;
        s.spec.replicas == Some(0) && status.is_none_or(|s| s.replicas == 0) && seen
    };
    let surplus = old.len().saturating_sub(keep);
    old.into_iter().take(surplus).filter(|s| idle(s)).map(|s| s.name_any()).collect()
}

/// A template as a value to compare: without the hash label.
pub(super) fn template_value(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    value
}

fn number(set: &ReplicaSet, key: &str) -> Option<i32> {
    set.annotations().get(key).and_then(|n| n.parse().ok())
}

fn revision(set: &ReplicaSet) -> i64 {
    set.annotations().get(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

fn facts(set: &ReplicaSet, new: bool) -> SetFacts {
    let status = set.status.as_ref();
    SetFacts {
        name: set.name_any(),
        wanted: set.spec.replicas.unwrap_or(1),
        actual: status.map_or(0, |s| s.replicas + s.terminating_replicas.unwrap_or(0)),
        available: status.and_then(|s| s.available_replicas).unwrap_or(0),
        new,
        desired: number(set, DESIRED),
        most: number(set, MOST),
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it")]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(version: &str, more: Value) -> Deployment {
        let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": version}]}});
        let mut spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": template});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let annotations = json!({"kubernetes.io/change-cause": version, "kubectl.kubernetes.io/last-applied-configuration": "{}"});
        serde_json::from_value(json!({"metadata": {"name": "d", "annotations": annotations}, "spec": spec})).unwrap()
    }

    /// A set of a template, all of whose Pods are available.
    fn set(version: &str, replicas: i32, notes: Value) -> Arc<ReplicaSet> {
        let template =
            json!({"metadata": {"labels": {"app": "x", HASH: version}}, "spec": {"containers": [{"name": "c", "image": version}]}});
        let status = json!({"replicas": replicas, "availableReplicas": replicas, "readyReplicas": replicas});
        let mut annotations = json!({"kubernetes.io/change-cause": version, DESIRED: "2", MOST: "3"});
        annotations.as_object_mut().unwrap().extend(notes.as_object().unwrap().clone());
        let set = json!({"metadata": {"name": format!("d-{version}"), "uid": version, "annotations": annotations},
            "spec": {"replicas": replicas, "selector": {}, "template": template}, "status": status});
        Arc::new(serde_json::from_value(set).unwrap())
    }

    fn decide(deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> Plan {
        plan(deployment, sets, Timestamp::UNIX_EPOCH)
    }

    fn note<'a>(notes: &'a Notes, key: &str) -> Option<&'a str> {
        notes.get(key).and_then(|v| v.as_deref())
    }

    #[test]
    fn a_first_set_is_made_with_everything_it_may_have() {
        let make = decide(&deployment("1", json!({})), &[]).make.unwrap();
        assert_eq!(
            (make.replicas, note(&make.notes, REVISION), note(&make.notes, DESIRED), note(&make.notes, MOST)),
            (2, Some("1"), Some("2"), Some("3"))
        );
        assert_eq!(note(&make.notes, "kubernetes.io/change-cause"), Some("1"));
        assert_eq!(make.notes.len(), 4, "the last applied configuration is the Deployment's own");
        let plan = decide(&deployment("1", json!({"paused": true})), &[]);
        assert!(plan.make.is_none(), "a paused one rolls nothing out");
    }

    #[test]
    fn a_template_that_was_before_takes_its_set_again_with_the_next_revision() {
        let sets = [set("1", 0, json!({REVISION: "1"})), set("2", 2, json!({REVISION: "2"}))];
        let plan = decide(&deployment("1", json!({})), &sets);
        assert_eq!(plan.revision.as_deref(), Some("3"));
        let first = &plan.adjust[0];
        assert_eq!((first.name.as_str(), note(&first.notes, REVISION), note(&first.notes, HISTORY)), ("d-1", Some("3"), Some("1")));
        assert_eq!(first.replicas, Some((0, 1)), "it is scaled up in the same step");
        // Back to the second: its number is behind again.
        let sets = [set("1", 2, json!({REVISION: "3", HISTORY: "1"})), set("2", 0, json!({REVISION: "2"}))];
        let plan = decide(&deployment("2", json!({})), &sets);
        assert_eq!((plan.revision.as_deref(), note(&plan.adjust[0].notes, HISTORY)), (Some("4"), Some("2")));
    }

    #[test]
    fn annotations_and_min_ready_reach_the_set_without_a_rollout() {
        let sets = [set("1", 2, json!({REVISION: "1", "kubernetes.io/change-cause": "old"}))];
        let plan = decide(&deployment("1", json!({"minReadySeconds": 5})), &sets);
        assert_eq!(plan.adjust.len(), 1);
        let adjust = &plan.adjust[0];
        assert_eq!((adjust.min_ready, adjust.replicas, note(&adjust.notes, "kubernetes.io/change-cause")), (Some(5), None, Some("1")));
        assert_eq!(note(&adjust.notes, REVISION), None);
        assert!(decide(&deployment("1", json!({})), &[set("1", 2, json!({REVISION: "1"}))]).adjust.is_empty());
    }

    #[test]
    fn a_paused_one_is_scaled_and_keeps_its_template() {
        let sets = [set("1", 2, json!({REVISION: "1"}))];
        let plan = decide(&deployment("2", json!({"paused": true, "replicas": 5})), &sets);
        assert!(plan.make.is_none());
        assert_eq!((plan.adjust[0].replicas, note(&plan.adjust[0].notes, DESIRED), plan.revision), (Some((2, 5)), Some("5"), None));
    }

    #[test]
    fn history_goes_oldest_revision_first_when_a_rollout_is_through() {
        let old = |version: &str, revision: &str| set(version, 0, json!({REVISION: revision}));
        let sets = [old("1", "4"), old("2", "2"), old("3", "3"), set("4", 2, json!({REVISION: "5"}))];
        let limited = deployment("4", json!({"revisionHistoryLimit": 1}));
        assert_eq!(decide(&limited, &sets).drop, ["d-2", "d-3"]);
        let under_way = [old("1", "4"), old("2", "2"), set("4", 1, json!({REVISION: "5"}))];
        assert!(decide(&limited, &under_way).drop.is_empty());
    }
}
