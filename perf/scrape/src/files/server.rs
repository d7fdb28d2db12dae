//! The metrics of servers (perf contract 6.8).

use std::collections::{BTreeMap, BTreeSet};

use dormouse_perf_metrics::{Window, stats};
use dormouse_perf_report::json::{Json, Members};

use super::{About, Endpoint, Phase, floats, labels, member, text, urls};
use crate::collect::history::{Scrape, Values};
use crate::collect::window::{Counter, Gauge, Histogram, Span};
use crate::collect::{Figures, History, Measured, When, figures};
use crate::parse::Kind;

/// `server_metrics_export.json`.
#[must_use]
pub fn document(endpoints: &[Endpoint], about: &About) -> Json {
    let reached = || endpoints.iter().filter(|e| e.reached);
    let [start, end] = about.times();
    let info = reached().map(|e| (text::without_user(&e.url), info(&e.history, &e.history.scrapes, true))).collect();
    let summary = vec![
        member("endpoints_configured", urls(endpoints.iter())),
        member("endpoints_successful", urls(reached())),
        start,
        end,
        member("endpoint_info", Json::Object(info)),
        member("phase_time_ranges", ranges(about)),
    ];
    let mut all = vec![
        member("schema_version", "1.1".into()),
        member("aiperf_version", about.version.as_str().into()),
        member("benchmark_id", about.benchmark_id.as_str().into()),
        member("summary", Json::Object(summary)),
        member("metrics_phase", "profiling".into()),
        member("metrics", metrics(endpoints, about.window(false), about.slice_ns)),
    ];
    if let Some(warmup) = about.window(true) {
        all.push(member("warmup_metrics", metrics(endpoints, Some(warmup), None)));
    }
    all.push(member("input_config", about.input_config.clone()));
    Json::Object(all)
}

/// When phases were: the measured ones first.
fn ranges(about: &About) -> Json {
    let (warmup, measured): (Vec<&Phase>, Vec<&Phase>) = about.phases.iter().partition(|phase| phase.warmup);
    let range = |phase: &Phase| {
        let Window { start_ns, end_ns } = phase.window;
        (phase.name.clone(), Json::Object(vec![member("start_ns", start_ns.into()), member("end_ns", end_ns.into())]))
    };
    Json::Object(measured.into_iter().chain(warmup).map(range).collect())
}

/// How an endpoint was scraped; `totals` counts those that did not stay, too.
fn info(history: &History, scrapes: &[Scrape], totals: bool) -> Json {
    let fetched = |at: Option<&Scrape>| Json::from(at.map_or(0, |s| s.when.answered_ns));
    let updates: Vec<u64> = scrapes.iter().enumerate().filter(|(at, s)| *at == 0 || s.is_new).map(|(_, s)| s.when.answered_ns).collect();
    let apart: Vec<f64> = updates.windows(2).map(|pair| crate::collect::window::seconds(pair[0], pair[1]) * 1e3).collect();
    let median = stats::Stats::of(&apart).map_or(f64::NAN, |all| all.percentiles[4]);
    let (first, last) = (updates.first().copied().unwrap_or(0), updates.last().copied().unwrap_or(0));
    let duration = crate::collect::window::seconds(first, last);
    let (count, unique, latency) = if totals {
        (history.totals.fetches, history.totals.updates, history.totals.latency_ns)
    } else {
        let latency = |s: &Scrape| u128::from(s.when.answered_ns.saturating_sub(s.when.sent_ns));
        (whole(scrapes.len()), whole(updates.len()), scrapes.iter().map(latency).sum())
    };
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds and counts of a run: fewer than 2^53")]
    let (count_f, unique_f, latency_ms) = (count as f64, unique as f64, latency as f64 * 1e-6);
    let mean_apart = if unique > 1 { Json::float(duration * 1e3 / (unique_f - 1.0)) } else { Json::float(0.0) };
    Json::Object(vec![
        member("total_fetches", count.into()),
        member("first_fetch_ns", fetched(scrapes.first())),
        member("last_fetch_ns", fetched(scrapes.last())),
        member("avg_fetch_latency_ms", Json::float(if count > 0 { latency_ms / count_f } else { 0.0 })),
        member("unique_updates", unique.into()),
        member("first_update_ns", first.into()),
        member("last_update_ns", last.into()),
        member("duration_seconds", Json::float(duration)),
        member("avg_update_interval_ms", mean_apart),
        member("median_update_interval_ms", Json::float(median)),
    ])
}

