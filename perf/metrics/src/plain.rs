//! The same figures in the plainest way, with everything laid out and sorted: what the fast way is held against, to the last bit.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::catalog::{ADJUSTED, Kind, Metric, OF_RECORDS, USAGE};
use crate::columns::{Columns, tests::row};
use crate::curves::{PERCENTILES, Stamps, Weighted};
use crate::record::Row;
use crate::stats::{self, Stats};
use crate::summary::{Adjusted, Objective, Summary, Value, Window, count, float, nanoseconds};
use crate::{curves::Curves, slices};

#[derive(Default)]
struct Plain {
    values: Vec<(Metric, Value)>,
    adjusted: Vec<(Metric, Adjusted)>,
}

impl Plain {
    fn of_records(rows: &[&Row], window: Option<Window>, objectives: &[Objective], stamps: Stamps) -> Self {
        let columns = Laid::of(rows, stamps);
        let mut summary = Self::default();
        for metric in Metric::all().take(OF_RECORDS) {
            if let Some(stats) = stats_of(columns.of_metric(metric)) {
                summary.values.push((metric, Value::Stats(stats)));
            }
        }
        summary.singles(rows, &columns, window, objectives);
        let failed = rows.iter().filter(|r| r.failed).count();
        if failed > 0 {
            let adjusted = |metric: Metric| Some((metric, adjusted_of(columns.of_metric(metric), failed)?));
            summary.adjusted = ADJUSTED.into_iter().filter_map(adjusted).collect();
        }
        summary
    }

    fn put(&mut self, metric: Metric, value: Option<f64>) {
        if let Some(value) = value.filter(|v| v.is_finite()) {
            self.values.push((metric, Value::Single(value)));
        }
    }

    fn singles(&mut self, rows: &[&Row], columns: &Laid, window: Option<Window>, objectives: &[Objective]) {
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
            let good = rows.iter().filter(|r| !r.failed && objectives.iter().all(|o| is_met(o, r))).count();
            self.put(Metric::GoodRequestCount, Some(count(good)));
            self.put(Metric::GoodRequestFraction, Some(count(good) / count(rows.len())));
            self.put(Metric::Goodput, per_second(Some(count(good))));
        }
    }
}

