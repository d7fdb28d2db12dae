//! Several runs of one thing as one (perf contract 6.13, with 0.2 item 11), from their summaries.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dormouse_perf_metrics::repeat::Spread;

use crate::json::{Json, Members};

/// Figures over runs.
#[derive(Debug)]
pub struct Aggregate {
    /// By metric and statistic, `<tag>_<statistic>`: what it is in, and how it spreads.
    pub figures: BTreeMap<String, (String, Spread)>,
}

impl Aggregate {
    /// Of these summaries. A figure that some runs lack is that of the others; counts are not figures.
    #[must_use]
    pub fn of(summaries: &[&Json], confidence: f64) -> Self {
        let mut columns: BTreeMap<String, (String, Vec<f64>)> = BTreeMap::new();
        for (tag, value) in summaries.iter().flat_map(|s| s.members()) {
            let Some(unit) = value.get("unit").and_then(Json::as_str) else { continue };
            for (name, figure) in value.members().iter().filter(|(name, _)| name != "count") {
                if let Some(figure) = figure.as_f64() {
                    let column = columns.entry(format!("{tag}_{name}")).or_insert_with(|| (unit.to_owned(), Vec::new()));
                    column.1.push(figure);
                }
            }
        }
        let spread = |(name, (unit, values)): (String, (String, Vec<f64>))| Some((name, (unit, Spread::of(&values, confidence)?)));
        Self { figures: columns.into_iter().filter_map(spread).collect() }
    }

    /// As JSON; `metadata` says what was run.
    #[must_use]
    pub fn document(&self, version: &str, metadata: Members) -> Json {
        let figures = self.figures.iter().map(|(name, (unit, spread))| (name.clone(), figure(unit, spread))).collect();
        Json::Object(vec![
            ("schema_version".to_owned(), Json::from("1.0")),
            ("aiperf_version".to_owned(), Json::from(version)),
            ("metadata".to_owned(), Json::Object(metadata)),
            ("metrics".to_owned(), Json::Object(figures)),
        ])
    }

    /// As CSV, with lines of what was run behind the table.
    #[must_use]
    pub fn csv(&self, about: &[(&str, String)]) -> String {
        let mut text = String::from("metric,mean,std,min,max,cv,se,ci_low,ci_high,t_critical,unit\n");
        for (name, (unit, s)) in &self.figures {
            let t = s.t_critical.map(|t| format!("{t:.4}")).unwrap_or_default();
            let (low, high) = s.interval;
            // To a string nothing fails.
            let _ = writeln!(
                text,
                "{name},{:.2},{:.2},{:.2},{:.2},{:.4},{:.4},{low:.2},{high:.2},{t},{unit}",
                s.mean, s.std, s.min, s.max, s.cv, s.se
            );
        }
        text.push('\n');
        for (key, value) in about {
            let _ = writeln!(text, "{key},{value}");
        }
        text
    }
}

fn figure(unit: &str, s: &Spread) -> Json {
    let members = [
        ("mean", Json::float(s.mean)),
        ("std", Json::float(s.std)),
        ("min", Json::float(s.min)),
        ("max", Json::float(s.max)),
        ("cv", Json::float(s.cv)),
        ("se", Json::float(s.se)),
        ("ci_low", Json::float(s.interval.0)),
        ("ci_high", Json::float(s.interval.1)),
        ("t_critical", s.t_critical.map_or(Json::Null, Json::float)),
        ("unit", Json::from(unit)),
    ];
    Json::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
}
