//! The two programs: from flags to a running controller with its `/metrics` and debug port.

use dormouse_controller::listeners::{self, Ports};
use dormouse_controller::{Fence, RestClient};
use dormouse_planner::limits::Limits;
use dormouse_runtime::{CancellationToken, clock, log};
use prometheus_client::registry::Registry;

use crate::controller::{Options, Role, run_inspected};
use crate::options::{CommonArgs, DualPodsArgs, PopulatorArgs};

/// `dual-pods-controller`.
///
/// # Errors
/// Bad flags, or no credentials for an API server. A port that is taken is only logged.
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
    let (rest, mut registry) = (RestClient::default(), Registry::default());
    rest.register(&mut registry);
    let client = args.kube.credentials(Some(role.manager().to_owned())).counted_client(&rest).await?;
    let options = Options { namespace: args.namespace.clone(), role, limits, clock: clock::system(), fence: Fence::none() };
    let (inspector, work) = run_inspected(&client, options, &mut registry, shutdown.clone())?;
    let ports = Ports { metrics: args.metrics_port, debug: args.debug_port };
    tokio::join!(listeners::serve(ports, registry, inspector, shutdown), work);
    tracing::info!("Done");
    Ok(())
}
