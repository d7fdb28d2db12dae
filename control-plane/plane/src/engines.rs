//! Engines that hold GPU memory beside the device ledger: a real one knows nothing of it.
//!
//! Who knows of them says so in [`Engine`]s; here those are left out that the ledger has, and Pods are found that were given
//! GPUs and whose engines nobody speaks for.

use dormouse_devices::{LeaseSnapshot, LeaseState};
use dormouse_names::annotation::POD_GPUS;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Serialize;

/// What the memory of such an engine is, for people.
pub(crate) const UNKNOWN: &str = "unknown";

/// An engine that somebody tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// The node that it is on.
    #[serde(skip)]
    pub node: String,
    /// UUIDs of its GPUs.
    #[serde(skip)]
    pub gpus: Vec<String>,
    /// The Pod that it runs in.
    pub pod: String,
    /// Its UID.
    pub pod_uid: String,
    /// What people call it.
    pub name: String,
    /// What it does.
    pub state: LeaseState,
}

impl Engine {
    /// The program of a running Pod that was given GPUs; `None` for any other Pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Option<Self> {
        let running = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
        let gpus = pod.annotations().get(POD_GPUS).filter(|_| running)?;
        Some(Self {
            node: pod.spec.as_ref()?.node_name.clone()?,
            gpus: gpus.split(',').map(str::to_owned).collect(),
            pod: pod.name_any(),
            pod_uid: pod.uid()?,
            name: pod.name_any(),
            state: LeaseState::Awake,
        })
    }

    fn is_known(&self, lease: &LeaseSnapshot) -> bool {
        let who = &lease.owner.identity;
        match &who.pod_uid {
            Some(uid) => *uid == self.pod_uid,
            None => who.pod.as_ref() == Some(&self.pod),
        }
    }
}

/// Those on a GPU of which its ledger knows nothing.
pub(crate) fn beyond<'a>(engines: &'a [Engine], node: &str, gpu: &str, leases: &[LeaseSnapshot]) -> Vec<&'a Engine> {
    let there = engines.iter().filter(|e| e.node == node && e.gpus.iter().any(|g| g == gpu));
    there.filter(|e| !leases.iter().any(|lease| e.is_known(lease))).collect()
}

/// How much memory is used, with what cannot be known.
pub(crate) fn memory(used: u64, total: u64, unknown: usize) -> String {
    use dormouse_runtime::output::table::bytes;
    let used = match (used, unknown) {
        (_, 0) => bytes(used),
        (0, _) => UNKNOWN.to_owned(),
        _ => format!("{} and {UNKNOWN}", bytes(used)),
    };
    format!("{used} of {}", bytes(total))
}

#[cfg(test)]
mod tests {
    use dormouse_devices::{Identity, LeaseId, Owner};
    use serde_json::json;

    use super::*;

    fn lease(pod: &str, uid: Option<&str>) -> LeaseSnapshot {
        let identity = Identity { pod: Some(pod.to_owned()), pod_uid: uid.map(str::to_owned), program: "sim".to_owned() };
        LeaseSnapshot {
            id: LeaseId(1),
            owner: Owner { identity, pid: None, connection: 1 },
            bytes: 1,
            label: "l".to_owned(),
            model: None,
            state: LeaseState::Awake,
        }
    }

    fn pod(phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u", "annotations": {POD_GPUS: "GPU-0,GPU-1"}},
            "spec": {"nodeName": "n", "containers": []}, "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn an_engine_without_a_lease_is_beyond_the_ledger() {
        let engines = [Engine::of(&pod("Running")).unwrap()];
        assert_eq!(beyond(&engines, "n", "GPU-1", &[]).len(), 1);
        assert_eq!(beyond(&engines, "n", "GPU-1", &[lease("other", Some("v")), lease("p", Some("v"))]).len(), 1);
        assert!(beyond(&engines, "n", "GPU-1", &[lease("p", Some("u"))]).is_empty());
        assert!(beyond(&engines, "n", "GPU-1", &[lease("p", None)]).is_empty());
        assert!(beyond(&engines, "n", "GPU-2", &[]).is_empty());
        assert!(beyond(&engines, "m", "GPU-0", &[]).is_empty());
        assert_eq!(Engine::of(&pod("Succeeded")), None);
    }

    #[test]
    fn memory_that_cannot_be_known_is_said_to_be() {
        let gib = 1 << 30;
        assert_eq!(memory(gib, 8 * gib, 0), "1.0 GiB of 8.0 GiB");
        assert_eq!(memory(0, 8 * gib, 1), "unknown of 8.0 GiB");
        assert_eq!(memory(gib, 8 * gib, 1), "1.0 GiB and unknown of 8.0 GiB");
    }
}
