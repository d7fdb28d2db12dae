//! The HTTPS side of a server, put together: authority, certificate, listener, kubeconfig of the administrator.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::pki::{Authority, Leaf, PkiError};
use super::{Credential, Kubeconfig, Limits};
use crate::ApiServer;

/// How a server proves who it is, and its administrator. It needs no server yet, so that one can be made beside it.
#[derive(Debug)]
pub struct Identity {
    authority: Authority,
    admin: Leaf,
    tls: Arc<ServerConfig>,
}

impl Identity {
    /// Makes an authority, a serving certificate for loopback, the usual names and `addresses`, and an administrator's
    /// certificate.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn generate(now: Timestamp, addresses: &[IpAddr]) -> Result<Self, PkiError> {
        dormouse_runtime::tls::install_provider();
        let authority = Authority::generate(now)?;
        let tls = authority.server_config(&authority.serving(addresses)?)?;
        let admin = authority.client("kubernetes-admin", &[crate::request::GROUP_MASTERS])?;
        Ok(Self { authority, admin, tls })
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

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// When accepting fails for a reason that will not pass.
    pub async fn serve(&self, listener: TcpListener, limits: Limits, shutdown: CancellationToken) -> io::Result<()> {
        super::serve(self.server.clone(), listener, Arc::clone(&self.identity.tls), limits, shutdown).await
    }
}
