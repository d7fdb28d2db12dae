//! The verb `devices`: the GPU memory ledger of a plane, as its engines see it.

use clap::Args;
use dormouse_devices::{LeaseState, Owner};
use dormouse_runtime::flags::Output;
use dormouse_runtime::output::Out;
use dormouse_runtime::output::table::{bytes, render};
use dormouse_runtime::program;
use serde_json::{Map, Value};

use crate::run_folder;
use crate::status::snapshot;

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Name of the plane
    #[arg(long, default_value = "default")]
    name: String,
    /// Form of the answer
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(crate) fn run(args: &DevicesArgs) -> anyhow::Result<()> {
    let state = run_folder::found(&args.name)?;
    program::block_on(async {
        let mut all = Map::new();
        let mut rows = Vec::new();
        for (node, socket) in &state.devices {
            let snapshot = snapshot(socket).await?;
            for gpu in &snapshot.gpus {
                let mut memory = format!("{} of {}", bytes(gpu.used_bytes), bytes(gpu.gpu.total_bytes));
                if gpu.refused > 0 {
                    memory.push_str(&format!(", refused {}", gpu.refused));
                }
                rows.push(vec![node.clone(), gpu.gpu.uuid.clone(), memory]);
                for lease in &gpu.leases {
                    let state = match lease.state {
                        LeaseState::Awake => "awake",
                        LeaseState::Asleep => "asleep",
                    };
                    let model = lease.model.clone().unwrap_or_else(|| lease.label.clone());
                    rows.push(vec![String::new(), String::new(), bytes(lease.bytes), state.to_owned(), model, holder(&lease.owner)]);
                }
            }
            all.insert(node.clone(), serde_json::to_value(&snapshot)?);
        }
        match args.output {
            Output::Json => Out.line(&serde_json::to_string_pretty(&Value::Object(all))?)?,
            Output::Table => Out.text(&render(&["NODE", "GPU", "MEMORY", "STATE", "MODEL", "HOLDER"], &rows))?,
        }
        Ok(())
    })
}

fn holder(owner: &Owner) -> String {
    let who = owner.identity.pod.as_deref().unwrap_or("this machine");
    let pid = owner.pid.map(|p| format!(" (process {p})")).unwrap_or_default();
    format!("{} in {who}{pid}", owner.identity.program)
}
