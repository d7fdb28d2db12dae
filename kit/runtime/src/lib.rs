//! What every Dormouse process needs and nothing a single system owns: the clock, logs, shutdown,
//! serving HTTP and reading bodies with bounds, clients with time-outs, the TLS provider, addresses of Pods, output.
//!
//! Nothing here knows Kubernetes objects or engines. A module that would is in the wrong crate.

pub mod body;
pub mod clock;
pub mod http;
pub mod log;
pub mod metrics;
pub mod monotonic;
pub mod net;
pub mod output;
pub mod serve;
pub mod shutdown;
pub mod tls;

pub use clock::{Clock, SharedClock};
pub use tokio_util::sync::CancellationToken;
