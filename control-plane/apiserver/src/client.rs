//! `kube::Client` straight onto the handler: no sockets, no TLS, works under tokio's paused clock.
//!
//! Bodies stream both ways, so that watches and logs work as over HTTPS. Whoever holds the client needs
//! nothing else: it keeps the server alive.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};

use crate::{ApiServer, Body, User};

/// The server as a tower service on behalf of one user.
#[derive(Debug, Clone)]
pub struct InProcess {
    server: ApiServer,
    user: User,
}

impl tower::Service<Request<kube::client::Body>> for InProcess {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let (server, user) = (self.server.clone(), self.user.clone());
        async move { Ok(server.handle(request.map(Body::new), user).await) }.boxed()
    }
}

impl ApiServer {
    /// A client that may do anything (`system:masters`).
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client_for(User::admin())
    }

    /// A client with the rights of this user.
    #[must_use]
    pub fn client_as(&self, user: &str, groups: &[&str]) -> kube::Client {
        self.client_for(User::new(user, groups.iter().copied()))
    }

    /// A client for a user with all attributes.
    #[must_use]
    pub fn client_for(&self, user: User) -> kube::Client {
        let namespace = self.options().default_namespace.clone();
        kube::Client::new(InProcess { server: self.clone(), user }, namespace)
    }
}
