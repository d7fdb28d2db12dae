//! HTTPS: the identity of a server, its endpoint, kubeconfig files. [`Endpoint`] puts them together; the accept loop, TLS and
//! certificates are the kit's.

mod endpoint;
pub mod kubeconfig;

pub use endpoint::{Endpoint, Identity, Limits};
pub use kubeconfig::{Credential, Kubeconfig};
