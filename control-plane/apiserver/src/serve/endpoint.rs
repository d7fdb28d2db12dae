//! The HTTPS side of a server, put together: authority, certificate, listener, kubeconfig of the administrator.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::pki::{Authority, Leaf, PkiError};
use super::{Credential, Kubeconfig, Limits};
use crate::ApiServer;

/// An API server that is ready to be served over HTTPS.
#[derive(Debug)]
pub struct Endpoint {
    server: ApiServer,
    authority: Authority,
    admin: Leaf,
    tls: Arc<ServerConfig>,
}

impl Endpoint {
    /// Makes an authority for `server`, a serving certificate for loopback, the usual names and `addresses`, and an
    /// administrator's certificate; tells every initial namespace about the authority.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn new(server: &ApiServer, addresses: &[IpAddr]) -> Result<Self, PkiError> {
        dormouse_runtime::tls::install_provider();
        let authority = Authority::generate(server.now())?;
        let tls = authority.server_config(&authority.serving(addresses)?)?;
        let admin = authority.client("kubernetes-admin", &[crate::request::GROUP_MASTERS])?;
        crate::bootstrap::publish_root_ca(server, authority.ca_pem());
        Ok(Self { server: server.clone(), authority, admin, tls })
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

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// When accepting fails for a reason that will not pass.
    pub async fn serve(&self, listener: TcpListener, limits: Limits, shutdown: CancellationToken) -> io::Result<()> {
        super::serve(self.server.clone(), listener, Arc::clone(&self.tls), limits, shutdown).await
    }
}
