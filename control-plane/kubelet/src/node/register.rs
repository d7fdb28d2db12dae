//! The Node object, its status and its lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_names::annotation::{NODE_GPUS, NODE_HELD};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node as NodeObject, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::context::Node;
use crate::options::Gpus;
use crate::plan::quantity;

/// Between two renewals of the lease, as the kubelet does it.
const RENEW: Duration = Duration::from_secs(10);
/// What the lease promises.
const LEASE_SECONDS: i32 = 40;
/// The status is written again after so many renewals even if nothing changed.
const REPORT_EVERY: u32 = 30;
/// Version that the node claims: that of the API it speaks.
const VERSION: &str = "v1.37.0";

/// Makes the Node object, or takes over the one that is there.
pub(super) async fn register(node: &Node) -> kube::Result<()> {
    let api: Api<NodeObject> = Api::all(node.options.client.clone());
    let (labels, annotations) = (labels(node), annotations(&node.options.gpus));
    let metadata = json!({"name": node.name(), "labels": labels, "annotations": annotations});
    let new = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
    let new: NodeObject = serde_json::from_value(new).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &new).await {
        Ok(_) => {}
        Err(kube::Error::Api(e)) if e.code == 409 => {
            // What an earlier kubelet's Pods left was ended before.
            let mut annotations = json!(annotations);
            annotations[NODE_HELD] = Value::Null;
            let patch = json!({"metadata": {"labels": labels, "annotations": annotations}});
            api.patch(node.name(), &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        Err(e) => return Err(e),
    }
    report(node, &api, &NodeObject::default()).await
}

/// Renews the lease for ever and keeps the status true. A Node that somebody deleted stays deleted, as with the kubelet.
pub(super) async fn keep_alive(node: Arc<Node>) {
    let nodes: Api<NodeObject> = Api::all(node.options.client.clone());
    let leases: Api<Lease> = Api::namespaced(node.options.client.clone(), "kube-node-lease");
    let mut round = 0_u32;
    loop {
        match nodes.get_opt(node.name()).await {
            Ok(Some(object)) => {
                let due = round % REPORT_EVERY == REPORT_EVERY - 1;
                if let Err(error) = renew(&node, &leases, &object).await {
                    tracing::debug!(%error, node = node.name(), "the node's lease was not renewed");
                }
                let stale = !is_true(&node, &object);
                node.set_object(object.clone());
                if (due || stale)
                    && let Err(error) = report(&node, &nodes, &object).await
                {
                    tracing::warn!(%error, node = node.name(), "the node's status could not be written");
                }
            }
            Ok(None) => tracing::debug!(node = node.name(), "the Node object is gone"),
            Err(error) => tracing::debug!(%error, node = node.name(), "the Node object could not be read"),
        }
        round = round.wrapping_add(1);
        tokio::time::sleep(RENEW).await;
    }
}

/// Keeps [`NODE_HELD`] true, for ever: the scheduler counts what it says.
pub(super) async fn tell_held(node: Arc<Node>) {
    let nodes: Api<NodeObject> = Api::all(node.options.client.clone());
    let mut held = node.held();
    let mut said = None;
    loop {
        let now = held.borrow_and_update().clone();
        if said.as_ref().is_some_and(|said| *said != now) || said.is_none() && !now.is_empty() {
            let text = now.iter().map(|(name, n)| (name.as_str(), quantity::text(*n))).collect::<BTreeMap<_, _>>();
            let value = if now.is_empty() { Value::Null } else { json!(json!(text).to_string()) };
            let patch = json!({"metadata": {"annotations": {NODE_HELD: value}}});
            if let Err(error) = nodes.patch(node.name(), &PatchParams::default(), &Patch::Merge(&patch)).await {
                tracing::warn!(%error, node = node.name(), "what leftovers hold could not be told");
                tokio::time::sleep(Duration::from_millis(200)).await;
                held.mark_changed();
                continue;
            }
        }
        said = Some(now);
        if held.changed().await.is_err() {
            return;
        }
    }
}

/// Whether the object says what this kubelet would.
fn is_true(node: &Node, object: &NodeObject) -> bool {
    let Some(status) = &object.status else { return false };
    let has = |list: &Option<BTreeMap<_, _>>| node.capacity().iter().all(|(k, v)| list.as_ref().and_then(|l| l.get(k)) == Some(v));
    let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    ready && has(&status.capacity) && has(&status.allocatable)
}

async fn report(node: &Node, api: &Api<NodeObject>, old: &NodeObject) -> kube::Result<()> {
    let status = status(node, old);
    let object = api.patch_status(node.name(), &PatchParams::default(), &Patch::Strategic(&status)).await?;
    node.set_object(object);
    Ok(())
}

/// The patch: keys of capacity that are not ours stay as they are.
fn status(node: &Node, old: &NodeObject) -> Value {
    let now = node.options.clock.now();
    let now = Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now));
    let known = old.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let condition = |kind: &str, state: &str, reason: &str, message: &str| {
        let same = known.iter().find(|c| c.type_ == kind && c.status == state);
        NodeCondition {
            type_: kind.to_owned(),
            status: state.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: same.and_then(|c| c.last_transition_time.clone()).or_else(|| Some(now.clone())),
        }
    };
    let conditions = [
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let capacity = node.capacity();
    let read = |path: &str| std::fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default();
    json!({"status": {
        "capacity": capacity, "allocatable": capacity, "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": node.options.node_ip().to_string()}, {"type": "Hostname", "address": node.name()}],
        "nodeInfo": {
            "architecture": architecture(), "operatingSystem": "linux", "kernelVersion": read("/proc/sys/kernel/osrelease"),
            "bootID": read("/proc/sys/kernel/random/boot_id"), "machineID": read("/etc/machine-id"), "systemUUID": "",
            "osImage": os_image(), "containerRuntimeVersion": format!("dormouse://{}", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": VERSION, "kubeProxyVersion": "",
        },
    }})
}

