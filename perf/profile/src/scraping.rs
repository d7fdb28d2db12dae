//! Metrics of servers and GPUs, read beside the load.

use std::sync::Arc;
use std::time::Duration;

use dormouse_perf_load::fetch;
use dormouse_perf_load::target::{self, Headers};
use dormouse_perf_net::{Clock, now};
use dormouse_perf_scrape::gpu::Fields;
use dormouse_perf_scrape::{Collected, Fetched, Options, Scraper, metrics_urls, telemetry_urls};

use crate::system_controller::Prepared;

/// What runs beside the load.
pub(crate) struct Scraping {
    servers: Option<Scraper>,
    gpus: Option<Scraper>,
    fields: Fields,
}

/// What it brought.
#[derive(Debug, Default)]
pub struct Scraped {
    /// Metrics of servers, where they were asked.
    pub servers: Option<Collected>,
    /// Of GPUs.
    pub gpus: Option<Collected>,
    /// What is known of the metrics of GPUs.
    pub fields: Fields,
}

impl Scraping {
    /// Begins, in the background.
    pub(crate) fn start(prepared: &Prepared, clock: Clock) -> Self {
        let benchmark = &prepared.config.benchmark;
        let trust = prepared.trust().cloned();
        let headers = Headers {
            fields: prepared.headers().fields.iter().filter(|(name, _)| !is_of_requests(name)).cloned().collect(),
            ..Headers::default()
        };
        let get = move |url: &str, within: Duration| -> Result<Fetched, String> {
            let url = target::base(url).map_err(|why| why.to_string())?;
            let answer = fetch::fetch("GET", &url, &headers, trust.as_ref(), within).map_err(|why| why.to_string())?;
            Ok(Fetched { status: answer.status, body: answer.body })
        };
        let get: Arc<dyn dormouse_perf_scrape::Fetch> = Arc::new(get);
        let seconds = |name: &str, default: f64| {
            let given = std::env::var(name).ok().and_then(|v| v.parse::<f64>().ok()).filter(|s| *s > 0.0 && *s < 1e6);
            Duration::from_secs_f64(given.unwrap_or(default))
        };
        let options = |urls: Vec<String>, group: &str| Options {
            urls,
            interval: seconds(&format!("AIPERF_{group}_COLLECTION_INTERVAL"), 0.333),
            reachability: seconds(&format!("AIPERF_{group}_REACHABILITY_TIMEOUT"), 10.0),
            ..Options::default()
        };
        let start = |options: Options| Scraper::start(options, Arc::clone(&get), move || clock.wall(now()));
        let servers = benchmark
            .server_metrics
            .enabled
            .unwrap_or(true)
            .then(|| start(options(metrics_urls(&benchmark.endpoint.urls.0, &benchmark.server_metrics.urls), "SERVER_METRICS")));
        let (files, urls): (Vec<String>, Vec<String>) =
            benchmark.gpu_telemetry.urls.iter().cloned().partition(|item| item.ends_with(".csv"));
        let fields = files.iter().fold(Fields::default(), |fields, file| match std::fs::read_to_string(file) {
            Ok(csv) => fields.with_custom(&csv).0,
            Err(_) => fields,
        });
        let gpus = benchmark.gpu_telemetry.enabled.unwrap_or(true).then(|| start(options(telemetry_urls(&urls), "GPU")));
        Self { servers, gpus, fields }
    }

    /// Ends with one more look at each.
    pub(crate) fn stop(self) -> Scraped {
        Scraped { servers: self.servers.map(Scraper::stop), gpus: self.gpus.map(Scraper::stop), fields: self.fields }
    }
}

/// What is said of requests with bodies, and not of those without.
fn is_of_requests(name: &str) -> bool {
    ["accept", "content-type"].contains(&name.to_lowercase().as_str())
}
