//! A holder of device memory, over the node's socket or in this process.
//!
//! Clones are the same holder. When the last clone is dropped, or the process dies, the connection closes and the
//! node takes everything back. Requests may run at the same time; dropping a waiting call forgets its answer.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::sync::CancellationToken;

use crate::devices::{Devices, Session};
use crate::ledger::{Allocation, Identity, LeaseId, LeaseState, LedgerError};
use crate::protocol::{Allocated, MAX_LINE, MAX_PENDING, Op, Reply, Request, Snapshot, TransferKind, WireError};

/// Longest wait for an answer that needs no time of its own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The ledger refused; out of memory among others.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The node's device server cannot be reached.
    #[error("cannot connect to the device socket {name:?}: {source}")]
    Connect {
        /// Name of the socket.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The connection ended; all leases are gone.
    #[error("the connection to the node's devices was lost; what was held there is gone")]
    Lost,
    /// No answer in time.
    #[error("the node's device server did not answer in time")]
    Timeout,
    /// The server did not understand us, or we did not understand it.
    #[error("device protocol: {0}")]
    Protocol(String),
}

impl ClientError {
    /// Whether memory was what lacked.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Ledger(LedgerError::OutOfMemory(_)))
    }
}

/// A holder of device memory.
#[derive(Clone, Debug)]
pub struct Client(Transport);

#[derive(Clone, Debug)]
enum Transport {
    Local(Arc<Session>),
    Remote(Arc<Remote>),
}

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, ClientError>>>>>;

#[derive(Debug)]
struct Remote {
    requests: mpsc::Sender<String>,
    pending: Pending,
    next: AtomicU64,
    /// Cancelled when the connection has ended.
    lost: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        // The task owns the socket: ending it closes the connection.
        self.task.abort();
    }
}

impl Client {
    /// Connects to the abstract socket `name`, the value of [`dormouse_names::env::DEVICES`].
    ///
    /// # Errors
    /// When nobody listens there, or does not speak this protocol.
    pub async fn connect(name: &str, identity: Identity) -> Result<Self, ClientError> {
        let stream = crate::socket::connect(name).map_err(|source| ClientError::Connect { name: name.to_owned(), source })?;
        let (requests, queue) = mpsc::channel(MAX_PENDING);
        let pending = Pending::default();
        let lost = CancellationToken::new();
        let task = tokio::spawn({
            let (pending, lost) = (pending.clone(), lost.clone());
            async move {
                // The guard also fires when the task is aborted.
                let _lost = lost.drop_guard();
                if let Err(e) = exchange(stream, queue, &pending).await {
                    tracing::debug!(error = %e, "device connection ended");
                }
                // Dropping the senders answers every waiting call with `Lost`.
                lock(&pending).clear();
            }
        });
        let remote = Remote { requests, pending, next: AtomicU64::new(1), lost, task };
        let client = Self(Transport::Remote(Arc::new(remote)));
        client.remote_call::<Snapshot>(Op::Hello(identity), Some(ANSWER_TIMEOUT)).await?;
        Ok(client)
    }

    /// A holder on devices of this process.
    pub fn local(devices: &Devices, identity: Identity) -> Self {
        Self(Transport::Local(Arc::new(devices.session(identity, None))))
    }

    /// Takes memory.
    ///
    /// # Errors
    /// Out of memory, unknown accelerator, lost connection.
    pub async fn allocate(&self, wish: Allocation) -> Result<LeaseId, ClientError> {
        match &self.0 {
            Transport::Local(session) => Ok(session.allocate(wish)?),
            Transport::Remote(_) => {
                let done: Allocated = self.remote_call(Op::Allocate(wish), Some(ANSWER_TIMEOUT)).await?;
                Ok(done.lease)
            }
        }
    }

