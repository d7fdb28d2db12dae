//! Which addresses are asked (perf contract 5.14, 5.15).

use crate::gpu::DEFAULT_URLS;

const METRICS: &str = "/metrics";

/// Where servers tell their metrics: every base URL with `/metrics` behind it, then those given, without those that are there twice.
/// Whether `/metrics` or `/prometheus/metrics` at the root is meant instead is found out when the server is asked.
#[must_use]
pub fn metrics_urls(bases: &[String], given: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for url in bases.iter().chain(given).filter_map(|url| metrics_url(url)) {
        if !all.contains(&url) {
            all.push(url);
        }
    }
    all
}

/// Where GPUs are told of: the usual places, then those given.
#[must_use]
pub fn telemetry_urls(given: &[String]) -> Vec<String> {
    metrics_urls(&DEFAULT_URLS.map(str::to_owned), given)
}

fn metrics_url(url: &str) -> Option<String> {
    let url = url.trim();
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let (path, query) = url.split_once('?').map_or((url.as_str(), None), |(path, query)| (path, Some(query)));
    let path = path.trim_end_matches('/');
    if path.ends_with(':') || path.ends_with("://") {
        return None;
    }
    let path = if path.ends_with(METRICS) { path.to_owned() } else { format!("{path}{METRICS}") };
    Some(query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
}

/// The address itself, then where its server may tell the same instead: at the root, and where TensorRT-LLM does.
pub(crate) fn candidates(url: &str) -> Vec<String> {
    let mut all = vec![url.to_owned()];
    if let Some((scheme, rest)) = url.split_once("://")
        && rest.ends_with(METRICS)
    {
        let host = &rest[..rest.find('/').unwrap_or(rest.len())];
        all.extend(
            [METRICS, "/prometheus/metrics"].map(|path| format!("{scheme}://{host}{path}")).into_iter().filter(|other| other != url),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
    }

    #[test]
    fn addresses_are_completed_and_once() {
        let bases = owned(&["127.0.0.1:8100", "http://h:8000/v1/", "https://h/metrics", "", "http://"]);
        let given = owned(&["http://127.0.0.1:8100/metrics", "other:9", "h:1/metrics?a=b", "http://[::1]:7"]);
        let wanted = [
            "http://127.0.0.1:8100/metrics",
            "http://h:8000/v1/metrics",
            "https://h/metrics",
            "http://other:9/metrics",
            "http://h:1/metrics?a=b",
            "http://[::1]:7/metrics",
        ];
        assert_eq!(metrics_urls(&bases, &given), wanted);
        let wanted = ["http://localhost:9400/metrics", "http://localhost:9401/metrics", "http://node:9400/metrics"];
        assert_eq!(telemetry_urls(&owned(&["node:9400", "localhost:9400"])), wanted);
    }

    #[test]
    fn the_root_is_tried_too() {
        assert_eq!(candidates("http://h:8/v1/metrics"), ["http://h:8/v1/metrics", "http://h:8/metrics", "http://h:8/prometheus/metrics"]);
        assert_eq!(candidates("http://h/metrics"), ["http://h/metrics", "http://h/prometheus/metrics"]);
        assert_eq!(candidates("http://h/prometheus/metrics"), ["http://h/prometheus/metrics", "http://h/metrics"]);
        assert_eq!(candidates("http://h/stats"), ["http://h/stats"]);
    }
}
