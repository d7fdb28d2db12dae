//! What was under way at each moment: curves over the window, summed up by time (perf contract 5.8, with 0.2 item 4).
//!
//! A record is taken in from its start to its first token, and decoded from there to its end; each span adds a rate to a step
//! function of time. What is said of a curve is weighted by how long it had a value, not by how often.
//!
//! Of a million records that is most of the work, and what they add is added in an order that decides about the last bits. So
//! curves are made, and looked at, in two lanes that need nothing of each other.

use crate::catalog::Metric;
use crate::columns::{Columns, Wanted};
use crate::ranks::{Buckets, Extent};
use crate::record::Row;
use crate::steps::{Steps, Stretch, Sweep};
use crate::summary::{Window, count};

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
    pub(crate) fn after(self, at: i64, ns: f64) -> i64 {
        match self {
            Self::Whole => at.saturating_add(whole(ns)),
            Self::Doubles => whole(float(at) + ns),
        }
    }
}

/// A curve, by its place among all.
#[derive(Clone, Copy)]
enum Of {
    All,
    Prefill,
    Decode,
    PrefillRate,
    DecodeRate,
    TotalRate,
    Tokens,
    /// None: a place that is left over.
    Nothing,
}

/// Curves that are made together.
const LANE: usize = 4;

/// Records after which it is looked whether some of them can be settled.
const TOGETHER: usize = 64;

/// So much is worth a thread of its own.
pub(crate) const MANY: usize = 50_000;

#[allow(clippy::cast_possible_truncation, reason = "nanoseconds below 2^63; what is above stays there")]
fn whole(ns: f64) -> i64 {
    ns as i64
}

#[allow(clippy::cast_precision_loss, reason = "spans below 2^53; moments are kept so on purpose")]
fn float(value: i64) -> f64 {
    value as f64
}

/// Of this much in this time, nanoseconds, how much in a second.
fn rate(amount: f64, ns: i64) -> f64 {
    amount / (float(ns) * 1e-9)
}

/// What records add to the curves: rates on spans of time.
struct Spans<'a, P> {
    stamps: Stamps,
    /// Of the record at hand: each gap, and from when to when it was.
    gaps: &'a mut Vec<(f64, i64, i64)>,
    put: P,
}

impl<P: FnMut(Of, i64, f64)> Spans<'_, P> {
    /// A rate on a span of time; nothing on one of no length.
    fn span(&mut self, of: Of, from: i64, to: i64, rate: f64) {
        if to > from && rate != 0.0 {
            (self.put)(of, from, rate);
            (self.put)(of, to, -rate);
        }
    }

    fn add(&mut self, row: &Row) {
        let stamps = self.stamps;
        let (start, end) = (stamps.at(row.start_ns), stamps.at(row.end_ns));
        self.span(Of::All, start, end, 1.0);
        let Some(ttft) = row.values.get(Metric::TimeToFirstToken) else { return };
        let first = stamps.at(row.start_ns.saturating_add(u64::try_from(whole(ttft)).unwrap_or(0)));
        self.span(Of::Prefill, start, first, 1.0);
        self.span(Of::Decode, first, end, 1.0);
        if let Some(isl) = row.values.get(Metric::InputSequenceLength) {
            let rate = rate(isl, first.saturating_sub(start));
            self.span(Of::PrefillRate, start, first, rate);
            self.span(Of::TotalRate, start, first, rate);
            self.span(Of::Tokens, start, end, isl);
        }
        let Some(osl) = row.values.get(Metric::OutputSequenceLength) else { return };
        self.span(Of::TotalRate, first, end, rate(osl - 1.0, end.saturating_sub(first)));
        self.steps(row, first, end, osl);
    }

    /// Tokens behind the first come in equal parts, one at the end of each gap.
    fn steps(&mut self, row: &Row, first: i64, end: i64, osl: f64) {
        let (stamps, further) = (self.stamps, osl - 1.0);
        let mut passed = 0.0;
        let mut gaps = std::mem::take(self.gaps);
        gaps.clear();
        gaps.extend(row.gaps.iter().map(|gap| {
            passed += gap;
            let to = stamps.after(first, passed);
            (*gap, stamps.after(to, -gap), to)
        }));
        if gaps.is_empty() {
            self.span(Of::Tokens, first, end, osl);
        } else {
            self.span(Of::Tokens, first, end, 1.0);
            let share = further / count(gaps.len());
            gaps.iter().for_each(|(_, _, to)| self.span(Of::Tokens, *to, end, share));
        }
        let lasting = || gaps.iter().filter(|(gap, _, _)| *gap > 0.0);
        match lasting().count() {
            0 => self.span(Of::DecodeRate, first, end, rate(further, end.saturating_sub(first))),
            steps => {
                let share = further / count(steps);
                lasting().for_each(|(gap, from, to)| self.span(Of::DecodeRate, *from, *to, rate(share, whole(*gap))));
            }
        }
        *self.gaps = gaps;
    }
}

