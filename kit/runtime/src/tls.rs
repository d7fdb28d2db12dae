//! TLS: the one provider of the process and, with the feature `tls-server`, the keys of a server.

#[cfg(feature = "tls-server")]
mod keys;

#[cfg(feature = "tls-server")]
pub use keys::Keys;

/// Makes aws-lc-rs the process's provider. Idempotent; every `main` and every test that speaks TLS calls
/// it first, because rustls panics at first use when it cannot choose.
pub fn install_provider() {
    // An error means that a provider is installed already, by us or by the host program: either is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