    /// Changes size and state of a lease in one step; on failure it keeps what it had.
    ///
    /// # Errors
    /// Out of memory, unknown lease, lost connection.
    pub async fn resize(&self, lease: LeaseId, bytes: u64, state: LeaseState) -> Result<(), ClientError> {
        match &self.0 {
            Transport::Local(session) => Ok(session.resize(lease, bytes, state)?),
            Transport::Remote(_) => self.remote_call(Op::Resize { lease, bytes, state }, Some(ANSWER_TIMEOUT)).await,
        }
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// Unknown lease, lost connection.
    pub async fn release(&self, lease: LeaseId) -> Result<(), ClientError> {
        match &self.0 {
            Transport::Local(session) => Ok(session.release(lease)?),
            Transport::Remote(_) => self.remote_call(Op::Release { lease }, Some(ANSWER_TIMEOUT)).await,
        }
    }

    /// Moves bytes; completes when they have moved and says how long that took in the model.
    ///
    /// # Errors
    /// Unknown accelerator, lost connection.
    pub async fn transfer(&self, kind: &TransferKind, bytes: u64) -> Result<Duration, ClientError> {
        match &self.0 {
            Transport::Local(session) => Ok(session.transfer(kind, bytes).await?),
            Transport::Remote(_) => {
                let nanos: u64 = self.remote_call(Op::Transfer { kind: kind.clone(), bytes }, None).await?;
                Ok(Duration::from_nanos(nanos))
            }
        }
    }

    /// Everything at this moment.
    ///
    /// # Errors
    /// Lost connection.
    pub async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        match &self.0 {
            Transport::Local(session) => Ok(session.devices().snapshot()),
            Transport::Remote(_) => self.remote_call(Op::Snapshot, Some(ANSWER_TIMEOUT)).await,
        }
    }

    /// Waits until the ledger's generation is another one than `generation`, then shows everything.
    ///
    /// # Errors
    /// Lost connection.
    pub async fn changed_since(&self, generation: u64) -> Result<Snapshot, ClientError> {
        match &self.0 {
            Transport::Local(session) => Ok(session.devices().changed_since(generation).await),
            Transport::Remote(_) => self.remote_call(Op::Watch { generation }, None).await,
        }
    }

    /// Completes when the connection has ended; never, for devices of this process.
    pub async fn lost(&self) {
        match &self.0 {
            Transport::Local(_) => std::future::pending().await,
            Transport::Remote(remote) => remote.lost.cancelled().await,
        }
    }

    async fn remote_call<T: DeserializeOwned>(&self, op: Op, limit: Option<Duration>) -> Result<T, ClientError> {
        let Transport::Remote(remote) = &self.0 else {
            return Err(ClientError::Protocol("a local holder has no connection".to_owned()));
        };
        let id = remote.next.fetch_add(1, Ordering::Relaxed);
        let line = serde_json::to_string(&Request { id, op }).map_err(|e| ClientError::Protocol(e.to_string()))?;
        let (tell, answer) = oneshot::channel();
        lock(&remote.pending).insert(id, tell);
        let _forget = Forget { pending: &remote.pending, id };
        let call = async {
            remote.requests.send(line).await.map_err(|_| ClientError::Lost)?;
            // The connection may have ended between the two lines above; then nobody clears `pending` again.
            tokio::select! {
                answer = answer => answer.map_err(|_| ClientError::Lost)?,
                () = remote.lost.cancelled() => Err(ClientError::Lost),
            }
        };
        let value = match limit {
            Some(limit) => tokio::time::timeout(limit, call).await.map_err(|_| ClientError::Timeout)??,
            None => call.await?,
        };
        serde_json::from_value(value).map_err(|e| ClientError::Protocol(e.to_string()))
    }
}

/// Removes a call from the waiting ones when it is over, also when it was dropped.
struct Forget<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.pending).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes requests and hands answers to their callers until either side ends.
async fn exchange(stream: UnixStream, mut queue: mpsc::Receiver<String>, pending: &Pending) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = FramedRead::new(reader, LinesCodec::new_with_max_length(MAX_LINE));
    let reading = async {
        while let Some(line) = lines.next().await {
            let reply: Reply = serde_json::from_str(&line.map_err(io::Error::other)?)?;
            let result = match reply.error {
                Some(WireError::Ledger(e)) => Err(ClientError::Ledger(e)),
                Some(WireError::Request { message }) => Err(ClientError::Protocol(message)),
                None => Ok(reply.ok.unwrap_or(Value::Null)),
            };
            if let Some(waiting) = lock(pending).remove(&reply.id) {
                let _ = waiting.send(result);
            }
        }
        Ok(())
    };
    let writing = async {
        while let Some(mut line) = queue.recv().await {
            line.push('\n');
            tokio::time::timeout(ANSWER_TIMEOUT, writer.write_all(line.as_bytes())).await??;
        }
        Ok(())
    };
    tokio::select! {
        done = reading => done,
        done = writing => done,
    }
}
