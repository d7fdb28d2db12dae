//! `GET /metrics` from a registry, in the format that is asked for, and what every process tells of itself.

mod process;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use process::Process;

const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A router with `GET /metrics`.
pub fn router(registry: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(move |headers: HeaderMap| async move { answer(&registry, &headers) }))
}

/// The answer to `GET /metrics`: OpenMetrics for who accepts it, as Prometheus does; else the older text format, which every
/// reader knows.
pub fn answer(registry: &Registry, asked: &HeaderMap) -> Response {
    let mut text = String::new();
    if let Err(error) = encode(&mut text, registry) {
        return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
    }
    let accepts = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepts.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        ([(header::CONTENT_TYPE, OPEN)], text).into_response()
    } else {
        ([(header::CONTENT_TYPE, PLAIN)], plain(&text)).into_response()
    }
}

/// OpenMetrics as the text format 0.0.4 (Prometheus' page on exposition formats): a counter's name has its `_total` in the
/// descriptions too, units and the end mark are unknown, and of the types the first four and `untyped` are there.
fn plain(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let mut help: Option<(&str, &str)> = None;
    let mut line_of = |text: std::fmt::Arguments<'_>| {
        use std::fmt::Write as _;
        let _ = writeln!(out, "{text}");
    };
    for line in open.lines() {
        let described = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        match described {
            Some(("HELP", rest)) => help = rest.split_once(' '),
            Some(("TYPE", rest)) => {
                let Some((name, kind)) = rest.split_once(' ') else { continue };
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "stateset" => ("", "gauge"),
                    "gauge" | "histogram" | "summary" => ("", kind),
                    _ => ("", "untyped"),
                };
                if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                    line_of(format_args!("# HELP {name}{suffix} {text}"));
                }
                line_of(format_args!("# TYPE {name}{suffix} {kind}"));
            }
            // Units, and the end.
            Some(_) => {}
            None if line.starts_with('#') => {}
            None => line_of(format_args!("{line}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::registry::Unit;

    use super::*;

    async fn shown(accept: Option<&'static str>) -> (String, String) {
        let mut registry = Registry::default();
        let (calls, size) = (Counter::<u64>::default(), Gauge::<i64>::default());
        registry.register("calls", "Calls made", calls.clone());
        registry.register_with_unit("size", "How large", Unit::Bytes, size.clone());
        calls.inc();
        size.set(7);
        let mut headers = HeaderMap::new();
        headers.extend(accept.map(|a| (header::ACCEPT, HeaderValue::from_static(a))));
        let response = answer(&registry, &headers);
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_reader_gets_the_format_it_knows() {
        let (kind, text) = shown(Some("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")).await;
        assert!(kind == OPEN && text.contains("# TYPE calls counter\ncalls_total 1\n") && text.ends_with("# EOF\n"), "{text}");
        for accept in [None, Some("*/*"), Some("text/plain")] {
            let (kind, text) = shown(accept).await;
            let wanted = "# HELP calls_total Calls made.\n# TYPE calls_total counter\ncalls_total 1\n\
                          # HELP size_bytes How large.\n# TYPE size_bytes gauge\nsize_bytes 7\n";
            assert_eq!((kind.as_str(), text.as_str()), (PLAIN, wanted));
        }
    }
}
