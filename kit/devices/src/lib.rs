//! The accelerators of a node as the control plane and our engines see them: how much memory each one has, who
//! holds it, and how long it takes to move bytes to and from it.
//!
//! * [`Ledger`] and [`Link`] are pure: no clock, no task, no socket.
//! * [`Devices`] is the shared, live form of both for one node; the kubelet owns it and hosts it with [`serve`]
//!   on an abstract Unix socket whose name Pods find in [`dormouse_names::env::DEVICES`].
//! * [`Client`] is what engines and tools hold. A lease lives as long as the client's connection: a process that
//!   dies gives its memory back at once, because the kernel closes its socket.
//!
//! Nothing here polls: transfers complete by timer, ledger changes by notification.

mod client;
mod devices;
mod gpu;
mod ledger;
mod link;
mod protocol;
mod server;
mod socket;

pub use client::{Client, ClientError};
pub use devices::{Config, Devices, Session};
pub use gpu::{Bytes, Gpu, VisibleError, visible};
pub use ledger::{Allocation, GpuSnapshot, Identity, LeaseId, LeaseSnapshot, LeaseState, Ledger, LedgerError, OutOfMemory, Owner};
pub use link::{Link, Nanos, TransferId};
pub use protocol::{Rates, Snapshot, TransferKind};
pub use server::{Listener, serve};
