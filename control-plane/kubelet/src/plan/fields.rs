//! The downward API: what a field or resource reference means, as text. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dormouse_machinery::go;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::quantity::milli;

/// What the node knows about a Pod beyond its object.
#[derive(Clone, Debug, Default)]
pub struct FieldFacts {
    /// The Pod's address.
    pub pod_ip: String,
    /// The node's address.
    pub host_ip: String,
    /// Allocatable `cpu` and `memory`, the answer where a container has no limit.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// A reference that cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No such field.
    #[error("unsupported fieldPath: {0}")]
    Path(String),
    /// No such resource.
    #[error("unsupported container resource: {0}")]
    Resource(String),
    /// No such container.
    #[error("container {0} not found")]
    Container(String),
    /// The divisor is no quantity or zero.
    #[error("divisor {0:?} is not a positive quantity")]
    Divisor(String),
}

/// The value of `path` of `pod`.
///
/// # Errors
/// [`FieldError::Path`] for a path the downward API does not have.
pub fn field(pod: &Pod, path: &str, facts: &FieldFacts) -> Result<String, FieldError> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(FieldError::Path(path.to_owned())),
        };
        return Ok(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    let text = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        "spec.nodeName" => spec.and_then(|s| s.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|s| s.service_account_name.clone()),
        "status.hostIP" | "status.hostIPs" => Some(facts.host_ip.clone()),
        "status.podIP" | "status.podIPs" => Some(facts.pod_ip.clone()),
        _ => return Err(FieldError::Path(path.to_owned())),
    };
    Ok(text.unwrap_or_default())
}

/// `a.b['key']` as (`a.b`, `key`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// `key="value"` lines, the form of whole maps in files. The values are quoted as Go does it.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut out = String::new();
    for (i, (key, value)) in map.into_iter().flatten().enumerate() {
        let newline = if i == 0 { "" } else { "\n" };
        let _ = write!(out, "{newline}{key}={}", go::quote(value));
    }
    out
}

/// The value of a resource reference; `default_container` is meant where the reference names none.
///
/// # Errors
/// [`FieldError`] for an unknown container or resource and a bad divisor.
pub fn resource(
    pod: &Pod,
    default_container: Option<&str>,
    selector: &ResourceFieldSelector,
    facts: &FieldFacts,
) -> Result<String, FieldError> {
    let name = selector.container_name.as_deref().or(default_container).unwrap_or_default();
    let spec = pod.spec.as_ref();
    let container: &Container = spec
        .into_iter()
        .flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()))
        .find(|c| c.name == name)
        .ok_or_else(|| FieldError::Container(name.to_owned()))?;
    let unsupported = || FieldError::Resource(selector.resource.clone());
    let (list, key) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    if !(matches!(key, "cpu" | "memory" | "ephemeral-storage") || key.starts_with("hugepages-")) {
        return Err(unsupported());
    }
    let resources = container.resources.as_ref();
    let found = match list {
        "limits" => resources.and_then(|r| r.limits.as_ref()).and_then(|m| m.get(key)).or_else(|| facts.allocatable.get(key)),
        "requests" => resources.and_then(|r| r.requests.as_ref()).and_then(|m| m.get(key)),
        _ => return Err(unsupported()),
    };
    let value = found.and_then(milli).unwrap_or(0);
    let divisor = match &selector.divisor {
        // An absent divisor is printed by the API server as "0" and means 1.
        None => 1000,
        Some(q) if q.0.is_empty() || q.0 == "0" => 1000,
        Some(q) => milli(q).filter(|n| *n > 0).ok_or_else(|| FieldError::Divisor(q.0.clone()))?,
    };
    // Rounded up, as the kubelet does: half a core is 1.
    Ok((value.div_euclid(divisor) + i128::from(value.rem_euclid(divisor) > 0)).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app.k/x": "y", "z": "q\"uote"},
                         "annotations": {"a": "two\nlines"}},
            "spec": {"nodeName": "n1", "serviceAccountName": "sa", "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "250m"}}},
                {"name": "free"}]}
        }))
        .unwrap()
    }

    fn facts() -> FieldFacts {
        let allocatable = [("cpu".to_owned(), Quantity("64".to_owned()))].into_iter().collect();
        FieldFacts { pod_ip: "127.16.1.2".into(), host_ip: "127.16.1.1".into(), allocatable }
    }

    #[test]
    fn fields_of_the_downward_api() {
        let (pod, facts) = (pod(), facts());
        for (path, want) in [
            ("metadata.name", "p"),
            ("metadata.uid", "u"),
            ("metadata.labels['app.k/x']", "y"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "app.k/x=\"y\"\nz=\"q\\\"uote\""),
            ("metadata.annotations", "a=\"two\\nlines\""),
            ("spec.nodeName", "n1"),
            ("spec.serviceAccountName", "sa"),
            ("status.podIP", "127.16.1.2"),
            ("status.hostIP", "127.16.1.1"),
        ] {
            assert_eq!(field(&pod, path, &facts).as_deref(), Ok(want), "{path}");
        }
        assert!(field(&pod, "spec.containers", &facts).is_err());
    }

    #[test]
    fn whole_maps_are_quoted_as_go_does_it() {
        let odd = json!({"a": "tab\there", "b": "bell\u{7} esc\u{1b} del\u{7f}", "c": "zero\u{200b}width", "d": "grüße 日本",
                         "e": "quote\" back\\slash", "f": "\u{8}\u{b}\u{c}\r\u{0}"});
        let pod: Pod = serde_json::from_value(json!({"metadata": {"annotations": odd}})).unwrap();
        let want = [
            r#"a="tab\there""#,
            r#"b="bell\a esc\x1b del\x7f""#,
            r#"c="zero\u200bwidth""#,
            r#"d="grüße 日本""#,
            r#"e="quote\" back\\slash""#,
            r#"f="\b\v\f\r\x00""#,
        ];
        assert_eq!(field(&pod, "metadata.annotations", &facts()).unwrap(), want.join("\n"));
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let (pod, facts) = (pod(), facts());
        let get = |container: &str, resource_name: &str, divisor: &str| {
            let s = ResourceFieldSelector {
                container_name: Some(container.into()),
                resource: resource_name.into(),
                divisor: (!divisor.is_empty()).then(|| Quantity(divisor.into())),
            };
            resource(&pod, None, &s, &facts)
        };
        assert_eq!(get("c", "limits.cpu", "").unwrap(), "1");
        assert_eq!(get("c", "limits.cpu", "1m").unwrap(), "500");
        assert_eq!(get("c", "limits.memory", "1Mi").unwrap(), "1024");
        assert_eq!(get("c", "requests.cpu", "1m").unwrap(), "250");
        assert_eq!(get("free", "limits.cpu", "0").unwrap(), "64");
        assert_eq!(get("free", "requests.memory", "").unwrap(), "0");
        assert!(get("nobody", "limits.cpu", "").is_err());
        assert!(get("c", "limits.gpu", "").is_err());
    }
}
