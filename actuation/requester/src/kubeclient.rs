//! The Kubernetes client of a program in a Pod or on a desk.
//!
//! Without `--kubeconfig`: `KUBECONFIG`, then the Pod's service account, then `~/.kube/config`. kube's own inference would
//! take the home folder's file before the service account; a Pod that is a process of the host sees the user's home.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::args::KubeFlags;
use crate::error::Error;

/// A client with the credentials that flags and environment give, which calls itself `user_agent`.
pub(crate) async fn client(flags: &KubeFlags, user_agent: Option<&str>) -> Result<Client, Error> {
    dormouse_runtime::tls::install_provider();
    let failed = |e: &dyn std::fmt::Display| Error::NoClient(format!("no Kubernetes credentials: {e}"));
    let options = KubeConfigOptions { context: flags.context.clone(), cluster: flags.cluster.clone(), user: flags.user.clone() };
    let chosen = flags.context.is_some() || flags.cluster.is_some() || flags.user.is_some();
    let from_environment = std::env::var_os("KUBECONFIG").is_some_and(|v| !v.is_empty());
    let mut config = match (&flags.kubeconfig, Config::incluster_env()) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).map_err(|e| failed(&format!("{}: {e}", path.display())))?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|e| failed(&e))?
        }
        (None, Ok(in_cluster)) if !chosen && !from_environment => in_cluster,
        (None, _) => {
            let file = Kubeconfig::read().map_err(|e| failed(&e))?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|e| failed(&e))?
        }
    };
    config.connect_timeout = Some(Duration::from_secs(5));
    if let Some(agent) = user_agent.and_then(|a| a.parse().ok()) {
        config.headers.push((axum::http::header::USER_AGENT, agent));
    }
    Client::try_from(config).map_err(|e| failed(&e))
}