fn is_met(objective: &Objective, row: &Row) -> bool {
    let better = |value: f64| if objective.metric.entry().larger_is_better { value >= objective.limit } else { value <= objective.limit };
    row.values.get(objective.metric).is_some_and(better)
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
struct Laid(Vec<Vec<f64>>);

impl Laid {
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

fn adjusted_of(valid: &[f64], failed: usize) -> Option<Adjusted> {
    {
        let mut sorted = sorted(valid);
        let min = *sorted.first()?;
        sorted.extend(std::iter::repeat_n(f64::INFINITY, failed));
        let percentiles = stats::PERCENTILES.map(|p| nearest(&sorted, f64::from(p)));
        Some(Adjusted { min, percentiles, count: sorted.len() })
    }
}

/// The value at the nearest rank; of two that are as near, that at the even one.
fn nearest(sorted: &[f64], q: f64) -> f64 {
    let position = (q / 100.0) * count(sorted.len() - 1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last index")]
    let rank = position.round_ties_even().max(0.0) as usize;
    sorted[rank.min(sorted.len() - 1)]
}

fn stats_of(values: &[f64]) -> Option<Stats> {
    let sorted = sorted(values);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
    let n = values.len() as f64;
    let sum = stats::sum(values);
    let avg = sum / n;
    let squares: Vec<f64> = values.iter().map(|v| (v - avg) * (v - avg)).collect();
    let variance = stats::sum(&squares) / n;
    let percentiles = stats::PERCENTILES.map(|p| percentile(&sorted, f64::from(p)));
    Some(Stats { avg, min, max, sum, percentiles, std: variance.sqrt(), count: values.len() })
}

/// Ascending.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Of values that are in ascending order and not none, at position `q / 100 * (n - 1)`.
fn percentile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
    let position = (q / 100.0) * last as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last index")]
    let below = (position.floor().max(0.0) as usize).min(last);
    let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
    #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
    let t = position - below as f64;
    // From the nearer end, so that both ends are met exactly.
    if t < 0.5 { a + (b - a) * t } else { b - (b - a) * (1.0 - t) }
}

/// Changes of rates, by time on the wall clock.
#[derive(Debug, Default)]
struct Events {
    stamps: Stamps,
    all: Vec<(i64, f64)>,
    prefill: Vec<(i64, f64)>,
    decode: Vec<(i64, f64)>,
    prefill_rate: Vec<(i64, f64)>,
    decode_rate: Vec<(i64, f64)>,
    total_rate: Vec<(i64, f64)>,
    tokens: Vec<(i64, f64)>,
}

/// A rate on a span of time; nothing on one of no length.
fn span(events: &mut Vec<(i64, f64)>, from: i64, to: i64, rate: f64) {
    if to > from && rate != 0.0 {
        events.extend([(from, rate), (to, -rate)]);
    }
}

#[allow(clippy::cast_possible_truncation, reason = "nanoseconds below 2^63; what is above stays there")]
fn whole(ns: f64) -> i64 {
    ns as i64
}

/// Of this much in this time, nanoseconds, how much in a second.
fn rate(amount: f64, ns: i64) -> f64 {
    amount / (float(ns) * 1e-9)
}

impl Events {
    fn add(&mut self, row: &Row) {
        let stamps = self.stamps;
        let (start, end) = (stamps.at(row.start_ns), stamps.at(row.end_ns));
        span(&mut self.all, start, end, 1.0);
        let Some(ttft) = row.values.get(Metric::TimeToFirstToken) else { return };
        let first = stamps.at(row.start_ns.saturating_add(u64::try_from(whole(ttft)).unwrap_or(0)));
        span(&mut self.prefill, start, first, 1.0);
        span(&mut self.decode, first, end, 1.0);
        if let Some(isl) = row.values.get(Metric::InputSequenceLength) {
            span(&mut self.prefill_rate, start, first, rate(isl, first - start));
            span(&mut self.total_rate, start, first, rate(isl, first - start));
            span(&mut self.tokens, start, end, isl);
        }
        let Some(osl) = row.values.get(Metric::OutputSequenceLength) else { return };
        let further = osl - 1.0;
        span(&mut self.total_rate, first, end, rate(further, end - first));
        self.steps(row, first, end, osl);
    }

    /// Tokens behind the first come in equal parts, one at the end of each gap.
    fn steps(&mut self, row: &Row, first: i64, end: i64, osl: f64) {
        let (stamps, further) = (self.stamps, osl - 1.0);
        let mut passed = 0.0;
        let gaps = row.gaps.iter().map(|gap| {
            passed += gap;
            let to = stamps.after(first, passed);
            (*gap, stamps.after(to, -gap), to)
        });
        let gaps: Vec<(f64, i64, i64)> = gaps.collect();
        if gaps.is_empty() {
            span(&mut self.tokens, first, end, osl);
        } else {
            span(&mut self.tokens, first, end, 1.0);
            let share = further / count(gaps.len());
            gaps.iter().for_each(|(_, _, to)| span(&mut self.tokens, *to, end, share));
        }
        let lasting = || gaps.iter().filter(|(gap, _, _)| *gap > 0.0);
        match lasting().count() {
            0 => span(&mut self.decode_rate, first, end, rate(further, end - first)),
            steps => {
                let share = further / count(steps);
                lasting().for_each(|(gap, from, to)| span(&mut self.decode_rate, *from, *to, rate(share, whole(*gap))));
            }
        }
    }
}

#[derive(Debug)]
struct Laps {
    stamps: Stamps,
    all: Steps,
    prefill: Steps,
    decode: Steps,
    prefill_rate: Steps,
    decode_rate: Steps,
    total_rate: Steps,
    tokens: Steps,
}

impl Laps {
    /// Of these records.
    fn of<'a>(rows: impl Iterator<Item = &'a Row>, stamps: Stamps) -> Self {
        let mut events = Events { stamps, ..Events::default() };
        rows.for_each(|row| events.add(row));
        Self {
            stamps,
            all: Steps::of(events.all),
            prefill: Steps::of(events.prefill),
            decode: Steps::of(events.decode),
            prefill_rate: Steps::of(events.prefill_rate),
            decode_rate: Steps::of(events.decode_rate),
            total_rate: Steps::of(events.total_rate),
            tokens: Steps::of(events.tokens),
        }
    }

    /// What is said of them in a window.
    fn within(&self, window: Window) -> Vec<(Metric, Weighted)> {
        let (from, to) = (self.stamps.at(window.start_ns), self.stamps.at(window.end_ns));
        let Self { all, prefill, decode, prefill_rate, decode_rate, total_rate, tokens, .. } = self;
        let beside = |curve: &Steps, busy: &Steps| Stretches(curve.beside(busy, from, to).collect());
        let (prefilling, decoding, both) = (beside(prefill_rate, prefill), beside(decode_rate, decode), beside(total_rate, all));
        vec![
            (Metric::EffectiveConcurrency, beside(all, all).whole()),
            (Metric::EffectiveDecodeThroughput, decoding.whole()),
            (Metric::EffectivePrefillThroughput, prefilling.whole()),
            (Metric::EffectiveDecodeConcurrency, beside(decode, decode).whole()),
            (Metric::EffectivePrefillConcurrency, beside(prefill, prefill).whole()),
            (Metric::EffectiveTotalThroughput, both.whole()),
            (Metric::EffectiveDecodeThroughputPerUser, decoding.shared()),
            (Metric::EffectivePrefillThroughputPerUser, prefilling.shared()),
            (Metric::TokensInFlight, beside(tokens, all).whole()),
            (Metric::ActiveDecodeThroughput, decoding.active()),
            (Metric::ActivePrefillThroughput, prefilling.active()),
            (Metric::ActiveDecodeThroughputPerUser, decoding.each()),
            (Metric::ActivePrefillThroughputPerUser, prefilling.each()),
            (Metric::ActiveTotalThroughput, both.active()),
        ]
    }
}

/// A step function: from `times[i]` on it is `values[i]`, and nought before the first.
#[derive(Debug)]
struct Steps {
    times: Vec<i64>,
    values: Vec<f64>,
}

/// A stretch on which two step functions stay as they are.
struct Stretch {
    length: i64,
    value: f64,
    busy: f64,
}

impl Stretch {
    /// What is left of sums of rates where nothing is under way is an error of rounding.
    fn value_if_busy(&self) -> f64 {
        if self.busy > 0.0 { self.value } else { 0.0 }
    }

    fn for_each(&self) -> f64 {
        if self.busy > 0.0 { self.value / self.busy } else { 0.0 }
    }
}

/// The stretches of a window.
struct Stretches(Vec<Stretch>);

impl Stretches {
    /// Over the whole window.
    fn whole(&self) -> Weighted {
        weighted_of(self.0.iter().map(|s| (s.length, s.value_if_busy())))
    }

    /// For each that is busy, over the whole window.
    fn shared(&self) -> Weighted {
        weighted_of(self.0.iter().map(|s| (s.length, s.for_each())))
    }

    /// Over the time in which there is work.
    fn active(&self) -> Weighted {
        weighted_of(self.0.iter().filter(|s| s.busy > 0.0).map(|s| (s.length, s.value)))
    }

    /// For each that is busy, over the time in which there is work.
    fn each(&self) -> Weighted {
        weighted_of(self.0.iter().filter(|s| s.busy > 0.0).map(|s| (s.length, s.for_each())))
    }
}

impl Steps {
    fn of(mut events: Vec<(i64, f64)>) -> Self {
        // What ends goes before what begins at the same time.
        events.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let (mut level, mut spans) = (0.0, 0_usize);
        for (at, change) in events {
            spans = if change > 0.0 { spans + 1 } else { spans.saturating_sub(1) };
            // What is left of a sum of nothing is an error of rounding.
            level = if spans == 0 { 0.0 } else { level + change };
            if times.last() == Some(&at) {
                values.pop();
            } else {
                times.push(at);
            }
            values.push(level);
        }
        Self { times, values }
    }

    /// How many of its times are not after this one.
    fn until(&self, at: i64) -> usize {
        self.times.partition_point(|t| *t <= at)
    }

    /// What it is behind so many of its times.
    fn value(&self, until: usize) -> f64 {
        until.checked_sub(1).map_or(0.0, |at| self.values[at])
    }

    /// The stretches between two moments on which neither changes.
    fn beside<'a>(&'a self, busy: &'a Self, from: i64, to: i64) -> impl Iterator<Item = Stretch> + 'a {
        let (mut i, mut j, mut at) = (self.until(from), busy.until(from), from);
        std::iter::from_fn(move || {
            if at >= to {
                return None;
            }
            let next = [self.times.get(i), busy.times.get(j)].into_iter().flatten().fold(to, |next, t| next.min(*t));
            let stretch = Stretch { length: next - at, value: self.value(i), busy: busy.value(j) };
            at = next;
            i += usize::from(self.times.get(i) == Some(&next));
            j += usize::from(busy.times.get(j) == Some(&next));
            Some(stretch)
        })
    }
}

const NOTHING: Weighted = Weighted { avg: 0.0, min: 0.0, max: 0.0, percentiles: [0.0; 4], std: 0.0 };

/// Of stretches with their values; all noughts of none.
fn weighted_of(stretches: impl Iterator<Item = (i64, f64)>) -> Weighted {
    let mut stretches: Vec<(f64, f64)> = stretches.map(|(length, value)| (float(length), value)).collect();
    let total: f64 = stretches.iter().map(|(length, _)| length).sum();
    if total <= 0.0 {
        return NOTHING;
    }
    let avg = stretches.iter().map(|(length, value)| length * value).sum::<f64>() / total;
    let variance = stretches.iter().map(|(length, value)| length * (value - avg) * (value - avg)).sum::<f64>() / total;
    stretches.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    let (min, max) = (stretches[0].1, stretches[stretches.len() - 1].1);
    let percentiles = PERCENTILES.map(|p| {
        let wanted = f64::from(p) / 100.0 * total;
        let mut reached = 0.0;
        let found = stretches.iter().find(|(length, _)| {
            reached += length;
            reached >= wanted
        });
        found.map_or(max, |(_, value)| *value)
    });
    Weighted { avg, min, max, percentiles, std: variance.sqrt() }
}

fn sliced(rows: &[Row], length_ns: u64, objectives: &[Objective], stamps: Stamps) -> Vec<(Window, bool, Plain)> {
    let moment = |ns: u64| u64::try_from(stamps.at(ns)).unwrap_or(0);
    let starts = rows.iter().map(|r| moment(r.start_ns)).min();
    let ends = rows.iter().map(|r| moment(r.end_ns)).max();
    let (Some(first), Some(last)) = (starts, ends) else { return Vec::new() };
    let length = length_ns.max(last.saturating_sub(first) / 100_000).max(1);
    let curves = Laps::of(rows.iter(), stamps);
    let mut inside: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        inside.entry((moment(row.start_ns) - first) / length).or_default().push(row);
    }
    let slice = |(number, at): (u64, u64)| {
        let full = at.saturating_add(length);
        let window = Window { start_ns: at, end_ns: full.min(last) };
        let here = inside.get(&number).map_or(&[][..], Vec::as_slice);
        let mut summary = Plain::of_records(here, Some(window), objectives, stamps);
        for absent in [Metric::CreditToStartLatency, Metric::EffectiveLatency] {
            summary.values.retain(|(m, _)| *m != absent);
        }
        summary.curves(curves.within(window));
        (window, full <= last, summary)
    };
    let starts = std::iter::successors(Some(first), |at| at.checked_add(length)).take_while(|at| *at < last);
    (0..).zip(starts).map(slice).collect()
}

