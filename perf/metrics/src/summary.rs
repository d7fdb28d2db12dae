//! A phase as a whole: the columns of its records become statistics, sums and rates (perf contract 5.3, 5.7, 5.12).
//!
//! A metric whose ingredients are missing is absent, not nought. Failed records are in no figure but those of failures, of the
//! whole number, and of what the clock says of every request.
//!
//! Records are in groups: all in one, or a group for each slice of time. Metric by metric the values of each group are gathered,
//! summed up and forgotten.

use crate::catalog::{ADJUSTED, Kind, Metric, OF_RECORDS, USAGE};
use crate::columns::{Columns, Wanted};
use crate::curves::{Curves, MANY, Stamps, Weighted, both};
use crate::ranks;
use crate::record::Row;
use crate::stats::{self, Stats};

/// The stretch of time that rates are taken over, Unix nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The phase began.
    pub start_ns: u64,
    /// Its last request was over.
    pub end_ns: u64,
}

impl Window {
    /// Its length in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        nanoseconds(self.start_ns, self.end_ns) * 1e-9
    }
}

/// What a good request keeps to (perf contract 5.7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Of which metric.
    pub metric: Metric,
    /// In its base unit: at most, or at least where more is better.
    pub limit: f64,
}

impl Objective {
    fn is_met(&self, row: &Row) -> bool {
        let better = |value: f64| if self.metric.entry().larger_is_better { value >= self.limit } else { value <= self.limit };
        row.values.get(self.metric).is_some_and(better)
    }
}

/// What is said of a metric, in base units.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One figure.
    Single(f64),
    /// Statistics of a column.
    Stats(Stats),
    /// Statistics of a curve.
    Weighted(Weighted),
}

/// Statistics in which each failure counts as a value without end (perf contract 5.12).
#[derive(Clone, Debug, PartialEq)]
pub struct Adjusted {
    /// Smallest.
    pub min: f64,
    /// [`stats::PERCENTILES`]; without end where they are failures.
    pub percentiles: [f64; 9],
    /// Valid and failed.
    pub count: usize,
}

/// All that is known of a phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    values: Vec<(Metric, Value)>,
    adjusted: Vec<(Metric, Adjusted)>,
}

impl Summary {
    /// Of these records, in the order in which they were written. Without a window, rates are over the time from the first start
    /// to the last content.
    #[must_use]
    pub fn of(rows: &[Row], window: Option<Window>, objectives: &[Objective], stamps: Stamps) -> Self {
        Self::of_columns(&rows.iter().collect(), window, objectives, stamps)
    }

    /// The same of records that are kept as columns.
    #[must_use]
    pub fn of_columns(columns: &Columns, window: Option<Window>, objectives: &[Objective], stamps: Stamps) -> Self {
        let curves = || {
            let window = window.filter(|_| !columns.is_empty())?;
            Some(Curves::of_columns(columns, stamps).within(window))
        };
        let records = || Self::of_groups(columns, |_| 0, &[window], objectives, stamps).pop().unwrap_or_default();
        let (curves, mut summary) = both(columns.len() >= MANY, curves, records);
        summary.put_curves(curves.unwrap_or_default());
        summary
    }

    /// One for each window, of the records that are in its group; without curves. Records of no window's group are in none.
    pub(crate) fn of_groups(
        columns: &Columns,
        group: impl Fn(usize) -> usize,
        windows: &[Option<Window>],
        objectives: &[Objective],
        stamps: Stamps,
    ) -> Vec<Self> {
        let tallies = Tally::of_groups(columns, &group, windows.len(), objectives);
        let mut summaries = vec![Self::default(); windows.len()];
        let mut gathered: Vec<Vec<f64>> = vec![Vec::new(); windows.len()];
        for metric in Metric::all().take(OF_RECORDS) {
            gather(columns, metric, stamps, |at, value| {
                if let Some(values) = gathered.get_mut(group(at)) {
                    values.push(value);
                }
            });
            for ((summary, tally), values) in summaries.iter_mut().zip(&tallies).zip(&mut gathered) {
                if let Some(stats) = Stats::of(values) {
                    summary.values.push((metric, Value::Stats(stats)));
                }
                if tally.failed > 0 && ADJUSTED.contains(&metric) {
                    summary.adjusted.extend(Adjusted::of(values, tally.failed).map(|adjusted| (metric, adjusted)));
                }
                values.clear();
            }
        }
        for ((summary, tally), window) in summaries.iter_mut().zip(&tallies).zip(windows) {
            summary.adjusted.sort_by_key(|(metric, _)| ADJUSTED.iter().position(|m| m == metric));
            summary.singles(tally, *window, !objectives.is_empty());
        }
        summaries
    }

