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

/// The object is not there (404, whatever words come with it: a path that is not served is answered with plain text) or is gone
/// (410).
pub fn not_found(error: &impl ApiError) -> bool {
    error.status().is_some_and(|status| matches!(status.code, 404 | 410))
}

/// The object of this name is another one: a UID among the preconditions of a patch did not hold (422 at `metadata.uid`).
pub fn is_another(error: &impl ApiError) -> bool {
    let causes = |status: &Status| status.details.as_ref().is_some_and(|d| d.causes.iter().any(|c| c.field == "metadata.uid"));
    error.status().is_some_and(|status| status.code == 422 && causes(status))
}

/// Someone else was faster, or a precondition did not hold (409).
pub fn conflict(error: &impl ApiError) -> bool {
    error.status().is_some_and(Status::is_conflict)
}

/// The name is taken (409).
pub fn already_exists(error: &impl ApiError) -> bool {
    error.status().is_some_and(Status::is_already_exists)
}

/// A result of a write to an object that may be gone by now, or have a successor: then there is nothing left to write.
///
/// # Errors
/// Every other error, unchanged.
pub fn gone_is_done<T, E: ApiError>(result: Result<T, E>) -> Result<(), E> {
    match result {
        Err(error) if !not_found(&error) && !is_another(&error) => Err(error),
        _ => Ok(()),
    }
}
