//! What is asked of Pods again and again.

use k8s_openapi::api::core::v1::Pod;

/// Whether the Pod's condition `Ready` is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}
