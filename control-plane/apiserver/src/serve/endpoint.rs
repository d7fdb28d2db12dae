//! The HTTPS side of a server, put together: authority, certificate, listener, kubeconfig of the administrator.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_runtime::pki::{Authority, Leaf, PkiError};
use dormouse_runtime::serve::{self, Peer};
use dormouse_runtime::tls::Keys;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Credential, Kubeconfig};
use crate::auth::{self, Credentials};
use crate::{ApiServer, Body};

/// The names by which every client of an API server may call it.
const NAMES: [&str; 4] = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// What an endpoint lets its clients do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of the connections. Each watch is a request.
    pub http: serve::Limits,
    /// Time from the headers of a request to those of its answer, the body included. Watches and logs answer at once
    /// and then go on for as long as they like.
    pub request_time: Duration,
}

impl Default for Limits {
    /// 2,048 connections with 1,024 requests each, 16 MiB under way, 60 s for headers, 60 s for answers, 2 s at the end.
    fn default() -> Self {
        let http = serve::Limits {
            connections: 2048,
            streams: 1024,
            // With the default one long body stalls the others that share its connection.
            window: 16 << 20,
            header_time: Duration::from_secs(60),
            grace: Duration::from_secs(2),
            ..serve::Limits::default()
        };
        Self { http, request_time: Duration::from_secs(60) }
    }
}

/// How a server proves who it is, and its administrator. It needs no server yet, so that one can be made beside it.
#[derive(Debug)]
pub struct Identity {
    authority: Authority,
    admin: Leaf,
    keys: Keys,
}

impl Identity {
    /// Makes an authority, a serving certificate for loopback, the usual names and `addresses`, and an administrator's
    /// certificate.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn generate(now: Timestamp, addresses: &[IpAddr]) -> Result<Self, PkiError> {
        let authority = Authority::generate("dormouse-ca", now)?;
        let keys = Keys::new(&authority.server("kube-apiserver", &NAMES, addresses)?, Some(authority.ca_pem()))?;
        let admin = authority.client("kubernetes-admin", &[crate::request::GROUP_MASTERS])?;
        Ok(Self { authority, admin, keys })
    }

    /// The authority, to make further client certificates with.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The administrator's kubeconfig for a server that is reached at `url`.
    #[must_use]
    pub fn kubeconfig<'a>(&'a self, url: &'a str, namespace: &'a str) -> Kubeconfig<'a> {
        Kubeconfig {
            name: "dormouse",
            server: url,
            ca_pem: self.authority.ca_pem(),
            namespace,
            user: "dormouse-admin",
            credential: Credential::Certificate(&self.admin),
        }
    }
}

/// An API server that is ready to be served over HTTPS.
#[derive(Debug)]
pub struct Endpoint {
    server: ApiServer,
    identity: Identity,
}

impl Endpoint {
    /// Makes an identity for `server`; tells every initial namespace about its authority.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn new(server: &ApiServer, addresses: &[IpAddr]) -> Result<Self, PkiError> {
        Ok(Self::with(server, Identity::generate(server.now(), addresses)?))
    }

    /// The same with an identity that was made before.
    #[must_use]
    pub fn with(server: &ApiServer, identity: Identity) -> Self {
        crate::bootstrap::publish_root_ca(server, identity.authority.ca_pem());
        Self { server: server.clone(), identity }
    }

    /// The authority, to make further client certificates with.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        self.identity.authority()
    }

    /// The administrator's kubeconfig for a server that is reached at `url`.
    #[must_use]
    pub fn kubeconfig<'a>(&'a self, url: &'a str, namespace: &'a str) -> Kubeconfig<'a> {
        self.identity.kubeconfig(url, namespace)
    }

    /// Serves until `shutdown`. The client certificate, if any, is read once per connection, tokens once per request.
    ///
    /// # Errors
    /// When accepting fails for a reason that will not pass.
    pub async fn serve(&self, listener: TcpListener, limits: Limits, shutdown: CancellationToken) -> io::Result<()> {
        let server = self.server.clone();
        let open = move |peer: Peer| {
            let server = server.clone();
            let credentials = peer.certificate.map(|der| Credentials::from_certificate(&der)).unwrap_or_default();
            let credentials = Arc::new(credentials);
            move |request| answer(server.clone(), Arc::clone(&credentials), limits.request_time, request)
        };
        let serving = serve::connections(self.identity.keys.clone(), listener, limits.http, shutdown.clone(), open);
        let mut serving = std::pin::pin!(serving);
        let ended = tokio::select! {
            result = serving.as_mut() => Some(result),
            () = shutdown.cancelled() => None,
        };
        // Watches and followed logs have no end of their own.
        self.server.stopping().cancel();
        match ended {
            Some(result) => result,
            None => serving.await,
        }
    }
}

async fn answer(server: ApiServer, credentials: Arc<Credentials>, time: Duration, request: Request<Body>) -> Response<Body> {
    match auth::authenticate(&server, &credentials, request.headers()) {
        Ok(user) => match tokio::time::timeout(time, server.handle(request, user)).await {
            Ok(response) => response,
            Err(_) => refuse(&crate::ApiError::timeout("request did not complete within the allotted timeout", 0)),
        },
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &crate::ApiError) -> Response<Body> {
    let mut response = Response::new(Body::from(error.to_value().to_string()));
    *response.status_mut() = error.code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn client_certificates_carry_user_and_groups() {
        let authority = Authority::generate("ca", "2026-11-21T10:00:00Z".parse().unwrap()).unwrap();
        let leaf = authority.client("admin", &["system:masters", "dev"]).unwrap();
        let der = STANDARD.decode(leaf.cert_pem.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap();
        let user = Credentials::from_certificate(&der).certificate.unwrap();
        assert_eq!(user.name, "admin");
        assert_eq!(user.groups, ["system:masters", "dev", "system:authenticated"]);
    }
}
