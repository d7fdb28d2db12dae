//! A requester from start to end.
//!
//! Both ports are bound before either is served, so that a request that arrives in between waits instead of being
//! refused. After SIGTERM a requester that is ready stays if its controller has promised to say when it may end
//! ([`RELAYS_UNREADY`](dormouse_names::header::RELAYS_UNREADY)): the engine is still to be put to sleep, and as long as the
//! readiness probe says yes, clients are sent there. It goes when it is told become-unready, or two seconds before the Pod's
//! grace is over. Then running requests end, and connections through the proxy get their time.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_runtime::serve::{Limits, serve};
use dormouse_runtime::{CancellationToken, net};
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::accelerators::Source;
use crate::args::{Args, Serving};
use crate::error::Error;
use crate::memory::Memory;
use crate::proxy::{Proxy, Settings};
use crate::relay::Relay;
use crate::spi::{self, Shared};

/// Time that running requests have at the end.
const REQUEST_GRACE: Duration = Duration::from_secs(60);
/// How long before the Pod's grace is over a requester goes by itself.
const MARGIN: Duration = Duration::from_secs(2);

/// A requester that listens and does not answer yet.
pub struct Bound {
    probes: TcpListener,
    spi: TcpListener,
    serving: Serving,
    source: Source,
}

/// Runs a requester until `shutdown` and what has to follow it.
///
/// # Errors
/// When a port is taken, or a second signal cuts the end short.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    bind(args).await?.serve(shutdown, Box::new(std::io::stdout())).await
}

/// Prepares a requester: from here on connections are queued.
///
/// # Errors
/// When a port is taken.
pub async fn bind(args: Args) -> Result<Bound, Error> {
    let source = Source::choose(args.accelerators, args.accelerator_command.as_deref(), |name| std::env::var(name).ok());
    bind_with(args.serving, source).await
}

pub(crate) async fn bind_with(serving: Serving, source: Source) -> Result<Bound, Error> {
    let spi = listen("SPI", "spi-port", serving.spi_port, 10).await?;
    let probes = listen("probes", "probes-port", serving.probes_port, 11).await?;
    Ok(Bound { probes, spi, serving, source })
}

async fn listen(what: &'static str, flag: &'static str, port: u16, code: u8) -> Result<TcpListener, Error> {
    let host = net::map_host("0.0.0.0");
    let bound = TcpListener::bind((host.as_str(), port)).await;
    bound.map_err(|source| Error::Listen { what, flag, address: net::authority(&host, port), code, source })
}

impl Bound {
    /// Where the probes are.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn probes_address(&self) -> std::io::Result<SocketAddr> {
        self.probes.local_addr()
    }

    /// Where the SPI is.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn spi_address(&self) -> std::io::Result<SocketAddr> {
        self.spi.local_addr()
    }

    /// Serves until `shutdown` and what has to follow it; relayed log text goes to `log`.
    ///
    /// # Errors
    /// When serving fails, or a second signal cuts the end short.
    pub async fn serve(self, shutdown: CancellationToken, log: Box<dyn Write + Send>) -> Result<(), Error> {
        let Self { probes, spi, serving, source } = self;
        let end = CancellationToken::new();
        let _end = end.clone().drop_guard();
        let (found, accelerators) = watch::channel(Vec::new());
        tokio::spawn(source.discover(found, end.clone()));
        let proxy_settings = Settings {
            host: net::map_host("0.0.0.0"),
            port: serving.proxy_port,
            dial_timeout: serving.proxy_dial_timeout,
            drain: serving.proxy_drain,
            max_connections: serving.proxy_max_connections,
        };
        let proxy_end = end.child_token();
        let shared = Arc::new(Shared {
            told: watch::Sender::default(),
            accelerators,
            memory: Memory::new(std::env::var(dormouse_names::env::DEVICES).ok().filter(|v| !v.is_empty())),
            relay: Arc::new(Mutex::new(Relay::new(log))),
            proxy: Proxy::new(proxy_settings, proxy_end.clone()),
            become_ready_delay: Duration::from_millis(serving.delay_ready_ms),
        });
        tracing::info!(probes = ?probes.local_addr().ok(), spi = ?spi.local_addr().ok(), "Requester is listening");
        let limits = Limits { grace: REQUEST_GRACE, ..Limits::default() };
        let servers = async {
            let probes = serve(probes, spi::probes(Arc::clone(&shared)), limits, end.clone());
            let spi = serve(spi, spi::spi(Arc::clone(&shared)), limits, end.clone());
            tokio::try_join!(probes, spi).map(|_| ())
        };
        let ending = async {
            shutdown.cancelled().await;
            // Connections of clients go through the proxy as long as the engine serves them.
            linger(&shared, &serving).await;
            tracing::info!("Requester is ending");
            end.cancel();
            shared.proxy.drain().await;
        };
        tokio::select! {
            biased;
            () = second_signal(&shutdown) => Err(Error::Interrupted),
            (served, ()) = async { tokio::join!(servers, ending) } => served.map_err(Error::Serve),
        }
    }
}

/// Waits for become-unready, if that was promised, but not longer than the Pod's grace allows.
async fn linger(shared: &Shared, serving: &Serving) {
    let limit = Duration::from_secs(serving.termination_grace.into()).saturating_sub(MARGIN);
    let mut told = shared.told.subscribe();
    let now = *told.borrow_and_update();
    if now.ready && now.unready_comes && !limit.is_zero() {
        tracing::info!(seconds = limit.as_secs(), "Staying until told that the engine no longer serves");
        // The sender lives in `shared`: the wait cannot fail.
        let _ = tokio::time::timeout(limit, told.wait_for(|told| !told.ready)).await;
    }
}

/// Completes at the first signal after the one that began the end.
async fn second_signal(shutdown: &CancellationToken) {
    // Listening begins with the program, so that no signal falls between the two.
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    shutdown.cancelled().await;
    // All listeners hear of a signal at once: the one that began the end is here by now.
    let _ = (term.recv().now_or_never(), int.recv().now_or_never());
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