/// Some curves of records.
fn sweep(columns: &Columns, stamps: Stamps, earliest: &[i64], of: [Of; LANE]) -> [Steps; LANE] {
    let mut sweeps = of.map(|_| Sweep::default());
    let mut lanes = [None; Of::Nothing as usize + 1];
    of.iter().enumerate().for_each(|(lane, of)| lanes[*of as usize] = Some(lane));
    let mut gaps = Vec::new();
    let wanted = Wanted::of(&[Metric::TimeToFirstToken, Metric::InputSequenceLength, Metric::OutputSequenceLength], true);
    columns.each(wanted, |at, row| {
        let put = |of: Of, at, change| {
            if let Some(lane) = lanes[of as usize] {
                sweeps[lane].add(at, change);
            }
        };
        Spans { stamps, gaps: &mut gaps, put }.add(row);
        if let Some(earliest) = earliest.get(at + 1).filter(|_| at % TOGETHER == 0) {
            sweeps.iter_mut().for_each(|sweep| sweep.settle(*earliest));
        }
    });
    sweeps.map(Sweep::finish)
}

/// Does both, at the same time if that is worth it.
pub(crate) fn both<A: Send, B>(together: bool, one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    if !together {
        return (one(), other());
    }
    std::thread::scope(|scope| {
        let beside = scope.spawn(one);
        let other = other();
        (beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
    })
}

impl Curves {
    /// Of these records.
    #[must_use]
    pub fn of<'a>(rows: impl Iterator<Item = &'a Row>, stamps: Stamps) -> Self {
        Self::of_columns(&rows.collect(), stamps)
    }

    /// The same of records that are kept as columns.
    #[must_use]
    pub fn of_columns(columns: &Columns, stamps: Stamps) -> Self {
        // The earliest start of a record and of all behind it: before that nothing changes any more. What doubles cannot keep of a
        // moment and of a span is less than this.
        const BLURRED: i64 = 2_048;
        let mut earliest: Vec<i64> = columns.moments().map(|[_, start, _]| stamps.at(start).saturating_sub(BLURRED)).collect();
        earliest.iter_mut().rev().fold(i64::MAX, |behind, start| {
            *start = behind.min(*start);
            *start
        });
        let sweep = |of: [Of; LANE]| sweep(columns, stamps, &earliest, of);
        let lanes = || sweep([Of::Decode, Of::DecodeRate, Of::Prefill, Of::PrefillRate]);
        let ([decode, decode_rate, prefill, prefill_rate], [all, total_rate, tokens, _]) =
            both(columns.len() >= MANY, lanes, || sweep([Of::All, Of::TotalRate, Of::Tokens, Of::Nothing]));
        Self { stamps, all, prefill, decode, prefill_rate, decode_rate, total_rate, tokens }
    }

    /// What is said of them in a window.
    #[must_use]
    pub fn within(&self, window: Window) -> Vec<(Metric, Weighted)> {
        let (from, to) = (self.stamps.at(window.start_ns), self.stamps.at(window.end_ns));
        let Self { all, prefill, decode, prefill_rate, decode_rate, total_rate, tokens, .. } = self;
        let beside = |curve, busy| Beside { curve, busy, from, to };
        let busy = |s: &Stretch| [Some(s.value_if_busy())];
        let phases = || {
            let rates = [beside(decode_rate, decode), beside(prefill_rate, prefill)].map(|curve| curve.weigh(Stretch::all_of));
            (rates, [beside(decode, decode), beside(prefill, prefill)].map(|curve| curve.weigh(busy)))
        };
        let wholes = || {
            let total = beside(total_rate, all).weigh(|s| [Some(s.value_if_busy()), s.value_where_busy()]);
            (total, [beside(all, all), beside(tokens, all)].map(|curve| curve.weigh(busy)))
        };
        let (phases, wholes) = both(decode_rate.len() + tokens.len() >= MANY, phases, wholes);
        let ([[whole, shared, active, each], [prefill_whole, prefill_shared, prefill_active, prefill_each]], [[decoding], [prefilling]]) =
            phases;
        let ([total_whole, total_active], [[requests], [held]]) = wholes;
        vec![
            (Metric::EffectiveConcurrency, requests),
            (Metric::EffectiveDecodeThroughput, whole),
            (Metric::EffectivePrefillThroughput, prefill_whole),
            (Metric::EffectiveDecodeConcurrency, decoding),
            (Metric::EffectivePrefillConcurrency, prefilling),
            (Metric::EffectiveTotalThroughput, total_whole),
            (Metric::EffectiveDecodeThroughputPerUser, shared),
            (Metric::EffectivePrefillThroughputPerUser, prefill_shared),
            (Metric::TokensInFlight, held),
            (Metric::ActiveDecodeThroughput, active),
            (Metric::ActivePrefillThroughput, prefill_active),
            (Metric::ActiveDecodeThroughputPerUser, each),
            (Metric::ActivePrefillThroughputPerUser, prefill_each),
            (Metric::ActiveTotalThroughput, total_active),
        ]
    }
}

