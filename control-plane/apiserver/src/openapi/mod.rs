//! OpenAPI documents (being written by api2).

use http::{Response, request::Parts};

use crate::{ApiServer, Body};

/// Answers `/openapi/…`; `None` for other paths.
#[must_use]
pub fn respond(server: &ApiServer, request: &Parts) -> Option<Response<Body>> {
    let _ = (server, request);
    None
}