impl Plain {
    fn of(rows: &[Row], window: Option<Window>, objectives: &[Objective], stamps: Stamps) -> Self {
        let rows: Vec<&Row> = rows.iter().collect();
        let mut summary = Self::of_records(&rows, window, objectives, stamps);
        if let Some(window) = window.filter(|_| !rows.is_empty()) {
            summary.curves(Laps::of(rows.into_iter(), stamps).within(window));
        }
        summary
    }

    fn curves(&mut self, curves: Vec<(Metric, Weighted)>) {
        self.values.extend(curves.into_iter().map(|(metric, weighted)| (metric, Value::Weighted(weighted))));
    }

    /// All of it as text, in which each figure is to the last bit.
    fn says(&self) -> Vec<String> {
        says(self.values.iter().map(|(m, v)| (*m, v)), self.adjusted.iter().map(|(m, a)| (*m, a)))
    }
}

fn says<'a>(values: impl Iterator<Item = (Metric, &'a Value)>, adjusted: impl Iterator<Item = (Metric, &'a Adjusted)>) -> Vec<String> {
    values.map(|of| format!("{of:?}")).chain(adjusted.map(|of| format!("{of:?}"))).collect()
}

fn said(summary: &Summary) -> Vec<String> {
    says(summary.iter(), summary.adjusted())
}

