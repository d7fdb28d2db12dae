//! The flags that say what a plane is like.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use dormouse_kubelet::plan::image::Rules;
use dormouse_machinery::names;
use dormouse_machinery::quantity::Quantity;
use dormouse_runtime::exit::Failure;

use crate::options::{Listen, Options, SimulatedGpus, TERMINATED_PODS};

/// Nodes, their GPUs, where the plane is found, how its containers run.
#[derive(Debug, Args)]
pub struct PlaneArgs {
    /// Number of nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    nodes: u8,
    /// Names of the nodes instead of dormouse-N
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', conflicts_with = "nodes")]
    node_names: Vec<String>,
    /// Simulated GPUs of each node; 0 for no device plugin
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub gpus_per_node: u32,
    /// Product name of the GPUs
    #[arg(long, default_value = "NVIDIA-H100-80GB-HBM3")]
    gpu_product: String,
    /// Memory of each GPU, a quantity
    #[arg(long, default_value = "80Gi")]
    gpu_memory: String,
    /// Nominal CPU of a node, a quantity
    #[arg(long, default_value = "64")]
    node_cpu: String,
    /// Nominal memory of a node, a quantity
    #[arg(long, default_value = "512Gi")]
    node_memory: String,
    /// Name of the plane: one runs per name
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Address and port of the API server; 127.0.0.1:6443 or the next free port unless given
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where the kubeconfig is written; in the run folder unless given
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the kubeconfig, and focus of what runs on the plane
    #[arg(long, default_value = "default")]
    pub namespace: String,
    /// File with rules of what images mean
    #[arg(long, value_name = "FILE")]
    images: Option<PathBuf>,
    /// First pause before a container starts again
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = dormouse_runtime::flags::duration)]
    restart_backoff: Duration,
    /// How long Pods outlive a node that is gone
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = dormouse_runtime::flags::duration)]
    pod_gc_delay: Duration,
    /// Finished Pods that are kept; beyond, the oldest are deleted
    #[arg(long, value_name = "N", default_value_t = TERMINATED_PODS)]
    terminated_pod_gc_threshold: usize,
    /// Whether containers get a mount namespace of their own
    #[arg(long, value_enum, default_value_t = Sandbox::Auto)]
    sandbox: Sandbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sandbox {
    /// Where the kernel allows it
    Auto,
    /// Never
    Off,
}

impl PlaneArgs {
    /// Refuses names that the API would refuse later, when half of the plane is up.
    ///
    /// # Errors
    /// A usage error that names the flag.
    pub fn check_names(&self) -> Result<(), Failure> {
        let nodes = self.node_names.iter().map(|n| ("node-names", n, [names::dns1123_subdomain(n), names::label_value(n)].concat()));
        let others = [
            ("namespace", &self.namespace, names::dns1123_label(&self.namespace)),
            ("gpu-product", &self.gpu_product, names::label_value(&self.gpu_product)),
        ];
        match nodes.chain(others).find(|(_, _, wrong)| !wrong.is_empty()) {
            Some((flag, value, wrong)) => Err(Failure::usage(format!("--{flag}: {value:?} cannot be used: {}", wrong.join("; ")))),
            None => Ok(()),
        }
    }

    /// Options as these flags say, for a plane in this folder.
    ///
    /// # Errors
    /// A value that cannot be, or a file that cannot be read.
    pub fn options(&self, run_dir: &Path) -> anyhow::Result<Options> {
        let executable = std::env::current_exe().context("cannot find this executable")?;
        let mut o = Options::new(run_dir.to_owned(), executable);
        o.listen = self.listen.map_or(Listen::Auto, Listen::At);
        o.kubeconfig.clone_from(&self.kubeconfig);
        o.namespace.clone_from(&self.namespace);
        o.nodes = if self.node_names.is_empty() { Options::default_names(self.nodes) } else { self.node_names.clone() };
        let quantity =
            |flag: &str, text: &str| Quantity::parse(text).map_err(|e| Failure::usage(format!("--{flag}: {text:?} is no quantity: {e}")));
        quantity("node-cpu", &self.node_cpu)?;
        quantity("node-memory", &self.node_memory)?;
        let memory = quantity("gpu-memory", &self.gpu_memory)?;
        let memory_bytes = u64::try_from(memory.value())
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| Failure::usage("--gpu-memory must be more than nothing"))?;
        o.gpus =
            SimulatedGpus { per_node: self.gpus_per_node, product: self.gpu_product.clone(), memory_bytes, ..SimulatedGpus::default() };
        o.node_cpu.clone_from(&self.node_cpu);
        o.node_memory.clone_from(&self.node_memory);
        if let Some(file) = &self.images {
            let text =
                std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("--images: cannot read {}: {e}", file.display())))?;
            o.images = Rules::parse(&text).map_err(|e| Failure::usage(format!("--images: {}: {e}", file.display())))?;
        }
        o.restart_backoff = self.restart_backoff;
        o.pod_gc_delay = self.pod_gc_delay;
        o.terminated_pods = self.terminated_pod_gc_threshold;
        o.sandbox = self.sandbox == Sandbox::Auto;
        Ok(o)
    }
}
