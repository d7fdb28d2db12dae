//! Manifests of the tests, and how to read Pods.

use serde_json::{Value, json};

use super::{NODE, NS};

/// Where objects of this kind are created.
pub(crate) fn collection(kind: &str) -> String {
    let fma = "/apis/fma.llm-d.ai/v1alpha1";
    match kind {
        "Pod" => format!("/api/v1/namespaces/{NS}/pods"),
        "ConfigMap" => format!("/api/v1/namespaces/{NS}/configmaps"),
        "Node" => "/api/v1/nodes".to_owned(),
        "InferenceServerConfig" => format!("{fma}/namespaces/{NS}/inferenceserverconfigs"),
        "LauncherConfig" => format!("{fma}/namespaces/{NS}/launcherconfigs"),
        "LauncherPopulationPolicy" => format!("{fma}/namespaces/{NS}/launcherpopulationpolicies"),
        other => panic!("no collection of {other}"),
    }
}

pub(crate) fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "gpu": "yes"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"nvidia.com/gpu": "4"}}})
}

/// `gpu-map` with GPU-0 to GPU-3 on the node.
pub(crate) fn gpu_map() -> Value {
    let map = json!({"GPU-0": 0, "GPU-1": 1, "GPU-2": 2, "GPU-3": 3}).to_string();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gpu-map", "namespace": NS}, "data": {NODE: map}})
}

/// The patch of direct requesters: an engine on port 8000 that says which model.
pub(crate) fn patch(model: &str) -> String {
    format!(
        "metadata:\n  labels: {{app: null, model: {model}}}\nspec:\n  containers:\n  - name: inference-server\n    image: engine\n    \
         command: [serve, {model}]\n    readinessProbe:\n      httpGet: {{path: /health, port: 8000}}\n"
    )
}

fn requester(name: &str, gpus: &[&str], annotation: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NS, "labels": {"app": "requester"},
            "annotations": {annotation: value, "stage/gpus": gpus.join(",")}},
        "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": 5, "containers": [{"name": "inference-server", "image": "requester"}]}})
}

/// A direct requester.
pub(crate) fn direct(name: &str, model: &str, gpus: &[&str]) -> Value {
    requester(name, gpus, "dual-pods.llm-d.ai/server-patch", &patch(model))
}

/// A direct requester as older recipes have it.
pub(crate) fn old_direct(name: &str, model: &str, gpus: &[&str]) -> Value {
    requester(name, gpus, "dual-pod.llm-d.ai/server-patch", &patch(model))
}

/// A requester that wants an instance of this `InferenceServerConfig`.
pub(crate) fn wants(name: &str, isc: &str, gpus: &[&str]) -> Value {
    requester(name, gpus, "dual-pods.llm-d.ai/inference-server-config", isc)
}

/// A requester that is ready by the gate and has no probe.
pub(crate) fn gated(mut requester: Value) -> Value {
    requester["spec"]["readinessGates"] = json!([{"conditionType": "dormouse.dev/serving"}]);
    requester
}

/// The same with a container beside it.
pub(crate) fn accompanied(mut pod: Value) -> Value {
    pod["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "beside", "image": "any"}));
    pod
}

/// How often the containers of a Pod are to have been restarted.
pub(crate) fn restarts(pod: &Value) -> u64 {
    pod["metadata"]["annotations"]["stage/restarts"].as_str().map_or(0, |n| n.parse().unwrap())
}

/// Whether a Pod's readiness gate allows it to be ready; none: it has no gate.
pub(crate) fn gate(pod: &Value) -> Option<bool> {
    pod["spec"]["readinessGates"].as_array()?;
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    Some(conditions.into_iter().any(|c| c["type"] == "dormouse.dev/serving" && c["status"] == "True"))
}

pub(crate) fn isc(name: &str, port: u16, lc: &str) -> Value {
    json!({"apiVersion": "fma.llm-d.ai/v1alpha1", "kind": "InferenceServerConfig", "metadata": {"name": name, "namespace": NS},
        "spec": {"launcherConfigName": lc, "modelServerConfig": {"port": port, "options": format!("--model {name}"),
            "labels": {"serves": name}, "annotations": {"route/to": name}}}})
}

pub(crate) fn lc(name: &str, max: u32) -> Value {
    json!({"apiVersion": "fma.llm-d.ai/v1alpha1", "kind": "LauncherConfig", "metadata": {"name": name, "namespace": NS},
        "spec": {"maxInstances": max, "podTemplate": {"metadata": {"labels": {"app": "launcher"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "inference-server", "image": "launcher:1"}]}}}})
}

pub(crate) fn lpp(name: &str, lc: &str, count: u32) -> Value {
    json!({"apiVersion": "fma.llm-d.ai/v1alpha1", "kind": "LauncherPopulationPolicy", "metadata": {"name": name, "namespace": NS},
        "spec": {"enhancedNodeSelector": {"labelSelector": {"matchLabels": {"gpu": "yes"}}},
            "countForLauncher": [{"launcherConfigName": lc, "launcherCount": count}]}})
}

pub(crate) fn ready(pod: &Value) -> bool {
    pod["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

pub(crate) fn annotation<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    pod["metadata"]["annotations"].get(format!("dual-pods.llm-d.ai/{key}"))?.as_str()
}

pub(crate) fn label<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    pod["metadata"]["labels"].get(key).or_else(|| pod["metadata"]["labels"].get(format!("dual-pods.llm-d.ai/{key}")))?.as_str()
}

pub(crate) fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}
