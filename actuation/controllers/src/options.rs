//! Flags of the two programs: the peers' names, with additions of ours that are all optional.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use dormouse_controller::KubeFlags;
use dormouse_planner::limits::{Limits, ReclaimOrder};
use dormouse_runtime::flags::{KlogFlags, duration};

/// A flag that was given a value it cannot have.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Flags of both programs.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Which API server, as whom
    #[command(flatten)]
    pub kube: KubeFlags,
    /// The one namespace to work in (required)
    #[arg(long, short = 'n', default_value = "")]
    pub namespace: String,
    /// Port of GET /metrics, /healthz and /readyz; 0 for none
    #[arg(long, default_value_t = dormouse_apis::names::port::METRICS)]
    pub metrics_port: u16,
    /// Port of GET /debug/state on the loopback address: how the controller sees each node; 0 for none. Go's pprof is not there
    #[arg(long, default_value_t = dormouse_apis::names::port::DEBUG)]
    pub debug_port: u16,
    /// Verbosity
    #[command(flatten)]
    pub klog: KlogFlags,
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
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub expectation_timeout: Duration,
    /// After this long without a node a launcher counts as stuck
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub stuck_scheduling_threshold: Duration,
    /// After this long on a node without becoming ready a launcher counts as stuck
    #[arg(long, default_value = "7m30s", value_parser = duration)]
    pub stuck_starting_threshold: Duration,
    /// Make launchers also on nodes where they could not start now: cordoned, tainted, not ready (as the peer does)
    #[arg(long, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub populate_unschedulable_nodes: bool,
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
    /// Budget, check and order as these flags say.
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
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            stuck_scheduling: self.stuck_scheduling_threshold,
            stuck_starting: self.stuck_starting_threshold,
            populate_unschedulable_nodes: self.populate_unschedulable_nodes,
            ..Limits::default()
        }
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
        assert_eq!(
            (a.common.klog.verbosity, a.common.namespace.as_str(), a.sleeper_limit, a.debug_accelerator_memory),
            (5, "ns", 2, false)
        );
        assert!(parse(&[]).common.check().is_err());
        assert!(parse(&["--debug-accelerator-memory", "-n", "x"]).debug_accelerator_memory);
    }
}
