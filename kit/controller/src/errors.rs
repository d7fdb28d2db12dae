//! What a client error means to a controller.

use kube::Error;

/// The object is not there (404) or is gone (410).
#[must_use]
pub fn not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_not_found() || status.code == 410)
}

/// Someone else was faster, or a precondition did not hold (409).
#[must_use]
pub fn conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_conflict())
}

/// A result of a deletion, where an object that is already gone is as good as deleted.
///
/// # Errors
/// Every other error, unchanged.
pub fn gone_is_done<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(error) if !not_found(&error) => Err(error),
        _ => Ok(()),
    }
}
