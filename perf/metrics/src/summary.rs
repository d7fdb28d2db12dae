//! A phase as a whole: the columns of its records become statistics, sums and rates (perf contract 5.3, 5.7, 5.12).
//!
//! A metric whose ingredients are missing is absent, not nought. Failed records are in no figure but those of failures, of the
//! whole number, and of what the clock says of every request.

use crate::catalog::{ADJUSTED, Kind, Metric, OF_RECORDS, USAGE};
use crate::curves::{Curves, Stamps, Weighted};
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
        let rows: Vec<&Row> = rows.iter().collect();
        let mut summary = Self::of_records(&rows, window, objectives, stamps);
        if let Some(window) = window.filter(|_| !rows.is_empty()) {
            summary.put_curves(Curves::of(rows.into_iter(), stamps).within(window));
        }
        summary
    }

    /// The same without curves.
    pub(crate) fn of_records(rows: &[&Row], window: Option<Window>, objectives: &[Objective], stamps: Stamps) -> Self {
        let columns = Columns::of(rows, stamps);
        let mut summary = Self::default();
        for metric in Metric::all().take(OF_RECORDS) {
            if let Some(stats) = Stats::of(columns.of_metric(metric)) {
                summary.values.push((metric, Value::Stats(stats)));
            }
        }
        summary.singles(rows, &columns, window, objectives);
        let failed = rows.iter().filter(|r| r.failed).count();
        if failed > 0 {
            let adjusted = |metric: Metric| Some((metric, Adjusted::of(columns.of_metric(metric), failed)?));
            summary.adjusted = ADJUSTED.into_iter().filter_map(adjusted).collect();
        }
        summary
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

    fn singles(&mut self, rows: &[&Row], columns: &Columns, window: Option<Window>, objectives: &[Objective]) {
        if rows.is_empty() {
            return;
        }
        let valid = rows.iter().filter(|r| !r.failed).count();
        let failed = rows.len() - valid;
        let total = |metric: Metric| Some(columns.of_metric(metric)).filter(|c| !c.is_empty()).map(stats::sum);
        let (isl, osl) = (total(Metric::InputSequenceLength), total(Metric::OutputSequenceLength).filter(|_| columns.produce_tokens()));
        let duration = duration(rows);
        let seconds = window.map(Window::seconds).or_else(|| Some(duration? * 1e-9)).filter(|s| *s > 0.0);
        let per_second = |amount: Option<f64>| Some(amount? / seconds?);

        self.put(Metric::OutputTokenThroughput, per_second(osl));
        self.put(Metric::InputTokenThroughput, per_second(isl));
        self.put(Metric::RequestThroughput, per_second(Some(count(valid)).filter(|_| valid > 0)));
        self.put(Metric::TotalTokenThroughput, per_second(osl.zip(isl).map(|(o, i)| o + i)));
        self.put(Metric::CompletedRequestCount, Some(count(rows.len())));
        self.put(Metric::RequestErrorRate, Some(100.0 * count(failed) / count(rows.len())));
        self.put(Metric::RequestCount, Some(count(valid)).filter(|_| valid > 0));
        self.put(Metric::BenchmarkDuration, duration);
        self.put(Metric::TotalIsl, isl);
        self.put(Metric::TotalOsl, osl);
        self.put(Metric::TotalOutputTokens, total(Metric::OutputTokenCount));
        self.put(Metric::TotalReasoningTokens, total(Metric::ReasoningTokenCount));
        if failed > 0 {
            self.put(Metric::ErrorRequestCount, Some(count(failed)));
            self.put(Metric::ContextOverflowCount, Some(count(rows.iter().filter(|r| r.overflowed).count())));
            self.put(Metric::TotalErrorIsl, total(Metric::ErrorIsl));
        }
        for (one, all) in USAGE {
            self.put(all, total(one));
        }
        let cached = total(Metric::UsagePromptCacheReadTokens).zip(total(Metric::UsagePromptTokens));
        self.put(Metric::OverallUsagePromptCacheReadPct, cached.map(|(read, all)| read / all * 100.0));
        self.put(Metric::OslMismatchCount, mismatches(rows));
        self.put(Metric::UsageDiscrepancyCount, discrepancies(rows));
        if !objectives.is_empty() {
            let good = rows.iter().filter(|r| !r.failed && objectives.iter().all(|o| o.is_met(r))).count();
            self.put(Metric::GoodRequestCount, Some(count(good)));
            self.put(Metric::GoodRequestFraction, Some(count(good) / count(rows.len())));
            self.put(Metric::Goodput, per_second(Some(count(good))));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}

#[allow(clippy::cast_precision_loss, reason = "a span of nanoseconds below 2^53")]
fn float(ns: i64) -> f64 {
    ns as f64
}

#[allow(clippy::cast_precision_loss, reason = "a difference of nanoseconds below 2^53")]
fn nanoseconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64
}

/// From the first start to the last content of valid requests, in nanoseconds.
fn duration(rows: &[&Row]) -> Option<f64> {
    let first = rows.iter().filter(|r| !r.failed).map(|r| r.start_ns).min()?;
    let ends =
        rows.iter().filter(|r| !r.failed).filter_map(|r| Some(nanoseconds(first, r.start_ns) + r.values.get(Metric::RequestLatency)?));
    ends.reduce(f64::max)
}

/// Requests whose answer is longer or shorter than was asked for by more than 5 %, or by 50 tokens.
fn mismatches(rows: &[&Row]) -> Option<f64> {
    let of = |row: &&Row| Some((row.values.get(Metric::OutputSequenceLength)?, row.values.get(Metric::RequestedOsl)?));
    let mut all = rows.iter().filter(|r| !r.failed).filter_map(of).peekable();
    all.peek()?;
    Some(count(all.filter(|(osl, wanted)| (osl - wanted).abs() > (wanted * 0.05).min(50.0)).count()))
}

/// Requests of which the server counts more than 10 % more or fewer tokens than we do.
fn discrepancies(rows: &[&Row]) -> Option<f64> {
    const KINDS: [Metric; 3] =
        [Metric::UsagePromptTokensDiffPct, Metric::UsageCompletionTokensDiffPct, Metric::UsageReasoningTokensDiffPct];
    let of = |row: &&Row| KINDS.iter().filter_map(|m| row.values.get(*m)).reduce(f64::max);
    let mut all = rows.iter().filter(|r| !r.failed).filter_map(of).peekable();
    all.peek()?;
    Some(count(all.filter(|worst| *worst > 10.0).count()))
}

/// The values of each metric, in the order of the records.
struct Columns(Vec<Vec<f64>>);

impl Columns {
    fn of(rows: &[&Row], stamps: Stamps) -> Self {
        let between = |from: u64, to: u64| float(stamps.at(to).saturating_sub(stamps.at(from)).max(0));
        let mut columns = vec![Vec::new(); OF_RECORDS];
        let mut push = |metric: Metric, value: f64| columns[metric as usize].push(value);
        for row in rows {
            for (metric, value) in row.values.iter().filter(|(m, _)| (m.entry().kind == Kind::Failed) == row.failed) {
                push(metric, value);
            }
            if !row.failed {
                row.gaps.iter().for_each(|gap| push(Metric::InterChunkLatency, *gap));
            }
            push(Metric::CreditToStartLatency, between(row.credit_ns, row.start_ns));
            push(Metric::EffectiveLatency, between(row.credit_ns, row.end_ns));
        }
        Self(columns)
    }

    fn of_metric(&self, metric: Metric) -> &[f64] {
        &self.0[metric as usize]
    }

    /// Answers that are no text have a length of nought, and no sums are made of it.
    fn produce_tokens(&self) -> bool {
        self.of_metric(Metric::OutputSequenceLength).iter().any(|v| *v > 0.0)
    }
}

impl Adjusted {
    fn of(valid: &[f64], failed: usize) -> Option<Self> {
        let mut sorted = stats::sorted(valid);
        let min = *sorted.first()?;
        sorted.extend(std::iter::repeat_n(f64::INFINITY, failed));
        let percentiles = stats::PERCENTILES.map(|p| nearest(&sorted, f64::from(p)));
        Some(Self { min, percentiles, count: sorted.len() })
    }
}

/// The value at the nearest rank; of two that are as near, that at the even one.
fn nearest(sorted: &[f64], q: f64) -> f64 {
    let position = (q / 100.0) * count(sorted.len() - 1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last index")]
    let rank = position.round_ties_even().max(0.0) as usize;
    sorted[rank.min(sorted.len() - 1)]
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