    /// What is said of a metric.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<&Value> {
        self.values.iter().find(|(m, _)| *m == metric).map(|(_, value)| value)
    }

    /// The one figure of a metric.
    #[must_use]
    pub fn single(&self, metric: Metric) -> Option<f64> {
        match self.get(metric)? {
            Value::Single(value) => Some(*value),
            _ => None,
        }
    }

    /// Everything that is said, by the order of the catalogue within each kind.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, &Value)> {
        self.values.iter().map(|(metric, value)| (*metric, value))
    }

    /// What is said with failures counted, of [`ADJUSTED`].
    pub fn adjusted(&self) -> impl Iterator<Item = (Metric, &Adjusted)> {
        self.adjusted.iter().map(|(metric, value)| (*metric, value))
    }

    /// Says more of it, or otherwise: what is not made of records.
    pub fn set(&mut self, metric: Metric, value: Value) {
        match self.values.iter_mut().find(|(m, _)| *m == metric) {
            Some((_, old)) => *old = value,
            None => self.values.push((metric, value)),
        }
    }

    pub(crate) fn put_curves(&mut self, curves: Vec<(Metric, Weighted)>) {
        self.values.extend(curves.into_iter().map(|(metric, weighted)| (metric, Value::Weighted(weighted))));
    }

    /// Says nothing of a metric.
    pub(crate) fn remove(&mut self, metric: Metric) {
        self.values.retain(|(m, _)| *m != metric);
    }

    fn put(&mut self, metric: Metric, value: Option<f64>) {
        if let Some(value) = value.filter(|v| v.is_finite()) {
            self.values.push((metric, Value::Single(value)));
        }
    }

    /// The sum of a metric over all records that have it.
    fn total(&self, metric: Metric) -> Option<f64> {
        self.stats(metric).map(|stats| stats.sum)
    }

    fn stats(&self, metric: Metric) -> Option<&Stats> {
        match self.get(metric)? {
            Value::Stats(stats) => Some(stats),
            _ => None,
        }
    }

    fn singles(&mut self, tally: &Tally, window: Option<Window>, objectives: bool) {
        let Tally { valid, failed, .. } = *tally;
        let all = valid + failed;
        if all == 0 {
            return;
        }
        // Answers that are no text have a length of nought, and no sums are made of it.
        let tokens = self.stats(Metric::OutputSequenceLength).filter(|lengths| lengths.max > 0.0);
        let (isl, osl) = (self.total(Metric::InputSequenceLength), tokens.map(|lengths| lengths.sum));
        let duration = tally.last;
        let seconds = window.map(Window::seconds).or_else(|| Some(duration? * 1e-9)).filter(|s| *s > 0.0);
        let per_second = |amount: Option<f64>| Some(amount? / seconds?);

        self.put(Metric::OutputTokenThroughput, per_second(osl));
        self.put(Metric::InputTokenThroughput, per_second(isl));
        self.put(Metric::RequestThroughput, per_second(Some(count(valid)).filter(|_| valid > 0)));
        self.put(Metric::TotalTokenThroughput, per_second(osl.zip(isl).map(|(o, i)| o + i)));
        self.put(Metric::CompletedRequestCount, Some(count(all)));
        self.put(Metric::RequestErrorRate, Some(100.0 * count(failed) / count(all)));
        self.put(Metric::RequestCount, Some(count(valid)).filter(|_| valid > 0));
        self.put(Metric::BenchmarkDuration, duration);
        self.put(Metric::TotalIsl, isl);
        self.put(Metric::TotalOsl, osl);
        self.put(Metric::TotalOutputTokens, self.total(Metric::OutputTokenCount));
        self.put(Metric::TotalReasoningTokens, self.total(Metric::ReasoningTokenCount));
        if failed > 0 {
            self.put(Metric::ErrorRequestCount, Some(count(failed)));
            self.put(Metric::ContextOverflowCount, Some(count(tally.overflowed)));
            self.put(Metric::TotalErrorIsl, self.total(Metric::ErrorIsl));
        }
        for (one, all) in USAGE {
            self.put(all, self.total(one));
        }
        let cached = self.total(Metric::UsagePromptCacheReadTokens).zip(self.total(Metric::UsagePromptTokens));
        self.put(Metric::OverallUsagePromptCacheReadPct, cached.map(|(read, all)| read / all * 100.0));
        self.put(Metric::OslMismatchCount, tally.mismatches.map(count));
        self.put(Metric::UsageDiscrepancyCount, tally.discrepancies.map(count));
        if objectives {
            self.put(Metric::GoodRequestCount, Some(count(tally.good)));
            self.put(Metric::GoodRequestFraction, Some(count(tally.good) / count(all)));
            self.put(Metric::Goodput, per_second(Some(count(tally.good))));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

#[allow(clippy::cast_precision_loss, reason = "a span of nanoseconds below 2^53")]
pub(crate) fn float(ns: i64) -> f64 {
    ns as f64
}

#[allow(clippy::cast_precision_loss, reason = "a difference of nanoseconds below 2^53")]
pub(crate) fn nanoseconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64
}

/// What is counted of the records of a group.
#[derive(Clone, Debug, Default)]
struct Tally {
    valid: usize,
    failed: usize,
    overflowed: usize,
    /// They meet every objective.
    good: usize,
    /// Those whose answer is longer or shorter than was asked for by more than 5 %, or by 50 tokens; of none nothing.
    mismatches: Option<usize>,
    /// Those of which the server counts more than 10 % more or fewer tokens than we do; of none nothing.
    discrepancies: Option<usize>,
    /// The first start of valid ones.
    first: u64,
    /// From there to the last content of them, in nanoseconds.
    last: Option<f64>,
}

impl Tally {
    fn of_groups(columns: &Columns, group: impl Fn(usize) -> usize, groups: usize, objectives: &[Objective]) -> Vec<Self> {
        let mut tallies = vec![Self { first: u64::MAX, ..Self::default() }; groups];
        columns.each(Wanted::of(&[], false), |at, row| {
            if let Some(tally) = tallies.get_mut(group(at)).filter(|_| !row.failed) {
                tally.first = tally.first.min(row.start_ns);
            }
        });
        let mut wanted: Vec<Metric> = objectives.iter().map(|o| o.metric).filter(|m| (*m as usize) < OF_RECORDS).collect();
        wanted.extend(DIFFERENCES);
        wanted.extend([Metric::RequestLatency, Metric::OutputSequenceLength, Metric::RequestedOsl]);
        columns.each(Wanted::of(&wanted, false), |at, row| {
            if let Some(tally) = tallies.get_mut(group(at)) {
                tally.add(row, objectives);
            }
        });
        tallies
    }

    fn add(&mut self, row: &Row, objectives: &[Objective]) {
        if row.failed {
            self.failed += 1;
            self.overflowed += usize::from(row.overflowed);
            return;
        }
        self.valid += 1;
        self.good += usize::from(objectives.iter().all(|o| o.is_met(row)));
        let value = |metric: Metric| row.values.get(metric);
        if let Some(latency) = value(Metric::RequestLatency) {
            let end = nanoseconds(self.first, row.start_ns) + latency;
            self.last = Some(self.last.map_or(end, |last| last.max(end)));
        }
        if let Some((osl, wanted)) = value(Metric::OutputSequenceLength).zip(value(Metric::RequestedOsl)) {
            *self.mismatches.get_or_insert(0) += usize::from((osl - wanted).abs() > (wanted * 0.05).min(50.0));
        }
        if let Some(worst) = DIFFERENCES.into_iter().filter_map(value).reduce(f64::max) {
            *self.discrepancies.get_or_insert(0) += usize::from(worst > 10.0);
        }
    }
}

/// How far a server's counts are from ours.
const DIFFERENCES: [Metric; 3] =
    [Metric::UsagePromptTokensDiffPct, Metric::UsageCompletionTokensDiffPct, Metric::UsageReasoningTokensDiffPct];

/// The values of a metric, in the order of the records, each with the number of its record.
fn gather(columns: &Columns, metric: Metric, stamps: Stamps, mut put: impl FnMut(usize, f64)) {
    let between = |from: u64, to: u64| float(stamps.at(to).saturating_sub(stamps.at(from)).max(0));
    let of_failed = metric.entry().kind == Kind::Failed;
    let gaps = metric == Metric::InterChunkLatency;
    columns.each(Wanted::of(&[metric], gaps), |at, row| {
        if let Some(value) = row.values.get(metric).filter(|_| row.failed == of_failed) {
            put(at, value);
        }
        match metric {
            Metric::InterChunkLatency if !row.failed => row.gaps.iter().for_each(|gap| put(at, *gap)),
            Metric::CreditToStartLatency => put(at, between(row.credit_ns, row.start_ns)),
            Metric::EffectiveLatency => put(at, between(row.credit_ns, row.end_ns)),
            _ => {}
        }
    });
}

impl Adjusted {
    fn of(valid: &[f64], failed: usize) -> Option<Self> {
        let extent = stats::extent(valid);
        if extent.is_empty() {
            return None;
        }
        let count = valid.len() + failed;
        let places = stats::PERCENTILES.map(|p| nearest(count, f64::from(p)));
        let found = ranks::at(valid, extent, &places);
        let mut values = places.iter().zip(found).map(|(place, value)| if *place < valid.len() { value } else { f64::INFINITY });
        Some(Self { min: extent.min, percentiles: places.map(|_| values.next().unwrap_or(f64::INFINITY)), count })
    }
}

/// The nearest rank; of two that are as near, the even one.
fn nearest(values: usize, q: f64) -> usize {
    let last = values.saturating_sub(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last index")]
    let rank = ((q / 100.0) * count(last)).round_ties_even().max(0.0) as usize;
    rank.min(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Facts, Shape, failed};

    const SHAPE: Shape = Shape { streaming: true, tokens: true, server_counts: false };

    fn valid(start: u64, ttft: u64, end: u64) -> Row {
        let content = [ttft, end];
        let facts = Facts { content: &content, input_tokens: Some(10), output_tokens: Some(3), ..Facts::default() };
        let (values, gaps) = (facts.values(SHAPE), facts.gaps(SHAPE));
        Row { credit_ns: start, start_ns: start, end_ns: start + end, values, gaps, ..Row::default() }
    }

    fn error(at: u64) -> Row {
        Row { credit_ns: at, start_ns: at, end_ns: at + 5, failed: true, values: failed(Some(4)), ..Row::default() }
    }

    /// The check of perf contract 5.12.
    #[test]
    fn failures_count_as_values_without_end() {
        let adjusted = Adjusted::of(&[16.0, 17.0, 18.0], 2).unwrap();
        let inf = f64::INFINITY;
        assert_eq!(adjusted.percentiles, [16.0, 16.0, 16.0, 17.0, 18.0, inf, inf, inf, inf]);
        assert_eq!((adjusted.min, adjusted.count), (16.0, 5));
        assert_eq!(Adjusted::of(&[], 2), None);
    }

    #[test]
    fn rates_are_over_the_window() {
        let rows = [valid(0, 10, 100), valid(50, 10, 100), error(60)];
        let summary = Summary::of(&rows, Some(Window { start_ns: 0, end_ns: 2_000_000_000 }), &[], Stamps::Whole);
        for (metric, want) in [
            (Metric::RequestThroughput, 1.0),
            (Metric::OutputTokenThroughput, 3.0),
            (Metric::InputTokenThroughput, 10.0),
            (Metric::TotalTokenThroughput, 13.0),
            (Metric::RequestCount, 2.0),
            (Metric::CompletedRequestCount, 3.0),
            (Metric::ErrorRequestCount, 1.0),
            (Metric::ContextOverflowCount, 0.0),
            (Metric::TotalErrorIsl, 4.0),
            (Metric::BenchmarkDuration, 150.0),
        ] {
            assert_eq!(summary.single(metric), Some(want), "{metric:?}");
        }
        assert_eq!(summary.single(Metric::GoodRequestCount), None);
        let Some(Value::Stats(latency)) = summary.get(Metric::EffectiveLatency) else { panic!() };
        assert_eq!(latency.count, 3, "failed ones have one too");
        assert_eq!(summary.adjusted().map(|(_, a)| a.count).collect::<Vec<_>>(), [3; 4]);
    }

    /// Vector A7 of the perf contract in small: good ones of all, failed ones included.
    #[test]
    fn good_requests_meet_every_objective() {
        let rows = [valid(0, 10, 100), valid(0, 30, 100), error(0)];
        let objectives =
            [Objective { metric: Metric::TimeToFirstToken, limit: 24.0 }, Objective { metric: Metric::RequestLatency, limit: 100.0 }];
        let summary = Summary::of(&rows, Some(Window { start_ns: 0, end_ns: 500_000_000 }), &objectives, Stamps::Whole);
        assert_eq!(summary.single(Metric::GoodRequestCount), Some(1.0));
        assert_eq!(summary.single(Metric::GoodRequestFraction), Some(1.0 / 3.0));
        assert_eq!(summary.single(Metric::Goodput), Some(2.0));
        let wanting = [Objective { metric: Metric::UsagePromptTokens, limit: 0.0 }];
        assert_eq!(
            Summary::of(&rows, None, &wanting, Stamps::Whole).single(Metric::GoodRequestCount),
            Some(0.0),
            "what is not there is not met"
        );
    }

    #[test]
    fn of_nothing_there_is_nothing_to_say() {
        assert_eq!(Summary::of(&[], Some(Window::default()), &[], Stamps::Whole), Summary::default());
    }
}
