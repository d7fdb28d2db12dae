//! A summary as files (perf contract 6.3, 6.4): JSON for programs, CSV for spreadsheets.

use dormouse_perf_metrics::catalog::Metric;
use dormouse_perf_metrics::summary::{Adjusted, Summary, Value};
use dormouse_perf_metrics::unit::Unit;
use dormouse_perf_metrics::{Stats, curves, stats};

use crate::json::{Json, Members};

/// Metrics that come first, in this order; the peer's readers know them by name and people by place.
const FIRST: [Metric; 23] = [
    Metric::RequestThroughput,
    Metric::RequestLatency,
    Metric::RequestCount,
    Metric::TimeToFirstToken,
    Metric::TimeToSecondToken,
    Metric::InterTokenLatency,
    Metric::OutputTokenThroughput,
    Metric::OutputTokenThroughputPerUser,
    Metric::OutputSequenceLength,
    Metric::InputSequenceLength,
    Metric::Goodput,
    Metric::GoodRequestCount,
    Metric::OutputTokenCount,
    Metric::ReasoningTokenCount,
    Metric::InterChunkLatency,
    Metric::TotalOutputTokens,
    Metric::TotalReasoningTokens,
    Metric::BenchmarkDuration,
    Metric::TotalIsl,
    Metric::TotalOsl,
    Metric::ErrorRequestCount,
    Metric::ErrorIsl,
    Metric::TotalErrorIsl,
];

/// What stands last: what the clock says of every request.
const LAST: [Metric; 2] = [Metric::CreditToStartLatency, Metric::EffectiveLatency];

/// A whole summary. What is not made of records comes from `about`, the summary that was written before, or its beginnings;
/// its metrics are left out.
#[must_use]
pub fn document(summary: &Summary, warmup: Option<&Summary>, about: &Json) -> Json {
    let (first, behind) = members(summary);
    let about = about.members().iter().filter(|(name, value)| value.get("unit").is_none() && name != WARMUP);
    let (head, rest): (Members, Members) = about.cloned().partition(|(name, _)| HEAD.contains(&name.as_str()));
    let warmup = warmup.map(|w| {
        let (first, behind) = members(w);
        (WARMUP.to_owned(), Json::Object([first, behind].concat()))
    });
    Json::Object([head, first, rest, warmup.into_iter().collect(), behind].concat())
}

/// The member for what was measured while warming up.
const WARMUP: &str = "warmup_metrics";

/// What stands before the metrics.
const HEAD: [&str; 4] = ["schema_version", "aiperf_version", "dormouse_version", "benchmark_id"];

/// The members for metrics: those before everything else, and those behind it.
#[must_use]
pub fn members(summary: &Summary) -> (Members, Members) {
    let member = |metric: Metric| Some((metric.tag().to_owned(), value(metric, summary.get(metric)?)));
    let first = FIRST.into_iter().filter_map(member).collect();
    let is_curve = |metric: Metric| matches!(summary.get(metric), Some(Value::Weighted(_)));
    let mut rest: Vec<Metric> = shown(summary).filter(|m| !FIRST.contains(m) && !LAST.contains(m) && !is_curve(*m)).collect();
    rest.sort_by_key(|m| m.tag());
    let mut behind: Members = rest.into_iter().filter_map(member).collect();
    behind.extend(summary.adjusted().map(|(metric, a)| (adjusted_tag(metric), adjusted(metric.entry().unit, a))));
    behind.extend(Metric::all().filter(|m| is_curve(*m)).filter_map(member));
    behind.extend(LAST.into_iter().filter_map(member));
    (first, behind)
}

/// Every metric that is said and that people may see.
fn shown(summary: &Summary) -> impl Iterator<Item = Metric> {
    use dormouse_perf_metrics::catalog::Group;
    summary.iter().map(|(metric, _)| metric).filter(|m| m.entry().group != Group::Internal)
}

fn adjusted_tag(metric: Metric) -> String {
    format!("adj_{}", metric.tag())
}

fn object(unit: Unit, figures: impl IntoIterator<Item = (String, f64)>) -> Members {
    let figures = figures.into_iter().filter(|(_, base)| base.is_finite());
    let mut members = vec![("unit".to_owned(), Json::from(unit.shown()))];
    members.extend(figures.map(|(name, base)| (name, Json::float(unit.show(base)))));
    members
}

fn named(percents: &[u8], values: &[f64]) -> Vec<(String, f64)> {
    percents.iter().zip(values).map(|(p, v)| (format!("p{p}"), *v)).collect()
}

fn value(metric: Metric, value: &Value) -> Json {
    let unit = metric.entry().unit;
    let with = |name: &str, v: f64| (name.to_owned(), v);
    Json::Object(match value {
        Value::Single(v) => object(unit, [with("avg", *v)]),
        Value::Stats(s) => {
            let mut figures = vec![with("avg", s.avg)];
            figures.extend(named(&stats::PERCENTILES, &s.percentiles));
            figures.extend([with("min", s.min), with("max", s.max), with("std", s.std)]);
            let mut members = object(unit, figures);
            members.push(("count".to_owned(), whole(s.count)));
            members.extend(object(unit, [with("sum", s.sum)]).into_iter().skip(1));
            members
        }
        Value::Weighted(w) => {
            let mut figures = vec![with("avg", w.avg)];
            figures.extend(named(&curves::PERCENTILES, &w.percentiles));
            figures.extend([with("min", w.min), with("max", w.max), with("std", w.std)]);
            object(unit, figures)
        }
    })
}

