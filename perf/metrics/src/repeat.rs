//! The same measured several times (perf contract 1.6): how far the runs spread, and where the mean of more of them would lie.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::stats;

/// What is said of one figure over several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean of the runs.
    pub mean: f64,
    /// Standard deviation of a sample; nought of one run.
    pub std: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Deviation by mean; without end where the mean is nought, and nought of one run.
    pub cv: f64,
    /// Standard error of the mean.
    pub se: f64,
    /// Within which the mean lies, with the confidence that was asked for.
    pub interval: (f64, f64),
    /// The factor of the standard error that gives it; none of one run.
    pub t_critical: Option<f64>,
}

impl Spread {
    /// Of these runs, with a confidence between 0 and 1; `None` of none.
    #[must_use]
    pub fn of(values: &[f64], confidence: f64) -> Option<Self> {
        let (min, max) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        #[allow(clippy::cast_precision_loss, reason = "a handful of runs")]
        let n = values.len() as f64;
        let mean = stats::sum(values) / n;
        let squares: Vec<f64> = values.iter().map(|v| (v - mean) * (v - mean)).collect();
        let freedom = n - 1.0;
        let std = if freedom > 0.0 { (stats::sum(&squares) / freedom).sqrt() } else { 0.0 };
        let t_critical = quantile(freedom, f64::midpoint(1.0, confidence));
        let se = std / n.sqrt();
        let reach = t_critical.unwrap_or(0.0) * se;
        let cv = match values {
            [_] => 0.0,
            _ if mean == 0.0 => f64::INFINITY,
            _ => std / mean,
        };
        Some(Self { mean, std, min, max, cv, se, interval: (mean - reach, mean + reach), t_critical })
    }
}

/// Student's t of so many degrees of freedom, below which this share lies.
fn quantile(freedom: f64, share: f64) -> Option<f64> {
    StudentsT::new(0.0, 1.0, freedom).ok().filter(|_| share < 1.0).map(|t| t.inverse_cdf(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64, relative: f64) {
        assert!((got - want).abs() <= relative * want.abs(), "{got} {want}");
    }

    #[test]
    fn quantiles_are_those_of_tables() {
        for (freedom, want) in [(1.0, 12.706_204_736_174_694), (2.0, 4.302_652_729_749_462), (9.0, 2.262_157_162_798_205)] {
            near(quantile(freedom, 0.975).unwrap(), want, 1e-9);
        }
        assert_eq!(quantile(0.0, 0.975), None);
    }

    /// Vector A9 of the perf contract.
    #[test]
    fn a9() {
        let spread = Spread::of(&[81.063_058_5, 82.678_091_75], 0.95).unwrap();
        near(spread.mean, 81.870_575_125, 1e-12);
        near(spread.std, 1.142_000_963, 1e-8);
        near(spread.se, 0.807_516_625, 1e-8);
        near(spread.interval.0, 71.6101, 1e-6);
        near(spread.interval.1, 92.1310, 1e-6);
    }

    #[test]
    fn one_run_says_nothing_of_the_next() {
        let spread = Spread::of(&[5.0], 0.95).unwrap();
        assert_eq!((spread.std, spread.cv, spread.interval, spread.t_critical), (0.0, 0.0, (5.0, 5.0), None));
        assert_eq!(Spread::of(&[], 0.95), None);
        assert_eq!(Spread::of(&[-1.0, 1.0], 0.95).unwrap().cv, f64::INFINITY);
    }
}
