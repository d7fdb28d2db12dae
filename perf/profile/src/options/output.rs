//! What is written and shown, and how often it is done.

use std::path::PathBuf;

use clap::Args;

/// Files.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputOptions {
    /// Folder of the files [default: artifacts/ and a name of what is run]
    #[arg(long, visible_alias = "artifact-dir", value_name = "DIR")]
    pub output_artifact_dir: Option<PathBuf>,
    /// How the files' names begin
    #[arg(long, visible_alias = "profile-export-file", value_name = "PREFIX")]
    pub profile_export_prefix: Option<String>,
    /// summary, records or raw [default: records]
    #[arg(long, visible_alias = "profile-export-level", value_name = "LEVEL")]
    pub export_level: Option<String>,
    /// Figures of slices of this length too
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub slice_duration: Option<f64>,
    /// Write what was answered: outputs.json
    #[arg(long)]
    pub export_outputs_json: bool,
    /// Write the times of HTTP into the records
    #[arg(long)]
    pub export_http_trace: bool,
    /// Show them
    #[arg(long)]
    pub show_trace_timing: bool,
}

/// What is measured beside.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryOptions {
    /// Further addresses with metrics of servers; without any the server's own
    #[arg(long, num_args = 0.., value_name = "URL", conflicts_with = "no_server_metrics")]
    pub server_metrics: Option<Vec<String>>,
    /// Ask no server for metrics
    #[arg(long)]
    pub no_server_metrics: bool,
    /// json, csv, jsonl [default: json csv]
    #[arg(long, num_args = 1.., value_name = "FORMAT")]
    pub server_metrics_formats: Vec<String>,
    /// Addresses of DCGM exporters, or a CSV of further metrics
    #[arg(long, num_args = 0.., value_name = "ITEM", conflicts_with = "no_gpu_telemetry")]
    pub gpu_telemetry: Option<Vec<String>>,
    /// Ask no GPUs
    #[arg(long)]
    pub no_gpu_telemetry: bool,
}

/// What is seen of it while it runs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Display")]
pub struct UiOptions {
    /// dashboard, simple or none [default: dashboard on a terminal, else none]
    #[arg(long = "ui-type", visible_alias = "ui", value_name = "KIND")]
    pub ui: Option<String>,
    /// TRACE, DEBUG, INFO, NOTICE, WARNING, SUCCESS, ERROR or CRITICAL
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Say more; twice: even more
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say even more
    #[arg(long)]
    pub extra_verbose: bool,
    /// Time between two lines of figures while it runs, 0: none; of a dashboard: what its last figures are of
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub stats_interval: Option<f64>,
    /// Threads that send
    #[arg(long, visible_alias = "max-workers", value_name = "N")]
    pub workers_max: Option<u32>,
    /// Has no meaning here
    #[arg(long, visible_alias = "record-processors", value_name = "N", hide = true)]
    pub record_processor_service_count: Option<u32>,
    #[arg(long, value_name = "ADDRESS", hide = true, help = "Has no meaning here")]
    pub zmq_host: Option<String>,
    #[arg(long, value_name = "PATH", hide = true, help = "Has no meaning here")]
    pub zmq_ipc_path: Option<String>,
}

/// More than one run.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Repetition")]
pub struct RepeatOptions {
    /// Measure so many times, and say how far the figures spread
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub num_profile_runs: Option<u32>,
    /// Pause between two runs
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub profile_run_cooldown_seconds: Option<f64>,
    /// Of the intervals, between 0 and 1 [default: 0.95]
    #[arg(value_parser = super::finite, long, value_name = "SHARE")]
    pub confidence_level: Option<f64>,
    /// Warm up before the first run only, which is the default
    #[arg(long, overrides_with = "no_profile_run_disable_warmup_after_first")]
    pub profile_run_disable_warmup_after_first: bool,
    /// Warm up before each run
    #[arg(long)]
    pub no_profile_run_disable_warmup_after_first: bool,
    /// The same seed for all runs, which is the default
    #[arg(long, overrides_with = "no_set_consistent_seed")]
    pub set_consistent_seed: bool,
    /// No seed unless one is given
    #[arg(long)]
    pub no_set_consistent_seed: bool,
    /// Another seed for each run
    #[arg(long, overrides_with = "no_vary_seed_per_trial")]
    pub vary_seed_per_trial: bool,
    /// The same seed for each run
    #[arg(long, hide = true)]
    pub no_vary_seed_per_trial: bool,
    /// In which order runs of a sweep are made: repeated or independent
    #[arg(long, value_name = "MODE")]
    pub parameter_sweep_mode: Option<String>,
    /// Pause between two values
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub parameter_sweep_cooldown_seconds: Option<f64>,
    /// The same seed for each value
    #[arg(long, overrides_with = "no_parameter_sweep_same_seed")]
    pub parameter_sweep_same_seed: bool,
    /// Another seed for each value, which is the default
    #[arg(long, hide = true)]
    pub no_parameter_sweep_same_seed: bool,
    /// How several lists are combined: grid or zip
    #[arg(long, value_name = "TYPE")]
    pub sweep_type: Option<String>,
    /// Do not show the table of a sweep
    #[arg(long)]
    pub no_sweep_table: bool,
}