/// By name, then endpoint and labels.
fn by_name(endpoints: &[Endpoint], window: Window, slice_ns: Option<u64>) -> BTreeMap<String, Vec<(&str, Measured)>> {
    let mut all: BTreeMap<String, Vec<(&str, Measured)>> = BTreeMap::new();
    for endpoint in endpoints.iter().filter(|e| e.reached) {
        for measured in figures(&endpoint.history, window, slice_ns) {
            all.entry(measured.name.clone()).or_default().push((&endpoint.url, measured));
        }
    }
    all
}

fn metrics(endpoints: &[Endpoint], window: Option<Window>, slice_ns: Option<u64>) -> Json {
    let Some(window) = window else { return Json::Object(Vec::new()) };
    let metric = |(name, all): (String, Vec<(&str, Measured)>)| {
        let (_, first) = all.first()?;
        let mut members = vec![member("type", first.kind.name().into()), member("description", first.help.as_str().into())];
        if let Some(unit) = text::unit(&first.name, &first.unit, &first.help) {
            members.push(member("unit", Json::String(unit)));
        }
        // What two servers mean by one name is one thing only if it is of one kind.
        let same = all.iter().filter(|(_, measured)| measured.kind == first.kind);
        let series = same.map(|(url, measured)| {
            let mut members = vec![member("endpoint_url", Json::String(text::without_user(url)))];
            members.extend(series(measured));
            Json::Object(members)
        });
        members.push(member("series", Json::Array(series.collect())));
        Some((name, Json::Object(members)))
    };
    Json::Object(by_name(endpoints, window, slice_ns).into_iter().filter_map(metric).collect())
}

fn series(measured: &Measured) -> Members {
    let mut members = Vec::new();
    if !measured.labels.is_empty() {
        members.push(member("labels", labels(&measured.labels)));
    }
    members.push(member("stats", Json::Object(stats_of(&measured.figures))));
    if let Figures::Histogram(histogram) = &measured.figures {
        members.push(member("buckets", buckets(histogram)));
    }
    let is_empty = matches!(&measured.figures, Figures::Histogram(h) if h.count == 0);
    if !measured.slices.is_empty() && !is_empty {
        let slice = |slice: &crate::collect::Slice| {
            let Window { start_ns, end_ns } = slice.window;
            let mut members = vec![member("start_ns", start_ns.into()), member("end_ns", end_ns.into())];
            if !slice.is_complete {
                members.push(member("is_complete", Json::Bool(false)));
            }
            members.extend(slice_of(&slice.figures));
            Json::Object(members)
        };
        members.push(member("timeslices", Json::Array(measured.slices.iter().map(slice).collect())));
    }
    members
}

fn stats_of(figures: &Figures) -> Members {
    match figures {
        Figures::Gauge(g) => {
            let mut members = floats([("avg", g.avg), ("min", g.min), ("max", g.max), ("std", g.std)]);
            members.extend(stats::PERCENTILES.iter().zip(g.percentiles).map(|(p, v)| (format!("p{p}"), Json::float(v))));
            members
        }
        Figures::Counter(c) => {
            let mut members = floats([("total", c.total), ("rate", c.rate)]);
            if let Some([avg, min, max, std]) = c.rates {
                members.extend(floats([("rate_avg", avg), ("rate_min", min), ("rate_max", max), ("rate_std", std)]));
            }
            members
        }
        Figures::Histogram(h) => {
            let mut members = vec![member("count", h.count.into())];
            if h.count > 0 {
                members.extend(floats([("sum", h.sum), ("avg", mean(h)), ("count_rate", h.count_rate), ("sum_rate", h.sum_rate)]));
                let estimates = stats::PERCENTILES.iter().zip(h.percentiles.into_iter().flatten());
                members.extend(estimates.map(|(p, v)| (format!("p{p}_estimate"), Json::float(v))));
            }
            members
        }
    }
}

