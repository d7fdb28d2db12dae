//! The files of one run (perf contract 6.1, 6.2), ours or the peer's, and the windows of its phases.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use dormouse_perf_metrics::Stamps;
use dormouse_perf_metrics::catalog::Metric;
use dormouse_perf_metrics::record::Row;
use dormouse_perf_metrics::slices::{self, Slice};
use dormouse_perf_metrics::summary::{self, Objective, Summary, Window};
use serde::Deserialize;
use serde_json::Value;

use crate::json::Json;
use crate::records::{self, Problem, Record};

/// The file of the summary.
const SUMMARY: &str = "profile_export_aiperf.json";

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there, or cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}{}: {source}", .line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Of a file of lines.
        line: Option<usize>,
        /// Why.
        source: serde_json::Error,
    },
    /// There are no records.
    #[error("{0} has no profile_export.jsonl: records are written with --export-level records or raw")]
    NoRecords(PathBuf),
}

/// Where the window of a phase was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the manifest of phases: exact.
    Manifest,
    /// Beside the servers' metrics: exact, with one phase.
    ServerMetrics,
    /// Nowhere: first start to last end of a request.
    Records,
}

/// Counts that are of the whole, and in no metric of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were sent once more.
    pub reconnected: u64,
    /// Requests that were cut off.
    pub censored: u64,
    /// Streams that ended without saying so.
    pub incomplete: u64,
    /// Requests that found no free place at their time.
    pub missed: u64,
}

impl Counts {
    /// Adds those of another phase.
    pub fn add(&mut self, other: Self) {
        self.reconnected += other.reconnected;
        self.censored += other.censored;
        self.incomplete += other.incomplete;
        self.missed += other.missed;
    }

    /// Says them in a summary; nought is not said.
    pub fn put(self, summary: &mut Summary) {
        for (metric, count) in [
            (Metric::ReconnectedCount, self.reconnected),
            (Metric::CensoredCount, self.censored),
            (Metric::IncompleteStreamCount, self.incomplete),
            (Metric::ScheduleMissedCount, self.missed),
        ] {
            if count > 0 {
                #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
                summary.set(metric, summary::Value::Single(count as f64));
            }
        }
    }
}

/// A phase of a run.
#[derive(Debug)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// It warmed up only.
    pub warmup: bool,
    /// When it was, and how that is known.
    pub window: (Window, Source),
    /// Its records, in the order in which they were written.
    pub rows: Vec<Row>,
    /// Why some failed.
    pub problems: Vec<Problem>,
    /// What is in no record's metrics.
    pub counts: Counts,
}

impl Phase {
    /// What is said of it alone.
    #[must_use]
    pub fn summary(&self, run: &Run) -> Summary {
        let mut summary = Summary::of(&self.rows, Some(self.window.0), &run.objectives, run.stamps);
        self.counts.put(&mut summary);
        summary
    }
}

/// A run.
#[derive(Debug)]
pub struct Run {
    /// Its phases, in the order in which they were first seen.
    pub phases: Vec<Phase>,
    /// What good requests keep to.
    pub objectives: Vec<Objective>,
    /// How its writer keeps moments.
    pub stamps: Stamps,
    /// The summary that was written; nothing where there is none.
    pub about: Json,
}

