//! Objectives of a whole run: `ttft:p95<500ms`, `error_rate<1%`.

use dormouse_perf_metrics::summary::{Summary, Value};
use dormouse_perf_metrics::unit::Unit;
use dormouse_perf_metrics::{Metric, stats};
use dormouse_runtime::exit::Failure;

use crate::config::wrong;

/// An objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// As it was given.
    pub text: String,
    metric: Metric,
    stat: Stat,
    below: bool,
    or_equal: bool,
    /// In the metric's base unit.
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stat {
    Avg,
    Min,
    Max,
    Std,
    /// The place among [`stats::PERCENTILES`].
    Percentile(usize),
}

impl Slo {
    /// Reads one.
    ///
    /// # Errors
    /// What is none, with what was expected.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let bad = |why: String| wrong(format!("--slo {text:?}: {why}"));
        let at = text.find(['<', '>']).ok_or_else(|| bad("it is like ttft:p95<500ms or error_rate<1%".to_owned()))?;
        let (left, right) = text.split_at(at);
        let below = right.starts_with('<');
        let (or_equal, limit) = match right[1..].strip_prefix('=') {
            Some(limit) => (true, limit),
            None => (false, &right[1..]),
        };
        let (tag, stat) = left.split_once(':').map_or((left, None), |(tag, stat)| (tag, Some(stat)));
        let metric = Metric::of(tag.trim()).ok_or_else(|| bad(format!("no metric is called {:?}", tag.trim())))?;
        let stat =
            stat.map_or(Ok(Stat::Avg), |stat| Stat::parse(stat.trim()).ok_or_else(|| bad(format!("no statistic is called {stat:?}"))))?;
        let limit =
            base(metric.entry().unit, limit.trim()).ok_or_else(|| bad(format!("{:?} is no limit of {}", limit.trim(), metric.tag())))?;
        Ok(Self { text: text.to_owned(), metric, stat, below, or_equal, limit })
    }

    /// What it is about, in base units.
    #[must_use]
    pub fn value(&self, summary: &Summary) -> Option<f64> {
        match (summary.get(self.metric)?, self.stat) {
            (Value::Single(value), _) => Some(*value),
            (Value::Stats(s), Stat::Avg) => Some(s.avg),
            (Value::Stats(s), Stat::Min) => Some(s.min),
            (Value::Stats(s), Stat::Max) => Some(s.max),
            (Value::Stats(s), Stat::Std) => Some(s.std),
            (Value::Stats(s), Stat::Percentile(at)) => s.percentiles.get(at).copied(),
            (Value::Weighted(w), Stat::Min) => Some(w.min),
            (Value::Weighted(w), Stat::Max) => Some(w.max),
            (Value::Weighted(w), _) => Some(w.avg),
        }
    }

    /// Whether it holds. What was not measured does not.
    #[must_use]
    pub fn holds(&self, summary: &Summary) -> bool {
        let Some(value) = self.value(summary) else { return false };
        (self.or_equal && value == self.limit) || if self.below { value < self.limit } else { value > self.limit }
    }

    /// Whether it is far from its limit: by more than a twentieth.
    #[must_use]
    pub fn is_clear(&self, summary: &Summary) -> bool {
        self.value(summary).is_some_and(|value| (value - self.limit).abs() > 0.05 * self.limit.abs())
    }

    /// Whether it is missed by more than its limit again.
    #[must_use]
    pub fn is_hopeless(&self, summary: &Summary) -> bool {
        self.value(summary).is_some_and(|value| if self.below { value > 2.0 * self.limit } else { value < 0.5 * self.limit })
    }

    /// The metric and the statistic, as files name them.
    #[must_use]
    pub fn name(&self) -> (String, String) {
        (self.metric.tag().to_owned(), self.stat.name())
    }

    /// What was measured, as it is shown.
    #[must_use]
    pub fn shown(&self, summary: &Summary) -> Option<f64> {
        Some(self.metric.entry().unit.show(self.value(summary)?))
    }

    /// What was measured, for people.
    #[must_use]
    pub fn said(&self, summary: &Summary) -> String {
        let unit = self.metric.entry().unit.shown();
        self.shown(summary).map_or_else(|| "it was not measured".to_owned(), |shown| format!("it is {shown:.2} {unit}"))
    }
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "avg" | "mean" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "std" => Self::Std,
            "median" => Self::parse("p50")?,
            other => {
                let percent: u8 = other.strip_prefix('p')?.parse().ok()?;
                Self::Percentile(stats::PERCENTILES.iter().position(|p| *p == percent)?)
            }
        })
    }

    fn name(self) -> String {
        match self {
            Self::Avg => "avg".to_owned(),
            Self::Min => "min".to_owned(),
            Self::Max => "max".to_owned(),
            Self::Std => "std".to_owned(),
            Self::Percentile(at) => format!("p{}", stats::PERCENTILES.get(at).copied().unwrap_or(0)),
        }
    }
}

/// A limit with its unit, in the base unit; without one it is as it is shown.
fn base(unit: Unit, text: &str) -> Option<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic() || c == '%' || c == 'µ').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.trim().parse().ok().filter(|n: &f64| n.is_finite())?;
    let time = matches!(unit, Unit::Time | Unit::Span);
    Some(match (suffix.trim(), unit) {
        ("", unit) => unit.base(number),
        ("ms", _) if time => number * 1e6,
        ("s", _) if time => number * 1e9,
        ("us" | "µs", _) if time => number * 1e3,
        ("%", Unit::Percent) => number,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_perf_metrics::{Row, Stamps, Values};

    fn summary(latencies_ms: &[f64]) -> Summary {
        let row = |ms: &f64| {
            let mut values = Values::default();
            values.set(Metric::RequestLatency, ms * 1e6);
            Row { values, end_ns: 1, ..Row::default() }
        };
        Summary::of(&latencies_ms.iter().map(row).collect::<Vec<_>>(), None, &[], Stamps::Whole)
    }

    #[test]
    fn limits_have_units() {
        let summary = summary(&[100.0, 100.0, 200.0]);
        let holds = |text: &str| Slo::parse(text).unwrap().holds(&summary);
        for text in [
            "request_latency:max<=200ms",
            "latency:p50<0.11s",
            "request_latency<150",
            "error_rate<1%",
            "request_latency:min>=100",
            "e2el:p50<101000us",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in ["request_latency:max<200ms", "latency:p99<150ms", "ttft<1000"] {
            assert!(!holds(text), "{text}");
        }
        assert!(Slo::parse("latency:p50<101ms").is_ok_and(|slo| !slo.is_clear(&summary)));
    }

    #[test]
    fn what_is_no_objective_is_said() {
        for bad in ["ttft", "nonsense<1", "ttft:p42<1", "ttft<x", "ttft<5%", "error_rate<1ms", "ttft:p95<"] {
            assert!(Slo::parse(bad).is_err(), "{bad}");
        }
    }
}
