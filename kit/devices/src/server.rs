//! The device socket's server: one task per connection, which owns a [`Session`]; when the connection ends, for
//! whatever reason, the session is dropped and its leases and transfers with it.
//!
//! Only processes of the same user (any user when the server runs as root) are let in: an abstract socket has no file mode.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::sync::CancellationToken;

use crate::devices::{Devices, Session};
use crate::protocol::{Allocated, MAX_LINE, MAX_PENDING, Op, Reply, Request, WireError};

/// Connections served at one time.
const MAX_CONNECTIONS: usize = 1024;
/// How long a client may take to introduce itself, and to read an answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound device socket.
#[derive(Debug)]
pub struct Listener(UnixListener);

impl Listener {
    /// Binds the abstract socket `name` (a leading `@` is optional). Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the name is taken or malformed.
    pub fn bind(name: &str) -> io::Result<Self> {
        crate::socket::listen(name).map(Self).map_err(|e| io::Error::new(e.kind(), format!("cannot bind the device socket {name:?}: {e}")))
    }
}

/// Serves `devices` until `shutdown`; then all connections are closed.
pub async fn serve(devices: Devices, listener: Listener, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.0.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Out of descriptors, most likely: give the rest of the process a moment to end some.
                tracing::warn!(error = %e, "device socket cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            tracing::warn!(limit = MAX_CONNECTIONS, "device socket is full, a connection was refused");
            continue;
        };
        let devices = devices.clone();
        connections.spawn(async move {
            let _permit = permit;
            if let Err(e) = connection(&devices, stream).await {
                tracing::debug!(error = %e, "device connection ended");
            }
        });
    }
    connections.shutdown().await;
}

/// Whether this peer may talk to us.
fn may_enter(peer_uid: u32) -> bool {
    let own = rustix::process::geteuid().as_raw();
    own == 0 || peer_uid == 0 || peer_uid == own
}

async fn connection(devices: &Devices, stream: UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    if !may_enter(peer.uid()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {} is not let in", peer.uid())));
    }
    let (reader, mut writer) = stream.into_split();
    let mut lines = FramedRead::new(reader, LinesCodec::new_with_max_length(MAX_LINE));
    let (answers, mut queue) = mpsc::channel::<Reply>(MAX_PENDING);
    let writing = async move {
        while let Some(reply) = queue.recv().await {
            let mut line = serde_json::to_vec(&reply)?;
            line.push(b'\n');
            tokio::time::timeout(PEER_TIMEOUT, writer.write_all(&line)).await??;
        }
        Ok(())
    };
    let reading = async move {
        let malformed = |e: String| io::Error::new(io::ErrorKind::InvalidData, e);
        let first = tokio::time::timeout(PEER_TIMEOUT, lines.next()).await?;
        let Some(first) = first else { return Ok(()) };
        let first: Request = serde_json::from_str(&first.map_err(|e| malformed(e.to_string()))?)?;
        let Op::Hello(identity) = first.op else {
            return Err(malformed("the first request must be hello".to_owned()));
        };
        let session = Arc::new(devices.session(identity, peer.pid()));
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        answers.send(ok(first.id, &devices.snapshot())).await.map_err(|_| closed())?;
        let mut waiting = JoinSet::new();
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                Some(_) = waiting.join_next(), if !waiting.is_empty() => continue,
            };
            let Some(line) = line else { return Ok(()) };
            let request: Request = serde_json::from_str(&line.map_err(|e| malformed(e.to_string()))?)?;
            if waiting.len() >= MAX_PENDING {
                return Err(malformed(format!("more than {MAX_PENDING} requests wait for their answer")));
            }
            match request.op {
                // What takes time is answered from a task; its end with the connection cancels it.
                Op::Transfer { .. } | Op::Watch { .. } => {
                    let (session, answers) = (session.clone(), answers.clone());
                    waiting.spawn(async move {
                        let _ = answers.send(slow(&session, request).await).await;
                    });
                }
                _ => answers.send(quick(&session, request)).await.map_err(|_| closed())?,
            }
        }
    };
    tokio::select! {
        done = reading => done,
        done = writing => done,
    }
}

fn ok(id: u64, value: &impl serde::Serialize) -> Reply {
    match serde_json::to_value(value) {
        Ok(value) => Reply { id, ok: Some(value), error: None },
        Err(e) => Reply { id, ok: None, error: Some(WireError::Request { message: e.to_string() }) },
    }
}

fn answer<T: serde::Serialize>(id: u64, result: Result<T, crate::ledger::LedgerError>) -> Reply {
    match result {
        Ok(value) => ok(id, &value),
        Err(e) => Reply { id, ok: None, error: Some(WireError::Ledger(e)) },
    }
}

fn quick(session: &Session, request: Request) -> Reply {
    let id = request.id;
    match request.op {
        Op::Allocate(wish) => answer(id, session.allocate(wish).map(|lease| Allocated { lease })),
        Op::Resize { lease, bytes, state } => answer(id, session.resize(lease, bytes, state)),
        Op::Release { lease } => answer(id, session.release(lease)),
        Op::Snapshot => ok(id, &session.devices().snapshot()),
        Op::Hello(_) | Op::Transfer { .. } | Op::Watch { .. } => {
            Reply { id, ok: None, error: Some(WireError::Request { message: "hello comes once, at the beginning".to_owned() }) }
        }
    }
}

async fn slow(session: &Session, request: Request) -> Reply {
    let id = request.id;
    match request.op {
        Op::Transfer { kind, bytes } => {
            let moved = session.transfer(&kind, bytes).await;
            answer(id, moved.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)))
        }
        Op::Watch { generation } => ok(id, &session.devices().changed_since(generation).await),
        _ => ok(id, &Value::Null),
    }
}