fn os_image() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |n| n.trim_matches('"').to_owned())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn renew(node: &Node, leases: &Api<Lease>, object: &NodeObject) -> kube::Result<()> {
    let renewed = MicroTime(node.options.clock.now());
    let patch = json!({"spec": {"holderIdentity": node.name(), "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renewed}});
    match leases.patch(node.name(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(e) if dormouse_controller::not_found(&e) => {}
        other => return other.map(drop),
    }
    let mut new = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": patch["spec"],
        "metadata": {"name": node.name(), "namespace": "kube-node-lease"},
    });
    if let Some(uid) = &object.metadata.uid {
        new["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": node.name(), "uid": uid}]);
    }
    let new = serde_json::from_value(new).map_err(kube::Error::SerdeError)?;
    leases.create(&PostParams::default(), &new).await.map(drop)
}

fn labels(node: &Node) -> BTreeMap<String, String> {
    let gpus = &node.options.gpus;
    let mut labels = vec![
        ("kubernetes.io/hostname", node.name().to_owned()),
        ("kubernetes.io/os", "linux".to_owned()),
        ("kubernetes.io/arch", architecture().to_owned()),
        ("beta.kubernetes.io/os", "linux".to_owned()),
        ("beta.kubernetes.io/arch", architecture().to_owned()),
    ];
    if gpus.count > 0 {
        labels.push(("nvidia.com/gpu.present", "true".to_owned()));
        labels.push(("nvidia.com/gpu.product", gpus.product.clone()));
        labels.push(("nvidia.com/gpu.count", gpus.count.to_string()));
        // In MiB, as the peer's feature discovery writes it.
        labels.push(("nvidia.com/gpu.memory", (gpus.memory_bytes >> 20).to_string()));
    }
    labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// [`NODE_GPUS`]: UUID to index.
fn annotations(gpus: &Gpus) -> BTreeMap<String, String> {
    if gpus.count == 0 {
        return BTreeMap::new();
    }
    let map: BTreeMap<String, u32> = (0..gpus.count).map(|i| (gpus.uuid(i as usize), i)).collect();
    [(NODE_GPUS.to_owned(), serde_json::to_string(&map).unwrap_or_default())].into()
}
