//! What every Dormouse process needs and nothing a single system owns: the clock, logs, shutdown,
//! serving HTTP and reading bodies with bounds, clients with time-outs, TLS, addresses of Pods, running a program, its output
//! and exit codes. The feature `tls-server` adds HTTPS ([`tls::Keys`] as the transport of [`serve`]) and the certificates for it
//! ([`pki`]), the feature `flags` what many programs have on their command lines ([`flags`]).
//!
//! Nothing here knows Kubernetes objects or engines. A module that would is in the wrong crate.

pub mod body;
#[cfg(feature = "flags")]
pub mod flags;
pub mod http;
pub mod log;
pub mod metrics;
pub mod monotonic;
pub mod net;
#[cfg(feature = "tls-server")]
pub mod pki;
pub mod program;
pub mod serve;
pub mod shutdown;
pub mod tls;

pub use dormouse_console::clock::{Clock, SharedClock};
pub use dormouse_console::{clock, exit, output};
pub use tokio_util::sync::CancellationToken;
