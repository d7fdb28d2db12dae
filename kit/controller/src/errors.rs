//! What a client error means to a controller.

use kube::Error;
use kube::core::Status;

use crate::CallError;

/// An error that may be an answer of the API server.
pub trait ApiError {
    /// The answer, when it is one.
    fn status(&self) -> Option<&Status>;
}

impl ApiError for Error {
    fn status(&self) -> Option<&Status> {
        if let Self::Api(status) = self { Some(status) } else { None }
    }
}

impl ApiError for CallError {
    fn status(&self) -> Option<&Status> {
        if let Self::Api(error) = self { error.status() } else { None }
    }
}

/// The object is not there (404) or is gone (410).
pub fn not_found(error: &impl ApiError) -> bool {
    error.status().is_some_and(|status| status.is_not_found() || status.code == 410)
}

/// Someone else was faster, or a precondition did not hold (409).
pub fn conflict(error: &impl ApiError) -> bool {
    error.status().is_some_and(Status::is_conflict)
}

/// The name is taken (409).
pub fn already_exists(error: &impl ApiError) -> bool {
    error.status().is_some_and(Status::is_already_exists)
}

/// A result of a deletion, where an object that is already gone is as good as deleted.
///
/// # Errors
/// Every other error, unchanged.
pub fn gone_is_done<T, E: ApiError>(result: Result<T, E>) -> Result<(), E> {
    match result {
        Err(error) if !not_found(&error) => Err(error),
        _ => Ok(()),
    }
}
