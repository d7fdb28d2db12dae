//! What actuation puts on a plane: its definitions, the rights and Deployments of its controllers, the ConfigMap of GPUs.

use dormouse_deploy::{ChartValues, NODE_VIEW_ROLE, node_view_role, render};
use dormouse_runtime::CancellationToken;
use kube::Client;

use crate::apply::apply;
use crate::controllers::Controllers;

/// Makes definitions, rights and those of its controllers that are to run.
pub(super) async fn install_of(client: &Client, namespace: &str, controllers: &Controllers) -> anyhow::Result<()> {
    let mut values = ChartValues::default();
    values.dual_pods_controller.enabled = controllers.has("dual-pods");
    values.launcher_populator.enabled = controllers.has("launcher-populator");
    install(client, namespace, values).await
}

/// Makes definitions, rights and the controllers that these values enable.
pub(crate) async fn install(client: &Client, namespace: &str, mut values: ChartValues) -> anyhow::Result<()> {
    for crd in dormouse_apis::fma::definitions() {
        apply(client, &crd).await?;
    }
    values.global.node_view_cluster_role = NODE_VIEW_ROLE.into();
    apply(client, &node_view_role()).await?;
    if values.dual_pods_controller.enabled || values.launcher_populator.enabled {
        for object in render(&values, "fma", namespace) {
            apply(client, &object).await?;
        }
    }
    Ok(())
}

/// Keeps the ConfigMap `gpu-map` equal to what the nodes publish, until `end`.
pub(super) fn keep_gpu_map(client: Client, namespace: String, end: CancellationToken) {
    tokio::spawn(async move { dormouse_requester::gpu_map::keep(client, &namespace, end).await });
}
