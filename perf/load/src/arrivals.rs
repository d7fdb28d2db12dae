//! When requests are to leave in open loop (perf contract 2.4, 2.7): a sequence that is fixed by its seed before the first of them
//! leaves, so that it is the same on any machine, however late that is.
//!
//! Intervals are drawn for a rate of one and stretched by the rate that holds: the n-th arrival is where as much of the rate's
//! curve lies behind it as the drawn intervals add up to.

use rand::Rng;
use rand_distr::{Distribution, Exp1, Gamma};

/// How intervals vary around their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// Not at all.
    Constant,
    /// As those of events that know nothing of each other.
    Poisson,
    /// Smoother than that above 1, in bursts below: the square of the coefficient of variation is the reciprocal.
    Gamma(f64),
}

/// Requests per second over time: linear between points, as at the first and last of them outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate(Vec<(f64, f64)>);

/// Why a curve is none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RateError {
    /// No points at all.
    #[error("a series of rates needs at least one point")]
    Empty,
    /// A time or rate that cannot be.
    #[error("point {0}: times and rates must be finite and not negative")]
    Number(usize),
    /// Points out of order.
    #[error("point {0}: times must grow from point to point")]
    Order(usize),
    /// Nothing would ever leave.
    #[error("at the last point the rate must be above nought")]
    Still,
}

impl Rate {
    /// Always the same.
    ///
    /// # Errors
    /// When it is not above nought.
    pub fn constant(per_second: f64) -> Result<Self, RateError> {
        Self::series(vec![(0.0, per_second)])
    }

    /// From nearly nothing to this within so many seconds, as the peer's ramp begins.
    ///
    /// # Errors
    /// When it is not above nought.
    pub fn ramp(per_second: f64, seconds: f64) -> Result<Self, RateError> {
        if seconds <= 0.0 {
            return Self::constant(per_second);
        }
        Self::series(vec![(0.0, (per_second * 0.1 / seconds).min(per_second)), (seconds, per_second)])
    }

    /// Points of seconds and requests per second.
    ///
    /// # Errors
    /// What keeps them from being a curve.
    pub fn series(points: Vec<(f64, f64)>) -> Result<Self, RateError> {
        let fine = |v: f64| v.is_finite() && v >= 0.0;
        if let Some(at) = points.iter().position(|(t, r)| !fine(*t) || !fine(*r)) {
            return Err(RateError::Number(at));
        }
        if let Some(at) = points.windows(2).position(|w| w[1].0 <= w[0].0) {
            return Err(RateError::Order(at + 1));
        }
        match points.last() {
            None => Err(RateError::Empty),
            Some((_, last)) if *last <= 0.0 => Err(RateError::Still),
            Some(_) => Ok(Self(points)),
        }
    }

    /// Seconds until so many requests have left, of which the first `from` stretches are behind.
    fn when(&self, wanted: f64) -> f64 {
        let (mut at, mut left) = (0.0, wanted);
        let first = self.0[0];
        let mut rate = first.1;
        for (time, next) in &self.0 {
            let span = time - at;
            let there = span * f64::midpoint(rate, *next);
            if there >= left && span > 0.0 {
                return at + within(rate, (next - rate) / span, left);
            }
            (at, left, rate) = (*time, left - there, *next);
        }
        at + left / rate
    }
}

/// How long it takes until `wanted` have left at a rate that begins so and grows by `slope` in a second.
fn within(rate: f64, slope: f64, wanted: f64) -> f64 {
    if slope.abs() < 1e-12 {
        return if rate > 0.0 { wanted / rate } else { 0.0 };
    }
    // The root of slope/2 t^2 + rate t = wanted that lies ahead, in the form that loses no digits.
    let root = (rate * rate + 2.0 * slope * wanted).max(0.0).sqrt();
    2.0 * wanted / (rate + root)
}

/// The times at which requests are to leave, in nanoseconds from the start of their phase. The first leaves one interval after it.
#[derive(Debug)]
pub struct Arrivals<R> {
    rate: Rate,
    draw: Draw,
    random: R,
    passed: f64,
    last: u64,
}

#[derive(Debug)]
enum Draw {
    Constant,
    Poisson,
    Gamma(Gamma<f64>),
}

impl<R: Rng> Arrivals<R> {
    /// With a rate, a pattern and a stream of chance; a smoothness that is none is taken for 1.
    pub fn new(rate: Rate, pattern: Pattern, random: R) -> Self {
        let draw = match pattern {
            Pattern::Constant => Draw::Constant,
            Pattern::Poisson => Draw::Poisson,
            Pattern::Gamma(smoothness) => Gamma::new(smoothness, 1.0 / smoothness).map_or(Draw::Poisson, Draw::Gamma),
        };
        Self { rate, draw, random, passed: 0.0, last: 0 }
    }
}