fn whole(count: usize) -> Json {
    Json::from(u64::try_from(count).unwrap_or(u64::MAX))
}

fn adjusted(unit: Unit, a: &Adjusted) -> Json {
    let mut members = object(unit, named(&stats::PERCENTILES, &a.percentiles));
    members.extend(object(unit, [("min".to_owned(), a.min)]).into_iter().skip(1));
    members.push(("count".to_owned(), whole(a.count)));
    Json::Object(members)
}

/// A metric as a line of a table.
#[derive(Debug)]
pub struct Line {
    tag: String,
    /// Its name for people.
    pub header: String,
    /// What its figures are in.
    pub unit: Unit,
    /// [`COLUMNS`] of it, as they are shown; a single figure has only the first.
    pub figures: [Option<f64>; COLUMNS.len()],
    single: bool,
}

/// The columns of tables.
pub const COLUMNS: [&str; 14] = ["avg", "min", "max", "sum", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "std"];

/// Everything that is said, by tag.
#[must_use]
pub fn lines(summary: &Summary) -> Vec<Line> {
    let line = |tag: String, header: &str, unit: Unit, figures: [Option<f64>; COLUMNS.len()], single: bool| Line {
        tag,
        header: header.to_owned(),
        unit,
        figures: figures.map(|f| f.filter(|base| base.is_finite()).map(|base| unit.show(base))),
        single,
    };
    let mut lines: Vec<Line> = Vec::new();
    for metric in shown(summary) {
        let (entry, tag) = (metric.entry(), metric.tag().to_owned());
        match summary.get(metric) {
            Some(Value::Single(v)) => {
                let mut figures = [None; COLUMNS.len()];
                figures[0] = Some(*v);
                lines.push(line(tag, entry.header, entry.unit, figures, true));
            }
            Some(Value::Stats(s)) => lines.push(line(tag, entry.header, entry.unit, figures(s), false)),
            Some(Value::Weighted(w)) => {
                let [p50, p90, p95, p99] = w.percentiles.map(Some);
                let all = [Some(w.avg), Some(w.min), Some(w.max), None, None, None, None, None, p50, None, p90, p95, p99, Some(w.std)];
                lines.push(line(tag, entry.header, entry.unit, all, false));
            }
            None => {}
        }
    }
    for (metric, a) in summary.adjusted() {
        let (unit, header) = (metric.entry().unit, format!("{} (error-adjusted)", metric.entry().header));
        let [p1, p5, p10, p25, p50, p75, p90, p95, p99] = a.percentiles.map(Some);
        let all = [None, Some(a.min), None, None, p1, p5, p10, p25, p50, p75, p90, p95, p99, None];
        lines.push(line(adjusted_tag(metric), &header, unit, all, false));
    }
    lines.sort_by(|a, b| a.tag.cmp(&b.tag));
    lines
}

fn figures(s: &Stats) -> [Option<f64>; COLUMNS.len()] {
    let [p1, p5, p10, p25, p50, p75, p90, p95, p99] = s.percentiles;
    [s.avg, s.min, s.max, s.sum, p1, p5, p10, p25, p50, p75, p90, p95, p99, s.std].map(Some)
}

/// A whole summary as CSV; `about` is the rest of it, as for [`document`]. Where GPUs were looked for, the section of what they
/// did stands there even when there are none.
#[must_use]
pub fn csv(summary: &Summary, about: &Json) -> String {
    let gpus = if about.get("telemetry_data").is_some() { GPUS } else { "" };
    sections(summary) + gpus
}

const GPUS: &str = "\n\nEndpoint,GPU_Index,GPU_Name,GPU_UUID,Platform,Metric,avg,min,max,sum,p1,p5,p10,p25,p50,p75,p90,p95,p99,std\n";

/// The two sections of metrics alone.
#[must_use]
pub fn sections(summary: &Summary) -> String {
    let lines = lines(summary);
    let rows = |single: bool| lines.iter().filter(move |line| line.single == single);
    let table: String = rows(false).map(|line| format!("{},{}\n", name(line), line.figures.map(cell).join(","))).collect();
    let singles: String = rows(true).map(|line| format!("{},{}\n", name(line), cell(line.figures[0]))).collect();
    format!("Metric,{}\n{table}\nMetric,Value\n{singles}", COLUMNS.join(","))
}

fn cell(shown: Option<f64>) -> String {
    shown.map(|v| format!("{v:.2}")).unwrap_or_default()
}

fn name(line: &Line) -> String {
    match line.unit {
        Unit::Count | Unit::Requests => line.header.clone(),
        unit => format!("{} ({})", line.header, unit.shown()),
    }
}
