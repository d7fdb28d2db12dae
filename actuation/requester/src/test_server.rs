//! The test server: an engine for suites of the direct flow that only says whether it is healthy and asleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use clap::Parser;
use dormouse_runtime::flags::KlogFlags;
use dormouse_runtime::serve::{Limits, serve};
use dormouse_runtime::{CancellationToken, SharedClock, clock, net};
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::error::Error;
use crate::reply;

/// Says 503 on /health for a while, then 200; remembers whether it sleeps.
///
/// Example: dormouse test-server --port 8000 --startup-delay 2
#[derive(Debug, Clone, Parser)]
#[command(name = "test-server", verbatim_doc_comment)]
pub struct Args {
    /// Port to listen on.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Seconds until it is healthy.
    #[arg(long, default_value_t = 47)]
    pub startup_delay: u32,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub klog: KlogFlags,
}

struct Server {
    clock: SharedClock,
    healthy_at: Instant,
    asleep: AtomicBool,
}

/// Serves until `shutdown`, without draining.
///
/// # Errors
/// When the port is taken or serving fails.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let host = net::map_host("0.0.0.0");
    let bound = TcpListener::bind((host.as_str(), args.port)).await;
    let address = net::authority(&host, args.port);
    let listener = bound.map_err(|source| Error::Listen { what: "server", flag: "port", address, code: 1, source })?;
    tracing::info!(address = ?listener.local_addr().ok(), "Test server is listening");
    let app = router(clock::system(), Duration::from_secs(args.startup_delay.into()));
    let limits = Limits { grace: Duration::ZERO, ..Limits::default() };
    Ok(serve(listener, app, limits, shutdown).await?)
}

fn router(clock: SharedClock, startup_delay: Duration) -> Router {
    let server = Server { clock, healthy_at: Instant::now() + startup_delay, asleep: AtomicBool::new(false) };
    Router::new().fallback(handle).with_state(Arc::new(server))
}

async fn handle(State(server): State<Arc<Server>>, method: Method, uri: Uri) -> Response {
    let done = match uri.path() {
        "/health" => reply::only_get(&method).map(|()| server.health()),
        "/is_sleeping" => reply::only_get(&method)
            .map(|()| reply::text(StatusCode::OK, format!("{{\"is_sleeping\":{}}}", server.asleep.load(Ordering::SeqCst)))),
        "/sleep" => reply::only_post(&method).map(|()| server.set(true)),
        "/wake_up" => reply::only_post(&method).map(|()| server.set(false)),
        _ => Ok(reply::not_found()),
    };
    done.unwrap_or_else(|refused| *refused)
}

impl Server {
    fn health(&self) -> Response {
        let left = self.healthy_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return reply::ok();
        }
        let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::ZERO);
        let until =
            self.clock.now().checked_add(left).map_or_else(|_| "later".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        reply::text(StatusCode::SERVICE_UNAVAILABLE, format!("Service Unavailable until {until}\n"))
    }

    fn set(&self, asleep: bool) -> Response {
        self.asleep.store(asleep, Ordering::SeqCst);
        reply::text(StatusCode::OK, "")
    }
}
