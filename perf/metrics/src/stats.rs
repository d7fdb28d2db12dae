//! Statistics of a column of values (perf contract 5.13): percentiles by linear interpolation between closest ranks, standard
//! deviation of the population.

use crate::ranks::{self, Extent};

/// The percentiles that are always given.
pub const PERCENTILES: [u8; 9] = [1, 5, 10, 25, 50, 75, 90, 95, 99];

/// What is said of a column, in the unit that its values are in.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Mean.
    pub avg: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Sum.
    pub sum: f64,
    /// [`PERCENTILES`], in their order.
    pub percentiles: [f64; 9],
    /// Standard deviation: that of the population.
    pub std: f64,
    /// How many values.
    pub count: usize,
}

impl Stats {
    /// Of these values, in the order in which they came; `None` of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let extent = extent(values);
        if extent.is_empty() {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
        let n = values.len() as f64;
        let sum = sum(values);
        let avg = sum / n;
        let variance = sum_of(values, |v| (v - avg) * (v - avg)) / n;
        let positions = PERCENTILES.map(|p| Position::of(values.len(), f64::from(p)));
        let places: Vec<usize> = positions.iter().flat_map(|p| [p.below, p.above]).collect();
        let mut neighbours = ranks::at(values, extent, &places).into_iter();
        let percentiles = positions.map(|p| {
            let below = neighbours.next().unwrap_or(extent.min);
            p.between(below, neighbours.next().unwrap_or(extent.max))
        });
        Some(Self { avg, min: extent.min, max: extent.max, sum, percentiles, std: variance.sqrt(), count: values.len() })
    }

    /// The same with each figure changed: into the unit that is shown, where that is proportional.
    #[must_use]
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            avg: f(self.avg),
            min: f(self.min),
            max: f(self.max),
            sum: f(self.sum),
            percentiles: self.percentiles.map(&f),
            std: f(self.std),
            count: self.count,
        }
    }
}

/// Where a percentile lies among sorted values, of which there are some: at `q / 100 * (n - 1)`.
struct Position {
    below: usize,
    above: usize,
    part: f64,
}

impl Position {
    fn of(count: usize, q: f64) -> Self {
        let last = count.saturating_sub(1);
        #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
        let position = (q / 100.0) * last as f64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last index")]
        let below = (position.floor().max(0.0) as usize).min(last);
        #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
        let part = position - below as f64;
        Self { below, above: (below + 1).min(last), part }
    }

    /// From the nearer end, so that both ends are met exactly.
    fn between(&self, a: f64, b: f64) -> f64 {
        if self.part < 0.5 { a + (b - a) * self.part } else { b - (b - a) * (1.0 - self.part) }
    }
}

/// Smallest and largest.
pub(crate) fn extent(values: &[f64]) -> Extent {
    let mut extent = Extent::NONE;
    values.iter().for_each(|v| extent.add(*v));
    extent
}

/// Pairwise, so that the error grows with the logarithm of the number of values; blocks and lanes are those of `NumPy`'s
/// `pairwise_sum`, so that the peer's figures come out to the last bits.
#[must_use]
pub fn sum(values: &[f64]) -> f64 {
    sum_of(values, |v| v)
}

/// The same of what is made of each.
fn sum_of(values: &[f64], of: impl Fn(f64) -> f64 + Copy) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() < LANES {
        return values.iter().fold(0.0, |sum, v| sum + of(*v));
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % LANES);
        return sum_of(left, of) + sum_of(right, of);
    }
    let whole = values.chunks_exact(LANES);
    let rest = whole.remainder();
    let mut lanes = [0.0; LANES];
    whole.for_each(|chunk| lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += of(*v)));
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, v| sum + of(*v))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The check of perf contract 5.13.
    #[test]
    fn ten_to_a_hundred() {
        let values: Vec<f64> = (1..=10).map(|i| f64::from(i) * 10.0).collect();
        let stats = Stats::of(&values).unwrap();
        assert_eq!((stats.avg, stats.min, stats.max, stats.sum, stats.count), (55.0, 10.0, 100.0, 550.0, 10));
        assert!((stats.std - 28.722_813_232_690_143).abs() < 1e-14);
        let wanted = [10.9, 14.5, 19.0, 32.5, 55.0, 77.5, 91.0, 95.5, 99.1];
        for (got, want) in stats.percentiles.iter().zip(wanted) {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
    }

    #[test]
    fn few_values() {
        assert_eq!(Stats::of(&[]), None);
        let one = Stats::of(&[3.0]).unwrap();
        assert_eq!((one.avg, one.std, one.percentiles, one.count), (3.0, 0.0, [3.0; 9], 1));
    }

    proptest! {
        #[test]
        fn percentiles_are_between_neighbours_and_grow(values in proptest::collection::vec(-1e12_f64..1e12, 1..200)) {
            let stats = Stats::of(&values).unwrap();
            prop_assert!(stats.percentiles.windows(2).all(|w| w[0] <= w[1]));
            prop_assert!(stats.percentiles[0] >= stats.min && stats.percentiles[8] <= stats.max);
            prop_assert!(stats.min <= stats.avg * (1.0 + 1e-9) + 1e-3 && stats.avg <= stats.max * (1.0 + 1e-9) + 1e-3 || stats.avg < 0.0);
            prop_assert!(stats.std >= 0.0);
        }
    }
}
