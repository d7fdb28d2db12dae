//! Flags of the two programs: the peers' names, with additions of ours that are all optional.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use dormouse_planner::limits::{Limits, ReclaimOrder};
use jiff::SignedDuration;

/// A flag that was given a value it cannot have.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Flags of both programs.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Path of a kubeconfig; else $KUBECONFIG, else the service account of the Pod
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long)]
    pub context: Option<String>,
    /// User of the kubeconfig
    #[arg(long)]
    pub user: Option<String>,
    /// Cluster of the kubeconfig
    #[arg(long)]
    pub cluster: Option<String>,
    /// The one namespace to work in (required)
    #[arg(long, short = 'n', default_value = "")]
    pub namespace: String,
    /// Port of GET /metrics; 0 for none
    #[arg(long, default_value_t = dormouse_apis::names::port::METRICS)]
    pub metrics_port: u16,
    /// Port of the debugging endpoints; 0 for none
    #[arg(long, default_value_t = dormouse_apis::names::port::DEBUG)]
    pub debug_port: u16,
    /// Log verbosity, as klog's
    #[arg(short = 'v', long = "v", default_value_t = 0)]
    pub verbosity: u8,
    /// klog's further flags are accepted and have no effect: logs go to standard error
    #[command(flatten)]
    pub klog: KlogArgs,
}

/// klog's flags that change where text logs go; accepted so that manifests of the peer start our programs.
#[derive(Debug, Clone, Args)]
#[allow(missing_docs, reason = "names of klog's, without effect here")]
pub struct KlogArgs {
    #[arg(long, hide = true)]
    pub vmodule: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub logtostderr: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub alsologtostderr: Option<String>,
    #[arg(long = "log_file", hide = true)]
    pub log_file: Option<String>,
    #[arg(long = "log_dir", hide = true)]
    pub log_dir: Option<String>,
    #[arg(long = "log_file_max_size", hide = true)]
    pub log_file_max_size: Option<String>,
    #[arg(long = "one_output", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub one_output: Option<String>,
    #[arg(long = "skip_headers", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub skip_headers: Option<String>,
    #[arg(long = "skip_log_headers", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub skip_log_headers: Option<String>,
    #[arg(long, hide = true)]
    pub stderrthreshold: Option<String>,
    #[arg(long = "add_dir_header", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub add_dir_header: Option<String>,
    #[arg(long = "log_backtrace_at", hide = true)]
    pub log_backtrace_at: Option<String>,
}

/// In which order sleepers are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reclaim {
    /// The least recently used first.
    Lru,
    /// The first made first, as the peer's code does.
    Fifo,
}

/// Flags of the dual-pods controller.
#[derive(Debug, Clone, Args)]
pub struct DualPodsArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: CommonArgs,
    /// Sleepers per GPU beside an awake engine
    #[arg(long, default_value_t = 1)]
    pub sleeper_limit: u32,
    /// Accepted; work is concurrent per Pod and instance, not per worker
    #[arg(long, default_value_t = 2)]
    pub num_workers: u32,
    /// Check accelerator memory before a wake
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub debug_accelerator_memory: bool,
    /// Order in which sleepers are given up
    #[arg(long, value_enum, default_value_t = Reclaim::Lru)]
    pub reclaim_order: Reclaim,
}

/// Flags of the launcher populator.
#[derive(Debug, Clone, Args)]
pub struct PopulatorArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: CommonArgs,
    /// Accepted; what was created is taken from the API's answer
    #[arg(long, default_value = "5s")]
    pub expectation_timeout: String,
    /// After this long without a node a launcher counts as stuck
    #[arg(long, default_value = "2m")]
    pub stuck_scheduling_threshold: String,
    /// After this long on a node without becoming ready a launcher counts as stuck
    #[arg(long, default_value = "7m30s")]
    pub stuck_starting_threshold: String,
}

fn duration(flag: &str, text: &str) -> Result<Duration, UsageError> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|d| Duration::try_from(d).ok())
        .ok_or_else(|| UsageError(format!("invalid value {text:?} for --{flag}: write a duration such as 90s or 2m30s")))
}

impl CommonArgs {
    /// Refuses what the peer refuses.
    ///
    /// # Errors
    /// When no namespace was given.
    pub fn check(&self) -> Result<(), UsageError> {
        if self.namespace.is_empty() { Err(UsageError("Namespace must not be the empty string".into())) } else { Ok(()) }
    }
}

impl DualPodsArgs {
    /// Budgets and patience as these flags say.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let reclaim = match self.reclaim_order {
            Reclaim::Lru => ReclaimOrder::Lru,
            Reclaim::Fifo => ReclaimOrder::Fifo,
        };
        Limits { sleepers_per_gpu: self.sleeper_limit, check_gpu_memory: self.debug_accelerator_memory, reclaim, ..Limits::default() }
    }
}

impl PopulatorArgs {
    /// Thresholds as these flags say.
    ///
    /// # Errors
    /// When a duration cannot be read.
    pub fn limits(&self) -> Result<Limits, UsageError> {
        duration("expectation-timeout", &self.expectation_timeout)?;
        Ok(Limits {
            stuck_scheduling: duration("stuck-scheduling-threshold", &self.stuck_scheduling_threshold)?,
            stuck_starting: duration("stuck-starting-threshold", &self.stuck_starting_threshold)?,
            ..Limits::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches, Parser};

    #[derive(Debug, Parser)]
    struct Dpc {
        #[command(flatten)]
        args: DualPodsArgs,
    }

    fn parse(args: &[&str]) -> DualPodsArgs {
        let m = Dpc::command().try_get_matches_from(std::iter::once("x").chain(args.iter().copied())).unwrap();
        Dpc::from_arg_matches(&m).unwrap().args
    }

    #[test]
    fn the_charts_arguments_are_read() {
        let a = parse(&["-v=5", "--namespace=ns", "--sleeper-limit=2", "--debug-accelerator-memory=false", "--logtostderr=true"]);
        assert_eq!((a.common.verbosity, a.common.namespace.as_str(), a.sleeper_limit, a.debug_accelerator_memory), (5, "ns", 2, false));
        assert!(parse(&[]).common.check().is_err());
        assert!(parse(&["--debug-accelerator-memory", "-n", "x"]).debug_accelerator_memory);
    }

    #[test]
    fn go_durations_are_read() {
        assert_eq!(duration("x", "7m30s").unwrap(), Duration::from_secs(450));
        assert!(duration("x", "soon").unwrap_err().to_string().contains("--x"));
    }
}
