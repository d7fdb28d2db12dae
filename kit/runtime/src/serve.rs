//! Serving an axum router with bounds: connections, time for headers, an orderly end.
//!
//! `axum::serve` has none of these. Connections speak HTTP/1.1 or HTTP/2 with prior knowledge. At
//! shutdown the listener closes first, then idle connections, then what is left after a grace.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What a server lets its clients do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; a further one waits in the kernel's queue.
    pub connections: usize,
    /// Time to send the headers of a request.
    pub header_time: Duration,
    /// Time for running requests at shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    /// 1,024 connections, 10 s, 5 s.
    fn default() -> Self {
        Self { connections: 1024, header_time: Duration::from_secs(10), grace: Duration::from_secs(5) }
    }
}

/// Serves until `shutdown`, then lets running requests end within the grace.
///
/// # Errors
/// When accepting fails for a reason that will not pass.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, shutdown: CancellationToken) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit.map_err(io::Error::other)?,
        };
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) if passing(&error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        let _ = stream.set_nodelay(true);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_time);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
        let service = TowerToHyperService::new(app.clone());
        let connection = graceful.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::debug!("connections left at the end of the grace");
    }
    Ok(())
}

/// Errors of `accept` that concern one connection or a shortage that will pass.
fn passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted | io::ErrorKind::OutOfMemory
    ) || matches!(error.raw_os_error(), Some(23 | 24 | 105)) // ENFILE, EMFILE, ENOBUFS
}
