//! Flags that several programs share, and the requester's own. Peers' flags have the peers' names; flag wins over
//! environment wins over default.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, value_parser};
use dormouse_controller::Credentials;

/// Flags of klog, which every program of the peer takes. Only the verbosity means something here.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct KlogFlags {
    /// Verbosity, from 0.
    #[arg(short = 'v', long = "v", default_value_t = 0)]
    pub verbosity: u8,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    logtostderr: Option<Option<bool>>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    alsologtostderr: Option<Option<bool>>,
    #[arg(long = "one_output", hide = true, num_args = 0..=1, require_equals = true)]
    one_output: Option<Option<bool>>,
    #[arg(long = "skip_headers", hide = true, num_args = 0..=1, require_equals = true)]
    skip_headers: Option<Option<bool>>,
    #[arg(long = "skip_log_headers", hide = true, num_args = 0..=1, require_equals = true)]
    skip_log_headers: Option<Option<bool>>,
    #[arg(long = "add_dir_header", hide = true, num_args = 0..=1, require_equals = true)]
    add_dir_header: Option<Option<bool>>,
    #[arg(long, hide = true)]
    vmodule: Option<String>,
    #[arg(long, hide = true)]
    stderrthreshold: Option<String>,
    #[arg(long = "log_dir", hide = true)]
    log_dir: Option<String>,
    #[arg(long = "log_file", hide = true)]
    log_file: Option<String>,
    #[arg(long = "log_file_max_size", hide = true)]
    log_file_max_size: Option<u64>,
    #[arg(long = "log_backtrace_at", hide = true)]
    log_backtrace_at: Option<String>,
}

/// The usual flags of programs that talk to Kubernetes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubeFlags {
    /// Kubeconfig file; without it KUBECONFIG, then the Pod's service account, then ~/.kube/config.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long)]
    pub context: Option<String>,
    /// User of the kubeconfig.
    #[arg(long)]
    pub user: Option<String>,
    /// Cluster of the kubeconfig.
    #[arg(long)]
    pub cluster: Option<String>,
}

impl KubeFlags {
    /// What these flags say about the API server.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            user_agent: None,
        }
    }
}

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
    #[arg(long, env = "DORMOUSE_TERMINATION_GRACE_SECONDS", default_value_t = 30)]
    pub termination_grace: u32,
    /// For tests: milliseconds to wait before become-ready takes effect and is answered.
    #[arg(long, hide = true, env = "DORMOUSE_DELAY_READY_MS", default_value_t = 0)]
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

/// A duration in Go's syntax (`10s`, `1m30s`, `250ms`, `1.5h`), or seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration (write like 10s, 1m30s or 250ms)");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let unit = rest[number..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |n| number + n);
        let value: f64 = rest[..number].parse().map_err(|_| wrong())?;
        let seconds = match &rest[number..unit] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        total = Duration::try_from_secs_f64(value * seconds).ok().and_then(|d| total.checked_add(d)).ok_or_else(wrong)?;
        rest = &rest[unit..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_durations() {
        for (text, ms) in [("10s", 10_000), ("1m30s", 90_000), ("250ms", 250), ("1.5h", 5_400_000), ("0", 0), ("7", 7_000), ("100us", 0)] {
            assert_eq!(duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for text in ["", "s", "10x", "1s2", "-1s", "1..5s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

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
