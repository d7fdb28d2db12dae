//! `--calibrate`: the same load on the mock server first, whose truth is known: the error bar of this machine.

use clap::Parser as _;
use dormouse_perf_metrics::Metric;
use dormouse_perf_metrics::summary::Value;
use dormouse_perf_mock::{MockServerArgs, Server};
use dormouse_perf_report::json::Json;
use dormouse_runtime::output::error_line;

use crate::config::Config;
use crate::config::tree::{Object, set};
use crate::export::Place;
use crate::run::{self, Outcome};
use crate::signals::Signals;

/// The mock server's times in milliseconds, and how long it is measured.
const TTFT_MS: f64 = 20.0;
const ITL_MS: f64 = 5.0;
const SECONDS: f64 = 3.0;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: MockServerArgs,
}

/// Measures, and says what it came to.
///
/// # Errors
/// The mock server cannot be started or measured.
pub(crate) fn run(document: &Json, signals: &Signals) -> anyhow::Result<Json> {
    let words = ["mock", "--port", "0", "--ttft-ms", &TTFT_MS.to_string(), "--itl-ms", &ITL_MS.to_string()].map(str::to_owned);
    let server = Server::start(&Line::parse_from(words).args)?;
    let folder = tempfile::tempdir()?;
    error_line(&format!("calibration: the same load on the mock server for {SECONDS} s"));
    let outcome = run::one(against(document, &server), Some(folder.path()), &Place::default(), signals)?;
    let truth: Json = serde_json::from_slice(&server.stats(0))?;
    Ok(told(&outcome, &truth))
}

/// The same document, but for where it goes and how long it takes.
fn against(document: &Json, server: &Server) -> Json {
    let mut document = document.clone();
    set(&mut document, "benchmark.endpoint.urls", Json::Array(vec![Json::String(format!("http://{}", server.address()))]));
    set(&mut document, "benchmark.server_metrics.enabled", Json::Bool(false));
    set(&mut document, "benchmark.gpu_telemetry.enabled", Json::Bool(false));
    set(&mut document, "benchmark.runtime.ui", Json::from("none"));
    set(&mut document, "dormouse.calibrate", Json::Bool(false));
    for artifact in ["raw", "export_outputs_json"] {
        set(&mut document, &format!("benchmark.artifacts.{artifact}"), Json::Bool(false));
    }
    let measured = |phase: &Json| {
        let Json::Object(mut members) = phase.clone() else { return phase.clone() };
        members.retain(|(name, _)| !["requests", "sessions", "duration", "grace_period"].contains(&name.as_str()));
        members.push(("duration".to_owned(), Json::float(SECONDS)));
        members.push(("grace_period".to_owned(), Json::float(1.0)));
        Json::Object(members)
    };
    let phases = document.get("benchmark").and_then(|benchmark| benchmark.get("phases"));
    if let Some(Json::Array(phases)) = phases {
        let phases = phases.iter().filter(|phase| phase.get("kind").and_then(Json::as_str) != Some("warmup")).map(measured).collect();
        set(&mut document, "benchmark.phases", Json::Array(phases));
    }
    document
}

fn told(outcome: &Outcome, truth: &Json) -> Json {
    let summary = &outcome.result.summary;
    let ours = |metric: Metric| match summary.get(metric) {
        Some(Value::Stats(stats)) => Some((stats.avg * 1e-6, stats.percentiles[8] * 1e-6)),
        _ => None,
    };
    let mut object = Object::new();
    let mut said = Vec::new();
    for (metric, name, what) in [
        (Metric::TimeToFirstToken, "first_content_ns", "time_to_first_token"),
        (Metric::RequestLatency, "last_content_ns", "request_latency"),
    ] {
        let of = |statistic: &str| Some(truth.get(name)?.get(statistic)?.as_f64()? * 1e-6);
        let (Some((mean, p99)), Some(true_mean), Some(true_p99)) = (ours(metric), of("mean"), of("p99")) else { continue };
        let mut errors = Object::new();
        errors.put("mean_error_ms", mean - true_mean).put("p99_error_ms", p99 - true_p99).put("true_mean_ms", true_mean);
        object.put_any(what, errors);
        said.push(format!("{what} {:+.3} ms (mean), {:+.3} ms (p99)", mean - true_mean, p99 - true_p99));
    }
    object.put("verdict", outcome.result.verdict.word());
    let bar = if said.is_empty() { "nothing could be compared".to_owned() } else { said.join("; ") };
    error_line(&format!("calibration: {}; against the server's truth: {bar}", outcome.result.verdict.word()));
    object.json()
}

/// Whether it is asked for.
pub(crate) fn is_wanted(config: &Config) -> bool {
    config.dormouse.calibrate
}