impl Run {
    /// Reads a folder.
    ///
    /// # Errors
    /// When there are no records, or a file is broken.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("profile_export.jsonl");
        if !path.is_file() {
            return Err(Error::NoRecords(folder.to_owned()));
        }
        let mut phases: Vec<Phase> = Vec::new();
        each_record(&path, |record| {
            let at = phases.iter().position(|p| p.name == record.phase).unwrap_or_else(|| {
                let window = (Window::default(), Source::Records);
                phases.push(Phase {
                    name: record.phase.clone(),
                    warmup: record.warmup,
                    window,
                    rows: Vec::new(),
                    problems: Vec::new(),
                    counts: Counts::default(),
                });
                phases.len() - 1
            });
            let phase = &mut phases[at];
            phase.counts.reconnected += u64::from(record.reconnected);
            phase.counts.incomplete += u64::from(record.incomplete);
            if record.censored {
                phase.counts.censored += 1;
                return;
            }
            phase.rows.push(record.row);
            phase.problems.extend(record.error);
        })?;
        let about: Json = optional(&folder.join(SUMMARY))?.unwrap_or(Json::Null);
        let windows = Windows::read(folder)?;
        for phase in &mut phases {
            phase.window = windows.of(&phase.name, &phase.rows);
            phase.counts.missed = windows.missed(&phase.name);
        }
        let objectives = objectives(&about);
        // Ours says so in its summary.
        let ours = about.get("dormouse_version").is_some();
        let stamps = if ours { Stamps::Whole } else { Stamps::Doubles };
        Ok(Self { phases, objectives, stamps, about })
    }

    /// The summary that was written, of a folder that may have no records.
    ///
    /// # Errors
    /// When there is none, or it is broken.
    pub fn written(folder: &Path) -> Result<Json, Error> {
        optional(&folder.join(SUMMARY))?.ok_or_else(|| Error::NoRecords(folder.to_owned()))
    }

    /// What is measured: all phases but those that warm up.
    #[must_use]
    pub fn profiling(&self) -> Summary {
        match self.phases.iter().filter(|p| !p.warmup).collect::<Vec<_>>()[..] {
            [] => Summary::default(),
            [phase] => phase.summary(self),
            ref phases => {
                let start_ns = phases.iter().map(|p| p.window.0.start_ns).min().unwrap_or(0);
                let end_ns = phases.iter().map(|p| p.window.0.end_ns).max().unwrap_or(0);
                let mut summary = Summary::of(&self.measured(), Some(Window { start_ns, end_ns }), &self.objectives, self.stamps);
                let mut counts = Counts::default();
                phases.iter().for_each(|phase| counts.add(phase.counts));
                counts.put(&mut summary);
                summary
            }
        }
    }

    /// What was measured while warming up, if that was done.
    #[must_use]
    pub fn warmup(&self) -> Option<Summary> {
        self.phases.iter().find(|p| p.warmup).map(|phase| phase.summary(self))
    }

    /// The profiling phases in slices of so many nanoseconds.
    #[must_use]
    pub fn slices(&self, length_ns: u64) -> Vec<Slice> {
        slices::of(&self.measured(), length_ns, &self.objectives, self.stamps)
    }

    /// The rows of all phases but those that warm up.
    fn measured(&self) -> Vec<Row> {
        self.phases.iter().filter(|p| !p.warmup).flat_map(|p| p.rows.iter().cloned()).collect()
    }
}

fn each_record(path: &Path, mut take: impl FnMut(Record)) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    let (mut line, mut number) = (String::new(), 0);
    loop {
        line.clear();
        if lines.read_line(&mut line).map_err(io)? == 0 {
            return Ok(());
        }
        number += 1;
        if !line.trim().is_empty() {
            let malformed = |source| Error::Malformed { path: path.to_owned(), line: Some(number), source };
            take(records::read(&line).map_err(malformed)?);
        }
    }
}

/// A file that need not be there.
fn optional<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path: path.to_owned(), source }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|source| Error::Malformed { path: path.to_owned(), line: None, source })
}

/// Objectives as the configuration has them: a metric's tag and a limit as it is shown.
fn objectives(summary: &Json) -> Vec<Objective> {
    let given = summary.get("input_config").and_then(|config| config.get("slos"));
    let one = |(tag, limit): &(String, Json)| {
        let metric = Metric::of(tag)?;
        // Limits need not be whole nanoseconds: no rounding.
        let shown = limit.as_f64()?;
        let unit = metric.entry().unit;
        Some(Objective { metric, limit: unit.base(shown) })
    };
    given.map(Json::members).unwrap_or_default().iter().filter_map(one).collect()
}

#[derive(Deserialize)]
struct Manifest {
    phases: Vec<ManifestPhase>,
}

#[derive(Deserialize)]
struct ManifestPhase {
    phase_name: String,
    start_ns: u64,
    end_ns: u64,
    #[serde(default)]
    schedule_missed_count: u64,
}

/// What the files of a run say of when its phases were.
struct Windows {
    manifest: Option<Manifest>,
    servers: Option<Value>,
}

impl Windows {
    fn read(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            manifest: optional(&folder.join("phase_manifest.json"))?,
            servers: optional(&folder.join("server_metrics_export.json"))?,
        })
    }

    fn listed(&self, phase: &str) -> Option<&ManifestPhase> {
        self.manifest.iter().flat_map(|m| &m.phases).find(|p| p.phase_name == phase)
    }

    fn missed(&self, phase: &str) -> u64 {
        self.listed(phase).map_or(0, |listed| listed.schedule_missed_count)
    }

    fn of(&self, phase: &str, rows: &[Row]) -> (Window, Source) {
        if let Some(found) = self.listed(phase) {
            return (Window { start_ns: found.start_ns, end_ns: found.end_ns }, Source::Manifest);
        }
        let range = self.servers.as_ref().map(|s| &s["summary"]["phase_time_ranges"][phase]);
        if let Some((start_ns, end_ns)) = range.and_then(|r| r["start_ns"].as_u64().zip(r["end_ns"].as_u64())) {
            return (Window { start_ns, end_ns }, Source::ServerMetrics);
        }
        let start_ns = rows.iter().map(|r| r.credit_ns.min(r.start_ns)).min().unwrap_or(0);
        let end_ns = rows.iter().map(|r| r.end_ns).max().unwrap_or(0);
        (Window { start_ns, end_ns }, Source::Records)
    }
}
