//! How much is asked, and when.

use std::path::PathBuf;

use clap::Args;

/// Traces that are replayed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Fixed schedule")]
pub struct ScheduleOptions {
    /// Send at the times that the data set has
    #[arg(long, conflicts_with = "no_fixed_schedule")]
    pub fixed_schedule: bool,
    /// Do not, though the data set has times
    #[arg(long)]
    pub no_fixed_schedule: bool,
    /// The earliest time is the beginning
    #[arg(long, conflicts_with = "fixed_schedule_start_offset")]
    pub fixed_schedule_auto_offset: bool,
    /// From this time on
    #[arg(value_parser = super::finite, long, value_name = "MS")]
    pub fixed_schedule_start_offset: Option<f64>,
    /// Up to this time
    #[arg(value_parser = super::finite, long, value_name = "MS")]
    pub fixed_schedule_end_offset: Option<f64>,
}

/// The load.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadOptions {
    /// Sessions at a time [default: 1, without a rate]
    #[arg(long, value_name = "N,...")]
    pub concurrency: Option<String>,
    /// Requests whose first token has not come
    #[arg(long, value_name = "N,...")]
    pub prefill_concurrency: Option<String>,
    /// Requests in a second
    #[arg(long, value_name = "RATE,...", conflicts_with_all = ["request_rate_series", "user_centric_rate"])]
    pub request_rate: Option<String>,
    /// How they vary: constant, poisson or gamma [default: poisson]
    #[arg(long, visible_alias = "request-rate-mode", value_name = "PATTERN")]
    pub arrival_pattern: Option<String>,
    /// How smooth gamma is: 1 is poisson; alone it chooses gamma
    #[arg(value_parser = super::finite, long, visible_alias = "vllm-burstiness", value_name = "K")]
    pub arrival_smoothness: Option<f64>,
    /// Requests in all [default: 10, or twice the concurrency if that is more]
    #[arg(long, visible_alias = "num-requests", value_name = "N,...")]
    pub request_count: Option<String>,
    /// Nothing is sent behind it
    #[arg(long, value_name = "SECONDS,...")]
    pub benchmark_duration: Option<String>,
    /// How long answers are waited for behind it, or inf [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub benchmark_grace_period: Option<String>,
    /// From one session to all within this
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub concurrency_ramp_duration: Option<f64>,
    /// The same of --prefill-concurrency
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub prefill_concurrency_ramp_duration: Option<f64>,
    /// From nearly nothing to the rate within this
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub request_rate_ramp_duration: Option<f64>,
    /// Rates over time: {"points": [{"time_s": 0, "qps": 5}, ...]}
    #[arg(long, value_name = "FILE", conflicts_with = "user_centric_rate")]
    pub request_rate_series: Option<PathBuf>,
    /// End when a larger share of requests than this has failed, from 0 to 1
    #[arg(value_parser = super::finite, long, value_name = "SHARE")]
    pub failed_request_threshold: Option<f64>,
    /// Turns in a second of all users together, each of whom keeps a pace
    #[arg(value_parser = super::finite, long, value_name = "RATE", requires = "num_users")]
    pub user_centric_rate: Option<f64>,
    /// How many users there are
    #[arg(long, value_name = "N,...", requires = "user_centric_rate")]
    pub num_users: Option<String>,
    /// Give up so many of a hundred requests
    #[arg(value_parser = super::finite, long, value_name = "PERCENT")]
    pub request_cancellation_rate: Option<f64>,
    /// So long after they were sent
    #[arg(value_parser = super::finite, long, value_name = "SECONDS", requires = "request_cancellation_rate")]
    pub request_cancellation_delay: Option<f64>,
}

/// A phase before the one that counts.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Warm-up")]
pub struct WarmupOptions {
    /// Its requests; 0: no warm-up
    #[arg(long, visible_alias = "num-warmup-requests", value_name = "N")]
    pub warmup_request_count: Option<u64>,
    /// Its length
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub warmup_duration: Option<f64>,
    /// Its sessions
    #[arg(long, value_name = "N")]
    pub num_warmup_sessions: Option<u64>,
    /// [default: that of the load, as below]
    #[arg(long, value_name = "N")]
    pub warmup_concurrency: Option<u32>,
    #[arg(long, value_name = "N", help = "[default: that of the load]")]
    pub warmup_prefill_concurrency: Option<u32>,
    #[arg(value_parser = super::finite, long, value_name = "RATE", help = "[default: that of the load]")]
    pub warmup_request_rate: Option<f64>,
    #[arg(long, value_name = "PATTERN", help = "[default: that of the load]")]
    pub warmup_arrival_pattern: Option<String>,
    #[arg(value_parser = super::finite, long, value_name = "SECONDS", help = "[default: that of the load]")]
    pub warmup_concurrency_ramp_duration: Option<f64>,
    #[arg(value_parser = super::finite, long, value_name = "SECONDS", help = "[default: that of the load]")]
    pub warmup_prefill_concurrency_ramp_duration: Option<f64>,
    #[arg(value_parser = super::finite, long, value_name = "SECONDS", help = "[default: that of the load]")]
    pub warmup_request_rate_ramp_duration: Option<f64>,
    /// How long answers are waited for behind its length [default: until all are there]
    #[arg(long, value_name = "SECONDS", requires = "warmup_duration")]
    pub warmup_grace_period: Option<String>,
}