impl<R: Rng> Iterator for Arrivals<R> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.passed += match &self.draw {
            Draw::Constant => 1.0,
            Draw::Poisson => Exp1.sample(&mut self.random),
            Draw::Gamma(gamma) => gamma.sample(&mut self.random),
        };
        let seconds = self.rate.when(self.passed);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; what is too late saturates")]
        let ns = (seconds * 1e9).round() as u64;
        self.last = ns.max(self.last);
        Some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ContinuousCDF, Exp, Gamma as GammaOf};

    use super::*;
    use crate::seeds::Seed;

    fn arrivals(rate: Rate, pattern: Pattern) -> Arrivals<rand_chacha::ChaCha12Rng> {
        Arrivals::new(rate, pattern, Seed(42).stream("timing.request.poisson_interval"))
    }

    #[test]
    fn constant_is_one_interval_after_the_other() {
        let times: Vec<u64> = arrivals(Rate::constant(20_000.0).unwrap(), Pattern::Constant).take(3).collect();
        assert_eq!(times, [50_000, 100_000, 150_000]);
        // No drift: each is computed from the start.
        let third: Vec<u64> = arrivals(Rate::constant(3.0).unwrap(), Pattern::Constant).take(3_000_000).skip(2_999_999).collect();
        assert_eq!(third, [1_000_000_000_000_000]);
    }

    /// Kolmogorov and Smirnov: how far the intervals are from what they should be, against the bound for one in a thousand.
    fn distance(pattern: Pattern, rate: f64, cdf: impl Fn(f64) -> f64) -> (f64, f64) {
        const N: u32 = 20_000;
        let mut before = 0;
        let mut gaps: Vec<f64> = arrivals(Rate::constant(rate).unwrap(), pattern)
            .take(N as usize)
            .map(|t| {
                #[allow(clippy::cast_precision_loss)]
                let gap = (t - std::mem::replace(&mut before, t)) as f64 * 1e-9;
                gap
            })
            .collect();
        gaps.sort_by(f64::total_cmp);
        let n = f64::from(N);
        let far = gaps.iter().zip(0_u32..).map(|(gap, i)| {
            let (want, low, high) = (cdf(*gap), f64::from(i) / n, f64::from(i + 1) / n);
            (want - low).abs().max((high - want).abs())
        });
        (far.fold(0.0, f64::max), 1.95 / n.sqrt())
    }

    #[test]
    fn poisson_and_gamma_are_what_they_are_called() {
        let exp = Exp::new(50.0).unwrap();
        let (far, bound) = distance(Pattern::Poisson, 50.0, |x| exp.cdf(x));
        assert!(far < bound, "{far} {bound}");
        for smoothness in [0.5, 1.5, 4.0] {
            let gamma = GammaOf::new(smoothness, 50.0 * smoothness).unwrap();
            let (far, bound) = distance(Pattern::Gamma(smoothness), 50.0, |x| gamma.cdf(x));
            assert!(far < bound, "{smoothness}: {far} {bound}");
        }
    }

    #[test]
    fn as_many_leave_as_lie_under_the_curve() {
        let rate = Rate::series(vec![(1.0, 10.0), (3.0, 30.0), (4.0, 0.0), (5.0, 100.0)]).unwrap();
        let until = |ns: u64| arrivals(rate.clone(), Pattern::Constant).take_while(|t| *t <= ns).count();
        // 10 in the first second, 40 in the next two, 15 in the fourth, 50 in the fifth, then 100 each.
        let counts: Vec<usize> = [1, 3, 4, 5, 6, 7].map(|s| until(s * 1_000_000_000)).to_vec();
        for (got, want) in counts.iter().zip([10_usize, 50, 65, 115, 215, 315]) {
            assert!(got.abs_diff(want) <= 1, "{counts:?}");
        }
        let ramp = arrivals(Rate::ramp(100.0, 10.0).unwrap(), Pattern::Constant).take_while(|t| *t <= 10_000_000_000).count();
        assert!(ramp.abs_diff(505) <= 1, "{ramp}");
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        for (points, why) in [
            (vec![], RateError::Empty),
            (vec![(0.0, f64::NAN)], RateError::Number(0)),
            (vec![(0.0, 1.0), (0.0, 2.0)], RateError::Order(1)),
            (vec![(0.0, 1.0), (1.0, 0.0)], RateError::Still),
        ] {
            assert_eq!(Rate::series(points), Err(why));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let times = || arrivals(Rate::constant(100.0).unwrap(), Pattern::Poisson).take(100).collect::<Vec<_>>();
        assert_eq!(times(), times());
    }
}
