//! What one endpoint said, scrape by scrape, in bounded memory.
//!
//! A body that equals the one before is a scrape, but no row: its values are those of the row that is there. Where there is more
//! than may be kept, every second scrape goes, but never one that was [kept](When::keep); whoever scrapes is told to do it more rarely.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::column::Column;
use crate::parse::{Exposition, Family, Kind, Labels, parse};

/// How much is kept of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Scrapes.
    pub scrapes: usize,
    /// Changes of values, all samples together; one is 16 bytes.
    pub changes: usize,
    /// Samples of different names or labels; further ones are left out.
    pub samples: usize,
    /// Bytes of their names, labels and help.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { scrapes: 50_000, changes: 4_000_000, samples: 100_000, text: 64 << 20 }
    }
}

/// When a body was asked for and had come, in nanoseconds of the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The request left.
    pub sent_ns: u64,
    /// Its answer was there.
    pub answered_ns: u64,
    /// It marks something, a phase's edge: it stays when others go.
    pub keep: bool,
}

impl When {
    /// The moment that its values are taken to be of: between both.
    #[must_use]
    pub const fn middle_ns(self) -> u64 {
        self.sent_ns + self.answered_ns.saturating_sub(self.sent_ns) / 2
    }
}

/// One scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scrape {
    pub(crate) when: When,
    /// Where its values stand.
    pub(crate) row: u32,
    /// Its body was not that of the scrape before.
    pub(crate) is_new: bool,
}

/// The figures of a histogram, or the only one of anything else.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    Scalar(Column),
    Histogram {
        /// Bounds as they are written and as numbers, ascending, and the observations up to them.
        buckets: Vec<(String, f64, Column)>,
        sum: Column,
        count: Column,
    },
}

/// What has one name and one set of labels.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) values: Values,
}

/// What has one name.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) help: String,
    pub(crate) unit: String,
    pub(crate) series: Vec<Series>,
    index: HashMap<Vec<(String, String)>, usize>,
}

/// All scrapes of one endpoint.
#[derive(Debug, Default)]
pub struct History {
    limits: Limits,
    pub(crate) scrapes: Vec<Scrape>,
    pub(crate) metrics: Vec<Metric>,
    index: HashMap<String, usize>,
    rows: u32,
    changes: usize,
    samples: usize,
    text: usize,
    hasher: RandomState,
    last: Option<u64>,
    pub(crate) totals: Totals,
    stride: u32,
    too_many_samples: bool,
    cut: bool,
    odd_lines: usize,
}

/// Counted of every scrape, kept or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) fetches: u64,
    pub(crate) updates: u64,
    pub(crate) latency_ns: u128,
}

impl History {
    /// With these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Adds a scrape, if the body can be one. None is taken to be before the one before, whatever its clock says.
    pub fn add(&mut self, mut when: When, body: &[u8]) -> bool {
        if let Some(before) = self.scrapes.last() {
            when.sent_ns = when.sent_ns.max(before.when.answered_ns);
        }
        when.answered_ns = when.answered_ns.max(when.sent_ns);
        let hash = self.hasher.hash_one(body);
        let is_new = self.last != Some(hash) || self.rows == 0;
        if is_new {
            let text = String::from_utf8_lossy(body);
            let read = parse(&text);
            if read.is_foreign() {
                return false;
            }
            self.row(&read);
            self.last = Some(hash);
            self.totals.updates += 1;
        }
        self.totals.fetches += 1;
        self.totals.latency_ns += u128::from(when.answered_ns.saturating_sub(when.sent_ns));
        self.scrapes.push(Scrape { when, row: self.rows.saturating_sub(1), is_new });
        if self.scrapes.len() > self.limits.scrapes || self.changes > self.limits.changes {
            self.thin();
        }
        true
    }

    /// How many times the interval should pass between two scrapes, so that little need be thrown away.
    #[must_use]
    pub fn stride(&self) -> u32 {
        self.stride.max(1)
    }

