//! Distributions: what share of requests, or of gaps between tokens, was how fast.

use dormouse_perf_metrics::catalog::Metric;
use dormouse_perf_metrics::summary::Value;

use crate::chart::{Axes, Look, Series, draw};
use crate::model::{Chart, Key, Line, Section, Table};
use crate::spread::{Spread, count};
use crate::subject::Subject;
use crate::words::{ABSENT, number, span};

/// Percentiles in the tables behind the charts, and those that are marked.
const PERCENTILES: [(f64, &str); 9] =
    [(0.01, "p1"), (0.1, "p10"), (0.25, "p25"), (0.5, "p50"), (0.75, "p75"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9")];
const MARKED: [(f64, &str); 3] = [(50.0, "p50"), (90.0, "p90"), (99.0, "p99")];
/// Bars of a histogram, at least and at most.
const BARS: (usize, usize) = (8, 48);
/// Nanoseconds as milliseconds.
const MS: f64 = 1e-6;

/// Latencies of whole requests.
pub(crate) fn latencies(subjects: &[Subject<'_>], ids: &mut usize) -> Section {
    let mut section = Section {
        id: "distributions",
        title: "Latency distributions",
        lead: vec!["Of good requests. Each curve says what share of them was at most so slow; a step to the right is slower.".to_owned()],
        ..Section::default()
    };
    for metric in [Metric::TimeToFirstToken, Metric::InterTokenLatency, Metric::RequestLatency] {
        let spreads: Vec<Spread> =
            subjects.iter().map(|s| Spread::of(s.rows().filter(|r| !r.failed).filter_map(|r| r.values.get(metric)))).collect();
        add(&mut section, subjects, &spreads, metric, ids);
    }
    section
}

/// Gaps between pieces of answers.
pub(crate) fn gaps(subjects: &[Subject<'_>], ids: &mut usize) -> Section {
    let spreads: Vec<Spread> =
        subjects.iter().map(|s| Spread::of(s.rows().filter(|r| !r.failed).flat_map(|r| r.gaps.iter().copied()))).collect();
    let mut section = Section { id: "gaps", title: "Per-token gaps", ..Section::default() };
    add(&mut section, subjects, &spreads, Metric::InterChunkLatency, ids);
    if section.charts.is_empty() {
        return section;
    }
    section.lead.push(
        "The time between one piece of an answer and the next, each gap for itself: a stall of one token shows here and not in the mean of its request."
            .to_owned(),
    );
    for (subject, spread) in subjects.iter().zip(&spreads).filter(|(_, s)| s.zeros > 0) {
        let share = 100.0 * count(spread.zeros) / count(spread.total);
        section.lead.push(format!("{}{share:.2} % of the gaps are nought: those pieces arrived together.", subject.prefix()));
    }
    section
}

fn add(section: &mut Section, subjects: &[Subject<'_>], spreads: &[Spread], metric: Metric, ids: &mut usize) {
    let there: Vec<(&Subject<'_>, &Spread)> = subjects.iter().zip(spreads).filter(|(_, s)| s.total > 0).collect();
    if there.is_empty() {
        return;
    }
    section.charts.extend(curves(&there, metric, next(ids)));
    if let [(subject, spread)] = there[..] {
        section.charts.extend(histogram(subject, spread, metric, next(ids)));
    }
}

/// A number that no other chart has.
pub(crate) fn next(ids: &mut usize) -> usize {
    *ids += 1;
    *ids
}

fn header(metric: Metric) -> &'static str {
    metric.entry().header
}

fn curves(there: &[(&Subject<'_>, &Spread)], metric: Metric, id: usize) -> Option<Chart> {
    let logarithmic = there.iter().any(|(_, s)| s.is_wide()) && there.iter().all(|(_, s)| s.zeros == 0);
    let points = |spread: &Spread| spread.curve(logarithmic).into_iter().map(|(x, y)| (x * MS, y)).collect();
    let series: Vec<Series> =
        there.iter().map(|(s, spread)| Series { number: s.number(), look: Look::Step, points: points(spread) }).collect();
    let axes = Axes {
        x: if logarithmic { "ms, logarithmic" } else { "ms" },
        y: "% at most so slow".to_owned(),
        logarithmic,
        percent: true,
        across: MARKED.to_vec(),
        ..Axes::default()
    };
    let svg = draw(&series, &axes, id)?;
    let said = there.iter().map(|(s, spread)| {
        let at = |part: f64| spread.quantile(part).map_or_else(|| ABSENT.to_owned(), span);
        format!("{}half within {}, 90 % within {}, 99 % within {}", s.prefix(), at(0.5), at(0.9), at(0.99))
    });
    let alt = format!("Cumulative distribution of {}. {}.", header(metric).to_lowercase(), said.collect::<Vec<_>>().join("; "));
    let head = std::iter::once("ms".to_owned()).chain(there.iter().map(|(s, _)| s.label())).collect();
    let mut rows = vec![Line::of("min", there.iter().map(|(_, s)| number(s.min * MS)))];
    rows.extend(
        PERCENTILES.iter().map(|(part, name)| Line::of(*name, there.iter().map(|(s, spread)| percentile(s, spread, metric, *part, name)))),
    );
    rows.push(Line::of("max", there.iter().map(|(_, s)| number(s.max * MS))));
    rows.push(Line::of("count", there.iter().map(|(_, s)| number(count(s.total)))));
    Some(Chart {
        title: format!("{}: share of {} at most so slow", header(metric), of_what(metric)),
        alt,
        svg,
        legend: legend(there.iter().map(|(s, _)| *s), "line"),
        remark: String::new(),
        table: Table { caption: "Percentiles, p99.9 to a thousandth of it".to_owned(), folded: true, head, rows, ..Table::default() },
    })
}

fn of_what(metric: Metric) -> &'static str {
    if metric == Metric::InterChunkLatency { "gaps" } else { "requests" }
}

/// As exact as the summary has it, where it has it.
fn percentile(subject: &Subject<'_>, spread: &Spread, metric: Metric, part: f64, name: &str) -> String {
    let exact = match subject.summary.get(metric) {
        Some(Value::Stats(s)) => {
            let known = dormouse_perf_metrics::stats::PERCENTILES.iter().zip(s.percentiles);
            known.into_iter().find(|(p, _)| format!("p{p}") == name).map(|(_, v)| v)
        }
        _ => None,
    };
    exact.or_else(|| spread.quantile(part)).map_or_else(|| ABSENT.to_owned(), |v| number(v * MS))
}

/// A line for each run, where there are several.
pub(crate) fn legend<'a, 'b: 'a>(subjects: impl Iterator<Item = &'a Subject<'b>>, look: &'static str) -> Vec<Key> {
    let all: Vec<Key> = subjects.map(|s| Key { number: s.number(), look, text: s.label() }).collect();
    if all.len() > 1 { all } else { Vec::new() }
}

fn histogram(subject: &Subject<'_>, spread: &Spread, metric: Metric, id: usize) -> Option<Chart> {
    let logarithmic = spread.is_wide();
    // The more values, the narrower the bars that still hold some (Rice's rule).
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above nought")]
    let bars = (2.0 * count(spread.total).cbrt()) as usize;
    let histogram = spread.histogram(bars.clamp(BARS.0, BARS.1), logarithmic);
    let mut points: Vec<(f64, f64)> = histogram.bars.iter().map(|(from, n)| (from * MS, count(*n))).collect();
    let last = points.last().map_or(0.0, |(_, n)| *n);
    points.push((histogram.end * MS, last));
    let axes = Axes {
        x: if logarithmic { "ms, logarithmic" } else { "ms" },
        y: of_what(metric).to_owned(),
        logarithmic,
        upright: [0.5, 0.9, 0.99]
            .iter()
            .filter_map(|part| Some(spread.quantile(*part)? * MS))
            .filter(|v| *v <= histogram.end * MS)
            .collect(),
        ..Axes::default()
    };
    let svg = draw(&[Series { number: subject.number(), look: Look::Filled, points }], &axes, id)?;
    let most = histogram.bars.iter().max_by_key(|(_, n)| *n).map_or(0.0, |(from, _)| *from);
    let mut remark = "Upright lines: p50, p90, p99.".to_owned();
    if histogram.beyond > 0 {
        remark.push_str(&format!(" {} beyond the right edge, up to {}.", number(count(histogram.beyond)), span(spread.max)));
    }
    // A table of 48 bars is not small: several of them are one row.
    let rows = histogram.bars.chunks(histogram.bars.len().div_ceil(12)).map(|bars| {
        let (from, n) = (bars.first().map_or(0.0, |b| b.0), bars.iter().map(|b| b.1).sum::<u64>());
        Line::of(number(from * MS), [number(count(n))])
    });
    Some(Chart {
        title: format!("{}: how many {}", header(metric), of_what(metric)),
        alt: format!(
            "Histogram of {}: most are at about {}; the slowest is {}.",
            header(metric).to_lowercase(),
            span(most),
            span(spread.max)
        ),
        svg,
        legend: Vec::new(),
        remark,
        table: Table {
            caption: "Bars".to_owned(),
            folded: true,
            head: vec!["from, ms".to_owned(), of_what(metric).to_owned()],
            rows: rows.collect(),
            ..Table::default()
        },
    })
}
