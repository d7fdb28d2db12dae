//! Whether two summaries say the same.

use dormouse_perf_metrics::catalog::{Kind, Metric};

use crate::json::Json;

/// The differences of a summary that was computed from one that was written: a metric that one lacks, another unit or figure.
/// Figures may differ by what the peer's arithmetic and its wall clock leave open (perf contract 0.2, items 1 and 2).
#[must_use]
pub fn differences(computed: &Json, written: &Json) -> Vec<String> {
    let mut wrong = Vec::new();
    let metrics = |json: &Json| json.members().iter().filter(|(_, v)| v.get("unit").is_some()).cloned().collect::<Vec<_>>();
    for (key, want) in metrics(written) {
        let Some(value) = computed.get(&key) else {
            wrong.push(format!("{key} does not come out"));
            continue;
        };
        for (name, want) in want.members() {
            let same = match (value.get(name).and_then(Json::as_f64), want.as_f64()) {
                (Some(got), Some(want)) => near(&key, name, got, want),
                _ => value.get(name) == Some(want),
            };
            if !same {
                wrong.push(format!("{key}.{name} comes out as {} and was {}", shown(value.get(name)), shown(Some(want))));
            }
        }
        let more = value.members().iter().filter(|(name, _)| want.get(name).is_none());
        wrong.extend(more.map(|(name, _)| format!("{key}.{name} comes out and was not there")));
    }
    let more = metrics(computed).into_iter().filter(|(key, _)| written.get(key).is_none());
    wrong.extend(more.map(|(key, _)| format!("{key} comes out and was not there")));
    wrong
}

fn shown(value: Option<&Json>) -> String {
    value.and_then(|v| serde_json::to_string(v).ok()).unwrap_or_else(|| "nothing".to_owned())
}

fn near(key: &str, name: &str, got: f64, want: f64) -> bool {
    let difference = (got - want).abs();
    let metric = Metric::of_tag(key.strip_prefix("adj_").unwrap_or(key));
    match metric.map(|m| (m, m.entry().kind)) {
        Some((_, Kind::Curve)) => difference <= 1e-6 * want.abs().max(1e-3),
        // The peer's wall times step by 256 ns.
        Some((Metric::BenchmarkDuration, _)) => difference <= 512e-9,
        Some((Metric::CreditToStartLatency | Metric::EffectiveLatency, _)) if name != "sum" => difference <= 512e-6,
        Some((Metric::CreditToStartLatency | Metric::EffectiveLatency, _)) => difference <= 1e-6 * want.abs(),
        _ => difference <= 2.0 * f64::EPSILON * want.abs().max(got.abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let json = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        let written =
            json(r#"{"request_count":{"unit":"requests","avg":3.0},"request_latency":{"unit":"ms","avg":1.0},"schema_version":"1.4"}"#);
        let computed = json(r#"{"request_count":{"unit":"requests","avg":4.0,"p1":1.0},"goodput":{"unit":"requests/sec","avg":1.0}}"#);
        let said = differences(&computed, &written);
        assert_eq!(
            said,
            [
                "request_count.avg comes out as 4.0 and was 3.0",
                "request_count.p1 comes out and was not there",
                "request_latency does not come out",
                "goodput comes out and was not there"
            ]
        );
        assert!(differences(&written, &written).is_empty());
    }
}
