//! What the server says about itself (being written by api2).

use http::{Response, request::Parts};

use crate::{ApiServer, Body};

/// Answers discovery, `/version` and health paths; `None` for paths that are none of these.
#[must_use]
pub fn respond(server: &ApiServer, request: &Parts) -> Option<Response<Body>> {
    let _ = (server, request);
    None
}
