//! What runs in server-requesting Pods and in suites.
//!
//! * [`run`]: the *requester*, a small server that holds a Pod's GPU allocation, tells the controller which GPUs it got,
//!   mirrors the readiness of the real engine, relays its log and passes connections on to it.
//! * [`test_requester`]: the same on clusters whose scheduler knows no GPUs; it picks them itself from a shared table.
//! * [`test_server`]: stands in for an engine where the controller creates engine Pods directly.
//! * [`gpu_map`]: fills the ConfigMap that test requesters and mocked launchers read.
//! * [`nvidia_smi`]: answers the queries that requesters and launchers make, from the node's device ledger.
//!
//! Drop-in for the programs of llm-d Fast Model Actuation of the same names.

mod accelerators;
mod args;
mod command;
mod error;
pub mod gpu_map;
mod memory;
pub mod nvidia_smi;
mod proxy;
mod relay;
mod reply;
mod requester;
mod spi;
pub mod test_requester;
pub mod test_server;

pub use args::Args;
pub use command::Verb;
pub use error::Error;
pub use requester::{Bound, bind, run};
