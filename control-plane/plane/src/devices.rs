//! The GPU memory ledger of a plane, as its engines see it, with the engines that do not use it.

use dormouse_devices::{LeaseState, Owner, Snapshot};
use dormouse_runtime::output::table::{bytes, render};
use serde_json::{Map, Value};

use crate::engines::{Engine, UNKNOWN, beyond, memory};
use crate::status::snapshot;

/// The ledgers of some nodes.
#[derive(Debug)]
pub struct Ledgers {
    nodes: Vec<(String, Snapshot)>,
    engines: Vec<Engine>,
}

/// Asks the ledgers at these sockets, given by node; `engines` are those that others tell of.
///
/// # Errors
/// When one does not answer.
pub async fn gather(sockets: &[(String, String)], engines: Vec<Engine>) -> anyhow::Result<Ledgers> {
    let mut nodes = Vec::new();
    for (node, socket) in sockets {
        nodes.push((node.clone(), snapshot(socket).await?));
    }
    Ok(Ledgers { nodes, engines })
}

impl Ledgers {
    /// By node what its ledger says; each GPU has in `unaccounted` the engines that it knows nothing of.
    ///
    /// # Errors
    /// None in practice: what is shown can be written as JSON.
    pub fn json(&self) -> serde_json::Result<Value> {
        let mut all = Map::new();
        for (node, snapshot) in &self.nodes {
            let mut shown = serde_json::to_value(snapshot)?;
            for (gpu, row) in snapshot.gpus.iter().zip(shown["gpus"].as_array_mut().into_iter().flatten()) {
                row["unaccounted"] = serde_json::to_value(beyond(&self.engines, node, &gpu.gpu.uuid, &gpu.leases))?;
            }
            all.insert(node.clone(), shown);
        }
        Ok(Value::Object(all))
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = Vec::new();
        let row = |bytes: String, state: LeaseState, model: String, holder: String| {
            let state = match state {
                LeaseState::Awake => "awake",
                LeaseState::Asleep => "asleep",
            };
            vec![String::new(), String::new(), bytes, state.to_owned(), model, holder]
        };
        for (node, snapshot) in &self.nodes {
            for gpu in &snapshot.gpus {
                let unaccounted = beyond(&self.engines, node, &gpu.gpu.uuid, &gpu.leases);
                let mut memory = memory(gpu.used_bytes, gpu.gpu.total_bytes, unaccounted.len());
                if gpu.refused > 0 {
                    memory.push_str(&format!(", refused {}", gpu.refused));
                }
                rows.push(vec![node.clone(), gpu.gpu.uuid.clone(), memory]);
                for lease in &gpu.leases {
                    let model = lease.model.clone().unwrap_or_else(|| lease.label.clone());
                    rows.push(row(bytes(lease.bytes), lease.state, model, holder(&lease.owner)));
                }
                for engine in unaccounted {
                    rows.push(row(UNKNOWN.to_owned(), engine.state, engine.name.clone(), engine.pod.clone()));
                }
            }
        }
        render(&["NODE", "GPU", "MEMORY", "STATE", "MODEL", "HOLDER"], &rows)
    }
}

fn holder(owner: &Owner) -> String {
    let who = owner.identity.pod.as_deref().unwrap_or("this machine");
    let pid = owner.pid.map(|p| format!(" (process {p})")).unwrap_or_default();
    format!("{} in {who}{pid}", owner.identity.program)
}