    /// What people should know of how this was read.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.stride > 1 {
            notes.push(format!("there is more than is kept: from some time on, one scrape in {} stayed", self.stride));
        }
        if self.too_many_samples {
            notes.push(format!("more samples of different names or labels than the {} that are kept: others are left out", self.samples));
        }
        if self.cut {
            notes.push(format!("an answer had more than {} samples: its end is left out", crate::parse::MAX_SAMPLES));
        }
        if self.odd_lines > 0 {
            notes.push(format!("{} lines could not be read", self.odd_lines));
        }
        notes
    }

    fn row(&mut self, read: &Exposition<'_>) {
        let row = self.rows;
        self.rows = self.rows.saturating_add(1);
        self.cut |= read.cut;
        self.odd_lines = self.odd_lines.max(read.odd_lines);
        for family in read.families.iter().filter(|f| !f.samples.is_empty() && is_wanted(f)) {
            let Some(at) = self.metric(family) else { continue };
            // A kind that changes in the middle of a run cannot be told as one thing.
            if self.metrics[at].kind != family.kind {
                continue;
            }
            for sample in &family.samples {
                if sample.suffix != "_created" {
                    self.sample(at, row, family.kind, sample.suffix, &sample.labels, sample.value);
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.samples >= self.limits.samples || self.text >= self.limits.text
    }

    fn metric(&mut self, family: &Family<'_>) -> Option<usize> {
        if let Some(at) = self.index.get(family.name.as_ref()) {
            return Some(*at);
        }
        if self.is_full() {
            self.too_many_samples = true;
            return None;
        }
        self.text += family.name.len() + family.help.len() + family.unit.len();
        let name = family.name.to_string();
        self.index.insert(name.clone(), self.metrics.len());
        let (help, unit) = (family.help.to_string(), family.unit.to_owned());
        self.metrics.push(Metric { name, kind: family.kind, help, unit, series: Vec::new(), index: HashMap::new() });
        Some(self.metrics.len() - 1)
    }

    fn sample(&mut self, metric: usize, row: u32, kind: Kind, suffix: &str, labels: &Labels<'_>, value: f64) {
        let is_full = self.is_full();
        let metric = &mut self.metrics[metric];
        let is_histogram = kind == Kind::Histogram;
        let own = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| (name.to_string(), value.to_string());
        let key: Vec<(String, String)> = labels.iter().filter(|(name, _)| !(is_histogram && name == "le")).map(own).collect();
        let at = if let Some(at) = metric.index.get(&key) {
            *at
        } else {
            if is_full {
                self.too_many_samples = true;
                return;
            }
            let values = if is_histogram {
                Values::Histogram { buckets: Vec::new(), sum: Column::default(), count: Column::default() }
            } else {
                Values::Scalar(Column::default())
            };
            self.samples += 1;
            self.text += key.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            metric.index.insert(key.clone(), metric.series.len());
            metric.series.push(Series { labels: key, values });
            metric.series.len() - 1
        };
        let column = match (&mut metric.series[at].values, suffix) {
            (Values::Scalar(column), _) => column,
            (Values::Histogram { sum, .. }, "_sum") => sum,
            (Values::Histogram { count, .. }, "_count") => count,
            (Values::Histogram { buckets, .. }, "_bucket") => {
                let Some((_, le)) = labels.iter().find(|(name, _)| name == "le") else { return };
                let Some(bound) = le.parse().ok().filter(|bound: &f64| !bound.is_nan()) else { return };
                match buckets.binary_search_by(|(_, have, _)| have.total_cmp(&bound)) {
                    Ok(at) => &mut buckets[at].2,
                    Err(_) if is_full => return,
                    Err(at) => {
                        self.samples += 1;
                        buckets.insert(at, (le.to_string(), bound, Column::default()));
                        &mut buckets[at].2
                    }
                }
            }
            (Values::Histogram { .. }, _) => return,
        };
        self.changes += column.set(row, value);
    }

    /// Leaves out every second scrape that need not be kept, and the rows that no scrape has any more.
    fn thin(&mut self) {
        self.stride = self.stride().saturating_mul(2).min(1 << 20);
        let last = self.scrapes.len().saturating_sub(1);
        let mut odd = false;
        let mut at = 0;
        self.scrapes.retain(|scrape| {
            odd = !odd || scrape.when.keep;
            at += 1;
            odd || at - 1 == last
        });
        let mut rows: Vec<u32> = self.scrapes.iter().map(|scrape| scrape.row).collect();
        rows.dedup();
        let mut changes = 0;
        for metric in &mut self.metrics {
            for column in metric.series.iter_mut().flat_map(Series::columns) {
                *column = column.thinned(&rows);
                changes += column.len();
            }
        }
        let mut before = None;
        for scrape in &mut self.scrapes {
            scrape.is_new = before != Some(scrape.row);
            before = Some(scrape.row);
            let new = rows.binary_search(&scrape.row).unwrap_or_default();
            scrape.row = u32::try_from(new).unwrap_or(u32::MAX);
        }
        self.rows = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        self.changes = changes;
    }
}

impl Series {
    fn columns(&mut self) -> Vec<&mut Column> {
        match &mut self.values {
            Values::Scalar(column) => vec![column],
            Values::Histogram { buckets, sum, count } => buckets.iter_mut().map(|(_, _, column)| column).chain([sum, count]).collect(),
        }
    }
}

/// What says something about a benchmark: not when things were made, nor since when they are, nor quantiles since then.
fn is_wanted(family: &Family<'_>) -> bool {
    let name = family.name.as_ref();
    let is_age = name.ends_with("_created") || name.ends_with("process_start_time_seconds") || name.ends_with("uptime_seconds");
    !matches!(family.kind, Kind::Summary | Kind::Info) && !is_age
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(at: u64) -> When {
        When { sent_ns: at, answered_ns: at + 10, keep: false }
    }

    fn scalar(history: &History, metric: usize) -> Vec<Option<f64>> {
        let Values::Scalar(column) = &history.metrics[metric].series[0].values else { panic!("a histogram") };
        column.at(history.scrapes.iter().map(|s| s.row)).collect()
    }

    #[test]
    fn the_same_body_is_a_scrape_and_no_row() {
        let mut history = History::default();
        for (at, value) in [(0, 1), (100, 1), (200, 2), (300, 1)] {
            assert!(history.add(when(at), format!("a {value}\n").as_bytes()));
        }
        assert!(!history.add(when(400), b"<html>not found</html>"));
        assert_eq!((history.totals.fetches, history.totals.updates, history.rows), (4, 3, 3));
        assert_eq!(history.scrapes.iter().map(|s| s.is_new).collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(scalar(&history, 0), [Some(1.0), Some(1.0), Some(2.0), Some(1.0)]);
        assert_eq!(history.totals.latency_ns, 40);
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let mut history = History::default();
        history.add(
            when(0),
            b"# TYPE a summary\na{quantile=\"0.5\"} 1\n# TYPE b counter\nb_total 1\nb_created 5\n# TYPE c_created gauge\nc_created 1\n\
              process_start_time_seconds 1\ndynamo_uptime_seconds 1\n# TYPE d info\nd_info{v=\"1\"} 1\n",
        );
        let names: Vec<&str> = history.metrics.iter().map(|m| m.name.as_str()).collect();
        assert_eq!((names, scalar(&history, 0)), (vec!["b"], vec![Some(1.0)]));
    }

    #[test]
    fn memory_is_bounded_and_what_is_marked_stays() {
        let mut history = History::new(Limits { scrapes: 16, changes: 1_000, samples: 3, ..Limits::default() });
        for at in 0..100_u64 {
            let when = When { keep: at == 37, ..when(at * 1_000) };
            assert!(history.add(when, format!("a {at}\nb{{x=\"{at}\"}} 1\n").as_bytes()));
            assert!(history.scrapes.len() <= 17);
        }
        let kept: Vec<u64> = history.scrapes.iter().map(|s| s.when.sent_ns / 1_000).collect();
        assert!(kept.contains(&0) && kept.contains(&37) && kept.contains(&99), "{kept:?}");
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let wanted: Vec<Option<f64>> = kept.iter().map(|at| Some(*at as f64)).collect();
        assert_eq!(scalar(&history, 0), wanted);
        assert!(history.stride() > 1);
        let notes = history.notes();
        assert!(notes.len() == 2 && notes[0].contains("one scrape in") && notes[1].contains("than the 3 that are kept"), "{notes:?}");
    }
}
