//! Bad input (Show 10 of the issue on the main job): each gives one error that says what, where and what to do, in
//! status, event or exit code as fits, and nothing else stops working.

mod command_line;
mod ending;
mod engines;
mod manifests;

use serde_json::{Value, json};

/// A ReplicaSet of one server-requesting Pod of the direct flow, as in `examples/direct.yaml`.
fn requester(name: &str, server_patch: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {
                    "labels": {"app": name},
                    "annotations": {"dual-pods.llm-d.ai/admin-port": "8081", "dual-pods.llm-d.ai/server-patch": server_patch},
                },
                "spec": {"containers": [{
                    "name": "inference-server", "image": "registry.example/requester:latest",
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
                    "resources": {"limits": {"nvidia.com/gpu": "1"}},
                }]},
            },
        },
    })
}

/// A server patch whose provider runs this command, and has the label `engine: <name>`.
fn engine(name: &str, command: &[&str]) -> String {
    json!({
        "metadata": {"labels": {"app": null, "engine": name}},
        "spec": {"containers": [{
            "name": "inference-server", "image": "docker.io/vllm/vllm-openai:v0.26.0", "command": command,
            "env": [{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}],
            "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
        }]},
    })
    .to_string()
}

/// One that works.
const GOOD: [&str; 5] = ["vllm", "serve", "sim-model", "--port=8000", "--enable-sleep-mode"];

const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
