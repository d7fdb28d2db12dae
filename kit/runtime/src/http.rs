//! HTTP clients that cannot hang.

use std::time::Duration;

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// For the whole call, body included; `None` for streams, which then need a time-out of their own.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    /// 5 s to connect, 30 s in all: what the peers' clients use.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Some(Duration::from_secs(30)) }
    }
}

/// A client without proxies and redirects, for calls between our components. It trusts no certificate: reading those of the
/// system takes milliseconds at each start, and none of them vouches for a Pod.
///
/// # Errors
/// When the TLS back-end cannot be initialised.
pub fn client(timeouts: Timeouts) -> reqwest::Result<reqwest::Client> {
    crate::tls::install_provider();
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .connect_timeout(timeouts.connect)
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(30));
    if let Some(total) = timeouts.total {
        builder = builder.timeout(total);
    }
    builder.build()
}
