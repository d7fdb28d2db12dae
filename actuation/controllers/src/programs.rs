//! The two programs: from flags to a running controller with its `/metrics` and debug port.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use dormouse_planner::limits::Limits;
use dormouse_runtime::{CancellationToken, clock, log, metrics, net, serve};
use prometheus_client::registry::Registry;

use crate::controller::{Options, Role, run_inspected};
use crate::inspect;
use crate::options::{CommonArgs, DualPodsArgs, PopulatorArgs};

/// `dual-pods-controller`.
///
/// # Errors
/// Bad flags, no API server to speak to, or a metrics port that is taken.
pub async fn dual_pods_controller(args: DualPodsArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    args.common.check()?;
    program(&args.common, Role::DualPods, args.limits(), shutdown).await
}

/// `launcher-populator`.
///
/// # Errors
/// As [`dual_pods_controller`].
pub async fn launcher_populator(args: PopulatorArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    args.common.check()?;
    program(&args.common, Role::Populator, args.limits(), shutdown).await
}

async fn program(args: &CommonArgs, role: Role, limits: Limits, shutdown: CancellationToken) -> anyhow::Result<()> {
    log::init(log::Options { format: log::Format::Klog, verbosity: args.klog.verbosity });
    let client = args.kube.credentials(Some(role.manager().to_owned())).client().await?;
    let mut registry = Registry::default();
    let options = Options { namespace: args.namespace.clone(), role, limits, clock: clock::system() };
    let (inspector, work) = run_inspected(&client, options, &mut registry, shutdown.clone())?;
    let shown = metrics::router(Arc::new(registry)).merge(inspect::health(inspector.clone()));
    let metrics = serve_at("0.0.0.0", args.metrics_port, "metrics", shown, &shutdown);
    // What is served here is for who may enter the Pod, by `kubectl port-forward` or otherwise.
    let debug = serve_at("127.0.0.1", args.debug_port, "debugging", inspect::debug(inspector), &shutdown);
    tokio::join!(metrics, debug, work);
    tracing::info!("Done");
    Ok(())
}

/// Serves until `shutdown`, unless the port is 0. A listener that fails is said and does not end the controller.
async fn serve_at(host: &str, port: u16, what: &str, app: Router, shutdown: &CancellationToken) {
    if port == 0 {
        return;
    }
    match listen(host, port).await {
        Ok(listener) => {
            if let Err(error) = serve::serve(listener, app, serve::Limits::default(), shutdown.clone()).await {
                tracing::error!(%error, port, "listener for {what} failed");
            }
        }
        Err(error) => tracing::error!(%error, port, "cannot listen for {what}"),
    }
}

async fn listen(host: &str, port: u16) -> anyhow::Result<tokio::net::TcpListener> {
    let address = net::authority(&net::map_host(host), port);
    let parsed: SocketAddr = address.parse().with_context(|| format!("{address:?} is no address to listen on"))?;
    Ok(tokio::net::TcpListener::bind(parsed).await?)
}
