//! What the peer has not.

use clap::Args;

/// Our own options.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Dormouse")]
pub struct OurOptions {
    /// Start the mock server, measure it for five seconds and say whether this machine can be trusted
    #[arg(long)]
    pub demo: bool,
    /// Where the peer's behaviour is another: aiperf does as it does
    #[arg(long, value_name = "PEER", value_parser = ["aiperf"])]
    pub compat: Option<String>,
    /// Exit with 4 when more than so many of a hundred requests failed
    #[arg(value_parser = super::finite, long, visible_alias = "fail-on-error-rate", value_name = "PERCENT")]
    pub max_error_rate: Option<f64>,
    /// Requests at a time, of whatever sessions
    #[arg(long, value_name = "N")]
    pub request_concurrency: Option<u32>,
    /// Open no connections ahead
    #[arg(long)]
    pub no_preconnect: bool,
    /// End a stream that is silent for so long
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub idle_timeout: Option<f64>,
    /// How sends are timed: sleep, or spin, which polls the last stretch and takes a core
    #[arg(long, value_name = "HOW", value_parser = ["sleep", "spin"])]
    pub pace: Option<String>,
    /// A tick that finds no free place: keep it, or drop it as the peer does
    #[arg(long, value_name = "HOW", value_parser = ["keep", "drop"])]
    pub rate_catchup: Option<String>,
    /// Behind a failed turn: continue, or end-session
    #[arg(long, value_name = "HOW", value_parser = ["continue", "end-session"])]
    pub on_turn_error: Option<String>,
    /// Whose titles stand above the tables
    #[arg(long, value_name = "STYLE", value_parser = ["dormouse", "aiperf"])]
    pub console_style: Option<String>,
    /// Never use the network for anything but the load; there is no other way
    #[arg(long, hide = true)]
    pub offline: bool,
    /// Measure the mock server with the same load first: the error bar of this machine
    #[arg(long)]
    pub calibrate: bool,
    /// An objective of the whole run: METRIC:STAT<LIMIT, such as "ttft:p95<500ms" or "error_rate<1%"; may be given several times
    #[arg(long, value_name = "OBJECTIVE")]
    pub slo: Vec<String>,
    /// Find the highest level that keeps to --slo: concurrency or request-rate, with :LOW..HIGH
    #[arg(long, value_name = "WHAT[:LOW..HIGH]", requires = "slo")]
    pub search: Option<String>,
    /// End after so long, whatever is still to do
    #[arg(value_parser = super::finite, long, value_name = "SECONDS")]
    pub max_runtime: Option<f64>,
}
