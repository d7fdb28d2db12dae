//! What an [`ApiServer`](crate::ApiServer) is started with.

use dormouse_runtime::clock::{self, SharedClock};

/// How much of a cluster the server pretends to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// No authorization, no admission, namespaces need not exist, no bootstrap objects: what the recordings
    /// were made against.
    Bare,
    /// A whole API server.
    #[default]
    Full,
}

/// Options of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much of a cluster.
    pub profile: Profile,
    /// Where the time comes from.
    pub clock: SharedClock,
    /// Namespace of in-process clients that name none.
    pub default_namespace: String,
    /// Events that each resource remembers for watchers that resume.
    pub watch_log_events: usize,
    /// Bytes of objects in that memory, per resource.
    pub watch_log_bytes: usize,
    /// Largest accepted request body, in bytes.
    pub max_body: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: Profile::Full,
            clock: clock::system(),
            default_namespace: "default".to_owned(),
            watch_log_events: 4096,
            watch_log_bytes: 8 << 20,
            max_body: 3 << 20,
        }
    }
}

impl Options {
    /// The options of [`Profile::Bare`].
    #[must_use]
    pub fn bare() -> Self {
        Self { profile: Profile::Bare, ..Self::default() }
    }
}
