//! `dormouse gpu-map …`: the ConfigMap that translates GPU UUIDs to indices for direct providers.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use dormouse_requester::gpu_map;
use dormouse_runtime::output::Out;
use dormouse_runtime::tls;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Arguments of `gpu-map`.
#[derive(Debug, Args)]
pub(crate) struct GpuMapArgs {
    #[command(subcommand)]
    what: GpuMapVerb,
}

#[derive(Debug, Subcommand)]
enum GpuMapVerb {
    /// Make the ConfigMap equal to what the nodes publish, once
    Sync(SyncArgs),
}

#[derive(Debug, Args)]
struct SyncArgs {
    /// Namespace of the ConfigMap; the kubeconfig's unless given
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    /// Path of a kubeconfig; else $KUBECONFIG and the usual places
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(crate) fn run(args: GpuMapArgs) -> anyhow::Result<()> {
    let GpuMapVerb::Sync(args) = args.what;
    tls::install_provider();
    super::small_runtime()?.block_on(async {
        let config = match &args.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file).with_context(|| format!("cannot read the kubeconfig {}", file.display()))?;
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.context("the kubeconfig cannot be used")?
            }
            None => Config::infer().await.context("no kubeconfig was found; give --kubeconfig, or set KUBECONFIG")?,
        };
        let namespace = args.namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("cannot make a client")?;
        let written = gpu_map::sync(client, &namespace).await?;
        Ok(Out.line(&format!("ConfigMap gpu-map of namespace {namespace}: {written}"))?)
    })
}
