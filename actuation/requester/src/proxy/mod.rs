//! The TCP proxy: connections to the requester's port reach the engine that serves for it.
//!
//! [`Proxy`] is the configuration resource; [`pump`] is the data path. Before it is configured nothing listens, so a client
//! is refused rather than kept waiting. A target is set once; only `?replace=true` may change it, and open connections
//! keep the one they have.

mod config;
mod pump;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use dormouse_runtime::{CancellationToken, net};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};

use crate::reply;
pub(crate) use config::Target;

/// What a proxy is told at its start.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) dial_timeout: Duration,
    pub(crate) drain: Duration,
    pub(crate) max_connections: u32,
}

/// The proxy of one requester.
#[derive(Debug)]
pub(crate) struct Proxy {
    settings: Settings,
    /// Cancelled at the end of the process: no listener any more.
    end: CancellationToken,
    pump: pump::Pump,
    state: Mutex<Option<Configured>>,
}

#[derive(Debug)]
struct Configured {
    target: watch::Sender<Target>,
    /// How starting the listener went; a failure is repeated to every later request.
    started: Result<CancellationToken, String>,
}

impl Proxy {
    pub(crate) fn new(settings: Settings, end: CancellationToken) -> Arc<Self> {
        let pump = pump::Pump::new(settings.dial_timeout, settings.max_connections);
        Arc::new(Self { settings, end, pump, state: Mutex::default() })
    }

    /// `GET`: the target.
    pub(crate) async fn get(&self) -> Response {
        match &*self.state.lock().await {
            Some(configured) => reply::json(format!("{}\n", configured.target.borrow().to_json())),
            None => reply::error(StatusCode::NOT_FOUND, "proxy not configured"),
        }
    }

    /// `PUT`: sets the target and starts listening; answered when connections would be accepted.
    pub(crate) async fn put(&self, body: &[u8], replace: bool) -> Response {
        let target = match Target::parse(body) {
            Ok(target) => target,
            Err(error) => return reply::error(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let mut state = self.state.lock().await;
        let shut_down = || reply::error(StatusCode::INTERNAL_SERVER_ERROR, "proxy failed to start: proxy shut down before configuration");
        if let Some(configured) = &*state {
            let current = configured.target.borrow().clone();
            if current != target && !replace {
                return reply::error(StatusCode::CONFLICT, format!("proxy already configured to {}", current.authority()));
            }
            configured.target.send_replace(target);
        } else {
            let started = self.listen(&target).await;
            // Also when the end came while the listener was made: it is closed again by then.
            if self.end.is_cancelled() {
                return shut_down();
            }
            let (sender, started) = match started {
                Ok((sender, stop)) => (sender, Ok(stop)),
                Err(error) => (watch::Sender::new(target), Err(error)),
            };
            *state = Some(Configured { target: sender, started });
        }
        match state.as_ref().map(|c| (&c.started, c.target.borrow().authority())) {
            Some((Ok(_), authority)) => reply::text(StatusCode::OK, format!("configured proxy to: {authority}")),
            Some((Err(error), _)) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, format!("proxy failed to start: {error}")),
            None => reply::error(StatusCode::NOT_FOUND, "proxy not configured"),
        }
    }

    /// `DELETE ?replace=true`: stops listening; open connections go on.
    pub(crate) async fn delete(&self) -> Response {
        if let Some(Configured { started: Ok(stop), .. }) = self.state.lock().await.take() {
            stop.cancel();
        }
        reply::ok()
    }

    async fn listen(&self, target: &Target) -> Result<(watch::Sender<Target>, CancellationToken), String> {
        let Settings { host, port, .. } = &self.settings;
        let listener =
            TcpListener::bind((host.as_str(), *port)).await.map_err(|e| format!("failed to start proxy listener on port {port}: {e}"))?;
        let (sender, targets) = watch::channel(target.clone());
        let stop = self.end.child_token();
        tracing::info!(target = %target.authority(), listen = %net::authority(host, *port), "Proxy is configured");
        tokio::spawn(self.pump.clone().accept(listener, targets, stop.clone()));
        Ok((sender, stop))
    }

    /// After the end was announced: gives open connections their time, then cuts them.
    pub(crate) async fn drain(&self) {
        self.pump.drain(self.settings.drain).await;
    }
}

/// Brackets for IPv6.
fn authority(address: &str, port: u16) -> String {
    if address.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
