//! Nodes, the ConfigMap `gpu-map`, and custom resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_apis::fma::{InferenceServerConfigSpec, LauncherConfigSpec};
use dormouse_apis::names::label as label_key;
use serde_json::Value;

use crate::ids::{GpuUuid, Uid};
use crate::json::{at, label, list, owned, text, text_map};
use crate::state::{GpuMap, Isc, IscSpec, LauncherTemplate, Lc, NodeInfo, Routing, Taint};
use crate::template;

/// An entry of `gpu-map` that cannot be read; log it as an error with message
/// `A GPU map entry failed to parse as JSON` and key `nodeName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuMapProblem {
    /// Name of the node.
    pub node: String,
    /// What is wrong.
    pub error: String,
}

/// Parses the ConfigMap `gpu-map`; `None` where it does not exist. A UUID that stands under two nodes belongs to the one whose
/// name sorts last.
#[must_use]
pub fn gpu_map(config_map: Option<&Value>) -> (GpuMap, Vec<GpuMapProblem>) {
    let Some(object) = config_map else { return (GpuMap::default(), Vec::new()) };
    let mut map = GpuMap { available: true, by_uuid: BTreeMap::new() };
    let mut problems = Vec::new();
    for (node, entry) in text_map(object, &["data"]) {
        match serde_json::from_str::<BTreeMap<GpuUuid, u32>>(&entry) {
            Ok(gpus) => map.by_uuid.extend(gpus.into_iter().map(|(uuid, index)| (uuid, (node.clone(), index)))),
            Err(error) => problems.push(GpuMapProblem { node, error: error.to_string() }),
        }
    }
    (map, problems)
}

/// Reads an `InferenceServerConfig`; `None` without a name.
#[must_use]
pub fn isc(object: &Value) -> Option<Isc> {
    Some(Isc {
        name: text(object, &["metadata", "name"])?.to_owned(),
        uid: Uid(owned(object, &["metadata", "uid"])),
        spec: isc_spec(object.get("spec").unwrap_or(&Value::Null)),
    })
}

fn isc_spec(spec: &Value) -> Result<IscSpec, String> {
    let spec: InferenceServerConfigSpec = serde_json::from_value(spec.clone()).map_err(|error| error.to_string())?;
    let server = spec.model_server_config;
    let port = u16::try_from(server.port).ok().filter(|port| *port != 0);
    Ok(IscSpec {
        port: port.ok_or_else(|| format!("spec.modelServerConfig.port is {}, which is not a port number", server.port))?,
        options: server.options,
        env: server.env_vars,
        routing: Routing { labels: server.labels, annotations: server.annotations },
        launcher_config: spec.launcher_config_name,
    })
}

/// Reads a `LauncherConfig` and builds its launcher template; `None` without a name.
#[must_use]
pub fn launcher_config(object: &Arc<Value>) -> Option<Lc> {
    let name = text(object, &["metadata", "name"])?;
    let uid = Uid(owned(object, &["metadata", "uid"]));
    let spec = object.get("spec").cloned().unwrap_or(Value::Null);
    let spec: Result<LauncherConfigSpec, String> = serde_json::from_value(spec).map_err(|error| error.to_string());
    let max_instances = spec.as_ref().map_or(1, LauncherConfigSpec::max_instances);
    let template = spec.and_then(|spec| {
        let namespace = owned(object, &["metadata", "namespace"]);
        let (pod, hash) = template::build(&namespace, name, &uid, &spec.pod_template)?;
        Ok(Arc::new(LauncherTemplate { pod, hash }))
    });
    Some(Lc {
        name: name.to_owned(),
        uid,
        generation: at(object, &["metadata", "generation"]).and_then(Value::as_i64),
        max_instances: usize::try_from(max_instances).unwrap_or(usize::MAX),
        template,
        object: Arc::clone(object),
    })
}

/// A node that is not there.
#[must_use]
pub fn node_gone(name: &str) -> NodeInfo {
    NodeInfo { name: name.to_owned(), ..NodeInfo::default() }
}

/// Reads a Node; `None` without a name.
#[must_use]
pub fn node(object: &Value) -> Option<NodeInfo> {
    let ready = list(object, &["status", "conditions"]).iter().find(|condition| text(condition, &["type"]) == Some("Ready"));
    let taints = list(object, &["spec", "taints"]).iter().map(|taint| Taint {
        key: owned(taint, &["key"]),
        value: owned(taint, &["value"]),
        effect: owned(taint, &["effect"]),
    });
    Some(NodeInfo {
        name: text(object, &["metadata", "name"])?.to_owned(),
        hostname: label(object, label_key::HOSTNAME).map(str::to_owned),
        exists: true,
        deleting: at(object, &["metadata", "deletionTimestamp"]).is_some_and(|stamp| !stamp.is_null()),
        unschedulable: at(object, &["spec", "unschedulable"]).and_then(Value::as_bool).unwrap_or(false),
        ready: ready.is_none_or(|condition| text(condition, &["status"]) == Some("True")),
        taints: taints.filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")).collect(),
        labels: text_map(object, &["metadata", "labels"]),
        allocatable: quantities(object),
    })
}

fn quantities(object: &Value) -> BTreeMap<String, String> {
    let Some(Value::Object(map)) = at(object, &["status", "allocatable"]) else { return BTreeMap::new() };
    let written = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    map.iter().map(|(name, value)| (name.clone(), written(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gpu_map_keeps_what_parses() {
        let object = json!({"data": {"n1": r#"{"GPU-0": 0, "GPU-1": 1}"#, "n2": r#"{"GPU-2": -1}"#, "n3": "x", "n4": r#"{"GPU-1": 7}"#}});
        let (map, problems) = gpu_map(Some(&object));
        assert!(map.available);
        assert_eq!(map.by_uuid[&GpuUuid::from("GPU-0")], ("n1".to_owned(), 0));
        assert_eq!(map.by_uuid[&GpuUuid::from("GPU-1")], ("n4".to_owned(), 7));
        assert_eq!(problems.iter().map(|p| p.node.as_str()).collect::<Vec<_>>(), ["n2", "n3"]);
        assert!(!gpu_map(None).0.available);
    }

    #[test]
    fn isc_with_bad_port_is_an_error_inside() {
        let object = |port: i64| json!({"metadata": {"name": "i", "uid": "u"}, "spec": {"modelServerConfig": {"port": port}, "launcherConfigName": "l"}});
        assert!(isc(&object(8005)).unwrap().spec.is_ok());
        assert!(isc(&object(0)).unwrap().spec.is_err());
        assert!(isc(&object(70000)).unwrap().spec.is_err());
        assert!(isc(&json!({"metadata": {"name": "i"}})).unwrap().spec.is_err());
    }

    #[test]
    fn node_facts() {
        let object = json!({
            "metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "h"}},
            "spec": {"unschedulable": true, "taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "PreferNoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "allocatable": {"cpu": 4, "memory": "1Gi"}},
        });
        let node = node(&object).unwrap();
        assert!(node.exists && node.unschedulable && !node.ready && !node.deleting);
        assert_eq!(node.taints.len(), 1);
        assert_eq!(node.allocatable["cpu"], "4");
        assert_eq!(node.hostname.as_deref(), Some("h"));
    }
}
