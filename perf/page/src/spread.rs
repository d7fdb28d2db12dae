//! How values are spread: counted in narrow buckets, so that a hundred million of them take as much room as ten.
//!
//! A bucket is as wide as a thousandth of its values, which no chart shows. Exact figures come from the summary, not from here.

/// Bits of the fraction that tell buckets apart.
const FRACTION: u32 = 10;
/// What is cut off a double to get its bucket.
const CUT: u32 = 52 - FRACTION;
/// The bucket of 1: base units are nanoseconds, and none is smaller.
const FIRST: u64 = 1.0_f64.to_bits() >> CUT;
/// Up to 2^53.
const BUCKETS: usize = 53 << FRACTION;

/// Values, counted.
#[derive(Debug)]
pub(crate) struct Spread {
    counts: Vec<u64>,
    /// Below one unit; of gaps, tokens that came together.
    pub(crate) zeros: u64,
    /// All of them.
    pub(crate) total: u64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of these; what is no number is none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut spread = Self { counts: vec![0; BUCKETS], zeros: 0, total: 0, min: f64::INFINITY, max: 0.0 };
        values.into_iter().filter(|v| v.is_finite()).for_each(|v| spread.add(v.max(0.0)));
        spread
    }

    fn add(&mut self, value: f64) {
        self.total += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if value < 1.0 {
            self.zeros += 1;
            return;
        }
        let at = usize::try_from((value.to_bits() >> CUT).saturating_sub(FIRST)).unwrap_or(BUCKETS);
        self.counts[at.min(BUCKETS - 1)] += 1;
    }

    /// Each value that there is, to a thousandth, with how many there are of it, ascending.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let zeros = (self.zeros > 0).then_some((self.min.min(1.0), self.zeros));
        let middle = |at: usize| f64::from_bits(((FIRST + at as u64) << CUT) | (1 << (CUT - 1)));
        let rest = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        zeros.into_iter().chain(rest.map(move |(at, n)| (middle(at).clamp(self.min, self.max), *n)))
    }

    /// The value below which this part of them is.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = part * count(self.total);
        let mut below = 0;
        for (value, n) in self.steps() {
            below += n;
            if count(below) >= wanted {
                return Some(value);
            }
        }
        None
    }

    /// Values reach over so many powers of ten that only a logarithmic axis shows them.
    pub(crate) fn is_wide(&self) -> bool {
        let ends = self.quantile(0.02).zip(self.quantile(0.998));
        self.zeros == 0 && ends.is_some_and(|(low, high)| low > 0.0 && high / low > 25.0)
    }

    /// The share of values up to each, in hundredths: as few points as show the same line. A step to the right comes first.
    pub(crate) fn curve(&self, logarithmic: bool) -> Vec<(f64, f64)> {
        const STEPS: f64 = 240.0;
        let place = |value: f64| if logarithmic { value.max(1.0).ln() } else { value };
        let (near, total) = ((place(self.max) - place(self.min)) / STEPS, count(self.total));
        let mut points: Vec<(f64, f64)> = Vec::new();
        let (mut below, mut last) = (0, (f64::NEG_INFINITY, 0.0));
        for (value, n) in self.steps() {
            below += n;
            let here = (value, 100.0 * count(below) / total);
            let is_end = below == self.total;
            if points.is_empty() {
                points.push((value, 0.0));
            }
            if is_end || place(value) - place(last.0) >= near || here.1 - last.1 >= 100.0 / STEPS {
                points.push(here);
                last = here;
            }
        }
        points
    }

    /// How many lie in each of so many pieces as long as each other, with the left end of each; and how many to the right of
    /// the last one, because a few that are far away would flatten all others.
    pub(crate) fn histogram(&self, pieces: usize, logarithmic: bool) -> Histogram {
        let far = self.quantile(0.99).unwrap_or(self.max) * 2.0;
        let end = if logarithmic || self.max <= far { self.max } else { far };
        let place = |value: f64| if logarithmic { value.max(1.0).ln() } else { value };
        let back = |place: f64| if logarithmic { place.exp() } else { place };
        let (from, to) = (place(self.min), place(end));
        let width = ((to - from) / count(pieces as u64)).max(f64::MIN_POSITIVE);
        let mut bars = vec![0_u64; pieces];
        let mut beyond = 0;
        for (value, n) in self.steps() {
            if value > end {
                beyond += n;
                continue;
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; what is above stays at the end")]
            let at = ((place(value) - from) / width).max(0.0) as usize;
            bars[at.min(pieces - 1)] += n;
        }
        let bars = bars.into_iter().enumerate().map(|(at, n)| (back(from + width * count(at as u64)), n)).collect();
        Histogram { bars, end, beyond }
    }
}

/// Bars.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// Left end and how many.
    pub(crate) bars: Vec<(f64, u64)>,
    /// The right end of the last one.
    pub(crate) end: f64,
    /// How many are to the right of it.
    pub(crate) beyond: u64,
}

/// As a double.
#[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
pub(crate) fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hundred_values() {
        let spread = Spread::of((1..=100).map(|v| f64::from(v) * 1e6));
        assert_eq!((spread.total, spread.zeros, spread.min, spread.max), (100, 0, 1e6, 1e8));
        let median = spread.quantile(0.5).unwrap();
        assert!((median / 5e7 - 1.0).abs() < 1e-3, "{median}");
        let curve = spread.curve(false);
        assert_eq!((curve[0].1, curve.last().unwrap().1), (0.0, 100.0));
        let histogram = spread.histogram(10, false);
        assert_eq!(histogram.bars.iter().map(|(_, n)| n).sum::<u64>() + histogram.beyond, 100);
    }

    #[test]
    fn what_is_far_away_does_not_flatten_the_rest() {
        let spread = Spread::of(std::iter::repeat_n(1e6, 9_999).chain([1e9]));
        let histogram = spread.histogram(40, false);
        assert_eq!((histogram.beyond, histogram.end), (1, 2.0 * spread.quantile(0.99).unwrap()));
    }

    #[test]
    fn of_nothing_there_is_nothing() {
        let spread = Spread::of([f64::NAN]);
        assert_eq!((spread.total, spread.quantile(0.5), spread.curve(true).len()), (0, None, 0));
        assert!(!spread.is_wide());
    }

    proptest! {
        #[test]
        fn curves_grow_and_are_short(values in proptest::collection::vec(0.0_f64..1e12, 1..2000), logarithmic: bool) {
            let spread = Spread::of(values.iter().copied());
            let curve = spread.curve(logarithmic);
            prop_assert!(curve.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1), "{curve:?}");
            prop_assert!(curve.len() <= 500);
            prop_assert!((curve.last().unwrap().1 - 100.0).abs() < 1e-9);
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let exact = sorted[(sorted.len() - 1) / 2];
            prop_assert!((spread.quantile(0.5).unwrap() - exact).abs() <= exact * 2e-3 + 1.0);
        }
    }
}
