//! What the demo applies: models, a launcher, requesters, a plain engine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dormouse_apis::Resource;
use dormouse_apis::fma::{InferenceServerConfig, LauncherConfig, LauncherPopulationPolicy};
use dormouse_apis::names::{SERVER_CONTAINER, annotation};
use dormouse_deploy::IMAGE_REGISTRY;
use dormouse_names::condition::SERVING;
use dormouse_names::env;
use serde_json::{Value, json};

use super::ports::Ports;

/// Namespace of everything.
pub(super) const NAMESPACE: &str = "dormouse-demo";
/// The one `LauncherConfig`.
const LAUNCHER: &str = "demo-launcher";

/// A model and where its engine listens.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// Name of its `InferenceServerConfig` and ReplicaSet.
    pub name: String,
    /// What `vllm serve` is given.
    pub model: String,
    pub port: u16,
    /// Further options of the engine.
    pub options: Vec<String>,
    /// Variables of the engine.
    pub env: Vec<(&'static str, &'static str)>,
    /// Folders of this machine that its Pods see.
    pub mounts: Vec<Mount>,
}

/// A folder of this machine and where Pods see it: their `/tmp` is their own, so that a folder there must be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub folder: PathBuf,
    pub path: PathBuf,
}

/// Where Pods see the models.
pub(super) const MODELS: &str = "/models";

/// Adds the volumes to a Pod's spec and their mounts to the first container.
fn with_mounts(mut spec: Value, mounts: &[Mount]) -> Value {
    let named = || mounts.iter().enumerate().map(|(at, mount)| (format!("folder-{at}"), mount));
    spec["volumes"] = named().map(|(name, mount)| json!({"name": name, "hostPath": {"path": mount.folder}})).collect();
    spec["containers"][0]["volumeMounts"] =
        named().map(|(name, mount)| json!({"name": name, "mountPath": mount.path, "readOnly": true})).collect();
    spec
}

/// Namespace, rights of launchers, the launcher itself.
pub(super) fn base() -> Vec<Value> {
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "launcher", "namespace": NAMESPACE}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "launcher", "namespace": NAMESPACE},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "launcher", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "launcher"},
            "subjects": [{"kind": "ServiceAccount", "name": "launcher", "namespace": NAMESPACE}]}),
    ]
}

/// The `LauncherConfig`: room for two engines.
pub(super) fn launcher_config(mounts: &[Mount]) -> Value {
    let spec = json!({
        "serviceAccountName": "launcher",
        "containers": [{"name": SERVER_CONTAINER, "image": format!("{IMAGE_REGISTRY}/launcher:latest"), "command": ["python3", "launcher.py"]}],
    });
    json!({
        "apiVersion": LauncherConfig::api_version(&()), "kind": LauncherConfig::kind(&()),
        "metadata": {"name": LAUNCHER, "namespace": NAMESPACE},
        "spec": {"maxInstances": 2, "podTemplate": {"spec": with_mounts(spec, mounts)}},
    })
}

/// Keeps one launcher on the node: without a policy that names it, an unbound launcher is cleaned up.
pub(super) fn population_policy() -> Value {
    json!({
        "apiVersion": LauncherPopulationPolicy::api_version(&()), "kind": LauncherPopulationPolicy::kind(&()),
        "metadata": {"name": "one", "namespace": NAMESPACE},
        "spec": {"enhancedNodeSelector": {"labelSelector": {}}, "countForLauncher": [{"launcherConfigName": LAUNCHER, "launcherCount": 1}]},
    })
}

/// The `InferenceServerConfig` of a model.
pub(super) fn server_config(m: &Model) -> Value {
    json!({
        "apiVersion": InferenceServerConfig::api_version(&()), "kind": InferenceServerConfig::kind(&()),
        "metadata": {"name": m.name, "namespace": NAMESPACE},
        "spec": {"launcherConfigName": LAUNCHER, "modelServerConfig": {
            "port": m.port, "options": format!("--model {} {}", m.model, m.options.join(" ")).trim(),
            "env_vars": m.env.iter().copied().collect::<BTreeMap<_, _>>(), "labels": {"demo-model": m.name},
        }},
    })
}

/// How a requester becomes Ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// By a probe each second.
    Probe,
    /// By the gate that the dual-pods controller opens.
    Gate,
}

/// A ReplicaSet of requesters, none at first. `gpu` pins them: no GPU is asked of the scheduler then.
pub(super) fn requesters(name: &str, mut notes: Value, gpu: &str, ports: &Ports, delay_ready_ms: u64, readiness: Readiness) -> Value {
    let Ports { probes, spi, .. } = *ports;
    notes[annotation::ADMIN_PORT] = json!(spi.to_string());
    let mut env = vec![
        json!({"name": env::NVIDIA_VISIBLE_DEVICES, "value": gpu}),
        json!({"name": "PROBES_PORT", "value": probes.to_string()}),
        json!({"name": "SPI_PORT", "value": spi.to_string()}),
    ];
    if delay_ready_ms > 0 {
        env.push(json!({"name": env::DELAY_READY_MS, "value": delay_ready_ms.to_string()}));
    }
    let mut spec = json!({"terminationGracePeriodSeconds": 10, "containers": [{
        "name": SERVER_CONTAINER, "image": format!("{IMAGE_REGISTRY}/requester:latest"), "env": env,
        "ports": [{"name": "probes", "containerPort": probes}, {"name": "spi", "containerPort": spi}],
        "resources": {"limits": {"cpu": "200m", "memory": "250Mi"}},
    }]});
    match readiness {
        Readiness::Probe => {
            spec["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": probes}, "periodSeconds": 1});
        }
        Readiness::Gate => spec["readinessGates"] = json!([{"conditionType": SERVING}]),
    }
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}, "annotations": notes}, "spec": spec,
        }},
    })
}

/// Annotations of a requester of the launcher flow.
pub(super) fn by_config(m: &Model) -> Value {
    json!({annotation::INFERENCE_SERVER_CONFIG: m.name})
}

/// Annotations of a requester of the direct flow.
pub(super) fn by_patch(m: &Model) -> Value {
    // The requester is pinned by what it may see; the provider must see all GPUs of the node to pick one by index.
    let spec = with_mounts(json!({"containers": [engine(m, "all")]}), &m.mounts);
    let patch = json!({"metadata": {"labels": {"app": null, "demo-model": m.name}}, "spec": spec});
    json!({annotation::SERVER_PATCH: patch.to_string()})
}

/// The container of an engine that sees these GPUs.
fn engine(m: &Model, gpus: &str) -> Value {
    let mut command = vec!["vllm".to_owned(), "serve".into(), m.model.clone(), format!("--port={}", m.port)];
    command.extend(m.options.iter().cloned());
    let env = m.env.iter().copied().chain([(env::NVIDIA_VISIBLE_DEVICES, gpus)]);
    let env: Vec<Value> = env.map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "name": SERVER_CONTAINER, "image": "docker.io/vllm/vllm-openai:v0.26.0", "command": command, "env": env,
        "readinessProbe": {"httpGet": {"path": "/health", "port": m.port}, "periodSeconds": 1},
        "resources": {"limits": {"cpu": "2", "memory": "9Gi"}},
    })
}

/// A Pod that runs the engine itself: what there is without actuation.
pub(super) fn plain(m: &Model, gpu: &str) -> Value {
    let spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [engine(m, gpu)]});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": m.name, "namespace": NAMESPACE, "labels": {"app": m.name}},
        "spec": with_mounts(spec, &m.mounts),
    })
}
