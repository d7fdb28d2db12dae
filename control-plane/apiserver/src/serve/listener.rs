//! The HTTPS listener.
//!
//! Per connection one task: TLS handshake (outside the accept loop, with a time limit), then HTTP/2 or HTTP/1.1 as
//! ALPN says; the client certificate, if any, is read once per connection, tokens once per request. The number of
//! connections is bounded by permits: a further one waits in the kernel's queue. At shutdown the listener closes,
//! connections finish their requests, and what is left after the grace (a watch that never ends) is dropped.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{self, Credentials};
use crate::{ApiServer, Body};

/// What the listener lets its clients do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection; each watch is one.
    pub streams: u32,
    /// Time for the TLS handshake.
    pub handshake_time: Duration,
    /// Time to send the headers of a request over HTTP/1.1, waiting for the next one included.
    pub header_time: Duration,
    /// Time from the headers of a request to those of its answer, the body included. Watches and logs answer at once
    /// and then go on for as long as they like.
    pub request_time: Duration,
    /// Time for running requests at shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    /// 2,048 connections with 1,024 requests each, 10 s, 60 s, 60 s, 2 s.
    fn default() -> Self {
        Self {
            connections: 2048,
            streams: 1024,
            handshake_time: Duration::from_secs(10),
            header_time: Duration::from_secs(60),
            request_time: Duration::from_secs(60),
            grace: Duration::from_secs(2),
        }
    }
}

/// Serves `server` over HTTPS until `shutdown`.
///
/// # Errors
/// When accepting fails for a reason that will not pass.
pub async fn serve(
    server: ApiServer,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    // Ends what is left after the grace.
    let kill = CancellationToken::new();
    let result = loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            permit = Arc::clone(&permits).acquire_owned() => match permit {
                Ok(permit) => permit,
                Err(closed) => break Err(io::Error::other(closed)),
            },
        };
        let stream = tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) if passing(&error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => break Err(error),
            },
        };
        let connection = connection(server.clone(), acceptor.clone(), stream, limits, shutdown.clone());
        let kill = kill.clone();
        connections.spawn(async move {
            tokio::select! {
                () = kill.cancelled() => {}
                () = connection => {}
            }
            drop(permit);
        });
    };
    drop(listener);
    // Watches and followed logs have no end of their own.
    server.stopping().cancel();
    connections.close();
    if tokio::time::timeout(limits.grace, connections.wait()).await.is_err() {
        tracing::debug!(left = connections.len(), "connections dropped at the end of the grace");
        kill.cancel();
        connections.wait().await;
    }
    result
}

async fn connection(server: ApiServer, acceptor: TlsAcceptor, stream: TcpStream, limits: Limits, shutdown: CancellationToken) {
    settle(&stream);
    let stream = match tokio::time::timeout(limits.handshake_time, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!("TLS handshake took too long");
            return;
        }
    };
    let credentials = Arc::new(credentials(&stream));
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        answer(server.clone(), Arc::clone(&credentials), limits.request_time, request)
    });
    let io = TokioIo::new(stream);
    let result = if http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            // The defaults let one long list stall the watches that share its connection.
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_timeout(Duration::from_secs(20));
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            result = connection.as_mut() => result,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(limits.header_time);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service).with_upgrades());
        tokio::select! {
            result = connection.as_mut() => result,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = result {
        tracing::trace!(%error, "connection ended");
    }
}

fn credentials(stream: &TlsStream<TcpStream>) -> Credentials {
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    leaf.map(|leaf| Credentials::from_certificate(leaf)).unwrap_or_default()
}

/// Small answers leave at once, and a peer that is gone or does not read is noticed.
fn settle(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        /// Milliseconds for which sent bytes may stay unread.
        const UNREAD: u32 = 60_000;
        let _ = sockopt::set_tcp_user_timeout(stream, UNREAD);
        let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(60));
        let _ = sockopt::set_socket_keepalive(stream, true);
    }
}

async fn answer(
    server: ApiServer,
    credentials: Arc<Credentials>,
    time: Duration,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    Ok(match auth::authenticate(&server, &credentials, request.headers()) {
        Ok(user) => match tokio::time::timeout(time, server.handle(request.map(Body::new), user)).await {
            Ok(response) => response,
            Err(_) => refuse(&crate::ApiError::timeout("request did not complete within the allotted timeout", 0)),
        },
        Err(error) => refuse(&error),
    })
}

fn refuse(error: &crate::ApiError) -> Response<Body> {
    let mut response = Response::new(Body::from(error.to_value().to_string()));
    *response.status_mut() = error.code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Errors of `accept` that concern one connection or a shortage that will pass.
fn passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted | io::ErrorKind::OutOfMemory
    ) || matches!(error.raw_os_error(), Some(23 | 24 | 105)) // ENFILE, EMFILE, ENOBUFS
}
