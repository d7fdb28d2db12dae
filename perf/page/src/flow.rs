//! The run over time, and whether the load that was asked for is the load that there was.

use dormouse_perf_metrics::catalog::Metric;
use dormouse_perf_metrics::summary::Value;

use crate::chart::{Axes, Look, Series, draw};
use crate::model::{Chart, Key, Line, Section, Table};
use crate::shapes::{legend, next};
use crate::spread::count;
use crate::subject::Subject;
use crate::timeline::{Grid, Timeline};
use crate::words::{ABSENT, number, span};

/// Rows of the tables behind the charts.
const ROWS: usize = 20;

/// How the pieces of a chart become the rows of its table.
#[derive(Clone, Copy)]
enum Rows {
    Mean,
    Most,
}

type Over<'a, 'b> = (&'a Subject<'b>, Timeline);

/// The timelines of all runs that have requests, in pieces of one length.
pub(crate) fn timelines<'a, 'b>(subjects: &'a [Subject<'b>]) -> Vec<Over<'a, 'b>> {
    let spans: Vec<(&Subject<'b>, (u64, u64))> =
        subjects.iter().filter_map(|s| Some((s, s.span()?))).filter(|(s, _)| s.requests() > 0).collect();
    let longest = spans.iter().map(|(_, (start, end))| end.saturating_sub(*start)).max().unwrap_or(0);
    let width = Grid::width_for(longest, spans.iter().map(|(s, _)| s.requests()).max().unwrap_or(0));
    spans.into_iter().map(|(s, (start, end))| (s, Timeline::of(s.rows(), Grid::of(start, end, width)))).collect()
}

/// Throughput, concurrency and failures.
pub(crate) fn timeline(all: &[Over<'_, '_>], ids: &mut usize) -> Section {
    let mut section = Section { id: "timeline", title: "Timeline", ..Section::default() };
    if all.is_empty() {
        return section;
    }
    section.lead.push("Seconds from the start of what was measured. A request counts where it ends; its tokens are spread over the time in which they came.".to_owned());
    let mut add = |title: &str, y: &str, of: fn(&Timeline) -> &[f64]| {
        section.charts.extend(chart(all, title, y, of, Rows::Mean, 1.0, next(ids)));
    };
    add("Good requests that ended", "requests/s", |t| &t.completed);
    if all.iter().any(|(_, t)| t.has_tokens) {
        add("Output tokens", "tokens/s", |t| &t.tokens);
    }
    add("Requests under way", "requests", |t| &t.busy);
    if all.iter().any(|(s, _)| s.failed() > 0) {
        add("Requests that failed", "requests/s", |t| &t.failed);
    }
    section
}

/// The load that was asked for, and the load that there was.
pub(crate) fn offered(all: &[Over<'_, '_>], ids: &mut usize) -> Section {
    let mut section = Section { id: "offered", title: "Offered against achieved load", ..Section::default() };
    if all.is_empty() {
        return section;
    }
    section.lead.push(
        "Offered: when the schedule allowed each request to leave. Achieved: when it left. With a rate, a gap between them is load that the client, or its limit of requests under way, held back; with a fixed concurrency the schedule itself waits for the server, so that it falls with it."
            .to_owned(),
    );
    section.charts.extend(rates(all, next(ids)));
    let late = chart(all, "The longest wait from allowed to left", "ms", |t| &t.late, Rows::Most, 1e-6, next(ids));
    section.charts.extend(late);
    section.tables.push(totals(all));
    section
}

/// A value for each piece as a line that ends where the run does.
fn points(values: &[f64], grid: Grid, scale: f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = values.iter().enumerate().map(|(at, v)| (grid.edge(at) * 1e-9, v * scale)).collect();
    if let Some(last) = values.last() {
        points.push((grid.edge(values.len()) * 1e-9, last * scale));
    }
    points
}

fn chart(all: &[Over<'_, '_>], title: &str, unit: &str, of: fn(&Timeline) -> &[f64], rows: Rows, scale: f64, id: usize) -> Option<Chart> {
    let look = if all.len() == 1 { Look::Filled } else { Look::Step };
    let series: Vec<Series> = all.iter().map(|(s, t)| Series { number: s.number(), look, points: points(of(t), t.grid, scale) }).collect();
    let axes = Axes { x: "seconds", y: unit.to_owned(), from_zero: true, ..Axes::default() };
    let svg = draw(&series, &axes, id)?;
    let said = all.iter().map(|(s, t)| {
        let most = of(t).iter().copied().fold(0.0, f64::max) * scale;
        format!("{}at most {} {unit} over {}", s.prefix(), number(round(most)), span(t.grid.edge(t.grid.pieces)))
    });
    Some(Chart {
        title: title.to_owned(),
        alt: format!("{title} over time. {}.", said.collect::<Vec<_>>().join("; ")),
        svg,
        legend: legend(all.iter().map(|(s, _)| *s), "line"),
        remark: String::new(),
        table: table(all, unit, |t| vec![of(t)], &[""], rows, scale),
    })
}

/// Offered and achieved rates in one chart.
fn rates(all: &[Over<'_, '_>], id: usize) -> Option<Chart> {
    let mut series = Vec::new();
    let mut keys = Vec::new();
    for (subject, timeline) in all {
        let mut add = |look: Look, key: &'static str, values: &[f64], what: &str| {
            series.push(Series { number: subject.number(), look, points: points(values, timeline.grid, 1.0) });
            keys.push(Key { number: subject.number(), look: key, text: format!("{}{what}", subject.prefix()) });
        };
        add(Look::Step, "line", &timeline.left, "achieved: left");
        add(Look::Thin, "thin", &timeline.offered, "offered: allowed to leave");
    }
    let axes = Axes { x: "seconds", y: "requests/s".to_owned(), from_zero: true, ..Axes::default() };
    let svg = draw(&series, &axes, id)?;
    let said = all.iter().map(|(s, _)| {
        let rate = |r: Option<f64>| r.map_or_else(|| ABSENT.to_owned(), |v| number(round(v)));
        format!("{}offered {} requests/s, achieved {}", s.prefix(), rate(rate_of(s, |r| r.credit_ns)), rate(rate_of(s, |r| r.start_ns)))
    });
    Some(Chart {
        title: "Offered and achieved requests".to_owned(),
        alt: format!("Offered against achieved load over time. {}.", said.collect::<Vec<_>>().join("; ")),
        svg,
        legend: keys,
        remark: String::new(),
        table: table(all, "requests/s", |t| vec![&t.offered, &t.left], &[" offered", " achieved"], Rows::Mean, 1.0),
    })
}

