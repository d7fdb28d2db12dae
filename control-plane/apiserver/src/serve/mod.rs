//! HTTPS: certificates, the listener, kubeconfig files. [`Endpoint`] puts them together.

mod endpoint;
pub mod kubeconfig;
mod listener;
pub mod pki;

pub use endpoint::{Endpoint, Identity};
pub use kubeconfig::{Credential, Kubeconfig};
pub use listener::{Limits, serve};
pub use pki::{Authority, Leaf, PkiError};
