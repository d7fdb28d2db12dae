//! The one generic handler.

use http::{Request, Response};

use crate::{ApiServer, Body, User};

pub(crate) async fn handle(server: &ApiServer, request: Request<Body>, user: User) -> Response<Body> {
    let _ = (server, request, user);
    Response::new(Body::empty())
}
