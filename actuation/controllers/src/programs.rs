//! The two programs: from flags to a running controller with its `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use dormouse_controller::Credentials;
use dormouse_planner::limits::Limits;
use dormouse_runtime::{CancellationToken, clock, log, metrics, net, serve};
use prometheus_client::registry::Registry;

use crate::controller::{Options, Role, run};
use crate::options::{CommonArgs, DualPodsArgs, PopulatorArgs};

/// `dual-pods-controller`.
///
/// # Errors
/// Bad flags, no API server to speak to, or a metrics port that is taken.
pub async fn dual_pods_controller(args: DualPodsArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    args.common.check()?;
    let limits = args.limits();
    program(&args.common, Role::DualPods, limits, shutdown).await
}

/// `launcher-populator`.
///
/// # Errors
/// As [`dual_pods_controller`].
pub async fn launcher_populator(args: PopulatorArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    args.common.check()?;
    let limits = args.limits()?;
    program(&args.common, Role::Populator, limits, shutdown).await
}

async fn program(args: &CommonArgs, role: Role, limits: Limits, shutdown: CancellationToken) -> anyhow::Result<()> {
    log::init(log::Options { format: log::Format::Klog, verbosity: args.verbosity });
    let credentials = Credentials {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        cluster: args.cluster.clone(),
        user: args.user.clone(),
        user_agent: Some(role.manager().to_owned()),
    };
    let client = credentials.client().await?;
    let mut registry = Registry::default();
    let options = Options { namespace: args.namespace.clone(), role, limits, clock: clock::system() };
    let work = run(&client, options, &mut registry, shutdown.clone())?;
    let registry = Arc::new(registry);
    let served = async {
        if args.metrics_port == 0 {
            return;
        }
        // A listener that fails is said and does not end the controller.
        match listen(args.metrics_port).await {
            Ok(listener) => {
                let app = metrics::router(registry).merge(health());
                if let Err(error) = serve::serve(listener, app, serve::Limits::default(), shutdown.clone()).await {
                    tracing::error!(%error, "metrics listener failed");
                }
            }
            Err(error) => tracing::error!(%error, port = args.metrics_port, "cannot listen for metrics"),
        }
    };
    tokio::join!(served, work);
    tracing::info!("Done");
    Ok(())
}

fn health() -> axum::Router {
    use axum::routing::get;
    axum::Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(|| async { "ok" }))
}

async fn listen(port: u16) -> anyhow::Result<tokio::net::TcpListener> {
    let address = net::authority(&net::map_host("0.0.0.0"), port);
    let parsed: SocketAddr = address.parse().with_context(|| format!("{address:?} is no address to listen on"))?;
    Ok(tokio::net::TcpListener::bind(parsed).await?)
}
