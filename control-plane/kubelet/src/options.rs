//! What a kubelet is started with.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use dormouse_devices::Rates;
use dormouse_names::Programs;
use dormouse_runtime::clock::{self, SharedClock};

use crate::machine::backoff::Policy;
use crate::plan::image::Rules;

/// Simulated GPUs of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    /// How many; 0 means that there is no device plugin at all.
    pub count: u32,
    /// Number of the first one over all nodes: UUIDs are `GPU-<first>`, `GPU-<first + 1>`, …
    pub first: u32,
    /// Product name, as in the label `nvidia.com/gpu.product`.
    pub product: String,
    /// Memory of each in bytes.
    pub memory_bytes: u64,
}

impl Gpus {
    /// The UUID of the node's GPU with this index.
    #[must_use]
    pub fn uuid(&self, index: usize) -> String {
        format!("GPU-{}", self.first as usize + index)
    }
}

impl Default for Gpus {
    fn default() -> Self {
        Self { count: 0, first: 0, product: "NVIDIA-H100-80GB-HBM3".to_owned(), memory_bytes: 80 << 30 }
    }
}

/// Whether containers get a root of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SandboxMode {
    /// Where the kernel allows it.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// Where Pods find the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiAddress {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Certificate of the authority that signed the server's, in PEM.
    pub ca_pem: String,
}

/// Options of [`crate::Kubelet::start`].
#[derive(Clone)]
pub struct Options {
    /// A client with the rights of a kubelet (or all).
    pub client: kube::Client,
    /// Name of the node.
    pub node_name: String,
    /// Number of the plane, A: addresses are `127.A.n.m`.
    pub plane: u8,
    /// Number of the node, n, from 1.
    pub node: u8,
    /// Run folder of the plane; this node's things are below `<run_dir>/<node_name>`.
    pub run_dir: PathBuf,
    /// This binary: it is re-executed as a shim, and it is what images of ours run.
    pub executable: PathBuf,
    /// Rules of `--images`.
    pub images: Rules,
    /// Programs of this binary.
    pub programs: Programs,
    /// GPUs.
    pub gpus: Gpus,
    /// Speeds of the simulated links and storage.
    pub rates: Rates,
    /// Nominal CPU capacity, a quantity.
    pub cpu: String,
    /// Nominal memory capacity, a quantity.
    pub memory: String,
    /// How many Pods the node takes.
    pub pods: u32,
    /// Restart back-off of containers.
    pub restart: Policy,
    /// Where Pods find the API server; `None` when it serves in process only.
    pub api: Option<ApiAddress>,
    /// Whether containers get a root of their own.
    pub sandbox: SandboxMode,
    /// Further variables that every container has, whatever its own say.
    pub env: Vec<(String, String)>,
    /// Wall time.
    pub clock: SharedClock,
}

impl Options {
    /// Options with the defaults of `dormouse up` and no GPUs.
    #[must_use]
    pub fn new(client: kube::Client, node_name: impl Into<String>, run_dir: impl Into<PathBuf>, executable: impl Into<PathBuf>) -> Self {
        Self {
            client,
            node_name: node_name.into(),
            plane: 16,
            node: 1,
            run_dir: run_dir.into(),
            executable: executable.into(),
            images: Rules::default(),
            programs: Programs::default(),
            gpus: Gpus::default(),
            rates: Rates::default(),
            cpu: "64".to_owned(),
            memory: "512Gi".to_owned(),
            pods: 110,
            restart: Policy::default(),
            api: None,
            sandbox: SandboxMode::default(),
            env: Vec::new(),
            clock: clock::system(),
        }
    }

    /// The node's own address.
    #[must_use]
    pub fn node_ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.plane, self.node, 1)
    }

    /// Name of the abstract socket of the node's device ledger, as Pods find it in their environment.
    #[must_use]
    pub fn device_socket(&self) -> String {
        format!("@dormouse-devices-{}-{}", self.plane, self.node)
    }
}
