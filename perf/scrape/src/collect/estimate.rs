//! Percentiles out of the buckets of a histogram: observations are taken to lie evenly in their bucket, and those beyond the last bound
//! around their mean, where that is known, else up to twice that bound. Without learnt means this is what the peer writes, too.

use dormouse_perf_metrics::stats::PERCENTILES;

/// [`PERCENTILES`] of observations, of which so many are at or under each bound; the bounds ascend, the last is infinite. `beyond` is
/// the mean of those over the last finite bound. `None` of none, and where there is no finite bound to tell them apart.
#[must_use]
pub fn percentiles(buckets: &[(f64, u64)], beyond: Option<f64>) -> Option<[f64; 9]> {
    let count = buckets.last().map(|(_, upto)| *upto).filter(|count| *count > 0)?;
    buckets.first().filter(|(bound, _)| bound.is_finite())?;
    Some(PERCENTILES.map(|p| {
        let position = f64::from(p) / 100.0 * float(count - 1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last rank")]
        let below = (position.floor() as u64).min(count - 1);
        let (a, b) = (observation(buckets, beyond, below), observation(buckets, beyond, (below + 1).min(count - 1)));
        let t = position - float(below);
        a * (1.0 - t) + b * t
    }))
}

/// The observation of this rank, from 0.
fn observation(buckets: &[(f64, u64)], beyond: Option<f64>, rank: u64) -> f64 {
    let at = buckets.partition_point(|(_, upto)| *upto <= rank).min(buckets.len() - 1);
    let (bound, upto) = buckets[at];
    // Observations are seldom negative: a first bucket begins at nothing, unless it ends there.
    let (low, before) = at.checked_sub(1).map_or((bound.min(0.0), 0), |at| buckets[at]);
    let place = float(rank - before.min(rank));
    let inside = upto.saturating_sub(before).max(1);
    if bound.is_finite() {
        return low + (bound - low) * ((place + 0.5) / float(inside));
    }
    let high = match beyond.filter(|mean| *mean > low) {
        Some(mean) => low + 2.0 * (mean - low),
        None => low + low.max(0.0),
    };
    if inside == 1 { low + (high - low) / 2.0 } else { low + (high - low) * (place / float(inside - 1)) }
}

#[allow(clippy::cast_precision_loss, reason = "observations: fewer than 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(got: Option<[f64; 9]>, wanted: [f64; 9]) {
        for (got, wanted) in got.unwrap().into_iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-12, "{got} {wanted}");
        }
    }

    /// What the peer wrote of such buckets.
    #[test]
    fn recorded() {
        let buckets = [(0.01, 10), (0.05, 20), (f64::INFINITY, 40)];
        let wanted = [
            0.000_89,
            0.002_45,
            0.004_4,
            0.011_375,
            0.049,
            0.074_342_105_263_157_9,
            0.089_736_842_105_263_17,
            0.094_868_421_052_631_59,
            0.098_973_684_210_526_34,
        ];
        close(percentiles(&buckets, None), wanted);
        let buckets = [(0.01, 1), (0.05, 2), (f64::INFINITY, 4)];
        close(percentiles(&buckets, None), [0.005_75, 0.008_75, 0.0125, 0.023_75, 0.04, 0.0625, 0.085, 0.0925, 0.0985]);
        assert_eq!(percentiles(&[(1.0, 0), (f64::INFINITY, 0)], None), None);
        assert_eq!(percentiles(&[], None), None);
    }

    #[test]
    fn beyond_the_last_bound_the_mean_is_met() {
        let all = percentiles(&[(1.0, 0), (f64::INFINITY, 101)], Some(4.0)).unwrap();
        assert!((all[4] - 4.0).abs() < 1e-12 && all[0] > 1.0 && all[8] < 7.0, "{all:?}");
        assert_eq!(percentiles(&[(f64::INFINITY, 3)], None), None);
    }

    proptest! {
        #[test]
        fn they_ascend_and_stay_in_their_buckets(counts in proptest::collection::vec(0_u64..50, 1..6)) {
            let mut upto = 0;
            let buckets: Vec<(f64, u64)> = (1_u32..).zip(&counts).map(|(bound, count)| {
                upto += count;
                (f64::from(bound), upto)
            }).collect();
            if let Some(all) = percentiles(&buckets, None) {
                prop_assert!(all.windows(2).all(|w| w[0] <= w[1]) && all[0] >= 0.0 && all[8] <= f64::from(u32::try_from(counts.len()).unwrap()));
            }
        }
    }
}
