//! Whose rights a container runs with. Pure.

use k8s_openapi::api::core::v1::{Container, Pod};

/// The user a container asks for; `None` fields are not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `runAsUser`.
    pub uid: Option<u32>,
    /// `runAsGroup`.
    pub gid: Option<u32>,
}

/// `runAsUser` and `runAsGroup`, the container's before the Pod's.
#[must_use]
pub fn wanted(pod: &Pod, container: &Container) -> Wanted {
    let of_pod = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
    let own = container.security_context.as_ref();
    let id = |own: Option<i64>, of_pod: Option<i64>| own.or(of_pod).and_then(|n| u32::try_from(n).ok());
    Wanted {
        uid: id(own.and_then(|c| c.run_as_user), of_pod.and_then(|c| c.run_as_user)),
        gid: id(own.and_then(|c| c.run_as_group), of_pod.and_then(|c| c.run_as_group)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_container_is_asked_before_the_pod() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "securityContext": {"runAsUser": 1000, "runAsGroup": 2000},
            "containers": [{"name": "a", "securityContext": {"runAsUser": 7}}, {"name": "b"}]}}))
        .unwrap();
        let containers = &pod.spec.as_ref().unwrap().containers;
        assert_eq!(wanted(&pod, &containers[0]), Wanted { uid: Some(7), gid: Some(2000) });
        assert_eq!(wanted(&pod, &containers[1]), Wanted { uid: Some(1000), gid: Some(2000) });
    }
}
