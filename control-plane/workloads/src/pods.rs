//! What set controllers need to know of a Pod.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

/// The extract of a Pod that is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PodFacts {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub labels: BTreeMap<String, String>,
    /// The controlling owner.
    pub controller: Option<OwnerReference>,
    pub node: Option<String>,
    pub phase: Phase,
    /// Since when the Pod is ready, if it is.
    pub ready_since: Option<Timestamp>,
    pub created: Option<Timestamp>,
    pub restarts: i32,
    pub deletion_cost: i32,
    pub deleting: bool,
}

/// A Pod's phase, in the order in which a set prefers to delete Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Pending,
    Unknown,
    Running,
    Succeeded,
    Failed,
}

impl PodFacts {
    pub(crate) fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let ready = status
            .and_then(|s| s.conditions.as_ref())
            .and_then(|c| c.iter().find(|c| c.type_ == "Ready" && c.status == "True"))
            .map(|c| c.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0));
        Self {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            labels: pod.labels().clone(),
            controller: pod.owner_references().iter().find(|o| o.controller == Some(true)).cloned(),
            node: pod.spec.as_ref().and_then(|s| s.node_name.clone()).filter(|n| !n.is_empty()),
            phase: match status.and_then(|s| s.phase.as_deref()) {
                Some("Running") => Phase::Running,
                Some("Succeeded") => Phase::Succeeded,
                Some("Failed") => Phase::Failed,
                Some("Unknown") => Phase::Unknown,
                _ => Phase::Pending,
            },
            ready_since: ready,
            created: pod.creation_timestamp().map(|t| t.0),
            restarts: status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten().map(|c| c.restart_count).sum(),
            deletion_cost: pod.annotations().get("controller.kubernetes.io/pod-deletion-cost").and_then(|c| c.parse().ok()).unwrap_or(0),
            deleting: pod.metadata.deletion_timestamp.is_some(),
        }
    }

    /// Neither finished nor being deleted.
    pub(crate) fn active(&self) -> bool {
        !self.deleting && !self.finished()
    }

    /// Succeeded or failed.
    pub(crate) fn finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Ready for at least `min_ready` seconds; else when it will be, if it is ready at all.
    pub(crate) fn available(&self, min_ready: i32, now: Timestamp) -> Availability {
        let Some(since) = self.ready_since else { return Availability::No };
        let left = i64::from(min_ready) - now.duration_since(since).as_secs();
        if min_ready == 0 || left <= 0 { Availability::Yes } else { Availability::In(left) }
    }

    /// Smaller goes first when a set must shrink; `mates` counts the set's active Pods per node.
    pub(crate) fn deletion_rank(&self, mates: &HashMap<&str, usize>) -> impl Ord + use<> {
        (
            self.node.is_some(),
            self.phase,
            self.ready_since.is_some(),
            self.deletion_cost,
            Reverse(self.node.as_deref().and_then(|n| mates.get(n).copied()).unwrap_or(0)),
            Reverse(self.ready_since),
            Reverse(self.restarts),
            Reverse(self.created),
            self.name.clone(),
        )
    }
}

/// Whether a Pod counts as available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Yes,
    No,
    /// After so many seconds, if it stays ready.
    In(i64),
}
