//! What was under way at each moment: curves over the window, summed up by time (perf contract 5.8, with 0.2 item 4).
//!
//! A record is taken in from its start to its first token, and decoded from there to its end; each span adds a rate to a step
//! function of time. What is said of a curve is weighted by how long it had a value, not by how often.

use crate::catalog::Metric;
use crate::record::Row;
use crate::summary::Window;

/// What is said of a curve, in base units.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// Mean over time.
    pub avg: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Values below which the curve was for half, 90, 95 and 99 hundredths of the time.
    pub percentiles: [f64; 4],
    /// Standard deviation over time.
    pub std: f64,
}

/// The percentiles that are given of curves.
pub const PERCENTILES: [u8; 4] = [50, 90, 95, 99];

/// All curves of some records.
#[derive(Debug)]
pub struct Curves {
    stamps: Stamps,
    all: Steps,
    prefill: Steps,
    decode: Steps,
    prefill_rate: Steps,
    decode_rate: Steps,
    total_rate: Steps,
    tokens: Steps,
}

/// How moments on the wall clock are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stamps {
    /// As whole nanoseconds.
    #[default]
    Whole,
    /// As the peer keeps them: in doubles, which have steps of 256 ns today. Spans of time that follow on each other overlap by
    /// a step then, or leave one out, and the largest value of a curve comes from there.
    Doubles,
}

impl Stamps {
    /// A moment, Unix nanoseconds.
    #[must_use]
    pub fn at(self, ns: u64) -> i64 {
        match self {
            Self::Whole => i64::try_from(ns).unwrap_or(i64::MAX),
            #[allow(clippy::cast_precision_loss, reason = "that is what it is about")]
            Self::Doubles => whole(ns as f64),
        }
    }

