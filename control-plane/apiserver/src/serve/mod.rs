//! HTTPS: certificates, the listener, kubeconfig files.

pub mod kubeconfig;
mod listener;
pub mod pki;

pub use kubeconfig::{Credential, Kubeconfig};
pub use listener::{Limits, serve};
pub use pki::{Authority, Leaf, PkiError};
