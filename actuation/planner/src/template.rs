//! The launcher Pod of a `LauncherConfig` (2.7).
//!
//! [`build`] makes the Pod for any node and its hash, [`on_node`] the Pod for one node. The hash covers what the author of the
//! `LauncherConfig` can change, in canonical form, and the version of what is injected; not `maxInstances`.

use dormouse_apis::fma;
use dormouse_apis::names::{GPU_RESOURCE, NOTIFIER_CONTAINER, annotation, label, port};
use serde_json::{Map, Value, json};

use crate::hashes;
use crate::ids::Uid;
use crate::json::{list_mut, map_mut, remove, text};
use crate::podspec::{container_mut, de_individualise, no_gpus, pin, set_env};
use crate::state::{LauncherTemplate, NodeInfo};
use crate::{canonical, json as read};

/// Environment that every launcher gets, in this order where it has to be appended.
const REQUIRED_ENV: [(&str, &str); 4] = [
    ("PYTHONPATH", "/app"),
    ("NVIDIA_VISIBLE_DEVICES", "all"),
    ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"),
    ("VLLM_SERVER_DEV_MODE", "1"),
];

/// The launcher Pod for any node, and its hash.
///
/// # Errors
/// When the template is malformed; the text goes into the status of the `LauncherConfig`.
pub fn build(namespace: &str, name: &str, uid: &Uid, template: &Value) -> Result<(Value, String), String> {
    let mut spec = match template.get("spec") {
        Some(Value::Object(spec)) => spec.clone(),
        _ => Map::new(),
    };
    de_individualise(&mut spec);
    sort_lists(&mut spec);
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "generateName": format!("launcher-{name}-"),
            "ownerReferences": [{
                "apiVersion": fma::API_VERSION, "kind": fma::LAUNCHER_CONFIG.kind, "name": name, "uid": uid,
                "controller": false, "blockOwnerDeletion": false,
            }],
        },
        "spec": spec,
    });
    for key in ["labels", "annotations"] {
        if let Some(Value::Object(map)) = read::at(template, &["metadata", key]) {
            map_mut(&mut pod, &["metadata"]).insert(key.to_owned(), Value::Object(map.clone()));
        }
    }
    let labels = map_mut(&mut pod, &["metadata", "labels"]);
    for (key, value) in [(label::COMPONENT, label::COMPONENT_LAUNCHER), (label::LAUNCHER_CONFIG_NAME, name), (label::SLEEPING, "true")] {
        labels.insert(key.to_owned(), Value::from(value));
    }
    let hash = hashes::template(&canonical::pod(&pod)?.value);
    map_mut(&mut pod, &["metadata", "annotations"]).insert(annotation::LAUNCHER_TEMPLATE_HASH.to_owned(), Value::from(hash.as_str()));
    inject(&mut pod)?;
    Ok((pod, hash))
}

/// The launcher Pod for one node.
#[must_use]
pub fn on_node(template: &LauncherTemplate, node: &NodeInfo) -> Value {
    let mut pod = template.pod.clone();
    map_mut(&mut pod, &["metadata", "labels"]).insert(label::NODE_NAME.to_owned(), Value::from(node.name.as_str()));
    let hash = hashes::template_on_node(&template.hash, &node.name);
    map_mut(&mut pod, &["metadata", "annotations"]).insert(annotation::LAUNCHER_CONFIG_HASH.to_owned(), Value::from(hash));
    pin(&mut pod, node);
    pod
}

fn inject(pod: &mut Value) -> Result<(), String> {
    remove(pod, &["spec", "overhead"], GPU_RESOURCE);
    let container = container_mut(pod)?;
    for (name, value) in REQUIRED_ENV {
        set_env(container, name, value);
    }
    map_mut(container, &[]).insert("livenessProbe".to_owned(), probe("/health", [10, 20, 1, 3]));
    map_mut(container, &[]).insert("readinessProbe".to_owned(), probe("/v2/vllm/instances", [2, 5, 2, 3]));
    no_gpus(container, false);
    let sidecar = sidecar(container);
    let containers = list_mut(pod, &["spec"], "containers");
    match containers.iter_mut().find(|container| text(container, &["name"]) == Some(NOTIFIER_CONTAINER)) {
        Some(slot) => *slot = sidecar,
        None => containers.push(sidecar),
    }
    Ok(())
}

fn probe(path: &str, [initial_delay, period, timeout, failures]: [u32; 4]) -> Value {
    json!({
        "httpGet": {"path": path, "port": port::LAUNCHER},
        "initialDelaySeconds": initial_delay, "periodSeconds": period, "timeoutSeconds": timeout,
        "successThreshold": 1, "failureThreshold": failures,
    })
}

fn sidecar(launcher: &Value) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut sidecar = json!({
        "name": NOTIFIER_CONTAINER,
        "command": ["python3", "/app/launcher_pod_notifier.py"],
        "env": [
            {"name": "LAUNCHER_BASE_URL", "value": format!("http://127.0.0.1:{}", port::LAUNCHER)},
            field("POD_NAME", "metadata.name"),
            field("NAMESPACE", "metadata.namespace"),
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "100m", "memory": "128Mi"}},
    });
    for key in ["image", "imagePullPolicy"] {
        if let Some(value) = launcher.get(key) {
            map_mut(&mut sidecar, &[]).insert(key.to_owned(), value.clone());
        }
    }
    sidecar
}

/// Sorts the lists whose order means nothing. `env`, arguments and the containers themselves keep theirs.
fn sort_lists(spec: &mut Map<String, Value>) {
    sort(spec.get_mut("volumes"), &["name"]);
    sort(spec.get_mut("tolerations"), &["key", "operator", "value", "effect"]);
    sort(spec.get_mut("imagePullSecrets"), &["name"]);
    for key in ["containers", "initContainers"] {
        let Some(containers) = spec.get_mut(key).and_then(Value::as_array_mut) else { continue };
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            sort(container.get_mut("volumeMounts"), &["name", "mountPath"]);
            sort(container.get_mut("ports"), &["name", "containerPort", "protocol"]);
            sort(container.get_mut("envFrom"), &["prefix"]);
        }
    }
}

fn sort(list: Option<&mut Value>, keys: &[&str]) {
    let Some(list) = list.and_then(Value::as_array_mut) else { return };
    list.sort_by_cached_key(|item| {
        let part = |key: &&str| match item.get(*key) {
            Some(Value::String(text)) => (0, text.clone()),
            Some(Value::Number(number)) => (number.as_u64().unwrap_or(0), String::new()),
            _ => (0, String::new()),
        };
        keys.iter().map(part).collect::<Vec<_>>()
    });
}