fn differences(got: &[String], want: &[String]) -> Vec<String> {
    if got.len() != want.len() {
        return vec![format!("{} figures and not {}", got.len(), want.len())];
    }
    got.iter().zip(want).filter(|(got, want)| got != want).map(|(got, want)| format!("{got}\n  not {want}")).collect()
}

/// Many of the same kind, so that batches are full and columns are long.
fn many(rows: &[Row], times: u64) -> Vec<Row> {
    let shifted = |round: u64| {
        let by = round * 7_654_321;
        rows.iter().map(move |row| Row {
            credit_ns: row.credit_ns + by,
            start_ns: row.start_ns + by,
            end_ns: row.end_ns + by,
            ..row.clone()
        })
    };
    (0..times).flat_map(shifted).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn columns_say_what_rows_say(
        rows in proptest::collection::vec(row(), 0..30), times in prop_oneof![8 => 1_u64..3, 1 => 100_u64..200], doubles: bool,
        window in proptest::option::of((0_u64..50_000_000, 0_u64..80_000_000)), limit in proptest::option::of(1e3_f64..2e7),
        length in 1_000_000_u64..50_000_000,
    ) {
        let rows = many(&rows, times);
        let stamps = if doubles { Stamps::Doubles } else { Stamps::Whole };
        let from = 1_795_253_705_000_000_000;
        let window = window.map(|(start, length)| Window { start_ns: from + start, end_ns: from + start + length });
        let objectives: Vec<Objective> = limit.iter().flat_map(|limit| {
            [Metric::RequestLatency, Metric::OutputSequenceLength].map(|metric| Objective { metric, limit: *limit })
        }).collect();
        let columns: Columns = rows.iter().collect();
        let want = Plain::of(&rows, window, &objectives, stamps).says();
        let none = Vec::<String>::new();
        prop_assert_eq!(differences(&said(&Summary::of_columns(&columns, window, &objectives, stamps)), &want), none.clone());
        prop_assert_eq!(differences(&said(&Summary::of(&rows, window, &objectives, stamps)), &want), none.clone());
        let got = slices::of_columns(&columns, length, &objectives, stamps);
        let want = sliced(&rows, length, &objectives, stamps);
        prop_assert_eq!(got.len(), want.len());
        for (got, (window, complete, plain)) in got.iter().zip(want) {
            prop_assert_eq!((got.window, got.complete), (window, complete));
            prop_assert_eq!(differences(&said(&got.summary), &plain.says()), none.clone());
        }
        let curves = Curves::of(rows.iter(), stamps).within(window.unwrap_or_default());
        let plain = Laps::of(rows.iter(), stamps).within(window.unwrap_or_default());
        prop_assert_eq!(format!("{curves:?}"), format!("{plain:?}"));
    }
}
