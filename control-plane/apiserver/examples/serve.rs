//! A Kubernetes API over HTTPS and nothing else: no controllers, no nodes.
//!
//! ```sh
//! cargo run -p dormouse-apiserver --example serve -- kubeconfig.yaml &
//! kubectl --kubeconfig kubeconfig.yaml get namespaces
//! ```

use std::path::PathBuf;

use dormouse_apiserver::serve::{Endpoint, Limits};
use dormouse_apiserver::{ApiServer, Options};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    dormouse_runtime::log::init(dormouse_runtime::log::Options { verbosity: 0, ..Default::default() });
    let path: PathBuf = std::env::args_os().nth(1).ok_or("usage: serve KUBECONFIG [ADDRESS]")?.into();
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:0".to_owned());

    let server = ApiServer::new(Options::default());
    let endpoint = Endpoint::new(&server, &[])?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    let url = format!("https://{}", listener.local_addr()?);
    endpoint.kubeconfig(&url, "default").write(&path)?;
    tracing::info!(url, "serving");
    endpoint.serve(listener, Limits::default(), dormouse_runtime::shutdown::on_signals()).await?;
    Ok(())
}
