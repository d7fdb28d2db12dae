//! What goes over the device socket: one JSON object per line, answered in any order, matched by `id`.
//!
//! ```text
//! -> {"id":1,"op":"hello","pod":"my-pod","program":"vllm"}
//! <- {"id":1,"ok":{"generation":1,"rates":{…},"gpus":[…],"links":[…]}}
//! -> {"id":2,"op":"allocate","gpu":"GPU-0","bytes":77309411328,"label":"m","state":"awake"}
//! <- {"id":2,"error":{"kind":"out-of-memory","uuid":"GPU-0",…}}
//! ```
//!
//! Bounds: a line has at most [`MAX_LINE`] bytes, a connection at most [`MAX_PENDING`] unanswered requests; who goes
//! beyond either is disconnected. `transfer` is answered when the bytes have moved, `watch` when the ledger has changed.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::{Allocation, GpuSnapshot, Identity, LeaseId, LeaseState, LedgerError};

/// Longest line in bytes, either way. A snapshot of 8 GPUs with 100 leases is about 30 kB.
pub(crate) const MAX_LINE: usize = 4 << 20;
/// Requests of one connection that may wait for their answer.
pub(crate) const MAX_PENDING: usize = 64;

/// Speeds of the node, in bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// Host to accelerator and back, as reached in practice; one link per accelerator.
    pub link: NonZeroU64,
    /// What that link could do at best: the physical floor is computed from it.
    pub link_peak: NonZeroU64,
    /// Reading from storage; one for the node.
    pub storage: NonZeroU64,
}

/// PCIe 5 x16 as reached in practice.
const PCIE5: NonZeroU64 = NonZeroU64::new(50_000_000_000).unwrap();
/// PCIe 5 x16 on paper.
const PCIE5_PEAK: NonZeroU64 = NonZeroU64::new(63_000_000_000).unwrap();
/// A local NVMe disk.
const NVME: NonZeroU64 = NonZeroU64::new(5_000_000_000).unwrap();

impl Default for Rates {
    /// PCIe 5 (50 GB/s in practice, 63 GB/s at best) and storage of 5 GB/s.
    fn default() -> Self {
        Self { link: PCIE5, link_peak: PCIE5_PEAK, storage: NVME }
    }
}

/// What moves where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TransferKind {
    /// Host memory to an accelerator.
    HostToDevice {
        /// UUID of the accelerator.
        gpu: String,
    },
    /// An accelerator to host memory.
    DeviceToHost {
        /// UUID of the accelerator.
        gpu: String,
    },
    /// Storage to host memory.
    Storage,
}

/// One link: what it has moved, and how much is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkSnapshot {
    /// UUID of the accelerator, or `storage`.
    pub name: String,
    /// Transfers under way.
    pub active: usize,
    /// Bytes of finished transfers towards the accelerator (for `storage`: read).
    pub bytes_in: u64,
    /// Bytes of finished transfers towards the host.
    pub bytes_out: u64,
}

/// The node's devices at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Rises with every change of the ledger.
    pub generation: u64,
    /// Speeds of the node.
    pub rates: Rates,
    /// Accelerators and their leases.
    pub gpus: Vec<GpuSnapshot>,
    /// One per accelerator in the same order, then `storage`.
    pub links: Vec<LinkSnapshot>,
}

/// A request line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) op: Op,
}

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Op {
    /// Must come first.
    Hello(Identity),
    Allocate(Allocation),
    Resize {
        lease: LeaseId,
        bytes: u64,
        state: LeaseState,
    },
    Release {
        lease: LeaseId,
    },
    Transfer {
        #[serde(flatten)]
        kind: TransferKind,
        bytes: u64,
    },
    Snapshot,
    /// Answered with a snapshot as soon as the generation is not `generation` any more.
    Watch {
        generation: u64,
    },
}

/// An answer line: exactly one of `ok` and `error`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ok: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<WireError>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum WireError {
    Ledger(LedgerError),
    /// The request itself was wrong.
    Request {
        message: String,
    },
}

/// Answer to `allocate`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Allocated {
    pub(crate) lease: LeaseId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_the_documentation_shows() {
        let request = Request { id: 3, op: Op::Transfer { kind: TransferKind::HostToDevice { gpu: "GPU-0".into() }, bytes: 5 } };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(line, r#"{"id":3,"op":"transfer","kind":"host-to-device","gpu":"GPU-0","bytes":5}"#);
        let hello: Request = serde_json::from_str(r#"{"id":1,"op":"hello","pod":"p","program":"x"}"#).unwrap();
        assert!(matches!(hello.op, Op::Hello(Identity { pod: Some(p), .. }) if p == "p"));
        assert!(serde_json::from_str::<Request>(r#"{"id":1,"op":"explode"}"#).is_err());
        let e = serde_json::to_string(&WireError::Request { message: "no".into() }).unwrap();
        assert_eq!(serde_json::from_str::<WireError>(&e).unwrap(), WireError::Request { message: "no".into() });
    }
}
