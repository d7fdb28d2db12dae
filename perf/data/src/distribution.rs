//! How a length, count or delay is spread (perf contract 1.5): fixed, normal, log-normal, a mixture of those, or by points.
//!
//! What makes no sense is refused when one is made, so that drawing cannot fail.

use rand::Rng;
use rand::distr::weighted::WeightedIndex;
use rand_distr::{Distribution as _, LogNormal, StandardNormal};

use crate::lengths::whole;

/// A distribution, held within bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Length {
    shape: Shape,
    min: Option<f64>,
    max: Option<f64>,
}

/// What is drawn before bounds hold it.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Normal, drawn again until it is not negative. Without a deviation always the mean.
    Normal {
        /// In the middle.
        mean: f64,
        /// Nought: always the mean.
        stddev: f64,
    },
    /// Log-normal: what is far above the median is rare, and not as rare as in a normal one.
    Skewed {
        /// Of all that is drawn.
        mean: f64,
        /// Half of what is drawn is below it.
        median: f64,
        /// The same by its logarithms.
        spread: LogNormal<f64>,
    },
    /// Each time one of several distributions.
    Peaks(Weighted<Length>),
    /// Each time one of several values.
    Points(Weighted<f64>),
}

/// Things, each drawn as often as its weight says.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted<T> {
    items: Vec<(T, f64)>,
    index: WeightedIndex<f64>,
}

impl<T> Weighted<T> {
    fn of(items: Vec<(T, f64)>) -> Result<Self, String> {
        for (_, weight) in &items {
            not_negative("a weight", *weight)?;
        }
        let index = WeightedIndex::new(items.iter().map(|(_, weight)| *weight));
        Ok(Self { items, index: index.map_err(|_| "the sum of all weights must be a number above 0".to_owned())? })
    }

    /// Each with its weight.
    #[must_use]
    pub fn items(&self) -> &[(T, f64)] {
        &self.items
    }

    fn draw(&self, rng: &mut impl Rng) -> Option<&T> {
        self.items.get(self.index.sample(rng)).map(|(item, _)| item)
    }

    fn mean(&self, of: impl Fn(&T) -> f64) -> f64 {
        let all: f64 = self.items.iter().map(|(_, weight)| weight).sum();
        self.items.iter().map(|(item, weight)| weight / all * of(item)).sum()
    }
}

fn not_negative(what: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(format!("{what} is a number of 0 or more, not {value}")) }
}