fn slice_of(figures: &Figures) -> Members {
    match figures {
        Figures::Gauge(g) => floats([("avg", g.avg), ("min", g.min), ("max", g.max)]),
        Figures::Counter(c) => floats([("total", c.total), ("rate", c.rate)]),
        Figures::Histogram(h) => {
            let mut members = vec![member("count", h.count.into())];
            members.extend(floats([("sum", h.sum), ("avg", mean(h))]));
            members.push(member("buckets", buckets(h)));
            members
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "observations: fewer than 2^53")]
fn mean(h: &Histogram) -> f64 {
    if h.count > 0 { h.sum / h.count as f64 } else { 0.0 }
}

fn buckets(h: &Histogram) -> Json {
    Json::Object(h.buckets.iter().map(|(le, upto)| (le.clone(), (*upto).into())).collect())
}

/// `phases/<name>/server_metrics.json` of the phase of this number. Unlike the others this file ends with a line feed.
#[must_use]
pub fn phase_document(endpoints: &[Endpoint], about: &About, index: usize) -> Json {
    let Some(phase) = about.phases.get(index) else { return Json::Null };
    let kind = if phase.warmup { "warmup" } else { "profiling" };
    let measured_before = about.phases.iter().take(index).filter(|p| !p.warmup).count();
    let reached = || endpoints.iter().filter(|e| e.reached);
    let spans: Vec<(&Endpoint, &[Scrape])> = reached()
        .filter_map(|e| {
            let span = Span::of(&e.history, phase.window)?;
            Some((e, e.history.scrapes.get(span.first..=span.last)?))
        })
        .collect();
    let answered = || spans.iter().flat_map(|(_, scrapes)| scrapes.iter().map(|s| s.when.answered_ns));
    let summary = |(endpoint, scrapes): &(&Endpoint, &[Scrape])| {
        let metrics = figures(&endpoint.history, phase.window, None);
        let mut by_name: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
        metrics.iter().for_each(|m| by_name.entry(&m.name).or_default().push(m));
        let metric = |(name, all): (&str, Vec<&Measured>)| {
            let first = all.first()?;
            let members = vec![
                member("type", first.kind.name().into()),
                member("description", first.help.as_str().into()),
                member("series", Json::Array(all.iter().map(|m| Json::Object(series(m))).collect())),
            ];
            Some(member(name, Json::Object(members)))
        };
        let members = vec![
            member("endpoint_url", Json::String(text::without_user(&endpoint.url))),
            member("info", info(&endpoint.history, scrapes, false)),
            member("metrics", Json::Object(by_name.into_iter().filter_map(metric).collect())),
        ];
        (text::short_endpoint(&endpoint.url), Json::Object(members))
    };
    let place = |is_null: bool| {
        let mut members = vec![
            member("phase_index", whole(index).into()),
            member("phase_kind", kind.into()),
            member("phase_name", phase.name.as_str().into()),
        ];
        if !phase.warmup {
            members.push(member("profiling_index", whole(measured_before).into()));
        } else if is_null {
            members.push(member("profiling_index", Json::Null));
        }
        members
    };
    let mut data = vec![
        member("benchmark_id", about.benchmark_id.as_str().into()),
        member("end_ns", answered().max().unwrap_or(phase.window.end_ns).into()),
        member("endpoint_summaries", Json::Object(spans.iter().map(summary).collect())),
        member("endpoints_configured", urls(endpoints.iter())),
        member("endpoints_successful", urls(reached())),
        member("error_summary", Json::Array(Vec::new())),
        member("phase", phase.name.as_str().into()),
        member("phase_results", Json::Array(Vec::new())),
        member("start_ns", answered().min().unwrap_or(phase.window.start_ns).into()),
    ];
    data.extend(place(false));
    let mut about_phase = vec![
        member("end_ns", phase.window.end_ns.into()),
        member("start_ns", phase.window.start_ns.into()),
        member("was_cancelled", Json::Bool(phase.was_cancelled)),
    ];
    about_phase.extend(place(true));
    sorted(Json::Object(vec![
        member("data", Json::Object(data)),
        member("phase", Json::Object(about_phase)),
        member("schema_version", Json::from(1_u64)),
        member("warnings", Json::Array(Vec::new())),
    ]))
}

/// Members by name, all the way down.
fn sorted(json: Json) -> Json {
    match json {
        Json::Object(mut members) => {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(members.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// `server_metrics_export.csv`: a table for each kind.
#[must_use]
pub fn csv(endpoints: &[Endpoint], about: &About) -> String {
    let all = about.window(false).map(|window| by_name(endpoints, window, about.slice_ns)).unwrap_or_default();
    let rows: Vec<(&str, &Measured)> = all.values().flatten().map(|(url, measured)| (*url, measured)).collect();
    let mut out = format!(
        "# AIPerf Server Metrics Export (CSV)\n# aiperf_version: {}\n# schema_version: 1.0\n# benchmark_id: {}\n\
         # Note: Same benchmark_id and version appear in JSON and Parquet exports\n#\n",
        about.version, about.benchmark_id
    );
    let tables = [Kind::Gauge, Kind::Counter, Kind::Histogram, Kind::Unknown].map(|kind| table(kind, &rows));
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    out.push_str(&tables.join("\n"));
    out
}

/// The rows of one kind, under their header; `None` of none.
fn table(kind: Kind, rows: &[(&str, &Measured)]) -> Option<String> {
    let rows: Vec<&(&str, &Measured)> = rows.iter().filter(|(_, measured)| measured.kind == kind).collect();
    let (_, first) = rows.first()?;
    let names: BTreeSet<&str> = rows.iter().flat_map(|(_, m)| m.labels.iter().map(|(name, _)| name.as_str())).collect();
    let is_histogram = matches!(first.figures, Figures::Histogram(_));
    let head = ["Endpoint", "Type", "Metric", "Unit"].map(str::to_owned);
    let columns = numbers(&first.figures).into_iter().map(|(name, _)| name);
    let labels = names.iter().map(|name| (*name).to_owned());
    let tail = ["Description", "buckets"].map(str::to_owned).into_iter().take(if is_histogram { 2 } else { 1 });
    let mut out = text::csv_line(head.into_iter().chain(columns).chain(labels).chain(tail));
    for (url, measured) in rows {
        let unit = text::unit(&measured.name, &measured.unit, &measured.help).unwrap_or_default();
        let mut cells = vec![text::short_endpoint(url), kind.name().to_owned(), measured.name.clone(), unit];
        cells.extend(numbers(&measured.figures).into_iter().map(|(_, number)| number));
        let label =
            |name: &&str| measured.labels.iter().find(|(have, _)| have == *name).map(|(_, value)| value.clone()).unwrap_or_default();
        cells.extend(names.iter().map(label));
        cells.push(measured.help.clone());
        if let Figures::Histogram(h) = &measured.figures {
            let buckets: Vec<String> = h.buckets.iter().map(|(le, upto)| format!("{le}={upto}")).collect();
            cells.push(buckets.join(";"));
        }
        out.push_str(&text::csv_line(cells));
    }
    Some(out)
}

/// Columns of numbers, and the cells under them.
fn numbers(figures: &Figures) -> Vec<(String, String)> {
    let shown = |value: Option<f64>| value.filter(|v| v.is_finite()).map(|v| format!("{v:.4}")).unwrap_or_default();
    let named = |name: &str, value: f64| (name.to_owned(), shown(Some(value)));
    match figures {
        Figures::Gauge(Gauge { avg, min, max, std, percentiles, .. }) => {
            let mut all = vec![named("avg", *avg), named("min", *min), named("max", *max), named("std", *std)];
            all.extend(stats::PERCENTILES.iter().zip(percentiles).map(|(p, v)| (format!("p{p}"), shown(Some(*v)))));
            all
        }
        Figures::Counter(Counter { total, rate, rates }) => {
            let mut all = vec![named("total", *total), named("rate", *rate)];
            let names = ["rate_avg", "rate_min", "rate_max", "rate_std"];
            all.extend(names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), shown(rates.map(|rates| rates[at])))));
            all
        }
        Figures::Histogram(h) => {
            // Nothing observed has no figures but that.
            let some = |value: f64| shown((h.count > 0).then_some(value));
            let mut all = vec![("count".to_owned(), h.count.to_string())];
            let values = [("count_rate", h.count_rate), ("sum", h.sum), ("sum_rate", h.sum_rate), ("avg", mean(h))];
            all.extend(values.map(|(name, value)| (name.to_owned(), some(value))));
            let estimate = |(at, p): (usize, &u8)| (format!("p{p}_estimate"), shown(h.percentiles.map(|all| all[at])));
            all.extend(stats::PERCENTILES.iter().enumerate().map(estimate));
            all
        }
    }
}

/// `server_metrics_export.jsonl`: a line for each scrape that said something new, in the order of time.
pub fn lines(endpoints: &[Endpoint]) -> impl Iterator<Item = Json> {
    let mut order: Vec<(u64, usize, usize)> = Vec::new();
    for (number, endpoint) in endpoints.iter().enumerate() {
        let news = endpoint.history.scrapes.iter().enumerate().filter(|(_, s)| s.is_new);
        order.extend(news.map(|(at, s)| (s.when.answered_ns, number, at)));
    }
    order.sort_unstable();
    order.into_iter().filter_map(|(_, number, at)| line(endpoints.get(number)?, at))
}

fn line(endpoint: &Endpoint, at: usize) -> Option<Json> {
    let scrape = endpoint.history.scrapes.get(at)?;
    let here = |column: &crate::collect::column::Column| column.at(std::iter::once(scrape.row)).next().flatten();
    let metric = |metric: &crate::collect::history::Metric| {
        let series = metric.series.iter().filter_map(|series| {
            let mut members = Vec::new();
            if !series.labels.is_empty() {
                members.push(member("labels", labels(&series.labels)));
            }
            match &series.values {
                Values::Scalar(column) => members.extend(floats([("value", here(column)?)])),
                Values::Histogram { buckets, sum, count } => {
                    let count = here(count)?;
                    let upto = buckets.iter().filter_map(|(le, _, column)| Some((le.clone(), Json::float(here(column)?))));
                    members.push(member("buckets", Json::Object(upto.collect())));
                    members.extend(floats([("sum", here(sum).unwrap_or(f64::NAN)), ("count", count)]));
                }
            }
            Some(Json::Object(members))
        });
        let series: Vec<Json> = series.collect();
        (!series.is_empty()).then(|| (metric.name.clone(), Json::Array(series)))
    };
    let When { sent_ns, answered_ns, .. } = scrape.when;
    Some(Json::Object(vec![
        member("endpoint_url", Json::String(text::without_user(&endpoint.url))),
        member("timestamp_ns", answered_ns.into()),
        member("endpoint_latency_ns", answered_ns.saturating_sub(sent_ns).into()),
        member("metrics", Json::Object(endpoint.history.metrics.iter().filter_map(metric).collect())),
        member("request_sent_ns", sent_ns.into()),
    ]))
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