impl Stretch {
    /// What is left of sums of rates where nothing is under way is an error of rounding.
    fn value_if_busy(&self) -> f64 {
        if self.busy > 0.0 { self.value } else { 0.0 }
    }

    /// For the time in which there is work.
    fn value_where_busy(&self) -> Option<f64> {
        (self.busy > 0.0).then_some(self.value)
    }

    /// Over the whole window; for each that is busy; and both over the time in which there is work.
    fn all_of(&self) -> [Option<f64>; 4] {
        let each = (self.busy > 0.0).then(|| self.value / self.busy);
        [Some(self.value_if_busy()), Some(each.unwrap_or(0.0)), self.value_where_busy(), each]
    }
}

/// A curve in a window, beside that of what was busy.
struct Beside<'a> {
    curve: &'a Steps,
    busy: &'a Steps,
    from: i64,
    to: i64,
}

/// What is summed up of stretches.
#[derive(Clone, Copy)]
struct Sums {
    extent: Extent,
    total: f64,
    sum: f64,
    squares: f64,
}

impl Beside<'_> {
    /// What is said of several values of each stretch, where it has them. Stretches are gone through three times and not kept:
    /// there are more of them than of anything else.
    fn weigh<const N: usize>(&self, of: impl Fn(&Stretch) -> [Option<f64>; N]) -> [Weighted; N] {
        let mut sums = [Sums { extent: Extent::NONE, total: 0.0, sum: 0.0, squares: 0.0 }; N];
        self.each(&of, |at, value, length| {
            let sums = &mut sums[at];
            sums.extent.add(value);
            sums.total += length;
            sums.sum += length * value;
        });
        let avg = sums.map(|s| s.sum / s.total);
        let mut buckets = sums.map(|s| Buckets::of(s.extent));
        self.each(&of, |at, value, length| {
            sums[at].squares += length * (value - avg[at]) * (value - avg[at]);
            buckets[at].add(value, length);
        });
        let mut totals = sums.iter().map(|s| s.total);
        let mut seeks = buckets.map(|buckets| {
            let total = totals.next().unwrap_or(0.0);
            buckets.seek(&PERCENTILES.map(|p| f64::from(p) / 100.0 * total))
        });
        self.each(&of, |at, value, length| seeks[at].add(value, length));
        let mut all = sums.into_iter().zip(avg);
        seeks.map(|seek| {
            let mut found = seek.found().into_iter();
            let Some((Sums { extent, total, squares, .. }, avg)) = all.next().filter(|(s, _)| s.total > 0.0) else {
                return Weighted::NOTHING;
            };
            let percentiles = PERCENTILES.map(|_| found.next().unwrap_or(extent.max));
            Weighted { avg, min: extent.min, max: extent.max, percentiles, std: (squares / total).sqrt() }
        })
    }

    #[inline]
    fn each<const N: usize>(&self, of: impl Fn(&Stretch) -> [Option<f64>; N], mut take: impl FnMut(usize, f64, f64)) {
        self.curve.beside(self.busy, self.from, self.to, |stretch| {
            let length = float(stretch.length);
            for (at, value) in of(&stretch).into_iter().enumerate() {
                if let Some(value) = value {
                    take(at, value, length);
                }
            }
        });
    }
}

impl Weighted {
    const NOTHING: Self = Self { avg: 0.0, min: 0.0, max: 0.0, percentiles: [0.0; 4], std: 0.0 };
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
