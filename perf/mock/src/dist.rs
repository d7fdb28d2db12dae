//! How long something takes: a distribution by name, in milliseconds, drawn in nanoseconds.
//!
//! The formulas are written out, and use nothing but the generator's bits: what a seed means must not change with the version of a crate.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

/// No draw is longer: an hour.
const LONGEST_NS: f64 = 3.6e12;

/// A distribution of delays in milliseconds. What is drawn below zero is zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dist {
    /// Always the same.
    Fixed(f64),
    /// By mean and standard deviation.
    Normal(f64, f64),
    /// By median and the standard deviation of the logarithm.
    LogNormal(f64, f64),
    /// Between two values.
    Uniform(f64, f64),
    /// By mean.
    Exp(f64),
}

impl Dist {
    /// Whether every draw is the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    /// A delay in nanoseconds.
    pub(crate) fn draw(&self, random: &mut ChaCha12Rng) -> u64 {
        let ms = match *self {
            Self::Fixed(ms) => ms,
            Self::Normal(mean, deviation) => mean + deviation * normal(random),
            Self::LogNormal(median, sigma) => median * (sigma * normal(random)).exp(),
            Self::Uniform(low, high) => low + (high - low) * unit(random),
            Self::Exp(mean) => -mean * (1.0 - unit(random)).ln(),
        };
        nanoseconds(ms)
    }
}

/// Milliseconds as whole nanoseconds, between none and an hour.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
pub(crate) fn nanoseconds(ms: f64) -> u64 {
    (ms * 1e6).clamp(0.0, LONGEST_NS) as u64
}

/// A number in [0, 1) by 53 bits.
#[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
pub(crate) fn unit(random: &mut ChaCha12Rng) -> f64 {
    (random.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// Box and Muller's; the second of the pair is left, so that each draw takes the same number of bits.
fn normal(random: &mut ChaCha12Rng) -> f64 {
    let (u, v) = (1.0 - unit(random), unit(random));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

impl FromStr for Dist {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, values) = text.split_once(':').unwrap_or((text, ""));
        let values: Vec<f64> = values
            .split(',')
            .map(|v| v.trim().parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0))
            .collect::<Option<_>>()
            .ok_or_else(|| format!("{text:?}: the values after the colon are numbers of at least 0"))?;
        match (name, values.as_slice()) {
            ("fixed", [ms]) => Ok(Self::Fixed(*ms)),
            ("normal", [mean, deviation]) => Ok(Self::Normal(*mean, *deviation)),
            ("lognormal", [median, sigma]) => Ok(Self::LogNormal(*median, *sigma)),
            ("uniform", [low, high]) if low <= high => Ok(Self::Uniform(*low, *high)),
            ("exp", [mean]) => Ok(Self::Exp(*mean)),
            _ => Err(format!("{text:?} is none of fixed:MS, normal:MEAN,STD, lognormal:MEDIAN,SIGMA, uniform:LOW,HIGH, exp:MEAN")),
        }
    }
}

impl Display for Dist {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(a) => write!(f, "fixed:{a}"),
            Self::Normal(a, b) => write!(f, "normal:{a},{b}"),
            Self::LogNormal(a, b) => write!(f, "lognormal:{a},{b}"),
            Self::Uniform(a, b) => write!(f, "uniform:{a},{b}"),
            Self::Exp(a) => write!(f, "exp:{a}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn what_is_drawn_has_the_mean_that_was_asked_for() {
        for (text, mean) in
            [("fixed:20", 20.0), ("normal:50,5", 50.0), ("lognormal:10,0.5", 10.0 * 0.125_f64.exp()), ("uniform:1,9", 5.0), ("exp:7", 7.0)]
        {
            let dist: Dist = text.parse().unwrap();
            assert_eq!(dist.to_string(), text);
            let mut random = ChaCha12Rng::seed_from_u64(1);
            let sum: u64 = (0..20_000).map(|_| dist.draw(&mut random)).sum();
            #[allow(clippy::cast_precision_loss)]
            let drawn = sum as f64 / 20_000.0 / 1e6;
            assert!((drawn - mean).abs() < mean * 0.03, "{text}: {drawn} for {mean}");
        }
    }

    #[test]
    fn nothing_is_negative_or_endless() {
        let mut random = ChaCha12Rng::seed_from_u64(1);
        for text in ["normal:0,5", "lognormal:1e300,900", "exp:1e300"] {
            let dist: Dist = text.parse().unwrap();
            assert!((0..1000).all(|_| dist.draw(&mut random) <= 3_600_000_000_000));
        }
    }

    #[test]
    fn what_is_no_distribution_is_refused_with_what_is_one() {
        for text in ["", "fixed", "normal:1", "uniform:9,1", "exp:-1", "exp:nan", "gamma:1,2", "normal:1,2,3"] {
            assert!(text.parse::<Dist>().is_err(), "{text}");
        }
        assert!("gamma:1,2".parse::<Dist>().unwrap_err().contains("lognormal:MEDIAN,SIGMA"));
    }
}
