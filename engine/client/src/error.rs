//! Why an engine did not do what it should.

use std::time::Duration;

use dormouse_runtime::http::Failure;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The call failed; its cause says what may be concluded.
    #[error(transparent)]
    Call(#[from] Failure),
    /// The engine has no such operation, or it is not enabled.
    #[error("{failure}; the engine does not offer this ({hint})")]
    Unsupported {
        /// The call.
        failure: Failure,
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
}

impl EngineError {
    /// Whether the call may nevertheless have taken effect.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Call(failure) if failure.is_unknown())
    }
}
