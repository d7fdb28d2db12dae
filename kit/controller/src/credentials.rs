//! Which API server a program speaks to, and as whom.
//!
//! Order: a file named by flag, `KUBECONFIG`, the Pod's service account, the home folder's file. kube's own
//! inference takes the home folder's file before the service account; a Pod of the embedded plane is a process
//! of the host and sees the user's home folder, so that order would be wrong there.

use std::path::PathBuf;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::rest_client::RestClient;

/// What flags say about the API server.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it.
    pub context: Option<String>,
    /// A cluster of it.
    pub cluster: Option<String>,
    /// A user of it.
    pub user: Option<String>,
    /// How the program calls itself; the server names the manager of plain writes after it.
    pub user_agent: Option<String>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The file named by flag cannot be used.
    #[error("the kubeconfig {path} cannot be used: {cause}")]
    File {
        /// Which.
        path: String,
        /// Why.
        cause: String,
    },
    /// Nothing was found.
    #[error("no Kubernetes credentials: {0}; give --kubeconfig, or set KUBECONFIG")]
    Nothing(String),
    /// The client cannot be made of what was found.
    #[error("cannot make a client for the API server: {0}")]
    Client(String),
}

impl Credentials {
    /// The configuration that these flags and the environment give.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn config(&self) -> Result<Config, NoClient> {
        let options = KubeConfigOptions { context: self.context.clone(), cluster: self.cluster.clone(), user: self.user.clone() };
        let chosen = self.context.is_some() || self.cluster.is_some() || self.user.is_some();
        let mut config = if let Some(path) = &self.kubeconfig {
            let failed = |e: kube::config::KubeconfigError| NoClient::File { path: path.display().to_string(), cause: e.to_string() };
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path).map_err(failed)?, &options).await.map_err(failed)?
        } else if chosen || std::env::var_os("KUBECONFIG").is_some_and(|v| !v.is_empty()) {
            default_file(&options).await.map_err(NoClient::Nothing)?
        } else {
            match Config::incluster_env() {
                Ok(config) => config,
                Err(pod) => default_file(&options).await.map_err(|file| NoClient::Nothing(format!("as a Pod: {pod}; by file: {file}")))?,
            }
        };
        config.connect_timeout = Some(Duration::from_secs(5));
        // A name that cannot be a header is left out: it is for people.
        let agent = self.user_agent.as_ref().and_then(|a| http::HeaderValue::from_str(a).ok());
        config.headers.extend(agent.map(|agent| (http::header::USER_AGENT, agent)));
        Ok(config)
    }

    /// A client with that configuration.
    ///
    /// # Errors
    /// As [`Credentials::config`], or when the client cannot be made of it.
    pub async fn client(&self) -> Result<Client, NoClient> {
        self.counted_client(&RestClient::default()).await
    }

    /// As [`Credentials::client`], counting what it asks.
    ///
    /// # Errors
    /// As [`Credentials::client`].
    pub async fn counted_client(&self, counters: &RestClient) -> Result<Client, NoClient> {
        dormouse_runtime::tls::install_provider();
        let config = self.config().await?;
        let host = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
        let client = ClientBuilder::try_from(config).map_err(|e| NoClient::Client(e.to_string()))?;
        Ok(client.with_layer(&counters.of(host)).build())
    }
}

async fn default_file(options: &KubeConfigOptions) -> Result<Config, String> {
    let file = Kubeconfig::read().map_err(|e| e.to_string())?;
    Config::from_custom_kubeconfig(file, options).await.map_err(|e| e.to_string())
}
