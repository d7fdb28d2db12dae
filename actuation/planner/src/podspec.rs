//! Edits of Pod specs that direct providers and launchers share.

use dormouse_apis::names::{GPU_RESOURCE, SERVER_CONTAINER, label as label_key};
use serde_json::{Map, Value, json};

use crate::json::{at, list, list_mut, map_mut, text};
use crate::state::NodeInfo;

/// Takes out what is peculiar to one Pod: ephemeral containers, and the service-account volume that admission added.
pub(crate) fn de_individualise(spec: &mut Map<String, Value>) {
    spec.remove("ephemeralContainers");
    let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) else { return };
    let Some(position) = volumes.iter().position(|volume| text(volume, &["name"]).is_some_and(is_api_access)) else { return };
    let dropped = volumes.remove(position);
    if volumes.is_empty() {
        spec.remove("volumes");
    }
    let name = text(&dropped, &["name"]).unwrap_or_default();
    for key in ["containers", "initContainers"] {
        let Some(containers) = spec.get_mut(key).and_then(Value::as_array_mut) else { continue };
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) else { continue };
            if let Some(position) = mounts.iter().position(|mount| text(mount, &["name"]) == Some(name)) {
                mounts.remove(position);
            }
            if mounts.is_empty() {
                container.remove("volumeMounts");
            }
        }
    }
}

fn is_api_access(name: &str) -> bool {
    name.strip_prefix("kube-api-access-")
        .is_some_and(|tail| !tail.is_empty() && tail.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

/// The container that matters, for editing.
pub(crate) fn container_mut(pod: &mut Value) -> Result<&mut Value, String> {
    pod.pointer_mut("/spec/containers")
        .and_then(Value::as_array_mut)
        .and_then(|containers| containers.iter_mut().find(|container| text(container, &["name"]) == Some(SERVER_CONTAINER)))
        .ok_or_else(|| format!("container {SERVER_CONTAINER:?} not found"))
}

/// Gives a variable a value: in place of the first entry of that name, else at the end.
pub(crate) fn set_env(container: &mut Value, name: &str, value: &str) {
    let env = list_mut(container, &[], "env");
    let entry = json!({"name": name, "value": value});
    match env.iter_mut().find(|var| text(var, &["name"]) == Some(name)) {
        Some(var) => *var = entry,
        None => env.push(entry),
    }
}

/// Sets the number of GPUs to none, in the limits and requests that exist; with `make`, in both.
pub(crate) fn no_gpus(container: &mut Value, make: bool) {
    for key in ["limits", "requests"] {
        if make || container.pointer(&format!("/resources/{key}")).is_some_and(Value::is_object) {
            map_mut(container, &["resources", key]).insert(GPU_RESOURCE.to_owned(), Value::from("0"));
        }
    }
}

/// Pins a Pod to a node: by its host name label, whose value is nearly always the node's name, else by the name itself (gap `a36`).
pub(crate) fn pin(pod: &mut Value, node: &NodeInfo) {
    // A node that nobody has seen yet is taken to be labelled as usual.
    let hostname = if node.exists { node.hostname.as_deref() } else { Some(node.name.as_str()) };
    if let Some(hostname) = hostname {
        map_mut(pod, &["spec", "nodeSelector"]).insert(label_key::HOSTNAME.to_owned(), Value::from(hostname));
        return;
    }
    let wanted = json!({"key": "metadata.name", "operator": "In", "values": [node.name]});
    let required = ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = list_mut(pod, &required, "nodeSelectorTerms");
    if terms.is_empty() {
        terms.push(json!({}));
    }
    for term in terms {
        list_mut(term, &[], "matchFields").push(wanted.clone());
    }
}

/// The container that matters.
pub(crate) fn container(pod: &Value) -> Option<&Value> {
    list(pod, &["spec", "containers"]).iter().find(|container| text(container, &["name"]) == Some(SERVER_CONTAINER))
}

/// The port of the engine: that of the readiness probe.
///
/// # Errors
/// With the peer's text when there is no such port (actuation 2.1).
pub(crate) fn engine_port(pod: &Value) -> Result<u16, String> {
    let container = container(pod).ok_or_else(|| format!("container {SERVER_CONTAINER:?} not found"))?;
    let probe = at(container, &["readinessProbe"]).filter(|probe| !probe.is_null());
    let probe = probe.ok_or("the inference server container has no readinessProbe")?;
    let get = at(probe, &["httpGet"]).filter(|get| !get.is_null()).ok_or("the readinessProbe is not an HTTPGet")?;
    match at(get, &["port"]) {
        Some(Value::Number(number)) => {
            let port = number.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0);
            port.ok_or_else(|| format!("unsupported readinessProbe port \"{number}\""))
        }
        Some(Value::String(name)) if name == "http" || name == "HTTP" => Ok(80),
        Some(Value::String(name)) => Err(format!("unsupported readinessProbe port {name:?}")),
        _ => Err("unsupported readinessProbe port \"\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_access_volume_and_its_mounts_go() {
        let mut spec = json!({
            "ephemeralContainers": [], "volumes": [{"name": "a"}, {"name": "kube-api-access-9ncxb"}],
            "containers": [{"name": "c", "volumeMounts": [{"name": "kube-api-access-9ncxb"}]}],
            "initContainers": [{"name": "i", "volumeMounts": [{"name": "a"}, {"name": "kube-api-access-9ncxb"}]}],
        });
        de_individualise(spec.as_object_mut().unwrap());
        assert_eq!(
            spec,
            json!({"volumes": [{"name": "a"}], "containers": [{"name": "c"}], "initContainers": [{"name": "i", "volumeMounts": [{"name": "a"}]}]})
        );
        assert!(!is_api_access("kube-api-access-"));
        assert!(!is_api_access("kube-api-access-A"));
    }

    #[test]
    fn pinned_by_label_value_or_by_name() {
        let node = |hostname: Option<&str>| NodeInfo {
            name: "n".to_owned(),
            exists: true,
            hostname: hostname.map(str::to_owned),
            ..NodeInfo::default()
        };
        let mut pod = json!({"spec": {}});
        pin(&mut pod, &node(Some("h")));
        assert_eq!(pod["spec"]["nodeSelector"]["kubernetes.io/hostname"], "h");
        let mut pod = json!({"spec": {}});
        pin(&mut pod, &node(None));
        let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        assert_eq!(terms, &json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]));
    }
}
