//! What servers and GPUs say of themselves while they are loaded (perf contract 5.14, 5.15, 6.8).
//!
//! * [`parse`]: pure: Prometheus' text format becomes samples;
//! * [`collect`]: pure: a series of scrapes becomes figures of a window;
//! * [`gpu`]: pure: which of those are of GPUs, and how they are told;
//! * [`files`]: pure: the files of both, as the peer writes them;
//! * [`endpoints`]: pure: which addresses are asked;
//! * [`scraper`]: the edge: a thread for each endpoint, and whoever fetches given by the caller.

pub mod collect;
pub mod endpoints;
pub mod files;
pub mod gpu;
pub mod parse;
pub mod scraper;

pub use endpoints::{metrics_urls, telemetry_urls};
pub use files::{About, Endpoint, Phase};
pub use scraper::{Collected, Fetch, Fetched, Options, Scraper};
