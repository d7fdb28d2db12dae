//! Why a container has no log. Pure.

use k8s_openapi::api::core::v1::PodStatus;

use super::LogQuery;

/// Why there is no log to read. The words are the kubelet's; what follows them says more where there is more to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The container has not started yet.
    #[error("container {container:?} in pod {pod:?} is waiting to start: {why}")]
    NotStarted {
        /// Name of the Pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// What it waits for.
        why: String,
    },
    /// The Pod's status knows nothing of it: the node did not take the Pod, or has not looked at it yet.
    #[error("container {container:?} in pod {pod:?} is not available{why}")]
    NotAvailable {
        /// Name of the Pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// What the Pod's status says, behind a colon; empty where it says nothing.
        why: String,
    },
    /// It ended without having run.
    #[error("container {container:?} in pod {pod:?} is terminated{why}")]
    Terminated {
        /// Name of the Pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// What the Pod's status says, behind a colon; empty where it says nothing.
        why: String,
    },
    /// It ran, and what it wrote is no longer there.
    #[error("unable to retrieve container logs for {id}")]
    Gone {
        /// Id of the run.
        id: String,
    },
    /// There was no earlier run.
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious {
        /// Name of the Pod.
        pod: String,
        /// Name of the container.
        container: String,
    },
}

impl LogError {
    /// Why there is nothing for `query`, by the newest status of its Pod.
    #[must_use]
    pub(crate) fn of(query: &LogQuery, status: Option<&PodStatus>) -> Self {
        let (pod, container) = (query.pod.clone(), query.container.clone());
        if query.previous {
            return Self::NoPrevious { pod, container };
        }
        let of_pod = status.and_then(|s| s.message.as_deref().or(s.reason.as_deref()));
        let why = of_pod.map(|text| format!(": {text}")).unwrap_or_default();
        let mut all = status.into_iter().flat_map(|s| s.container_statuses.iter().chain(&s.init_container_statuses).flatten());
        let Some(found) = all.find(|c| c.name == container) else { return Self::NotAvailable { pod, container, why } };
        let state = found.state.as_ref();
        if let Some(waiting) = state.and_then(|s| s.waiting.as_ref()) {
            let why = match waiting.reason.as_deref() {
                Some("ErrImagePull") => "image can't be pulled",
                Some("ImagePullBackOff") => "trying and failing to pull image",
                Some(reason) => reason,
                None => "ContainerCreating",
            };
            return Self::NotStarted { pod, container, why: why.to_owned() };
        }
        let terminated = state.and_then(|s| s.terminated.as_ref());
        match terminated.map_or(found.container_id.as_ref(), |t| t.container_id.as_ref()) {
            Some(id) => Self::Gone { id: id.clone() },
            None => Self::Terminated { pod, container, why },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(status: Value) -> String {
        let query = LogQuery { pod: "p".into(), container: "c".into(), ..LogQuery::default() };
        LogError::of(&query, serde_json::from_value(status).ok().as_ref()).to_string()
    }

    fn with(state: Value) -> Value {
        let c = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        json!({"phase": "Pending", "containerStatuses": [c]})
    }

    #[test]
    fn each_state_has_its_words() {
        let waiting = |reason: &str| said(with(json!({"waiting": {"reason": reason}})));
        for (reason, want) in [
            ("ContainerCreating", "ContainerCreating"),
            ("CreateContainerConfigError", "CreateContainerConfigError"),
            ("ErrImagePull", "image can't be pulled"),
            ("ImagePullBackOff", "trying and failing to pull image"),
        ] {
            assert_eq!(waiting(reason), format!("container \"c\" in pod \"p\" is waiting to start: {want}"));
        }
        let rejected =
            json!({"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: Node didn't have enough resource: cpu"});
        assert_eq!(
            said(rejected),
            "container \"c\" in pod \"p\" is not available: Pod was rejected: Node didn't have enough resource: cpu"
        );
        assert_eq!(said(json!({})), "container \"c\" in pod \"p\" is not available");
        let mut overdue = with(json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}));
        overdue["reason"] = json!("DeadlineExceeded");
        assert_eq!(said(overdue), "container \"c\" in pod \"p\" is terminated: DeadlineExceeded");
        let ended = with(json!({"terminated": {"exitCode": 0, "containerID": "dormouse://ab"}}));
        assert_eq!(said(ended), "unable to retrieve container logs for dormouse://ab");
        let query = LogQuery { pod: "p".into(), container: "c".into(), previous: true, ..LogQuery::default() };
        assert_eq!(LogError::of(&query, None).to_string(), "previous terminated container \"c\" in pod \"p\" not found");
    }
}
