//! The listeners that every controller has: metrics and health for the cluster, a debug port for who may enter the Pod.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use dormouse_runtime::{CancellationToken, metrics, net, serve};
use prometheus_client::registry::Registry;

use crate::inspect::{self, Inspector};

/// On which ports.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Of `/metrics`, `/healthz` and `/readyz`, on all addresses; 0: none.
    pub metrics: u16,
    /// Of `/debug/state`, on the loopback address; 0: none.
    pub debug: u16,
}

/// Serves both until `shutdown`. A listener that fails is said, and does not end the controller.
pub async fn serve(ports: Ports, mut registry: Registry, inspector: Inspector, shutdown: CancellationToken) {
    registry.register_collector(Box::new(metrics::Process));
    let shown = metrics::router(Arc::new(registry)).merge(inspect::health(inspector.clone()));
    // By `kubectl port-forward` or otherwise.
    let debug = inspect::debug(inspector);
    tokio::join!(
        serve_at("0.0.0.0", ports.metrics, "metrics", shown, &shutdown),
        serve_at("127.0.0.1", ports.debug, "debugging", debug, &shutdown),
    );
}

async fn serve_at(host: &str, port: u16, what: &str, app: Router, shutdown: &CancellationToken) {
    if port == 0 {
        return;
    }
    match listen(host, port).await {
        Ok(listener) => {
            if let Err(error) = serve::serve(listener, app, serve::Limits::default(), shutdown.clone()).await {
                tracing::error!(%error, port, "listener for {what} failed");
            }
        }
        Err(error) => tracing::error!(%error, port, "cannot listen for {what}"),
    }
}

async fn listen(host: &str, port: u16) -> io::Result<tokio::net::TcpListener> {
    let address: SocketAddr = net::authority(&net::map_host(host), port).parse().map_err(io::Error::other)?;
    tokio::net::TcpListener::bind(address).await
}
