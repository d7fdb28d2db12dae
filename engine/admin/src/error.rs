//! Why a call to an engine did not do what it should.

use std::time::Duration;

/// Why a call failed; the kind decides what may be concluded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The request never arrived: nothing has happened.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// What was called.
        url: String,
        /// Why not.
        why: String,
    },
    /// It said no.
    #[error("{url} returned status {status}: {body}")]
    Refused {
        /// What was called.
        url: String,
        /// HTTP status.
        status: u16,
        /// Beginning of the answer's body.
        body: String,
    },
    /// The request may have arrived, the answer did not: whether it took effect is unknown.
    #[error("no answer from {url} ({why}); whether it took effect is unknown")]
    Unknown {
        /// What was called.
        url: String,
        /// What happened instead.
        why: String,
    },
    /// It answered something that is not understood.
    #[error("{url} answered something that is not understood: {why}")]
    Malformed {
        /// What was called.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The engine has no such operation, or it is not enabled.
    #[error("{url}: the engine does not offer this ({hint})")]
    Unsupported {
        /// What was called.
        url: String,
        /// What would enable it.
        hint: &'static str,
    },
    /// The call was answered, but the engine did not get into the state in time.
    #[error("the engine still {state} {} s after it was told otherwise", .after.as_secs())]
    NotReached {
        /// The state it is in: `sleeps`, `is awake`.
        state: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// No such adapter.
    #[error("no engine adapter {name:?}; there are: {known}")]
    Adapter {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The address is none.
    #[error("{base:?} is no base URL of an engine: {why}")]
    Address {
        /// What was given.
        base: String,
        /// What is wrong with it.
        why: String,
    },
}

impl AdminError {
    /// Whether the call may nevertheless have taken effect.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}
