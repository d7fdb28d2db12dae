//! What a run says of itself: whether it may be believed, what was asked of whom, and what to know before a figure is quoted.

use dormouse_perf_metrics::catalog::Metric;
use dormouse_perf_metrics::summary::{Summary, Value};
use dormouse_perf_report::folder::Source;
use dormouse_perf_report::json::Json;

use crate::model::Verdict;
use crate::subject::Subject;
use crate::words::{cut, figure, leaves, line, many, number, percent, plain, span, thousands};

/// The verdict, with what it is made of and the first figures that people ask for.
pub(crate) fn verdict(subject: &Subject) -> Verdict {
    let about = subject.about();
    let result = about.get("verdict").and_then(Json::as_str);
    let reasons = match about.get("verdict_reasons") {
        Some(Json::Array(list)) => list.iter().filter_map(|r| plain(r).or_else(|| Some(line(r, &[])))).collect(),
        Some(other) => plain(other).into_iter().collect(),
        None => Vec::new(),
    };
    let (tone, title, meaning) = match (subject.is_ours(), result) {
        (false, _) => (
            "unknown",
            "Not measured by this tool".to_owned(),
            "Nothing here says whether the load generator kept up: its figures are taken as they stand.",
        ),
        (true, Some("certified")) => {
            ("good", "Certified".to_owned(), "The load generator kept up: the figures are the server's, not the client's.")
        }
        (true, Some("client-bound")) => (
            "bad",
            "Client-bound".to_owned(),
            "The load generator did not keep up: latencies and throughput below are partly its own. Do not quote them as the server's.",
        ),
        (true, Some(other)) => ("unknown", cut(other), "A verdict that this version does not know."),
        (true, None) => ("unknown", "No verdict".to_owned(), "Its summary has none: the run was cut off, or made by an older version."),
    };
    let measured = ["generator", "calibration"].into_iter().filter_map(|name| about.get(name));
    let evidence = measured.flat_map(|part| leaves(part, 60)).collect();
    Verdict { run: subject.run_mark(), tone, title, meaning, reasons, evidence, tiles: tiles(subject) }
}

fn tiles(subject: &Subject) -> Vec<(String, String)> {
    let summary = &subject.summary;
    let single = |metric: Metric, unit: &str| {
        let value = metric.entry().unit.show(summary.single(metric)?);
        Some((metric.entry().header.to_owned(), format!("{} {unit}", number((value * 100.0).round() / 100.0))))
    };
    let pair = |metric: Metric| {
        let Some(Value::Stats(s)) = summary.get(metric) else { return None };
        let [.., p50, _, _, _, p99] = s.percentiles;
        Some((format!("{} p50 / p99", metric.entry().header), format!("{} / {}", span(p50), span(p99))))
    };
    let error = summary.single(Metric::RequestErrorRate).map(|v| ("Failed".to_owned(), format!("{v:.2} %")));
    let all = [
        single(Metric::RequestThroughput, "requests/s"),
        single(Metric::OutputTokenThroughput, "tokens/s"),
        pair(Metric::TimeToFirstToken),
        pair(Metric::InterTokenLatency),
        pair(Metric::RequestLatency),
        error,
    ];
    all.into_iter().flatten().collect()
}

/// What was run: a name and what the run says, in the order in which people ask.
pub(crate) fn properties(subject: &Subject) -> Vec<(&'static str, String)> {
    let about = subject.about();
    let config = about.get("input_config").unwrap_or(&Json::Null);
    let text = |value: Option<&Json>| value.and_then(plain);
    let info = |name: &str| about.get("run_info").and_then(|info| info.get(name));
    let tool = |name: &str, version: &str| text(about.get(version)).map(|v| format!("{name} {v}"));
    let endpoint = config.get("endpoint");
    let models: Vec<String> = items(config.get("models").and_then(|m| m.get("items")))
        .iter()
        .filter_map(|item| text(item.get("name")).or_else(|| plain(item)))
        .collect();
    let kind = endpoint.map(|e| {
        let streams = matches!(e.get("streaming"), Some(Json::Bool(true)));
        let kind = text(e.get("type")).unwrap_or_else(|| "not said".to_owned());
        format!("{kind}, {}", if streams { "streaming" } else { "whole answers" })
    });
    let urls: Vec<String> = items(endpoint.and_then(|e| e.get("urls"))).iter().filter_map(plain).collect();
    let load: Vec<String> = items(config.get("phases")).iter().map(phase).collect();
    let data: Vec<String> = items(config.get("datasets")).iter().map(|d| line(d, &[])).collect();
    let slos = config.get("slos").map(|s| line(s, &[])).filter(|l| !l.is_empty());
    let phases: Vec<String> = subject.run().phases.iter().map(measured).collect();
    let all = [
        ("Folder", Some(cut(&subject.input.folder))),
        ("Tool", tool("Dormouse", "dormouse_version").or_else(|| tool("AIPerf", "aiperf_version"))),
        ("Model", joined(&models)),
        ("Endpoint", kind),
        ("URL", joined(&urls)),
        ("Load", joined(&load)),
        ("Data", joined(&data)),
        ("Objectives", slos),
        ("Tokenizer", text(config.get("tokenizer").and_then(|t| t.get("name")))),
        ("Seed", text(info("random_seed"))),
        ("Started", text(about.get("start_time"))),
        ("Ended", text(about.get("end_time"))),
        ("Measured", joined(&phases)),
        ("Command line", info("cli_command").and_then(Json::as_str).map(str::to_owned)),
        ("Benchmark", text(about.get("benchmark_id"))),
    ];
    all.into_iter().filter_map(|(name, said)| Some((name, said?))).collect()
}

