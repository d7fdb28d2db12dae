//! Why a program of this crate ends, and with which status: the peer's numbers.

use dormouse_controller::NoClient;

/// The end of a program that did not end as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port cannot be listened on.
    #[error("cannot listen on {what} port {address}: {source}; choose another with --{flag}, or end what holds it")]
    Listen {
        /// `SPI`, `probes`, …
        what: &'static str,
        /// The flag that moves it.
        flag: &'static str,
        /// Where.
        address: String,
        /// Exit status: 10 for the SPI, 11 for the probes.
        code: u8,
        /// Why.
        source: std::io::Error,
    },
    /// A second signal while ending.
    #[error("ended by a second signal")]
    Interrupted,
    /// Told to end before GPUs were allocated.
    #[error("Failed to allocate GPUS: {0}")]
    Allocation(String),
    /// A flag's value makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No way to reach the API server.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The API server refused.
    #[error("API server: {0}")]
    Api(#[from] kube::Error),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(#[from] std::io::Error),
}

impl Error {
    /// The exit status that the peer's program has in this case.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen { code, .. } => *code,
            Self::Allocation(_) => 100,
            Self::Interrupted | Self::Usage(_) | Self::NoClient(_) | Self::Api(_) | Self::Serve(_) => 1,
        }
    }
}
