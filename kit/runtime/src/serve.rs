//! Serving HTTP with bounds: connections, time for handshake and headers, an orderly end.
//!
//! One accept loop for all our servers. A [`Transport`] makes a stream of a TCP connection: [`Plain`], or
//! `tls::Keys` with the feature `tls-server`. Per connection there is one task: handshake (outside the accept loop), then
//! HTTP/2 or HTTP/1.1 by the client's first bytes. The number of connections is bounded by permits: a further one waits in
//! the kernel's queue, and so does one that comes before the loop runs on a socket that is bound already. A connection that
//! nobody uses gives its place back. At shutdown the listener closes, connections finish their requests, and what is left after
//! the grace (a stream that never ends) is dropped.
//!
//! [`serve`] is the loop for an axum router, [`connections`] the loop for a handler that keeps something per connection.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a server lets its clients do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; a further one waits in the kernel's queue.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes that one HTTP/2 connection may have sent and we have not read, all its requests together.
    pub window: u32,
    /// Time for the handshake of the transport.
    pub handshake_time: Duration,
    /// Time to send the first request, and the headers of each over HTTP/1.1, waiting for the next one included.
    pub header_time: Duration,
    /// Time for which a connection is kept after the end of its last request.
    pub idle_time: Duration,
    /// Time for which sent bytes may stay unread by the client's machine.
    pub unread_time: Duration,
    /// Time for running requests at shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    /// 1,024 connections with 200 requests each, 1 MiB, 10 s, 10 s, 90 s as Kubernetes' API server, 60 s, 5 s.
    fn default() -> Self {
        Self {
            connections: 1024,
            streams: 200,
            window: 1 << 20,
            handshake_time: Duration::from_secs(10),
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(90),
            unread_time: Duration::from_secs(60),
            grace: Duration::from_secs(5),
        }
    }
}

/// A certificate, DER.
pub type Certificate = Arc<[u8]>;

/// Who is at the other end of a connection. Handlers of a router find it among the request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// The client's certificate if it showed one; the transport has verified it.
    pub certificate: Option<Certificate>,
}

/// What lies between TCP and HTTP.
pub trait Transport: Clone + Send + Sync + 'static {
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Shakes hands; gives the client's certificate if there is one. The caller bounds the time.
    fn open(&self, stream: TcpStream) -> impl Future<Output = io::Result<(Self::Stream, Option<Certificate>)>> + Send;
}

/// No transport: HTTP in the clear.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

impl Transport for Plain {
    type Stream = TcpStream;

    async fn open(&self, stream: TcpStream) -> io::Result<(TcpStream, Option<Certificate>)> {
        Ok((stream, None))
    }
}

/// Serves a router in the clear until `shutdown`, then lets running requests end within the grace.
///
/// # Errors
/// When accepting fails for a reason that will not pass.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, shutdown: CancellationToken) -> io::Result<()> {
    serve_over(Plain, listener, app, limits, shutdown).await
}

/// Serves a router over a transport; else like [`serve`].
///
/// # Errors
/// When accepting fails for a reason that will not pass.
pub async fn serve_over(
    transport: impl Transport,
    listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let app = TowerToHyperService::new(app);
    let open = move |peer: Peer| {
        let app = app.clone();
        move |mut request: Request| {
            request.extensions_mut().insert(peer.clone());
            let answer = app.call(request);
            async move {
                match answer.await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        }
    };
    connections(transport, listener, limits, shutdown, open).await
}

/// Serves until `shutdown`: `open` makes the handler of each connection.
///
/// # Errors
/// When accepting fails for a reason that will not pass.
pub async fn connections<T, H, A>(
    transport: T,
    listener: TcpListener,
    limits: Limits,
    shutdown: CancellationToken,
    open: impl Fn(Peer) -> H + Send + Sync + 'static,
) -> io::Result<()>
where
    T: Transport,
    H: Fn(Request) -> A + Send + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    let open = Arc::new(open);
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
        let (stream, address) = tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if passing(&error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => break Err(error),
            },
        };
        let (transport, open, shutdown, kill) = (transport.clone(), Arc::clone(&open), shutdown.clone(), kill.clone());
        connections.spawn(async move {
            let connection = async {
                settle(&stream, limits.unread_time);
                match tokio::time::timeout(limits.handshake_time, transport.open(stream)).await {
                    Ok(Ok((stream, certificate))) => {
                        connection(stream, open(Peer { address, certificate }), limits, shutdown).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
                    Err(_) => tracing::debug!("handshake took too long"),
                }
            };
            tokio::select! {
                () = kill.cancelled() => {}
                () = connection => {}
            }
            drop(permit);
        });
    };
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.grace, connections.wait()).await.is_err() {
        tracing::debug!(left = connections.len(), "connections dropped at the end of the grace");
        kill.cancel();
        connections.wait().await;
    }
    result
}

/// What goes on on one connection.
#[derive(Debug)]
struct Use {
    /// Requests that are not answered to their end.
    running: usize,
    /// Whether there was ever one.
    asked: bool,
    /// When the last one ended.
    since: Instant,
}

/// A connection's use, shared by all its requests.
#[derive(Debug, Clone)]
struct InUse(Arc<Mutex<Use>>);

impl InUse {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Use { running: 0, asked: false, since: Instant::now() })))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Use) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request begins; it ends when what is returned is dropped.
    fn begin(&self) -> Running {
        self.with(|u| {
            u.running += 1;
            u.asked = true;
        });
        Running(self.clone())
    }

    /// Waits until nothing has run for so long.
    async fn idle(&self, limit: Duration) {
        let left = || self.with(|u| if u.running == 0 { limit.checked_sub(u.since.elapsed()) } else { Some(limit) });
        while let Some(left) = left() {
            sleep(left).await;
        }
    }

    /// Waits until a first request is so late that none will come; for ever when there was one.
    async fn silent(&self, limit: Duration) {
        sleep(limit).await;
        if self.with(|u| u.asked) {
            std::future::pending::<()>().await;
        }
    }
}