fn joined(all: &[String]) -> Option<String> {
    (!all.is_empty()).then(|| all.join("\n"))
}

fn items(list: Option<&Json>) -> &[Json] {
    match list {
        Some(Json::Array(list)) => list,
        _ => &[],
    }
}

/// A phase of load as its settings have it.
fn phase(phase: &Json) -> String {
    let text = |name: &str| phase.get(name).and_then(plain);
    let name = text("name").unwrap_or_else(|| "load".to_owned());
    let kind = text("type").map(|kind| format!("{kind}, ")).unwrap_or_default();
    format!("{name}: {kind}{}", line(phase, &["name", "kind", "type", "exclude_from_results"]))
}

/// A phase as it went.
fn measured(phase: &dormouse_perf_report::folder::Phase) -> String {
    let (window, source) = phase.window;
    let known = match source {
        Source::Manifest => "the phase as its manifest has it",
        Source::ServerMetrics => "the phase as the server metrics have it",
        Source::Records => "first request to last",
    };
    let requests = many(phase.rows.len(), "request", "requests");
    format!("{}: {requests}, {} failed, {} s ({known})", phase.name, phase.problems.len(), thousands(window.seconds()))
}

/// What to know before a figure of this run is quoted.
pub(crate) fn notes(subject: &Subject) -> Vec<String> {
    let (summary, about, run) = (&subject.summary, subject.about(), subject.run());
    let is = |name: &str, value: bool| about.get(name) == Some(&Json::Bool(value));
    let mut notes = Vec::new();
    if matches!(about, Json::Null) {
        notes.push("It has no profile_export_aiperf.json: what was run, and with what verdict, is not known.".to_owned());
    }
    if is("was_cancelled", true) {
        notes.push("It was cancelled: its figures are of what had ended by then.".to_owned());
    } else if is("is_complete", false) {
        notes.push("It did not come to its end.".to_owned());
    }
    let (failed, all) = (subject.failed(), subject.requests());
    if failed > 0 {
        let lived = all - failed;
        notes.push(format!(
            "{} of {} failed ({}): latencies are of the {} that did not, unless a line says error-adjusted.",
            number(crate::spread::count(failed as u64)),
            many(all, "request", "requests"),
            percent(failed, all),
            number(crate::spread::count(lived as u64)),
        ));
    }
    let valid = all - failed;
    if (1..100).contains(&valid) {
        notes.push(format!("With {} p99 lies between the two slowest: quote p90 at most.", many(valid, "good request", "good requests")));
    }
    if run.phases.iter().any(|p| !p.warmup && p.window.1 == Source::Records) {
        notes.push(
            "No file says when the phase began and ended: rates are from the first request to the last, and a little high.".to_owned(),
        );
    }
    notes.extend(lateness(summary));
    let mismatch = |metric: Metric| summary.single(metric).filter(|n| *n > 0.0);
    if let Some(n) = mismatch(Metric::OslMismatchCount) {
        notes.push(format!(
            "Answers are of another length than was asked for in {} of {valid}: throughput in tokens is of what came.",
            number(n)
        ));
    }
    if let Some(n) = mismatch(Metric::UsageDiscrepancyCount) {
        notes.push(format!("The server counts more than 10 % more or fewer tokens than this tool in {} of {valid}.", number(n)));
    }
    notes
}

/// Requests that left late make the load another one than was asked for.
fn lateness(summary: &Summary) -> Option<String> {
    let stats = |metric: Metric| match summary.get(metric) {
        Some(Value::Stats(s)) => Some(s),
        _ => None,
    };
    let (late, latency) = (stats(Metric::CreditToStartLatency)?, stats(Metric::RequestLatency)?);
    let (p99, p50) = (late.percentiles[8], latency.percentiles[4]);
    (p99 > 0.05 * p50).then(|| {
        let unit = Metric::RequestLatency.entry().unit;
        format!(
            "Requests left up to {} ms after they were allowed to (p99 {} ms, beside a median latency of {} ms): see offered against achieved load.",
            figure(unit, late.max),
            figure(unit, p99),
            figure(unit, p50)
        )
    })
}
