//! What an engine of ours holds on the node's (simulated) accelerators, through the device ledger.
//!
//! One lease per accelerator, taken at start and resized at sleep and wake; the process's end gives it back because the
//! lease is its connection. Without a ledger to ask, or on a node without accelerators, the ledger is a private one.

use std::sync::{Mutex, PoisonError};

use dormouse_devices::{
    Allocation, Client, ClientError, Config, Devices, Gpu, Identity, LeaseId, LeaseState, Rates, TransferKind, visible,
};
use futures::future::try_join_all;

use crate::run::Environment;

/// Why an engine gets no accelerators.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceleratorError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Visible(#[from] dormouse_devices::VisibleError),
    #[error(
        "No CUDA GPUs are available: the node has {node}, but NVIDIA_VISIBLE_DEVICES={nvidia} and \
         CUDA_VISIBLE_DEVICES={cuda} leave none"
    )]
    NoneVisible { node: usize, nvidia: String, cuda: String },
    #[error("World size ({wanted}) is larger than the number of available GPUs ({have})")]
    TooFew { wanted: usize, have: usize },
}

/// The accelerators of one engine.
#[derive(Debug)]
pub(crate) struct Accelerators {
    client: Client,
    gpus: Vec<Gpu>,
    /// In the order of `gpus`; empty until [`Self::claim`].
    held: Mutex<Vec<Held>>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    lease: LeaseId,
    bytes: u64,
    state: LeaseState,
}

impl Accelerators {
    /// Finds the `count` accelerators this process is to use. `None` where there is no ledger, or it has none.
    pub(crate) async fn on_node(env: &Environment, program: &str, count: usize) -> Result<Option<Self>, AcceleratorError> {
        let Some(socket) = env.devices.as_deref() else {
            return Ok(None);
        };
        let client = Client::connect(socket, Identity::of_this_process(program)).await?;
        let node: Vec<Gpu> = client.snapshot().await?.gpus.into_iter().map(|g| g.gpu).collect();
        if node.is_empty() {
            tracing::info!("the node has no accelerators; nothing is entered in its ledger");
            return Ok(None);
        }
        let (nvidia, cuda) = (env.nvidia_visible_devices.as_deref(), env.cuda_visible_devices.as_deref());
        let gpus = visible(&node, nvidia, cuda)?;
        let shown = |v: Option<&str>| v.map_or_else(|| "(unset)".to_owned(), |v| format!("{v:?}"));
        if gpus.is_empty() {
            let (nvidia, cuda) = (shown(nvidia), shown(cuda));
            return Err(AcceleratorError::NoneVisible { node: node.len(), nvidia, cuda });
        }
        Self::take(client, gpus, count).map(Some)
    }

    /// Accelerators that nobody else sees.
    pub(crate) fn private(count: usize, memory: u64, rates: Rates) -> Result<Self, AcceleratorError> {
        let gpus = (0u32..)
            .take(count)
            .map(|index| Gpu { uuid: format!("GPU-{index}"), index, product: "simulated".to_owned(), total_bytes: memory })
            .collect();
        let devices = Devices::new(Config { gpus, rates }).map_err(ClientError::Ledger)?;
        Self::of(&devices, count)
    }

    /// The first `count` accelerators of these devices.
    pub(crate) fn of(devices: &Devices, count: usize) -> Result<Self, AcceleratorError> {
        let gpus = devices.snapshot().gpus.into_iter().map(|g| g.gpu).collect();
        Self::take(Client::local(devices, Identity::of_this_process("engine")), gpus, count)
    }

    fn take(client: Client, mut gpus: Vec<Gpu>, count: usize) -> Result<Self, AcceleratorError> {
        if gpus.len() < count {
            return Err(AcceleratorError::TooFew { wanted: count, have: gpus.len() });
        }
        gpus.truncate(count);
        Ok(Self { client, gpus, held: Mutex::default() })
    }

    pub(crate) fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// Free bytes of each accelerator now.
    pub(crate) async fn free(&self) -> Result<Vec<u64>, ClientError> {
        let snapshot = self.client.snapshot().await?;
        let free_of =
            |gpu: &Gpu| snapshot.gpus.iter().find(|g| g.gpu.uuid == gpu.uuid).map_or(0, |g| g.gpu.total_bytes.saturating_sub(g.used_bytes));
        Ok(self.gpus.iter().map(free_of).collect())
    }

    /// Takes `bytes[i]` on the i-th accelerator, all or nothing.
    pub(crate) async fn claim(&self, label: &str, model: &str, bytes: &[u64]) -> Result<(), ClientError> {
        let mut held = Vec::new();
        for (gpu, bytes) in self.gpus.iter().zip(bytes) {
            let wish = Allocation {
                gpu: gpu.uuid.clone(),
                bytes: *bytes,
                label: label.to_owned(),
                model: Some(model.to_owned()),
                state: LeaseState::Awake,
            };
            match self.client.allocate(wish).await {
                Ok(lease) => held.push(Held { lease, bytes: *bytes, state: LeaseState::Awake }),
                Err(e) => {
                    for h in held {
                        self.client.release(h.lease).await?;
                    }
                    return Err(e);
                }
            }
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }

    /// Changes what is held, all or nothing.
    pub(crate) async fn resize(&self, bytes: &[u64], state: LeaseState) -> Result<(), ClientError> {
        let before = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut after = Vec::new();
        for (held, bytes) in before.iter().zip(bytes) {
            match self.client.resize(held.lease, *bytes, state).await {
                Ok(()) => after.push(Held { bytes: *bytes, state, ..*held }),
                Err(e) => {
                    // Going back needs no more memory than was just held, and nobody else can have taken it in a growth.
                    for h in before.iter().take(after.len()) {
                        self.client.resize(h.lease, h.bytes, h.state).await?;
                    }
                    return Err(e);
                }
            }
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = after;
        Ok(())
    }

    /// Reads bytes from the node's storage.
    pub(crate) async fn read_storage(&self, bytes: u64) -> Result<(), ClientError> {
        self.client.transfer(&TransferKind::Storage, bytes).await.map(drop)
    }

    /// Moves `bytes[i]` from the host to the i-th accelerator, all at the same time.
    pub(crate) async fn to_devices(&self, bytes: &[u64]) -> Result<(), ClientError> {
        self.move_all(bytes, |gpu| TransferKind::HostToDevice { gpu }).await
    }

    /// Moves `bytes[i]` from the i-th accelerator to the host, all at the same time.
    pub(crate) async fn to_host(&self, bytes: &[u64]) -> Result<(), ClientError> {
        self.move_all(bytes, |gpu| TransferKind::DeviceToHost { gpu }).await
    }

    async fn move_all(&self, bytes: &[u64], kind: impl Fn(String) -> TransferKind) -> Result<(), ClientError> {
        let moves = self.gpus.iter().zip(bytes).map(|(gpu, bytes)| {
            let kind = kind(gpu.uuid.clone());
            async move { self.client.transfer(&kind, *bytes).await }
        });
        try_join_all(moves).await.map(drop)
    }

    /// Completes when the connection to the node's devices is lost, and with it everything held.
    pub(crate) async fn lost(&self) {
        self.client.lost().await;
    }
}