    /// The moment so many nanoseconds later.
    fn after(self, at: i64, ns: f64) -> i64 {
        match self {
            Self::Whole => at.saturating_add(whole(ns)),
            Self::Doubles => whole(float(at) + ns),
        }
    }
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

#[allow(clippy::cast_precision_loss, reason = "spans below 2^53; moments are kept so on purpose")]
fn float(value: i64) -> f64 {
    value as f64
}

#[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
fn count(n: usize) -> f64 {
    n as f64
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

impl Curves {
    /// Of these records.
    #[must_use]
    pub fn of<'a>(rows: impl Iterator<Item = &'a Row>, stamps: Stamps) -> Self {
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
    #[must_use]
    pub fn within(&self, window: Window) -> Vec<(Metric, Weighted)> {
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
        Weighted::of(self.0.iter().map(|s| (s.length, s.value_if_busy())))
    }

    /// For each that is busy, over the whole window.
    fn shared(&self) -> Weighted {
        Weighted::of(self.0.iter().map(|s| (s.length, s.for_each())))
    }

    /// Over the time in which there is work.
    fn active(&self) -> Weighted {
        Weighted::of(self.0.iter().filter(|s| s.busy > 0.0).map(|s| (s.length, s.value)))
    }

    /// For each that is busy, over the time in which there is work.
    fn each(&self) -> Weighted {
        Weighted::of(self.0.iter().filter(|s| s.busy > 0.0).map(|s| (s.length, s.for_each())))
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

impl Weighted {
    const NOTHING: Self = Self { avg: 0.0, min: 0.0, max: 0.0, percentiles: [0.0; 4], std: 0.0 };

    /// Of stretches with their values; all noughts of none.
    fn of(stretches: impl Iterator<Item = (i64, f64)>) -> Self {
        let mut stretches: Vec<(f64, f64)> = stretches.map(|(length, value)| (float(length), value)).collect();
        let total: f64 = stretches.iter().map(|(length, _)| length).sum();
        if total <= 0.0 {
            return Self::NOTHING;
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
        Self { avg, min, max, percentiles, std: variance.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Facts, Shape};

    const SHAPE: Shape = Shape { streaming: true, tokens: true, server_counts: false };

    fn row(start: u64, facts: &Facts<'_>, end: u64) -> Row {
        Row { start_ns: start, end_ns: end, values: facts.values(SHAPE), gaps: facts.gaps(SHAPE), ..Row::default() }
    }

    fn value(curves: &[(Metric, Weighted)], metric: Metric) -> Weighted {
        curves.iter().find(|(m, _)| *m == metric).unwrap().1.clone()
    }

    /// Vector A1 of the perf contract: three tokens over the gap of 5 ms, three over that of 15.
    #[test]
    fn a1_decodes_by_its_gaps() {
        let facts = Facts {
            content: &[20_000_000, 25_000_000, 25_000_000, 40_000_000],
            input_tokens: Some(50),
            output_tokens: Some(7),
            ..Facts::default()
        };
        let window = Window { start_ns: 1_000, end_ns: 40_001_000 };
        let curves = Curves::of([row(1_000, &facts, 40_001_000)].iter(), Stamps::Whole).within(window);
        let decode = value(&curves, Metric::ActiveDecodeThroughput);
        assert!((decode.max - 600.0).abs() < 1e-9 && (decode.min - 200.0).abs() < 1e-9, "{decode:?}");
        assert!((decode.avg - 300.0).abs() < 1e-9);
        let prefill = value(&curves, Metric::EffectivePrefillThroughput);
        assert!((prefill.max - 2500.0).abs() < 1e-9 && (prefill.avg - 1250.0).abs() < 1e-9 && prefill.min == 0.0);
        assert_eq!(value(&curves, Metric::EffectiveConcurrency).avg, 1.0);
        let tokens = value(&curves, Metric::TokensInFlight);
        assert_eq!((tokens.min, tokens.max), (50.0, 55.0));
    }

    #[test]
    fn half_of_the_window_busy() {
        let facts = Facts { content: &[5_000], input_tokens: Some(1), output_tokens: Some(1), ..Facts::default() };
        let rows = [row(0, &facts, 10_000), row(0, &facts, 10_000)];
        let curves = Curves::of(rows.iter(), Stamps::Whole).within(Window { start_ns: 0, end_ns: 20_000 });
        let all = value(&curves, Metric::EffectiveConcurrency);
        assert_eq!((all.avg, all.min, all.max, all.percentiles), (1.0, 0.0, 2.0, [0.0, 2.0, 2.0, 2.0]));
        assert_eq!(all.std, 1.0);
        assert_eq!(value(&curves, Metric::EffectivePrefillConcurrency).avg, 0.5);
    }

    #[test]
    fn without_a_first_token_only_concurrency_is_known() {
        let shape = Shape { streaming: false, ..SHAPE };
        let facts = Facts { content: &[10], ..Facts::default() };
        let row = Row { start_ns: 5, end_ns: 15, values: facts.values(shape), ..Row::default() };
        let curves = Curves::of([row].iter(), Stamps::Whole).within(Window { start_ns: 0, end_ns: 20 });
        assert_eq!(value(&curves, Metric::EffectiveConcurrency).avg, 0.5);
        let others = curves.iter().filter(|(m, _)| *m != Metric::EffectiveConcurrency);
        assert!(others.clone().count() == 13 && others.clone().all(|(_, w)| *w == Weighted::NOTHING));
    }

    #[test]
    fn what_lies_outside_of_the_window_is_cut() {
        let row = Row { start_ns: 0, end_ns: 100, ..Row::default() };
        let curves = Curves::of([row].iter(), Stamps::Whole).within(Window { start_ns: 50, end_ns: 60 });
        assert_eq!(value(&curves, Metric::EffectiveConcurrency).avg, 1.0);
        let none = Curves::of(std::iter::empty(), Stamps::Whole).within(Window { start_ns: 5, end_ns: 5 });
        assert!(none.iter().all(|(_, w)| *w == Weighted::NOTHING));
    }
}