impl Length {
    /// Always this.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self::from(Shape::Normal { mean: value, stddev: 0.0 })
    }

    /// Around a mean.
    ///
    /// # Errors
    /// When one of both is negative, or no number.
    pub fn normal(mean: f64, stddev: f64) -> Result<Self, String> {
        not_negative("a mean", mean)?;
        not_negative("stddev", stddev)?;
        Ok(Self::from(Shape::Normal { mean, stddev }))
    }

    /// Log-normal, by what is seen of it. Where both are the same, nothing is drawn.
    ///
    /// # Errors
    /// When one of both is not above nought, or the median is above the mean.
    pub fn log_normal(mean: f64, median: f64) -> Result<Self, String> {
        for (name, value) in [("mean", mean), ("median", median)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name} must be above 0 where there is a median, and it is {value}"));
            }
        }
        if median > mean {
            return Err(format!("median must be at most the mean, {mean}, and it is {median}"));
        }
        let spread = LogNormal::new(median.ln(), (2.0 * (mean.ln() - median.ln())).sqrt()).map_err(|e| format!("median {median}: {e}"))?;
        Ok(if median < mean { Self::from(Shape::Skewed { mean, median, spread }) } else { Self::of(mean) })
    }

    /// One of these, each as often as its weight says.
    ///
    /// # Errors
    /// When there are less than two, or weights are negative, no numbers or all nought.
    pub fn peaks(peaks: Vec<(Self, f64)>) -> Result<Self, String> {
        if peaks.len() < 2 {
            return Err(format!("peaks must be two or more, and there are {}", peaks.len()));
        }
        Weighted::of(peaks).map(|peaks| Self::from(Shape::Peaks(peaks))).map_err(|why| format!("peaks: {why}"))
    }

    /// One of these values, each as often as its weight says.
    ///
    /// # Errors
    /// When there is none, one is negative or no number, or weights are, or all of them are nought.
    pub fn points(points: Vec<(f64, f64)>) -> Result<Self, String> {
        if points.is_empty() {
            return Err("points must be one or more, and there is none".to_owned());
        }
        for (at, (value, _)) in points.iter().enumerate() {
            not_negative(&format!("points[{at}].value"), *value)?;
        }
        Weighted::of(points).map(|points| Self::from(Shape::Points(points))).map_err(|why| format!("points: {why}"))
    }

    /// The same, and what is drawn below or above becomes the bound.
    ///
    /// # Errors
    /// When a bound is no number, or the lower one is above the other.
    pub fn within(self, min: Option<f64>, max: Option<f64>) -> Result<Self, String> {
        for (name, bound) in [("min", min), ("max", max)] {
            if let Some(bound) = bound.filter(|bound| !bound.is_finite()) {
                return Err(format!("{name} must be a number, and it is {bound}"));
            }
        }
        match (min, max) {
            (Some(min), Some(max)) if min > max => Err(format!("min must be at most max, {max}, and it is {min}")),
            _ => Ok(Self { min, max, ..self }),
        }
    }

    /// What is drawn before bounds hold it.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The lower bound.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.min
    }

    /// The upper bound.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.max
    }

    /// Nothing is drawn: it is always the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self.shape, Shape::Normal { stddev, .. } if stddev.is_nan() || stddev <= 0.0)
    }

    /// The mean before bounds, held by them: exact where they do not bite.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.held(match &self.shape {
            Shape::Normal { mean, .. } | Shape::Skewed { mean, .. } => *mean,
            Shape::Peaks(peaks) => peaks.mean(Self::mean),
            Shape::Points(points) => points.mean(|value| *value),
        })
    }

    fn held(&self, value: f64) -> f64 {
        let value = self.min.map_or(value, |min| if value < min { min } else { value });
        self.max.map_or(value, |max| if value > max { max } else { value })
    }

    fn draw(&self, rng: &mut impl Rng) -> f64 {
        self.held(match &self.shape {
            Shape::Normal { mean, stddev } => normal(*mean, *stddev, rng),
            Shape::Skewed { spread, .. } => spread.sample(rng),
            Shape::Peaks(peaks) => peaks.draw(rng).map_or(0.0, |peak| peak.draw(rng)),
            Shape::Points(points) => points.draw(rng).copied().unwrap_or_default(),
        })
    }

    /// A number that is not negative.
    pub(crate) fn positive(&self, rng: &mut impl Rng) -> f64 {
        self.draw(rng).max(0.0)
    }

    /// A positive integer, as the contract defines it. One number alone is rounded to the nearest, as the peer does.
    pub(crate) fn integer(&self, rng: &mut impl Rng) -> u64 {
        match &self.shape {
            Shape::Normal { mean, .. } if self.is_fixed() => self.counted(mean.round_ties_even()),
            _ => self.counted(self.draw(rng)),
        }
    }

    /// The positive integer of a value, within the bounds.
    pub(crate) fn counted(&self, value: f64) -> u64 {
        whole(self.held(value).ceil()).max(1)
    }
}

impl From<Shape> for Length {
    fn from(shape: Shape) -> Self {
        Self { shape, min: None, max: None }
    }
}