/// Two digits; what is left of adding and taking away is none.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn table(all: &[Over<'_, '_>], unit: &str, of: impl Fn(&Timeline) -> Vec<&[f64]>, names: &[&str], rows: Rows, scale: f64) -> Table {
    let mut head = vec!["from, seconds".to_owned()];
    for (subject, _) in all {
        let letter = &subject.run_mark().letter;
        head.extend(names.iter().map(|name| format!("{letter}{name} {unit}").trim().to_owned()));
    }
    let pieces = all.iter().map(|(_, t)| t.grid.pieces).max().unwrap_or(0);
    let together = pieces.div_ceil(ROWS).max(1);
    // Pieces are as long in all of them.
    let longest = all.iter().max_by_key(|(_, t)| t.grid.pieces);
    let row = |from: usize| {
        let cells = all.iter().flat_map(|(_, t)| of(t)).map(|values| {
            let part = values.get(from.min(values.len())..(from + together).min(values.len())).unwrap_or_default();
            let value = match rows {
                _ if part.is_empty() => return ABSENT.to_owned(),
                Rows::Mean => part.iter().sum::<f64>() / count(part.len() as u64),
                Rows::Most => part.iter().copied().fold(0.0, f64::max),
            };
            number(round(value * scale))
        });
        let begins = longest.map_or(0.0, |(_, t)| t.grid.edge(from) * 1e-9);
        Line::of(number((begins * 1e3).round() / 1e3), cells)
    };
    let rows = (0..pieces).step_by(together).map(row).collect();
    Table { caption: "Over time".to_owned(), folded: true, head, rows, ..Table::default() }
}

/// Requests in a second, from the first to the last.
fn rate_of(subject: &Subject<'_>, moment: fn(&dormouse_perf_metrics::record::Row) -> u64) -> Option<f64> {
    let (first, last) = subject.rows().map(moment).fold((u64::MAX, 0), |(low, high), at| (low.min(at), high.max(at)));
    let seconds = count(last.saturating_sub(first)) * 1e-9;
    (seconds > 0.0).then(|| count(subject.requests().saturating_sub(1) as u64) / seconds)
}

fn totals(all: &[Over<'_, '_>]) -> Table {
    let figure = |value: Option<f64>| value.map_or_else(|| ABSENT.to_owned(), |v| number(round(v)));
    let row = |head: &str, of: &dyn Fn(&Subject<'_>) -> String| Line::of(head, all.iter().map(|(s, _)| of(s)));
    let late = |subject: &Subject<'_>, of: fn(&dormouse_perf_metrics::Stats) -> f64| match subject.summary.get(Metric::CreditToStartLatency)
    {
        Some(Value::Stats(s)) => span(of(s)),
        _ => ABSENT.to_owned(),
    };
    let rows = vec![
        row("Requests", &|s| number(count(s.requests() as u64))),
        row("Offered, requests/s", &|s| figure(rate_of(s, |r| r.credit_ns))),
        row("Achieved, requests/s", &|s| figure(rate_of(s, |r| r.start_ns))),
        row("Ended, requests/s", &|s| figure(rate_of(s, |r| r.end_ns))),
        row("Allowed to left, p50", &|s| late(s, |d| d.percentiles[4])),
        row("Allowed to left, p99", &|s| late(s, |d| d.percentiles[8])),
        row("Allowed to left, max", &|s| late(s, |d| d.max)),
    ];
    let head = std::iter::once("From the first request to the last".to_owned()).chain(all.iter().map(|(s, _)| s.label())).collect();
    Table { caption: "Offered and achieved in figures".to_owned(), head, rows, ..Table::default() }
}
