//! The class of service a Pod's requests and limits put it in. Pure.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::quantity::milli;

/// `Guaranteed`, `Burstable` or `BestEffort`, by the rules of Kubernetes over cpu and memory of all containers.
#[must_use]
pub fn class(pod: &Pod) -> &'static str {
    let containers: Vec<&Container> = pod.spec.iter().flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten())).collect();
    let mut any = false;
    let mut guaranteed = !containers.is_empty();
    for container in containers {
        let resources = container.resources.as_ref();
        for name in ["cpu", "memory"] {
            let value =
                |list: Option<&std::collections::BTreeMap<String, _>>| list.and_then(|m| m.get(name)).and_then(milli).filter(|n| *n > 0);
            let limit = value(resources.and_then(|r| r.limits.as_ref()));
            // A request that is not written is the limit.
            let request = value(resources.and_then(|r| r.requests.as_ref())).or(limit);
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
        (false, _) => "BestEffort",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes() {
        for (resources, want) in [
            (json!({}), "BestEffort"),
            (json!({"limits": {"nvidia.com/gpu": "1"}}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}), "Guaranteed"),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), "Burstable"),
        ] {
            let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})).unwrap();
            assert_eq!(class(&pod), want, "{resources}");
        }
    }
}
