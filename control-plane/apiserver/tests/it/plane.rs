//! A server on a free port of loopback, for tests that come from outside.

use std::net::SocketAddr;

use dormouse_apiserver::serve::{Endpoint, Limits};
use dormouse_apiserver::{ApiServer, Options};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running server; it ends when this is dropped.
pub(crate) struct Plane {
    pub(crate) server: ApiServer,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    pub(crate) ca_pem: String,
    shutdown: CancellationToken,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let server = ApiServer::new(Options::default());
        let endpoint = Endpoint::new(&server, &[]).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("https://{address}");
        endpoint.kubeconfig(&url, "default").write(&folder.path().join("kubeconfig")).unwrap();
        let ca_pem = endpoint.authority().ca_pem().to_owned();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move { endpoint.serve(listener, limits, stop).await });
        Self { server, address, folder, ca_pem, shutdown, serving: Some(serving) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// An HTTPS client that trusts the server and has no credentials.
    pub(crate) fn anonymous(&self) -> reqwest::Client {
        let ca = reqwest::Certificate::from_pem(self.ca_pem.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap()
    }

    /// Asks the server to end and waits for it.
    pub(crate) async fn stop(mut self) -> std::io::Result<()> {
        self.shutdown.cancel();
        self.serving.take().unwrap().await.unwrap()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
