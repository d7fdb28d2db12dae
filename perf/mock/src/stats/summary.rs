//! Many values in a few.

use serde_json::{Value, json};

/// Count, mean, percentiles (linear between the two nearest values) and maximum; nulls where there is nothing.
#[allow(clippy::cast_precision_loss, reason = "statistics of nanoseconds")]
pub(super) fn of(mut values: Vec<u64>) -> Value {
    values.sort_unstable();
    let mean = if values.is_empty() { None } else { Some(values.iter().map(|v| *v as f64).sum::<f64>() / values.len() as f64) };
    json!({
        "count": values.len(),
        "mean": mean,
        "p50": percentile(&values, 50),
        "p90": percentile(&values, 90),
        "p95": percentile(&values, 95),
        "p99": percentile(&values, 99),
        "max": values.last(),
    })
}

#[allow(clippy::cast_precision_loss, reason = "statistics of nanoseconds")]
fn percentile(sorted: &[u64], percent: usize) -> Option<f64> {
    let rank = sorted.len().checked_sub(1)? * percent;
    let (below, part) = (rank / 100, (rank % 100) as f64 / 100.0);
    let low = *sorted.get(below)? as f64;
    let high = sorted.get(below + 1).map_or(low, |high| *high as f64);
    Some(low + (high - low) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        let said = of((1..=5).rev().map(|n| n * 10).collect());
        assert_eq!((&said["count"], &said["mean"], &said["p50"], &said["max"]), (&json!(5), &json!(30.0), &json!(30.0), &json!(50)));
        assert_eq!((&said["p90"], &said["p99"]), (&json!(46.0), &json!(49.6)));
        assert_eq!(of(Vec::new())["p50"], Value::Null);
        assert_eq!(of(vec![7])["p99"], json!(7.0));
    }
}
