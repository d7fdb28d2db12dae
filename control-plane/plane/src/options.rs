//! What a plane is started with, and why it may not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_kubelet::plan::image::Rules;
use dormouse_names::Programs;
use dormouse_runtime::{SharedClock, clock};

use crate::ports::Holder;

/// Where the API server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// `127.0.0.1:6443`, or the next free port.
    Auto,
    /// There or nowhere.
    At(SocketAddr),
}

/// The simulated accelerators of each node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedGpus {
    /// How many per node; 0 means that there is no device plugin.
    pub per_node: u32,
    /// Product name.
    pub product: String,
    /// Memory of each, in bytes.
    pub memory_bytes: u64,
    /// Host-to-device bandwidth in bytes per second; the default is PCIe 5's.
    pub link_bytes_per_second: Option<u64>,
}

impl Default for SimulatedGpus {
    fn default() -> Self {
        Self { per_node: 2, product: "NVIDIA-H100-80GB-HBM3".into(), memory_bytes: 80 << 30, link_bytes_per_second: None }
    }
}

/// How a plane is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder of its own, mode 0700: kubeconfig, volumes, logs of Pods.
    pub run_dir: PathBuf,
    /// Where the API server listens.
    pub listen: Listen,
    /// Where the administrator's kubeconfig is written; `run_dir/kubeconfig` unless given.
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the kubeconfig's context.
    pub namespace: String,
    /// Names of the nodes, at most 250.
    pub nodes: Vec<String>,
    /// Their accelerators.
    pub gpus: SimulatedGpus,
    /// Nominal CPU of a node, a quantity.
    pub node_cpu: String,
    /// Nominal memory of a node, a quantity.
    pub node_memory: String,
    /// What images mean.
    pub images: Rules,
    /// Programs of the executable that Pods may run.
    pub programs: Programs,
    /// Variables that every container has, whatever its own say.
    pub env: Vec<(String, String)>,
    /// First pause before a container starts again.
    pub restart_backoff: Duration,
    /// How long Pods outlive their node.
    pub pod_gc_delay: Duration,
    /// Finished Pods that are kept; beyond, the oldest go.
    pub terminated_pods: usize,
    /// This executable: shim of Pods, and every program of ours.
    pub executable: PathBuf,
    /// Whether containers may get a mount namespace of their own.
    pub sandbox: bool,
    /// Wall time.
    pub clock: SharedClock,
}

/// Finished Pods that are kept, unless told otherwise.
pub(crate) const TERMINATED_PODS: usize = 500;

impl Options {
    /// One node `dormouse-1` with two simulated GPUs.
    #[must_use]
    pub fn new(run_dir: PathBuf, executable: PathBuf) -> Self {
        Self {
            run_dir,
            listen: Listen::Auto,
            kubeconfig: None,
            namespace: "default".into(),
            nodes: vec!["dormouse-1".into()],
            gpus: SimulatedGpus::default(),
            node_cpu: "64".into(),
            node_memory: "512Gi".into(),
            images: Rules::default(),
            programs: Programs::default(),
            env: Vec::new(),
            restart_backoff: Duration::from_secs(10),
            pod_gc_delay: Duration::from_secs(40),
            terminated_pods: TERMINATED_PODS,
            executable,
            sandbox: true,
            clock: clock::system(),
        }
    }

    /// The nodes' names for a number of them: `dormouse-1`, `dormouse-2`, …
    #[must_use]
    pub fn default_names(count: u8) -> Vec<String> {
        (1..=count).map(|n| format!("dormouse-{n}")).collect()
    }
}

/// Why a plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Someone listens there already.
    #[error("cannot listen on {address}: {} holds it; end that, or give another --listen", holder.as_ref().map_or_else(|| "another process".to_owned(), ToString::to_string))]
    PortInUse {
        /// The address.
        address: SocketAddr,
        /// Who.
        holder: Option<Holder>,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No loopback network is free.
    #[error("cannot claim a loopback network: {0}")]
    Network(io::Error),
    /// No certificates.
    #[error("cannot make certificates: {0}")]
    Certificates(String),
    /// The server's first objects could not be made.
    #[error("the API server does not start: {0}")]
    Server(String),
    /// The kubeconfig cannot be written.
    #[error("cannot write the kubeconfig {path}: {source}")]
    Kubeconfig {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many nodes, or none, or two of one name.
    #[error("{0}")]
    Nodes(String),
    /// A kubelet does not start.
    #[error("node {node} does not start: {source}")]
    Kubelet {
        /// Which.
        node: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
