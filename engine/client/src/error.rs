//! Why an engine did not do what it should.

use dormouse_runtime::http::{Cause, Failure};

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
}

impl EngineError {
    /// Whether the call may nevertheless have taken effect.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Call(failure) if failure.is_unknown())
    }

    /// Whether the engine has not even begun.
    pub(crate) fn is_undone(&self) -> bool {
        match self {
            Self::Call(failure) => matches!(failure.cause, Cause::Unreachable(_)),
            Self::Unsupported { .. } => true,
        }
    }
}
