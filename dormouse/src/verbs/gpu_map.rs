//! `dormouse gpu-map …`: the ConfigMap that translates GPU UUIDs to indices for direct providers.

use clap::{Args, Subcommand};
use dormouse_requester::gpu_map;
use dormouse_runtime::output::Out;

use super::{log, program};

/// Arguments of `gpu-map`.
#[derive(Debug, Args)]
pub(crate) struct GpuMapArgs {
    #[command(subcommand)]
    what: GpuMapVerb,
}

#[derive(Debug, Subcommand)]
enum GpuMapVerb {
    /// Make the ConfigMap say what the nodes publish, once or as long as it runs
    Sync(gpu_map::Args),
}

pub(crate) fn run(args: GpuMapArgs) -> anyhow::Result<()> {
    let GpuMapVerb::Sync(args) = args.what;
    log(0);
    let namespace = args.namespace.clone();
    program(|end| async move {
        let Some(done) = gpu_map::run(args, end).await? else { return Ok(()) };
        let list = |what: &str, nodes: &[String]| if nodes.is_empty() { String::new() } else { format!(" {what}: {}.", nodes.join(", ")) };
        let verb = if done.created { "made" } else { "looked at" };
        let skipped: Vec<String> = done.skipped.iter().map(|(node, why)| format!("{node} ({why})")).collect();
        let text = format!(
            "{verb} ConfigMap gpu-map in namespace {namespace}.{}{}{}{}",
            list("Written", &done.written),
            list("Removed", &done.removed),
            list("Right already", &done.unchanged),
            list("Left out", &skipped),
        );
        Ok(Out.line(&text)?)
    })
}
