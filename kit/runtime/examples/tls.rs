//! An HTTPS server that changes its certificate every few seconds, and greets clients that show one of their own.
//!
//! ```sh
//! cargo run -p dormouse-runtime --features tls-server --example tls -- ca.pem &
//! while curl --cacert ca.pem https://localhost:8443; do sleep 0.1; done
//! ```

use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Router};
use dormouse_runtime::pki::Authority;
use dormouse_runtime::serve::{Limits, Peer, serve_over};
use dormouse_runtime::tls::Keys;
use dormouse_runtime::{clock, shutdown};

async fn hello(Extension(peer): Extension<Peer>) -> String {
    let proven = if peer.certificate.is_some() { "whose certificate is ours" } else { "without a certificate" };
    format!("hello, {} {proven}\n", peer.address)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: tls CA.pem")?;
    let authority = Authority::generate("example", clock::system().now())?;
    std::fs::write(path, authority.ca_pem())?;
    let leaf = || authority.server("example", &[], &[]);

    let keys = Keys::new(&leaf()?, Some(authority.ca_pem()))?;
    let rotate = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            keys.replace(&leaf()?, Some(authority.ca_pem()))?;
            println!("another certificate");
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8443").await?;
    let app = Router::new().route("/", get(hello));
    tokio::select! {
        served = serve_over(keys.clone(), listener, app, Limits::default(), shutdown::on_signals()) => Ok(served?),
        failed = rotate => failed,
    }
}