/// A number that is not negative: drawn until it is.
fn normal(mean: f64, stddev: f64, rng: &mut impl Rng) -> f64 {
    // The comparisons are so that NaN ends the search.
    if !(stddev > 0.0 && mean.is_finite()) {
        return mean.max(0.0);
    }
    // A mean far below nought would never give one.
    for _ in 0..10_000 {
        let z: f64 = StandardNormal.sample(rng);
        let drawn = mean + stddev * z;
        if drawn >= 0.0 {
            return drawn;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    const MANY: u32 = 100_000;

    fn drawn(length: &Length, seed: u64, many: u32) -> Vec<f64> {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        (0..many).map(|_| length.positive(&mut rng)).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / f64::from(MANY)
    }

    fn share(values: &[f64], of: impl Fn(f64) -> bool) -> f64 {
        mean(&values.iter().map(|value| f64::from(u8::from(of(*value)))).collect::<Vec<_>>())
    }

    /// What a seed gives for numbers and for a mean with a deviation is what it has always given.
    #[test]
    fn a_seed_gives_what_it_gave() {
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let mut six = |length: &Length| -> Vec<u64> { (0..6).map(|_| length.integer(&mut rng)).collect() };
        assert_eq!(six(&Length::normal(550.0, 50.0).unwrap()), [498, 522, 515, 556, 524, 588]);
        assert_eq!(six(&Length::normal(3.0, 5.0).unwrap()), [7, 5, 2, 6, 6, 8]);
        assert_eq!(six(&Length::of(20.5)), [20; 6]);
        assert_eq!(six(&Length::of(21.5)), [22; 6]);
        let delay = Length::normal(20.0, 5.0).unwrap();
        assert_eq!(
            [(); 4].map(|()| delay.positive(&mut rng)),
            [21.041_082_118_509_813, 20.021_022_789_508_79, 22.393_095_730_571_56, 17.966_034_227_527_44]
        );
    }

    /// 2.9.
    #[test]
    fn positive_integers() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        for (fixed, integer) in [(0.2, 1), (20.0, 20), (-5.0, 1), (f64::NAN, 1), (f64::INFINITY, 100_000_000)] {
            assert_eq!(Length::of(fixed).integer(&mut rng), integer, "{fixed}");
        }
        let wide = Length::normal(3.0, 5.0).unwrap();
        assert!((0..1000).all(|_| wide.integer(&mut rng) >= 1));
        assert_eq!(Length::from(Shape::Normal { mean: -1e9, stddev: 1.0 }).integer(&mut rng), 1);
        assert_eq!(Length::points(vec![(7.2, 1.0)]).unwrap().integer(&mut rng), 8);
    }

    #[test]
    fn a_log_normal_has_its_mean_and_its_median() {
        for (asked, median) in [(512.0, 400.0), (1024.0, 904.0), (512.0, 192.0)] {
            let length = Length::log_normal(asked, median).unwrap();
            let values = drawn(&length, 5, MANY);
            assert!((mean(&values) / asked - 1.0).abs() < 0.03, "{asked} {}", mean(&values));
            let below = share(&values, |value| value < median);
            assert!((below - 0.5).abs() < 0.01, "{median} {below}");
            let sigma = (2.0 * (asked / median).ln()).sqrt();
            let within = share(&values, |value| (value.ln() - median.ln()).abs() < sigma);
            assert!((within - 0.6827).abs() < 0.01, "{sigma} {within}");
            assert!((length.mean() - asked).abs() < 1e-9);
        }
        let same = Length::log_normal(512.0, 512.0).unwrap();
        assert!(same.is_fixed() && drawn(&same, 1, 9) == [512.0; 9]);
    }

    #[test]
    fn mixtures_and_points_come_by_their_weights() {
        let peaks = vec![
            (Length::normal(128.0, 20.0).unwrap(), 60.0),
            (Length::log_normal(2048.0, 1800.0).unwrap().within(Some(700.0), None).unwrap(), 30.0),
            (Length::of(9000.0), 10.0),
            (Length::of(1e6), 0.0),
        ];
        let peaks = Length::peaks(peaks).unwrap();
        let values = drawn(&peaks, 3, MANY);
        for (part, want) in [(share(&values, |v| v < 400.0), 0.6), (share(&values, |v| v >= 9000.0), 0.1)] {
            assert!((part - want).abs() < 0.01, "{part} {want}");
        }
        assert!(values.iter().all(|v| *v < 400.0 || (700.0..1e6).contains(v)));
        assert!((peaks.mean() - (76.8 + 614.4 + 900.0)).abs() < 1e-6 && !peaks.is_fixed());

        let points = Length::points(vec![(128.0, 4.0), (512.0, 3.5), (2048.0, 2.0), (8192.0, 0.5)]).unwrap();
        let values = drawn(&points, 3, MANY);
        for (value, want) in [(128.0, 0.4), (512.0, 0.35), (2048.0, 0.2), (8192.0, 0.05)] {
            let part = share(&values, |v| (v - value).abs() < 1e-9);
            assert!((part - want).abs() < 0.01, "{value} {part}");
        }
        assert!((points.mean() - 1049.6).abs() < 1e-6);
    }

    #[test]
    fn bounds_hold_single_numbers_and_means() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let held = |value, min, max| Length::of(value).within(min, max).unwrap();
        assert_eq!(held(5.0, None, Some(3.0)).integer(&mut rng), 3);
        assert_eq!(held(5.0, Some(7.5), None).integer(&mut rng), 8);
        assert!((held(5.0, Some(9.0), None).mean() - 9.0).abs() < 1e-9);
        assert!(held(5.0, None, Some(-3.0)).positive(&mut rng).abs() < 1e-9);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let two = |weight| Length::peaks(vec![(Length::of(1.0), weight), (Length::of(2.0), 0.0)]);
        for (refused, why) in [
            (Length::normal(-1.0, 0.0), "a mean is a number of 0 or more, not -1"),
            (Length::normal(1.0, f64::NAN), "stddev is a number of 0 or more, not NaN"),
            (Length::log_normal(0.0, 1.0), "mean must be above 0"),
            (Length::log_normal(3.0, 0.0), "median must be above 0"),
            (Length::log_normal(f64::INFINITY, 3.0), "mean must be above 0"),
            (Length::log_normal(3.0, 4.0), "median must be at most the mean, 3, and it is 4"),
            (Length::peaks(vec![(Length::of(1.0), 1.0)]), "peaks must be two or more, and there are 1"),
            (two(-1.0), "peaks: a weight is a number of 0 or more, not -1"),
            (two(f64::NAN), "peaks: a weight"),
            (two(f64::INFINITY), "peaks: a weight"),
            (two(0.0), "peaks: the sum of all weights must be a number above 0"),
            (Length::points(Vec::new()), "points must be one or more"),
            (Length::points(vec![(1.0, 1.0), (-2.0, 1.0)]), "points[1].value is a number of 0 or more, not -2"),
            (Length::points(vec![(1.0, 0.0)]), "points: the sum of all weights"),
            (Length::points(vec![(1.0, f64::MAX), (2.0, f64::MAX)]), "points: the sum of all weights"),
            (Length::of(1.0).within(Some(3.0), Some(2.0)), "min must be at most max, 2, and it is 3"),
            (Length::of(1.0).within(Some(f64::NAN), None), "min must be a number"),
            (Length::of(1.0).within(None, Some(f64::INFINITY)), "max must be a number"),
        ] {
            let error = refused.unwrap_err();
            assert!(error.starts_with(why), "{error} | {why}");
        }
    }

    fn any_length() -> impl Strategy<Value = Length> {
        let leaf = prop_oneof![
            (0.0..1e4).prop_map(Length::of),
            (0.0..1e4, 0.0..1e3).prop_map(|(mean, stddev)| Length::normal(mean, stddev).unwrap()),
            (1.0..1e4, 0.001..1.0).prop_map(|(mean, part)| Length::log_normal(mean, mean * part).unwrap()),
            prop::collection::vec((0.0..1e4, 0.1..9.0), 1..5).prop_map(|points| Length::points(points).unwrap()),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec((inner, 0.1..9.0), 2..4).prop_map(|peaks| Length::peaks(peaks).unwrap()))
    }

    proptest! {
        #[test]
        fn bounds_hold_and_a_seed_gives_the_same(length in any_length(), a in 0.0..2e4, b in 0.0..2e4, seed: u64) {
            let (min, max) = (f64::min(a, b), f64::max(a, b));
            let length = length.within(Some(min), Some(max)).unwrap();
            let values = drawn(&length, seed, 50);
            prop_assert!(values.iter().all(|value| (min..=max).contains(value)));
            prop_assert!((min..=max).contains(&length.mean()));
            prop_assert_eq!(values, drawn(&length.clone(), seed, 50));
            let (mut one, mut other) = (ChaCha12Rng::seed_from_u64(seed), ChaCha12Rng::seed_from_u64(seed));
            for _ in 0..50 {
                let integer = length.integer(&mut one);
                prop_assert!((whole(min).max(1)..=whole(max.ceil()).max(1)).contains(&integer));
                prop_assert_eq!(integer, length.integer(&mut other));
            }
        }

        #[test]
        fn nothing_that_is_made_panics(numbers in prop::collection::vec(any::<f64>(), 8), seed: u64) {
            let mut rng = ChaCha12Rng::seed_from_u64(seed);
            let made = [
                Length::normal(numbers[0], numbers[1]),
                Length::log_normal(numbers[0], numbers[1]),
                Length::points(vec![(numbers[2], numbers[3]), (numbers[4], numbers[5])]),
                Length::peaks(vec![(Length::of(numbers[2]), numbers[3]), (Length::of(numbers[4]), numbers[5])]),
            ];
            for length in made.into_iter().flatten().flat_map(|length| [length.clone().within(Some(numbers[6]), Some(numbers[7])).ok(), Some(length)]).flatten() {
                prop_assert!(length.positive(&mut rng) >= 0.0 && length.integer(&mut rng) >= 1);
                let _ = length.mean();
            }
        }
    }
}
