//! `perf compare`: two runs side by side, ours or the peer's, with what their tools mean otherwise by the same name.

use std::path::{Path, PathBuf};

use clap::Args;
use dormouse_perf_metrics::catalog::Metric;
use dormouse_runtime::flags::Output;
use dormouse_runtime::output::Out;
use dormouse_runtime::output::table::render;

use crate::console::thousands;
use crate::folder::{Error, Run};
use crate::json::{Json, Members};
use crate::summary;

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Folder of a run, ours or the peer's
    first: PathBuf,
    /// Folder of another one
    second: PathBuf,
    /// Only these metrics, by tag
    #[arg(long, value_delimiter = ',', value_name = "TAG", value_parser = metric)]
    metrics: Vec<Metric>,
    /// Form of the answer
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn metric(tag: &str) -> Result<Metric, String> {
    Metric::of(tag).ok_or_else(|| format!("{tag:?} is no metric"))
}

/// What is compared of a metric.
const FIGURES: [&str; 3] = ["avg", "p50", "p99"];

/// What the peer and we mean otherwise (perf contract 10.6): by which metrics, and what each means, theirs first.
pub const DEFINITIONS: [(&[Metric], &str, &str); 4] = [
    (
        &[Metric::HttpReqSending, Metric::HttpReqDuration, Metric::HttpReqTotal],
        "on a new connection sending begins before it is made",
        "sending begins with the first byte that is written",
    ),
    (
        &[Metric::EffectiveLatency, Metric::EffectiveConcurrency],
        "a failed request ends when it starts; what is late by more than 10 ms is forgotten",
        "a failed request ends when its failure is known; what is late is kept, from when it was to leave",
    ),
    (
        &[Metric::TimeToFirstToken, Metric::RequestLatency],
        "the first requests wait for their connections",
        "connections are made before, and are not in it",
    ),
    (
        &[Metric::RequestErrorRate, Metric::RequestCount],
        "a stream with an error in it counts as a success; what the deadline cut off leaves no record",
        "an error in a stream is an error; what the deadline cut off is counted as cut off",
    ),
];

/// One of the two.
struct Side {
    name: String,
    ours: bool,
    summary: Json,
}

impl Side {
    /// From its records where there are some, else as its summary says.
    fn read(folder: &Path) -> Result<Self, Error> {
        let name = folder.display().to_string();
        let summary = match Run::read(folder) {
            Ok(run) => summary::document(&run.profiling(), run.warmup().as_ref(), &run.about),
            Err(Error::NoRecords(_)) => Run::written(folder)?,
            Err(other) => return Err(other),
        };
        Ok(Self { name, ours: summary.get("dormouse_version").is_some(), summary })
    }

    fn figure(&self, metric: Metric, name: &str) -> Option<f64> {
        self.summary.get(metric.tag())?.get(name)?.as_f64()
    }
}

/// Runs it to its end.
///
/// # Errors
/// When a folder cannot be read.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let (first, second) = (Side::read(&args.first)?, Side::read(&args.second)?);
    let there = |metric: &Metric| [&first, &second].iter().any(|side| side.summary.get(metric.tag()).is_some());
    let wanted = |metric: &Metric| if args.metrics.is_empty() { is_main(*metric) } else { args.metrics.contains(metric) };
    let metrics: Vec<Metric> = Metric::all().filter(|m| there(m) && wanted(m)).collect();
    match args.output {
        Output::Json => Out.line(&serde_json::to_string_pretty(&document(&first, &second, &metrics))?)?,
        Output::Table => Out.text(&table(&first, &second, &metrics))?,
    }
    Ok(())
}

fn is_main(metric: Metric) -> bool {
    metric.entry().group == dormouse_perf_metrics::catalog::Group::Main
}

/// The second by the first, in hundredths.
fn change(first: Option<f64>, second: Option<f64>) -> Option<f64> {
    Some((second? / first.filter(|f| *f != 0.0)? - 1.0) * 100.0)
}

fn table(first: &Side, second: &Side, metrics: &[Metric]) -> String {
    let mut rows = Vec::new();
    for metric in metrics {
        let entry = metric.entry();
        let mut name = format!("{} ({})", entry.header, entry.unit.shown());
        for figure in FIGURES {
            let (a, b) = (first.figure(*metric, figure), second.figure(*metric, figure));
            if a.is_none() && b.is_none() {
                continue;
            }
            let cell = |value: Option<f64>| value.map(thousands).unwrap_or_default();
            let change = change(a, b).map(|c| format!("{c:+.1} %")).unwrap_or_default();
            rows.push(vec![std::mem::take(&mut name), figure.to_owned(), cell(a), cell(b), change]);
        }
    }
    // A name is said once; what is left of it is no gap.
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.into_iter().map(|c| if c.is_empty() { " ".to_owned() } else { c }).collect()).collect();
    let mut text = render(&["METRIC", "", "FIRST", "SECOND", "CHANGE"], &rows);
    text.push_str(&format!("\nfirst:  {}\nsecond: {}\n", first.name, second.name));
    if first.ours != second.ours {
        text.push_str("\nThe two tools mean these otherwise:\n");
        for (metrics, theirs, ours) in DEFINITIONS {
            let names: Vec<&str> = metrics.iter().map(|m| m.tag()).collect();
            text.push_str(&format!("  {}\n    AIPerf:   {theirs}\n    Dormouse: {ours}\n", names.join(", ")));
        }
    }
    text
}

fn document(first: &Side, second: &Side, metrics: &[Metric]) -> Json {
    let side = |side: &Side| {
        Json::Object(vec![
            ("folder".to_owned(), Json::from(side.name.as_str())),
            ("tool".to_owned(), Json::from(if side.ours { "dormouse" } else { "aiperf" })),
        ])
    };
    let number = |value: Option<f64>| value.map_or(Json::Null, Json::float);
    let figures = |metric: &Metric| -> Members {
        let of = |name: &str| {
            let (a, b) = (first.figure(*metric, name), second.figure(*metric, name));
            let pair = [("first", number(a)), ("second", number(b)), ("change_pct", number(change(a, b)))];
            (a.is_some() || b.is_some()).then(|| (name.to_owned(), Json::Object(pair.map(|(n, v)| (n.to_owned(), v)).into())))
        };
        FIGURES.iter().filter_map(|name| of(name)).collect()
    };
    let rows = metrics.iter().map(|m| {
        let unit = ("unit".to_owned(), Json::from(m.entry().unit.shown()));
        (m.tag().to_owned(), Json::Object([vec![unit], figures(m)].concat()))
    });
    Json::Object(vec![
        ("first".to_owned(), side(first)),
        ("second".to_owned(), side(second)),
        ("metrics".to_owned(), Json::Object(rows.collect())),
    ])
}
