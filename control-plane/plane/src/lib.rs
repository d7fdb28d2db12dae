//! The embedded control plane as one value.
//!
//! [`Plane::start`] brings up, in this process: the API server (over HTTPS and in process), the workload
//! controllers, the scheduler, one kubelet per node with its device ledger. Children are only the processes of
//! Pods. `dormouse up`, `dormouse demo` and end-to-end tests are users of it; what runs *on* the plane (our own
//! controllers, manifests) is none of its business.
//!
//! Order at the start: address space, API server, kubeconfig (so that a client that waits for the file can
//! begin), then everything that watches. At the end: kubelets first, so that Pods get their grace and their last
//! status is written, then the rest.

mod args;
mod command;
pub mod devices;
mod down;
mod engines;
mod net;
mod node_side;
mod options;
mod ports;
pub mod run_folder;
mod start;
pub mod status;

pub use args::PlaneArgs;
pub use command::Verb;
pub use dormouse_devices::LeaseState;
pub use dormouse_kubelet::become_host_program;
pub use engines::Engine;
pub use net::NetClaim;
pub use options::{Error, Listen, Options, SimulatedGpus};
pub use ports::{Holder, holder, wildcard_holder};
pub use start::Plane;

/// Becomes the shim of a Pod and does not return, where this process was started as one. Must be called before any thread exists.
pub fn shim_if_called() {
    if std::env::args_os().next().is_some_and(|name| dormouse_kubelet::shim::is_shim(&name)) {
        dormouse_kubelet::shim::shim_main();
    }
}
