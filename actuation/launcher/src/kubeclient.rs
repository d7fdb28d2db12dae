//! The Kubernetes client of a program in a Pod.
//!
//! `KUBECONFIG` first, then the Pod's service account, then `~/.kube/config`. kube's own inference would take the home
//! folder's file before the service account; a Pod that is a process of the host sees the user's home folder.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("no Kubernetes credentials: {0}")]
pub(crate) struct NoClient(String);

/// A client with the credentials this process has.
pub(crate) async fn client() -> Result<Client, NoClient> {
    dormouse_runtime::tls::install_provider();
    let from_file = async || {
        let file = Kubeconfig::read().map_err(|e| NoClient(e.to_string()))?;
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(|e| NoClient(e.to_string()))
    };
    let mut config = if std::env::var_os("KUBECONFIG").is_some_and(|v| !v.is_empty()) {
        from_file().await?
    } else {
        match Config::incluster_env() {
            Ok(config) => config,
            Err(in_cluster) => from_file().await.map_err(|file| NoClient(format!("in the Pod: {in_cluster}; by file: {}", file.0)))?,
        }
    };
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).map_err(|e| NoClient(e.to_string()))
}
