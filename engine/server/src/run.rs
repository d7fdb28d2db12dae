//! From a command line to a served engine, and its end.
//!
//! As vLLM does it: the port is bound before the model loads, so that a taken one is an error at once, and listens when
//! the model is there, so that who can connect can ask.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dormouse_devices::Rates;
use dormouse_names::env as names;
use dormouse_runtime::{CancellationToken, clock, monotonic, net, serve as http};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use crate::accelerators::Accelerators;
use crate::api;
use crate::args::{self, ServeArgs};
use crate::backend::Backend;
use crate::embedded::Embedded;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::sim::Simulator;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The simulator.
    Sim,
    /// The one that computes.
    Embedded,
}

impl EngineKind {
    fn name(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Embedded => "embedded",
        }
    }
}

/// What an engine takes from its environment.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `VLLM_SERVER_DEV_MODE=1`: the administration routes exist.
    pub dev_mode: bool,
    /// `DORMOUSE_DEVICES`: the node's device socket.
    pub devices: Option<String>,
    /// `NVIDIA_VISIBLE_DEVICES`.
    pub nvidia_visible_devices: Option<String>,
    /// `CUDA_VISIBLE_DEVICES`.
    pub cuda_visible_devices: Option<String>,
    /// The local Hugging Face cache: `HF_HUB_CACHE`, `$HF_HOME/hub`, or `~/.cache/huggingface/hub`.
    pub hub_cache: Option<PathBuf>,
    /// Memory for keys and values: `VLLM_CPU_KVCACHE_SPACE` in GiB.
    pub kv_cache_bytes: u64,
}

/// Memory for keys and values where nothing is said: 1 GiB.
const KV_CACHE_BYTES: u64 = 1 << 30;

impl Default for Environment {
    fn default() -> Self {
        Self {
            dev_mode: false,
            devices: None,
            nvidia_visible_devices: None,
            cuda_visible_devices: None,
            hub_cache: None,
            kv_cache_bytes: KV_CACHE_BYTES,
        }
    }
}

