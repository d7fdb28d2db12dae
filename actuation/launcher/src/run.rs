//! A launcher from start to end.
//!
//! Order at the start: clean up after a predecessor, listen, serve. At the end: refuse new instances and end streams,
//! stop all engines at once, then close the server: who asks meanwhile still gets answers.

use std::net::SocketAddr;
use std::sync::Arc;

use dormouse_runtime::serve::{Limits, serve};
use dormouse_runtime::{CancellationToken, clock, net};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::api::{self, Api};
use crate::args::Args;
use crate::gpu::Translator;
use crate::journal::{Identity, Journal};
use crate::manager::{Manager, Settings};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::process;

/// Why a launcher does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another --port, or end what holds it")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The private folder cannot be made.
    #[error("{source}; name another folder with --log-dir")]
    Folder {
        /// Why.
        source: std::io::Error,
    },
    /// The server failed.
    #[error("serving failed: {0}")]
    Serve(std::io::Error),
}

/// A launcher that listens and does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    api: Arc<Api>,
    end_streams: CancellationToken,
    /// Ends when this is dropped, also when the launcher never served.
    background: CancellationToken,
}

/// Runs a launcher until `shutdown`, then stops its engines.
///
/// # Errors
/// When it cannot listen, make its private folder, or serve.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    Ok(bind(args).await?.serve(shutdown).await?)
}

/// Prepares a launcher: from here on connections are queued.
///
/// # Errors
/// When it cannot listen or make its private folder.
pub async fn bind(args: Args) -> Result<Bound, Error> {
    let host = net::map_host(&args.host);
    let wanted = net::authority(&host, args.port);
    let failed = |source| Error::Listen { address: wanted.clone(), source };
    let listener = TcpListener::bind((host.as_str(), args.port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    let background = CancellationToken::new();
    process::adopt_orphans(background.clone());
    let epoch = format!("{:016x}", uuid::Uuid::new_v4().as_u64_pair().1);
    let (parent, name, identity) = (args.log_dir.clone(), epoch.clone(), Identity::new(wanted));
    let journal = tokio::task::spawn_blocking(move || Journal::open(&parent, &name, identity))
        .await
        .map_err(|e| Error::Folder { source: std::io::Error::other(e) })?
        .map_err(|source| Error::Folder { source })?;

    let env = |name: &str| std::env::var(name).ok();
    let gpus = Translator::new(args.mock_gpus, args.mock_gpu_count, env);
    let memory = Arc::new(Memory::new(args.mock_gpus, env));
    let (metrics, registry) = Metrics::new();
    let settings = Settings {
        log_gpu_memory: args.logs_gpu_memory(),
        adapter: args.adapter,
        engine_command: args.engine_command,
        log_max_bytes: args.log_max_bytes,
        stop_grace: args.stop_grace,
        kill_limit: args.kill_limit,
        port_check: args.port_check,
        device_form: args.cuda_visible_devices_form,
        max_instances: args.max_instances,
        pod_ip: net::pod_ip(),
    };
    let manager = Manager::new(settings, clock::system(), epoch, gpus, Arc::clone(&memory), journal, metrics.clone());
    let end_streams = CancellationToken::new();
    let api = Arc::new(Api {
        manager,
        memory,
        metrics,
        registry,
        max_body: args.max_body_bytes,
        streams: Arc::new(Semaphore::new(args.max_watchers.min(Semaphore::MAX_PERMITS))),
        end: end_streams.clone(),
    });
    Ok(Bound { listener, address, api, end_streams, background })
}

impl Bound {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then stops all engines.
    ///
    /// # Errors
    /// When serving fails; engines are stopped all the same.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { listener, address, api, end_streams, background } = self;
        let _background = background.drop_guard();
        let manager = Arc::clone(&api.manager);
        tracing::info!(%address, epoch = manager.epoch(), "Launcher is listening");
        let warming = tokio::spawn({
            let manager = Arc::clone(&manager);
            async move { manager.warm().await }
        });
        let end_server = CancellationToken::new();
        let connections = Limits { connections: 4096, ..Limits::default() };
        let server = serve(listener, api::router(api), connections, end_server.clone());
        tokio::pin!(server);
        let served = tokio::select! {
            served = &mut server => Some(served),
            () = shutdown.cancelled() => None,
        };
        warming.abort();
        tracing::info!("Launcher is shutting down");
        manager.refuse_new();
        end_streams.cancel();
        let close = manager.close();
        let served = match served {
            Some(served) => {
                close.await;
                served
            }
            None => {
                tokio::pin!(close);
                let early = tokio::select! {
                    served = &mut server => Some(served),
                    () = &mut close => None,
                };
                end_server.cancel();
                match early {
                    Some(served) => {
                        close.await;
                        served
                    }
                    None => server.await,
                }
            }
        };
        served.map_err(Error::Serve)
    }
}
