//! The options of `perf mock-server`, and what they mean together.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::dist::Dist;
use crate::error::Error;
use crate::fault::{FaultRate, listing, share};

/// Options of the mock server.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = help_of_faults())]
pub struct MockServerArgs {
    /// Address or name to listen at
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port; 0 is any free one. The address is printed as one line as soon as it listens
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Time to the first token, in milliseconds
    #[arg(long, default_value_t = 0.0, value_parser = milliseconds, conflicts_with = "ttft_dist")]
    pub ttft_ms: f64,
    /// Time between two tokens, in milliseconds
    #[arg(long, default_value_t = 0.0, value_parser = milliseconds, conflicts_with = "itl_dist")]
    pub itl_ms: f64,
    /// Time to the first token as fixed:MS, normal:MEAN,STD, lognormal:MEDIAN,SIGMA, uniform:LOW,HIGH or exp:MEAN, in milliseconds
    #[arg(long, value_name = "DIST")]
    pub ttft_dist: Option<Dist>,
    /// Time between two tokens, by the same forms
    #[arg(long, value_name = "DIST")]
    pub itl_dist: Option<Dist>,
    /// Tokens of each answer, reasoning included; without it what the request allows, else 16
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=131_072))]
    pub output_tokens: Option<u32>,
    /// Tokens in each event of a stream
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tokens_per_chunk: u32,
    /// Events that leave in one write, when the last of them is due; 0: the whole answer is one write
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub chunks_per_write: u32,
    /// Send the head of a stream at once instead of with its first token
    #[arg(long)]
    pub early_head: bool,
    /// Share of requests that are answered with --error-status
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub error_rate: f64,
    /// Status of those errors
    #[arg(long, default_value_t = 503, value_name = "CODE", value_parser = clap::value_parser!(u16).range(400..600))]
    pub error_status: u16,
    /// Share of requests that pause for --stall-ms in the middle of their answer
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub stall_rate: f64,
    /// How long those pause, in milliseconds
    #[arg(long, default_value_t = 1000.0, value_name = "MS", value_parser = milliseconds)]
    pub stall_ms: f64,
    /// A fault and the share of requests that have it (all without a share); may be given several times. See --list-faults
    #[arg(long = "fault", value_name = "NAME[:SHARE]")]
    pub faults: Vec<FaultRate>,
    /// Time between two bytes of the fault slow-loris, in milliseconds
    #[arg(long, default_value_t = 10.0, value_name = "MS", value_parser = milliseconds)]
    pub loris_ms: f64,
    /// Print the faults and end
    #[arg(long)]
    pub list_faults: bool,
    /// How many of the tokens are reasoning; at least one token is not
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub reasoning_tokens: u32,
    /// Who gets token counts: nobody; who asks, as the request's stream_options say; everybody in every event
    #[arg(long, value_enum, default_value_t = Usage::Final)]
    pub usage: Usage,
    /// Requests in service at once; others wait in the order in which they came
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrency: Option<u32>,
    /// Requests that begin service per second at most, evenly spaced; others wait. No more can be completed
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    pub service_rate: Option<f64>,
    /// Remember prompts by blocks of 64 bytes: what a request shares with earlier ones takes none of its time to the first token,
    /// and is in its usage as cached
    #[arg(long)]
    pub prefix_cache: bool,
    /// Seed of everything that is drawn; with the same one, request N gets the same fault and delays
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Endpoints that are there
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Endpoint::ALL)]
    pub endpoints: Vec<Endpoint>,
    /// Models that are there; others are refused with 404. Without it every model is
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub models: Vec<String>,
    /// Threads that serve
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Poll through the last 80 µs before each deadline instead of sleeping: exact, for one core per thread
    #[arg(long)]
    pub spin: bool,
    /// Requests that /stats remembers one by one
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub stats_requests: usize,
    /// Connections at once; more are closed as they come
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub max_connections: usize,
    /// Seconds after which an idle connection is closed
    #[arg(long, default_value_t = 300.0, value_name = "S", value_parser = positive)]
    pub idle_timeout_s: f64,
    /// Not built yet: HTTPS
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub tls_cert: Option<PathBuf>,
    /// Not built yet: HTTPS
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub tls_key: Option<PathBuf>,
}

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/responses`
    Responses,
    /// `/v1/messages`
    Messages,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Completions, Self::Embeddings, Self::Responses, Self::Messages];

    /// The end of its path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::Responses => "/responses",
            Self::Messages => "/messages",
        }
    }
}

/// Who gets token counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Usage {
    /// Nobody.
    None,
    /// Whole bodies, and streams as their request says.
    Final,
    /// Everybody, in every event.
    Continuous,
}

impl MockServerArgs {
    /// The time to the first token.
    #[must_use]
    pub fn ttft(&self) -> Dist {
        self.ttft_dist.unwrap_or(Dist::Fixed(self.ttft_ms))
    }

    /// The time between tokens.
    #[must_use]
    pub fn itl(&self) -> Dist {
        self.itl_dist.unwrap_or(Dist::Fixed(self.itl_ms))
    }

    /// Where to listen; options that contradict each other, or are not built, are refused by name.
    pub(crate) fn check(&self) -> Result<SocketAddr, Error> {
        for (given, name) in [(&self.tls_cert, "--tls-cert"), (&self.tls_key, "--tls-key")] {
            if given.is_some() {
                return Err(Error::Usage(format!("{name} is not built yet: the mock server speaks plain HTTP")));
            }
        }
        let sum: f64 = self.faults.iter().map(|f| f.rate).sum();
        if sum > 1.0 + 1e-9 {
            return Err(Error::Usage(format!("the shares of --fault add up to {sum}, more than 1")));
        }
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let resolved = match host.parse::<IpAddr>() {
            Ok(ip) => Some(SocketAddr::new(ip, self.port)),
            Err(_) => (host, self.port).to_socket_addrs().ok().and_then(|mut found| found.next()),
        };
        resolved.ok_or_else(|| Error::Usage(format!("--host {host:?} is no address and no name that is known here")))
    }
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let ms = text.parse::<f64>().ok().filter(|ms| (0.0..=3_600_000.0).contains(ms));
    ms.ok_or_else(|| format!("{text:?} is no number of milliseconds between 0 and an hour"))
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0).ok_or_else(|| format!("{text:?} is no number above 0"))
}

fn help_of_faults() -> String {
    format!(
        "GET /stats says what happened here; /stats?requests=N adds the last N requests one by one; POST /stats/reset forgets.\n\n\
         Faults, for --fault and for one request by the header x-mock-fault:\n{}",
        listing()
    )
}
