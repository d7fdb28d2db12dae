//! Writes a Pod's status: always the newest, never two at once, at once when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_names::annotation::{POD_GPUS, TIMELINE};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::machine::Timeline;

/// A status to write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) status: PodStatus,
    timeline: Timeline,
    /// UUIDs of the GPUs that its containers were given.
    gpus: Vec<String>,
}

impl Wanted {
    /// What is said beside the status.
    fn annotations(&self) -> BTreeMap<String, String> {
        let timeline = serde_json::to_string(&self.timeline).unwrap_or_default();
        let mut all = BTreeMap::from([(TIMELINE.to_owned(), timeline)]);
        if !self.gpus.is_empty() {
            all.insert(POD_GPUS.to_owned(), self.gpus.join(","));
        }
        all
    }
}

/// The newest status of a Pod, once there is one.
pub(super) type Newest = watch::Receiver<Option<Arc<Wanted>>>;

/// The writer of one Pod.
#[derive(Debug)]
pub(super) struct StatusWriter {
    wanted: watch::Sender<Option<Arc<Wanted>>>,
    task: JoinHandle<()>,
}

impl StatusWriter {
    pub(super) fn start(client: kube::Client, namespace: &str, name: String, uid: String) -> Self {
        let (wanted, newest) = watch::channel(None);
        let api = Api::namespaced(client, namespace);
        Self { wanted, task: tokio::spawn(write(api, name, uid, newest)) }
    }

    /// What is published, as it comes.
    pub(super) fn newest(&self) -> Newest {
        self.wanted.subscribe()
    }

    /// Publishes a status; an equal one is not written again.
    pub(super) fn publish(&self, status: PodStatus, timeline: Timeline, gpus: Vec<String>) {
        let new = Wanted { status, timeline, gpus };
        self.wanted.send_if_modified(|old| {
            let changed = old.as_deref() != Some(&new);
            if changed {
                *old = Some(Arc::new(new));
            }
            changed
        });
    }

    /// Waits until the newest status is written, or cannot be; nothing is written after it.
    pub(super) async fn finish(self) {
        drop(self.wanted);
        let _ = self.task.await;
    }
}

async fn write(api: Api<Pod>, name: String, uid: String, mut newest: Newest) {
    let mut failures = 0_u32;
    let mut told = None;
    loop {
        if failures == 0 && newest.changed().await.is_err() {
            // What was published last before the sender went has been seen: `changed` reports it first.
            return;
        }
        let Some(wanted) = newest.borrow_and_update().clone() else { continue };
        let notes = wanted.annotations();
        let patch = Patch::Strategic(body(&uid, &wanted.status, &notes));
        match api.patch_status(&name, &PatchParams::default(), &patch).await {
            Ok(pod) => {
                failures = 0;
                // A server may keep metadata out of the status subresource.
                let kept =
                    pod.metadata.annotations.as_ref().is_some_and(|kept| notes.iter().all(|(key, value)| kept.get(key) == Some(value)));
                if !kept && told.as_ref() != Some(&notes) {
                    let patch = json!({"metadata": {"uid": uid, "annotations": notes}});
                    if let Err(error) = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                        tracing::debug!(%error, pod = name, "the timeline was not written");
                    }
                    told = Some(notes);
                }
            }
            Err(error) if dormouse_controller::not_found(&error) || another(&error) => return,
            Err(error) => {
                failures += 1;
                if failures > 3 || newest.has_changed().is_err() && failures > 1 {
                    tracing::warn!(%error, pod = name, "the status of a Pod cannot be written");
                }
                if newest.has_changed().is_err() && failures > 3 {
                    return;
                }
                let pause = Duration::from_millis(20).saturating_mul(1 << failures.min(8));
                tokio::time::sleep(pause.min(Duration::from_secs(5))).await;
            }
        }
    }
}

/// Whether the name belongs to another Pod now: the UID is a condition of each write.
fn another(error: &kube::Error) -> bool {
    let refused = |e: &kube::Error| matches!(e, kube::Error::Api(status) if status.code == 422 && status.message.contains("metadata.uid"));
    dormouse_controller::conflict(error) || refused(error)
}

/// The strategic merge patch: conditions of others stay, what we no longer say goes.
fn body(uid: &str, status: &PodStatus, annotations: &BTreeMap<String, String>) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        for gone in ["reason", "message", "containerStatuses", "initContainerStatuses"] {
            map.entry(gone).or_insert(Value::Null);
        }
        for condition in map.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            for gone in ["reason", "message"] {
                if let Some(c) = condition.as_object_mut() {
                    c.entry(gone).or_insert(Value::Null);
                }
            }
        }
    }
    json!({"metadata": {"uid": uid, "annotations": annotations}, "status": value})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_removes_what_is_no_longer_said() {
        let status: PodStatus = serde_json::from_value(json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "False", "reason": "X"}]
        }))
        .unwrap();
        let patch = body("u", &status, &BTreeMap::new());
        assert_eq!(patch["metadata"]["uid"], "u");
        assert_eq!(patch["status"]["conditions"][0]["reason"], Value::Null);
        assert!(patch["status"]["conditions"][0].as_object().unwrap().contains_key("message"));
        assert_eq!(patch["status"]["conditions"][1]["reason"], "X");
        for gone in ["reason", "containerStatuses"] {
            assert_eq!(patch["status"].as_object().unwrap().get(gone), Some(&Value::Null));
        }
    }

    #[test]
    fn a_refused_uid_means_another_pod() {
        let error = |code: u16, reason: &str, message: &str| {
            let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message});
            kube::Error::Api(serde_json::from_value(status).unwrap())
        };
        assert!(another(&error(409, "Conflict", "Precondition failed: UID in precondition: a, UID in object meta: b")));
        assert!(another(&error(422, "Invalid", "Pod \"p\" is invalid: metadata.uid: Invalid value: \"a\": field is immutable")));
        assert!(!another(&error(422, "Invalid", "Pod \"p\" is invalid: status.phase: Invalid value")));
        assert!(!another(&error(500, "InternalError", "metadata.uid")));
    }
}
