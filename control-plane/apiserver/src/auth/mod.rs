//! Authentication, authorization, reviews and tokens (being written by api2). The core calls
//! [`State::new`], [`authorize`], [`reviews::create`] and [`token::request`].

use crate::{ApiError, ApiServer, Options, RequestInfo, User};

/// What authentication and authorization hold.
#[derive(Debug, Default)]
pub struct State {}

impl State {
    /// The state of a fresh server.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let _ = options;
        Self::default()
    }
}

/// Whether `user` may do `info`; not called under the bare profile.
///
/// # Errors
/// 403 with the real server's words.
pub fn authorize(server: &ApiServer, user: &User, info: &RequestInfo) -> Result<(), ApiError> {
    let _ = (server, user, info);
    Ok(())
}
