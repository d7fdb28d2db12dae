//! The data path of the proxy: accept, dial, copy both ways.
//!
//! Bytes are not looked at. The end of one direction is passed on as a shutdown of the other side's writing half after
//! all bytes; a connection is over when both directions are.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use dormouse_runtime::CancellationToken;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::Target;

/// Bytes per direction in flight.
const BUFFER: usize = 64 << 10;
/// Silence after which the kernel asks whether the other end lives.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Everything connections share.
#[derive(Debug, Clone)]
pub(super) struct Pump {
    dial_timeout: Duration,
    places: Arc<Semaphore>,
    open: TaskTracker,
    cut: CancellationToken,
}

impl Pump {
    pub(super) fn new(dial_timeout: Duration, max_connections: u32) -> Self {
        let places = usize::try_from(max_connections).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { dial_timeout, places: Arc::new(Semaphore::new(places)), open: TaskTracker::new(), cut: CancellationToken::new() }
    }

    /// Accepts until `stop`; then the listener is closed.
    pub(super) async fn accept(self, listener: TcpListener, targets: watch::Receiver<Target>, stop: CancellationToken) {
        loop {
            let place = tokio::select! {
                () = stop.cancelled() => return,
                place = Arc::clone(&self.places).acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            let client = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let client = match client {
                Ok((client, _)) => client,
                Err(error) => {
                    // Of the connection, or a shortage that passes; a listener itself does not break.
                    tracing::warn!(%error, "the proxy cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            let (target, dial_timeout, cut) = (targets.borrow().clone(), self.dial_timeout, self.cut.clone());
            self.open.spawn(async move {
                tokio::select! {
                    () = cut.cancelled() => {}
                    done = carry(client, &target, dial_timeout) => if let Err(error) = done {
                        tracing::debug!(target = %target.authority(), %error, "a proxied connection ended early");
                    },
                }
                drop(place);
            });
        }
    }

    /// Waits for open connections, then cuts what is left.
    pub(super) async fn drain(&self, limit: Duration) {
        self.open.close();
        if tokio::time::timeout(limit, self.open.wait()).await.is_err() {
            tracing::info!(connections = self.open.len(), "Cutting proxied connections at the end");
            self.cut.cancel();
            self.open.wait().await;
        }
    }
}

async fn carry(mut client: TcpStream, target: &Target, dial_timeout: Duration) -> io::Result<()> {
    let dial = TcpStream::connect((target.address.as_str(), target.port));
    let mut server = tokio::time::timeout(dial_timeout, dial).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        keep_alive(stream)?;
    }
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await.map(drop)
}

fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let fd = stream.as_fd();
    sockopt::set_socket_keepalive(fd, true)?;
    sockopt::set_tcp_keepidle(fd, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(fd, KEEP_ALIVE)?;
    Ok(())
}