/// A request that runs.
#[derive(Debug)]
struct Running(InUse);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.with(|u| {
            u.running -= 1;
            u.since = Instant::now();
        });
    }
}

/// The body of an answer: its request runs until it is sent, or nobody wants it any more.
struct Answer {
    body: Body,
    _running: Running,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn connection<S, H, A>(stream: S, handler: H, limits: Limits, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request) -> A + Send + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    let in_use = InUse::new();
    let begun = in_use.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let running = begun.begin();
        let answer = handler(request.map(Body::new));
        async move { Ok::<_, Infallible>(answer.await.map(|body| Answer { body, _running: running })) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_time);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(limits.window)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        // Until HTTP knows which version it is, and has the preface of HTTP/2, it has no time-out of its own.
        () = in_use.silent(limits.header_time) => return tracing::debug!("a connection without a request"),
        // HTTP/2 has none for a client that asks no more, either.
        () = in_use.idle(limits.idle_time) => {
            connection.as_mut().graceful_shutdown();
            // A request that crosses the farewell is answered. A client that does not hear it is not waited for.
            let deaf = async {
                sleep(limits.header_time).await;
                in_use.idle(limits.header_time).await;
            };
            tokio::select! {
                result = connection.as_mut() => result,
                () = deaf => return tracing::debug!("an idle connection that its client does not end"),
            }
        }
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::trace!(%error, "connection ended");
    }
}

/// Small answers leave at once, and a client that is gone or does not read is noticed.
fn settle(stream: &TcpStream, unread: Duration) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        let _ = sockopt::set_tcp_user_timeout(stream, u32::try_from(unread.as_millis()).unwrap_or(u32::MAX));
        let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(60));
        let _ = sockopt::set_socket_keepalive(stream, true);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = unread;
}

/// Errors of `accept` that concern one connection or a shortage that will pass.
fn passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted | io::ErrorKind::OutOfMemory
    ) || matches!(error.raw_os_error(), Some(23 | 24 | 105)) // ENFILE, EMFILE, ENOBUFS
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    async fn start(app: Router, limits: Limits) -> (SocketAddr, CancellationToken, JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, app, limits, shutdown.clone()));
        (address, shutdown, serving)
    }

    /// What the server says to `text` until it closes.
    async fn say(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    const ASK: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn handlers_know_their_peer() {
        let app = Router::new().route("/", get(|peer: axum::Extension<Peer>| async move { peer.address.ip().to_string() }));
        let (address, shutdown, serving) = start(app, Limits::default()).await;
        assert!(say(address, ASK).await.ends_with("\r\n\r\n127.0.0.1"));
        shutdown.cancel();
        serving.await.unwrap().unwrap();
    }

    /// Neither one that says nothing, nor one that begins HTTP/2 and stops, keeps its place.
    #[tokio::test]
    async fn a_connection_without_a_request_loses_its_place() {
        let limits = Limits { connections: 1, header_time: Duration::from_millis(50), ..Limits::default() };
        let (address, _shutdown, _serving) = start(Router::new().route("/", get(|| async { "here" })), limits).await;
        for begin in ["", "PRI * HTTP", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HT"] {
            let mut silent = TcpStream::connect(address).await.unwrap();
            silent.write_all(begin.as_bytes()).await.unwrap();
            assert!(say(address, ASK).await.ends_with("here"), "{begin:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_nobody_uses_any_more_loses_its_place() {
        // An answer runs until its body is sent: for longer than a connection may be idle.
        let late = || async {
            let piece = futures::stream::once(async {
                sleep(Duration::from_millis(300)).await;
                Ok::<_, Infallible>("late")
            });
            Body::from_stream(piece)
        };
        let limits = Limits { connections: 1, idle_time: Duration::from_millis(100), ..Limits::default() };
        let (address, _shutdown, _serving) = start(Router::new().route("/", get(late)), limits).await;
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = client.send_request(hyper::Request::get(format!("http://{address}/")).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(axum::body::to_bytes(Body::new(answer.into_body()), 100).await.unwrap(), "late");
        // HTTP/1.1 gets the place, and loses it likewise.
        assert!(say(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.contains("late"));
        assert!(connection.await.unwrap().is_ok() && client.is_closed());
    }

    #[tokio::test]
    async fn the_end_waits_for_answers_but_not_for_ever() {
        let (begun, mut heard) = tokio::sync::mpsc::channel(1);
        let slow = begun.clone();
        let app = Router::new()
            .route(
                "/",
                get(|| async move {
                    slow.send(()).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    "late"
                }),
            )
            .route(
                "/never",
                get(|| async move {
                    begun.send(()).await.unwrap();
                    std::future::pending::<()>().await;
                }),
            );
        let limits = Limits { grace: Duration::from_millis(500), ..Limits::default() };
        let (address, shutdown, serving) = start(app, limits).await;
        let answer = tokio::spawn(say(address, ASK));
        let never = tokio::spawn(say(address, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n"));
        heard.recv().await.unwrap();
        heard.recv().await.unwrap();
        shutdown.cancel();
        assert!(answer.await.unwrap().ends_with("late"));
        serving.await.unwrap().unwrap();
        assert_eq!(never.await.unwrap(), "");
        assert!(TcpStream::connect(address).await.is_err());
    }
}
