//! What `dormouse status` shows of the nodes of a plane or cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use dormouse_devices::{Client as Devices, Identity, LeaseState, Snapshot};
use dormouse_names::annotation::NODE_GPUS;
use dormouse_runtime::output::table::render;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use crate::engines::{Engine, UNKNOWN, beyond, memory};

/// Nodes and their GPUs.
#[derive(Debug, Serialize)]
pub struct Status {
    nodes: Vec<NodeRow>,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    name: String,
    ready: bool,
    schedulable: bool,
    gpus: Vec<GpuRow>,
}

#[derive(Debug, Serialize)]
struct GpuRow {
    uuid: String,
    /// Engines that hold memory as awake ones.
    awake: Vec<String>,
    asleep: Vec<String>,
    used_bytes: Option<u64>,
    total_bytes: Option<u64>,
    /// Of the engines above, those whose memory no ledger knows.
    unknown: Vec<String>,
}

impl GpuRow {
    fn new(uuid: String) -> Self {
        Self { uuid, awake: Vec::new(), asleep: Vec::new(), used_bytes: None, total_bytes: None, unknown: Vec::new() }
    }

    fn push(&mut self, state: LeaseState, name: String) {
        match state {
            LeaseState::Awake => self.awake.push(name),
            LeaseState::Asleep => self.asleep.push(name),
        }
    }
}

/// What there is; `devices` says where device ledgers of nodes are, and `engines` are those that others tell of.
///
/// # Errors
/// When nodes cannot be listed.
pub async fn gather(client: &Client, devices: &[(String, String)], engines: &[Engine]) -> anyhow::Result<Status> {
    let listed = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.context("cannot list nodes")?.items;
    let mut nodes = Vec::new();
    for node in &listed {
        let socket = devices.iter().find(|(name, _)| *name == node.name_any()).map(|(_, socket)| socket.as_str());
        nodes.push(node_row(node, socket, engines).await);
    }
    Ok(Status { nodes })
}

/// A node's device ledger.
pub(crate) async fn snapshot(socket: &str) -> anyhow::Result<Snapshot> {
    let client = tokio::time::timeout(Duration::from_secs(2), Devices::connect(socket, Identity::of_this_process("dormouse"))).await??;
    Ok(tokio::time::timeout(Duration::from_secs(2), client.snapshot()).await??)
}

async fn node_row(node: &Node, socket: Option<&str>, engines: &[Engine]) -> NodeRow {
    let name = node.name_any();
    let condition = |t: &str| {
        node.status.as_ref().and_then(|s| s.conditions.as_ref()).and_then(|c| c.iter().find(|c| c.type_ == t)).map(|c| c.status == "True")
    };
    let published: BTreeMap<String, u32> = node.annotations().get(NODE_GPUS).and_then(|g| serde_json::from_str(g).ok()).unwrap_or_default();
    let told = engines.iter().filter(|e| e.node == name).flat_map(|e| e.gpus.iter().cloned());
    let all: BTreeSet<String> = published.into_keys().chain(told).collect();
    let mut gpus: Vec<GpuRow> = all.into_iter().map(GpuRow::new).collect();
    let snapshot = match socket {
        Some(socket) => snapshot(socket).await.ok(),
        None => None,
    };
    for gpu in &mut gpus {
        let held = snapshot.iter().flat_map(|s| &s.gpus).find(|g| g.gpu.uuid == gpu.uuid);
        if let Some(held) = held {
            gpu.used_bytes = Some(held.used_bytes);
            gpu.total_bytes = Some(held.gpu.total_bytes);
        }
        let leases = held.map_or(&[][..], |h| &h.leases);
        for lease in leases {
            gpu.push(lease.state, lease.model.clone().unwrap_or_else(|| lease.label.clone()));
        }
        for engine in beyond(engines, &name, &gpu.uuid, leases) {
            gpu.push(engine.state, engine.name.clone());
            gpu.unknown.push(engine.name.clone());
        }
    }
    NodeRow {
        name,
        ready: condition("Ready").unwrap_or(false),
        schedulable: node.spec.as_ref().and_then(|s| s.unschedulable) != Some(true),
        gpus,
    }
}

impl Status {
    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = Vec::new();
        for node in &self.nodes {
            let state = if !node.ready {
                "NotReady"
            } else if node.schedulable {
                "Ready"
            } else {
                "Ready,cordoned"
            };
            if node.gpus.is_empty() {
                rows.push(vec![node.name.clone(), state.to_owned()]);
            }
            for gpu in &node.gpus {
                let memory = match gpu.used_bytes.zip(gpu.total_bytes) {
                    Some((used, total)) => memory(used, total, gpu.unknown.len()),
                    None if gpu.unknown.is_empty() => String::new(),
                    None => UNKNOWN.to_owned(),
                };
                rows.push(vec![node.name.clone(), state.to_owned(), gpu.uuid.clone(), gpu.awake.join(","), gpu.asleep.join(","), memory]);
            }
        }
        render(&["NODE", "STATE", "GPU", "AWAKE", "ASLEEP", "MEMORY"], &rows)
    }
}