impl Environment {
    /// This process's environment.
    pub fn of_this_process() -> Self {
        let var = |name: &str| std::env::var(name).ok();
        let filled = |name: &str| var(name).filter(|v| !v.is_empty());
        let hub_cache = filled("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| filled("HF_HOME").map(|home| PathBuf::from(home).join("hub")))
            .or_else(|| filled("HOME").map(|home| PathBuf::from(home).join(".cache/huggingface/hub")));
        let kv_cache = filled("VLLM_CPU_KVCACHE_SPACE").and_then(|v| v.parse::<u64>().ok()).filter(|g| *g > 0);
        Self {
            dev_mode: filled("VLLM_SERVER_DEV_MODE").is_some_and(|v| v.parse::<i64>().is_ok_and(|n| n != 0)),
            devices: filled(names::DEVICES),
            nvidia_visible_devices: var(names::NVIDIA_VISIBLE_DEVICES),
            cuda_visible_devices: var(names::CUDA_VISIBLE_DEVICES),
            hub_cache,
            kv_cache_bytes: kv_cache.map_or(KV_CACHE_BYTES, |gib| gib.saturating_mul(1 << 30)),
        }
    }
}

/// Serves until `shutdown`. `argv` is what follows the verb: vLLM's `serve` arguments and ours.
///
/// # Errors
/// A bad command line is a [`clap::Error`] inside (it prints itself and knows its exit code: `error.downcast_ref`); else
/// whatever keeps the engine from starting or ends it early, in words for the log.
pub async fn run(kind: EngineKind, argv: Vec<String>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let (args, unknown) = args::parse(&argv)?;
    if !unknown.is_empty() {
        tracing::warn!("arguments that mean nothing to this engine are ignored: {}", unknown.join(" "));
    }
    serve(kind, args, Environment::of_this_process(), None, shutdown).await
}

/// As [`run`], with everything said by the caller; `ready` gets the address when it listens.
///
/// # Errors
/// Whatever keeps the engine from starting or ends it early.
pub async fn serve(
    kind: EngineKind,
    args: ServeArgs,
    env: Environment,
    ready: Option<oneshot::Sender<SocketAddr>>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let detail = json!({"model": args.served_names()[0], "engine": kind.name()});
    monotonic::stamp("start_begin", &detail);
    let started = tokio::select! {
        started = start(kind, &args, &env) => started,
        () = shutdown.cancelled() => return Ok(()),
    };
    let (listener, engine) = match started {
        Ok(started) => started,
        Err(e) => {
            let mut detail = detail;
            detail["error"] = json!(format!("{e:#}"));
            monotonic::stamp("start_failed", &detail);
            return Err(e);
        }
    };
    let address = listener.local_addr()?;
    let mut detail = detail;
    detail["address"] = json!(address);
    detail["weight_bytes"] = json!(engine.backend().facts().weight_bytes);
    monotonic::stamp("start_end", &detail);
    tracing::info!("{} engine serves {} on http://{address}", kind.name(), engine.names().join(", "));
    if !args.sim.ready_delay.is_zero() {
        tokio::time::sleep(args.sim.ready_delay).await;
    }
    if let Some(ready) = ready {
        let _ = ready.send(address);
    }
    let version = format!("{}+dormouse.{}", env!("CARGO_PKG_VERSION"), kind.name());
    let api = api::Api::new(engine.clone(), args.model().to_owned(), version, args.api_key, clock::system());
    let router = api::router(api, env.dev_mode);
    let limits = http::Limits { grace: Duration::from_secs(2), ..http::Limits::default() };
    let ending = async {
        shutdown.cancelled().await;
        // Streams end with an abort before the server waits for them.
        engine.shut_down();
        std::future::pending::<()>().await;
    };
    let backend = engine.backend().clone();
    tokio::select! {
        served = http::serve(listener, router, limits, shutdown.clone()) => served.context("the HTTP server failed"),
        reason = backend.dead() => Err(anyhow::anyhow!("the engine died: {reason}")),
        () = ending => Ok(()),
    }
}

async fn start(kind: EngineKind, args: &ServeArgs, env: &Environment) -> anyhow::Result<(TcpListener, Engine)> {
    let socket = bind(args).await?;
    let names = args.served_names();
    let metrics = Arc::new(Metrics::new(&names[0]));
    let backend: Arc<dyn Backend> = match kind {
        EngineKind::Sim => {
            let accelerators = simulated_accelerators(args, env).await?;
            Arc::new(Simulator::start(args, accelerators, metrics.clone()).await?)
        }
        EngineKind::Embedded => {
            let program = format!("engine embedded {}", names[0]);
            let count = args.tensor_parallel_size as usize;
            let accelerators = Accelerators::on_node(env, &program, count).await?;
            Arc::new(Embedded::start(args, env, accelerators, metrics.clone()).await?)
        }
    };
    let engine = Engine::new(names, backend, metrics, args.sim.ready_delay);
    let listener = socket.listen(1024).with_context(|| cannot_listen(args))?;
    Ok((listener, engine))
}

/// The node's accelerators, or private ones where there is no ledger or nothing in it.
async fn simulated_accelerators(args: &ServeArgs, env: &Environment) -> anyhow::Result<Accelerators> {
    let count = args.tensor_parallel_size as usize;
    let program = format!("engine sim {}", args.served_names()[0]);
    if let Some(found) = Accelerators::on_node(env, &program, count).await? {
        return Ok(found);
    }
    let rates = Rates { link: args.sim.link, link_peak: args.sim.link, storage: args.sim.storage };
    Ok(Accelerators::private(count, args.sim.gpu_memory.get(), rates)?)
}

fn cannot_listen(args: &ServeArgs) -> String {
    let place = net::authority(&net::map_host(&args.host), args.port);
    format!("cannot listen on {place}; is the port in use? Choose another with --port")
}

/// A bound socket that does not listen yet.
async fn bind(args: &ServeArgs) -> anyhow::Result<TcpSocket> {
    let host = net::map_host(&args.host);
    let address = tokio::net::lookup_host((host.trim_matches(['[', ']']), args.port))
        .await
        .ok()
        .and_then(|mut found| found.next())
        .with_context(|| format!("--host {host:?} is no address of this machine"))?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).with_context(|| cannot_listen(args))?;
    Ok(socket)
}
