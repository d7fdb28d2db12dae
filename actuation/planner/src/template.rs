//! The launcher Pod of a `LauncherConfig` (actuation 2.7).
//!
//! [`build`] makes the Pod for any node and its hash, [`on_node`] the Pod for one node. The hash covers what the author of the
//! `LauncherConfig` can change, in canonical form, and the version of what is injected; not `maxInstances`.

use dormouse_apis::Resource;
use dormouse_apis::fma::LauncherConfig;
use dormouse_apis::names::{GPU_RESOURCE, NOTIFIER_CONTAINER, annotation, label, port};
use dormouse_names::env::NVIDIA_VISIBLE_DEVICES;
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
    (NVIDIA_VISIBLE_DEVICES, "all"),
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
                "apiVersion": LauncherConfig::api_version(&()), "kind": LauncherConfig::kind(&()), "name": name, "uid": uid,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Value {
        json!({
            "name": "inference-server", "image": "img:1",
            "env": [{"name": "A", "value": "1"}, {"name": "PYTHONPATH", "value": "/other"}],
            "volumeMounts": [{"name": "b", "mountPath": "/b"}, {"name": "a", "mountPath": "/2"}, {"name": "a", "mountPath": "/1"}],
            "ports": [{"name": "y", "containerPort": 2}, {"name": "x", "containerPort": 10}, {"name": "x", "containerPort": 9}],
            "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1"}},
        })
    }

    fn pod_template(container: &Value) -> Value {
        json!({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {
            "serviceAccountName": "sa", "containers": [container], "overhead": {"nvidia.com/gpu": "1", "cpu": "1"},
            "volumes": [{"name": "b"}, {"name": "kube-api-access-abc12"}, {"name": "a"}],
            "tolerations": [{"key": "z"}, {"key": "k", "operator": "Exists"}],
            "imagePullSecrets": [{"name": "t"}, {"name": "s"}],
        }})
    }

    fn made(template: &Value) -> (Value, String) {
        build("testns", "testn", &Uid::from("you-ID"), template).unwrap()
    }

    #[test]
    fn everything_is_in_its_place() {
        let (pod, hash) = made(&pod_template(&container()));
        let meta = &pod["metadata"];
        assert_eq!(meta["namespace"], "testns");
        assert_eq!(meta["generateName"], "launcher-testn-");
        assert_eq!(
            meta["ownerReferences"],
            json!([{"apiVersion": "fma.llm-d.ai/v1alpha1", "kind": "LauncherConfig", "name": "testn", "uid": "you-ID",
                "controller": false, "blockOwnerDeletion": false}])
        );
        assert_eq!(
            meta["labels"],
            json!({"a": "b", "app.kubernetes.io/component": "launcher", "dual-pods.llm-d.ai/launcher-config-name": "testn",
                "dual-pods.llm-d.ai/sleeping": "true"})
        );
        assert_eq!(meta["annotations"], json!({"c": "d", "dual-pods.llm-d.ai/launcher-populator-template-hash": hash}));
        let spec = &pod["spec"];
        assert_eq!(spec["volumes"], json!([{"name": "a"}, {"name": "b"}]));
        assert_eq!(spec["overhead"], json!({"cpu": "1"}));
        assert_eq!(spec["nodeName"], Value::Null);
        let main = &spec["containers"][0];
        let env: Vec<&str> = main["env"].as_array().unwrap().iter().map(|var| var["name"].as_str().unwrap()).collect();
        assert_eq!(env, ["A", "PYTHONPATH", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "VLLM_SERVER_DEV_MODE"]);
        assert_eq!(main["env"][1]["value"], "/app");
        assert_eq!(main["resources"], json!({"limits": {"nvidia.com/gpu": "0", "cpu": "1"}}));
        assert_eq!(main["livenessProbe"]["httpGet"], json!({"path": "/health", "port": 8001}));
        assert_eq!(main["readinessProbe"]["httpGet"], json!({"path": "/v2/vllm/instances", "port": 8001}));
        assert_eq!(main["readinessProbe"]["timeoutSeconds"], 2);
        let sidecar = &spec["containers"][1];
        assert_eq!(sidecar["name"], "state-change-reflector");
        assert_eq!(sidecar["image"], "img:1");
        assert_eq!(sidecar["command"], json!(["python3", "/app/launcher_pod_notifier.py"]));
        assert_eq!(sidecar["env"][0]["value"], "http://127.0.0.1:8001");
    }

    #[test]
    fn order_of_lists_without_order_does_not_matter() {
        let mut other = pod_template(&container());
        for list in ["volumes", "tolerations", "imagePullSecrets"] {
            other["spec"][list].as_array_mut().unwrap().reverse();
        }
        for list in ["volumeMounts", "ports"] {
            other["spec"]["containers"][0][list].as_array_mut().unwrap().reverse();
        }
        let (one, two) = (made(&pod_template(&container())), made(&other));
        assert_eq!(one, two);
        let mut env = pod_template(&container());
        env["spec"]["containers"][0]["env"].as_array_mut().unwrap().reverse();
        assert_ne!(one.1, made(&env).1, "the order of variables means something");
    }

    #[test]
    fn spelling_does_not_make_launchers_stale_and_content_does() {
        let base = made(&pod_template(&container())).1;
        let mut spelled = container();
        spelled["resources"]["limits"]["cpu"] = json!("1000m");
        assert_eq!(base, made(&pod_template(&spelled)).1);
        let mut image = container();
        image["image"] = json!("img:2");
        assert_ne!(base, made(&pod_template(&image)).1);
        assert_ne!(base, build("testns", "testn", &Uid::from("other"), &pod_template(&container())).unwrap().1);
    }

    #[test]
    fn nodes_share_the_template_hash_only() {
        let (pod, hash) = made(&pod_template(&container()));
        let template = LauncherTemplate { pod, hash: hash.clone() };
        let node = |name: &str| NodeInfo { name: name.to_owned(), ..NodeInfo::default() };
        let (a, b) = (on_node(&template, &node("a")), on_node(&template, &node("b")));
        let key = "dual-pods.llm-d.ai/launcher-config-hash";
        assert_ne!(a["metadata"]["annotations"][key], b["metadata"]["annotations"][key]);
        assert_eq!(a["metadata"]["annotations"]["dual-pods.llm-d.ai/launcher-populator-template-hash"], hash.as_str());
        assert_eq!(a["metadata"]["labels"]["dual-pods.llm-d.ai/node-name"], "a");
        assert_eq!(a["spec"]["nodeSelector"], json!({"kubernetes.io/hostname": "a"}));
    }

    #[test]
    fn a_sidecar_of_that_name_is_replaced() {
        let mut template = pod_template(&container());
        template["spec"]["containers"].as_array_mut().unwrap().insert(0, json!({"name": "state-change-reflector", "image": "x"}));
        let (pod, _) = made(&template);
        assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 2);
        assert_eq!(pod["spec"]["containers"][0]["image"], "img:1");
    }

    #[test]
    fn malformed_templates_say_why() {
        let uid = Uid::from("u");
        assert_eq!(build("n", "l", &uid, &Value::Null).unwrap_err(), "container \"inference-server\" not found");
        assert_eq!(build("n", "l", &uid, &json!({"spec": {"containers": []}})).unwrap_err(), "container \"inference-server\" not found");
        assert!(build("n", "l", &uid, &json!({"spec": {"containers": "x"}})).is_err());
    }
}
