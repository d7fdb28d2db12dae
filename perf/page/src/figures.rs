//! Figures as tables: those that people ask for, everything that is known of a run, and several runs side by side.

use dormouse_perf_metrics::catalog::{Group, Metric};
use dormouse_perf_metrics::summary::{Adjusted, Summary, Value};
use dormouse_perf_metrics::unit::Unit;

use crate::model::{Cell, Line, Table};
use crate::subject::Subject;
use crate::words::{ABSENT, figure};

/// Columns behind the name of a metric.
const COLUMNS: [&str; 9] = ["avg", "min", "p50", "p90", "p95", "p99", "max", "std", "count"];

/// What is asked for first, in this order.
const KEY: [Metric; 17] = [
    Metric::RequestThroughput,
    Metric::OutputTokenThroughput,
    Metric::TotalTokenThroughput,
    Metric::Goodput,
    Metric::RequestCount,
    Metric::RequestErrorRate,
    Metric::BenchmarkDuration,
    Metric::TimeToFirstToken,
    Metric::InterTokenLatency,
    Metric::InterChunkLatency,
    Metric::RequestLatency,
    Metric::EffectiveLatency,
    Metric::CreditToStartLatency,
    Metric::OutputTokenThroughputPerUser,
    Metric::InputSequenceLength,
    Metric::OutputSequenceLength,
    Metric::EffectiveConcurrency,
];

/// What is compared of a metric: of latencies how they are spread, of all others the mean.
fn compared(metric: Metric) -> &'static [&'static str] {
    if metric.entry().unit == Unit::Time { &["avg", "p50", "p90", "p99"] } else { &["avg"] }
}

/// A figure of a metric, by the name of its column.
fn pick(value: &Value, column: &str) -> Option<f64> {
    Some(match (value, column) {
        (Value::Single(v), "avg") => *v,
        (Value::Stats(s), _) => {
            let [.., p50, _, p90, p95, p99] = s.percentiles;
            match column {
                "avg" => s.avg,
                "min" => s.min,
                "p50" => p50,
                "p90" => p90,
                "p95" => p95,
                "p99" => p99,
                "max" => s.max,
                "std" => s.std,
                _ => return None,
            }
        }
        (Value::Weighted(w), _) => {
            let [p50, p90, p95, p99] = w.percentiles;
            match column {
                "avg" => w.avg,
                "min" => w.min,
                "p50" => p50,
                "p90" => p90,
                "p95" => p95,
                "p99" => p99,
                "max" => w.max,
                "std" => w.std,
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn name(header: &str, unit: Unit) -> String {
    match unit {
        Unit::Count | Unit::Requests => header.to_owned(),
        _ => format!("{header} ({})", unit.shown()),
    }
}

fn row(metric: Metric, value: &Value) -> Line {
    let entry = metric.entry();
    let cell = |column: &&str| match (value, *column) {
        (Value::Stats(s), "count") => crate::words::number(crate::spread::count(s.count as u64)),
        _ => pick(value, column).map_or_else(|| ABSENT.to_owned(), |base| figure(entry.unit, base)),
    };
    Line::of(name(entry.header, entry.unit), COLUMNS.iter().map(cell))
}

fn adjusted(metric: Metric, a: &Adjusted) -> Line {
    let entry = metric.entry();
    let [.., p50, _, p90, p95, p99] = a.percentiles;
    let figures = [None, Some(a.min), Some(p50), Some(p90), Some(p95), Some(p99), None, None];
    let cells = figures.into_iter().map(|f| f.map_or_else(|| ABSENT.to_owned(), |base| figure(entry.unit, base)));
    let count = crate::words::number(crate::spread::count(a.count as u64));
    Line::of(name(&format!("{}, error-adjusted", entry.header), entry.unit), cells.chain([count]))
}

fn table(caption: String, folded: bool, rows: Vec<Line>) -> Table {
    let head = std::iter::once("Metric").chain(COLUMNS).map(str::to_owned).collect();
    Table { caption, folded, head, rows, ..Table::default() }
}

/// What people ask for, with percentiles.
pub(crate) fn key(summary: &Summary, caption: String) -> Table {
    let mut rows: Vec<Line> = KEY.into_iter().filter_map(|metric| Some(row(metric, summary.get(metric)?))).collect();
    rows.extend(summary.adjusted().map(|(metric, a)| adjusted(metric, a)));
    table(caption, false, rows)
}

/// Everything else that is known.
pub(crate) fn rest(summary: &Summary, caption: String) -> Table {
    let shown = |metric: &Metric| metric.entry().group != Group::Internal && !KEY.contains(metric);
    let mut metrics: Vec<Metric> = summary.iter().map(|(metric, _)| metric).filter(shown).collect();
    metrics.sort_by_key(|m| m.entry().header);
    table(caption, true, metrics.into_iter().filter_map(|metric| Some(row(metric, summary.get(metric)?))).collect())
}

/// A column for each run, and how far each is from the first.
pub(crate) fn side_by_side(subjects: &[Subject<'_>]) -> Table {
    let mut rows = Vec::new();
    for metric in KEY {
        let entry = metric.entry();
        for column in compared(metric) {
            let figures: Vec<Option<f64>> = subjects.iter().map(|s| pick(s.summary.get(metric)?, column)).collect();
            if figures.iter().all(Option::is_none) {
                continue;
            }
            let statistics = subjects.iter().any(|s| matches!(s.summary.get(metric), Some(Value::Stats(_) | Value::Weighted(_))));
            let stem = name(entry.header, entry.unit);
            let head = if statistics { format!("{stem}, {column}") } else { stem };
            let first = figures.first().copied().flatten();
            let cell = |(at, value): (usize, &Option<f64>)| {
                let Some(base) = value else { return Cell::from(ABSENT.to_owned()) };
                let mut cell = Cell::from(figure(entry.unit, *base));
                if let Some(change) = first.filter(|f| at > 0 && *f != 0.0).map(|f| (base / f - 1.0) * 100.0) {
                    cell.aside = format!("{change:+.1} %");
                    cell.tone = tone(metric, change);
                }
                cell
            };
            rows.push(Line { head, cells: figures.iter().enumerate().map(cell).collect() });
        }
    }
    let head = std::iter::once("Metric".to_owned()).chain(subjects.iter().map(Subject::label)).collect();
    Table { caption: "Side by side, each against the first".to_owned(), head, rows, ..Table::default() }
}

/// Whether a change is one to the better. Lengths and counts are neither: they are what was asked for.
fn tone(metric: Metric, change: f64) -> &'static str {
    let neither = matches!(metric.entry().unit, Unit::Tokens | Unit::Requests | Unit::Span);
    match (neither || change.abs() < 1.0, (change > 0.0) == metric.entry().larger_is_better) {
        (true, _) => "",
        (false, true) => "better",
        (false, false) => "worse",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_what_the_metric_says() {
        assert_eq!(tone(Metric::TimeToFirstToken, 12.0), "worse");
        assert_eq!(tone(Metric::RequestThroughput, 12.0), "better");
        assert_eq!(tone(Metric::OutputSequenceLength, 12.0), "");
        assert_eq!(tone(Metric::TimeToFirstToken, 0.4), "");
    }
}
