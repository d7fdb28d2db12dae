//! Flags of the requester. Peers' flags have the peers' names; flag wins over environment wins over default.

use std::time::Duration;

use clap::{Parser, value_parser};
use dormouse_names::env as names;
use dormouse_runtime::flags::{KlogFlags, duration};

/// What the requester and the test requester share.
#[derive(Debug, Clone, clap::Args)]
pub struct Serving {
    /// Port of the readiness probe.
    #[arg(long, env = "PROBES_PORT", default_value_t = 8080)]
    pub probes_port: u16,
    /// Port of the controller's interface.
    #[arg(long, env = "SPI_PORT", default_value_t = 8081)]
    pub spi_port: u16,
    /// Port of the TCP proxy; opened when the controller configures it.
    #[arg(long, default_value_t = 8082)]
    pub proxy_port: u16,
    /// Longest time to connect to the proxy's target, like 10s or 1m30s.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub proxy_dial_timeout: Duration,
    /// Time that open connections through the proxy have at the end.
    #[arg(long, default_value = "25s", value_parser = duration)]
    pub proxy_drain: Duration,
    /// Connections through the proxy at once; a further one waits.
    #[arg(long, default_value_t = 4096, value_parser = value_parser!(u32).range(1..))]
    pub proxy_max_connections: u32,
    /// Seconds between SIGTERM and SIGKILL, as the Pod has them. After SIGTERM a requester that is ready stays until it is
    /// told become-unready, or until 2 s before this time is over; 0 ends at once.
    #[arg(long, env = names::TERMINATION_GRACE_SECONDS, default_value_t = 30)]
    pub termination_grace: u32,
    /// For tests: milliseconds to wait before become-ready takes effect and is answered.
    #[arg(long, hide = true, env = names::DELAY_READY_MS, default_value_t = 0)]
    pub delay_ready_ms: u64,
}

impl Serving {
    /// The flags' defaults, without environment.
    #[must_use]
    pub fn defaults() -> Self {
        Self {
            probes_port: 8080,
            spi_port: 8081,
            proxy_port: 8082,
            proxy_dial_timeout: Duration::from_secs(10),
            proxy_drain: Duration::from_secs(25),
            proxy_max_connections: 4096,
            termination_grace: 30,
            delay_ready_ms: 0,
        }
    }
}

/// Holds a Pod's GPUs, mirrors the readiness of the engine that serves for it, and passes connections on to it.
///
/// Examples:
///   dormouse requester
///   dormouse requester --accelerators GPU-0,GPU-1 --probes-port 8080 --spi-port 8081
#[derive(Debug, Clone, Parser)]
#[command(name = "requester", verbatim_doc_comment)]
pub struct Args {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub serving: Serving,
    /// UUIDs of the accelerators, comma-separated, instead of discovering them.
    #[arg(long, value_delimiter = ',')]
    pub accelerators: Vec<String>,
    /// Command whose output lines are the UUIDs, split on blanks, instead of nvidia-smi.
    #[arg(long)]
    pub accelerator_command: Option<String>,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub klog: KlogFlags,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_flags_are_accepted() {
        let args = Args::try_parse_from([
            "requester",
            "--probes-port=1",
            "--spi-port",
            "2",
            "-v=5",
            "--logtostderr",
            "--vmodule=x=1",
            "--proxy-dial-timeout=1m30s",
        ])
        .unwrap();
        assert_eq!((args.serving.probes_port, args.serving.spi_port, args.klog.verbosity), (1, 2, 5));
        assert_eq!(args.serving.proxy_dial_timeout, Duration::from_secs(90));
        assert_eq!(Args::try_parse_from(["requester", "--v=4", "--logtostderr=false"]).unwrap().klog.verbosity, 4);
        assert_eq!(Args::try_parse_from(["requester", "--nope"]).unwrap_err().exit_code(), 2);
    }
}
