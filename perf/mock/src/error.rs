//! Why the server does not run.

use std::io;
use std::net::SocketAddr;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options cannot be.
    #[error("{0}")]
    Usage(String),
    /// Nothing can be served there.
    #[error("cannot listen at {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The system gave no thread, descriptor or signal.
    #[error("{what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        #[source]
        error: io::Error,
    },
}

impl Error {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}
