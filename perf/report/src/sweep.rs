//! A sweep as files (perf contract 6.13): every combination of values, the best of them, and those that none other beats.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dormouse_perf_metrics::repeat::Spread;

use crate::aggregate::Aggregate;
use crate::json::{Json, Members};

/// One combination of values.
#[derive(Debug)]
pub struct Cell {
    /// Each parameter and its value.
    pub values: Members,
    /// Its runs as one.
    pub figures: Aggregate,
    /// The summaries of its runs.
    pub documents: Vec<Json>,
}

/// All of them.
#[derive(Debug)]
pub struct Sweep {
    /// In the order in which they were taken.
    pub cells: Vec<Cell>,
    /// How the runs were ordered.
    pub mode: String,
    /// Runs of each combination.
    pub trials: u32,
    /// Of the intervals.
    pub confidence: f64,
    /// Runs in all.
    pub runs: usize,
    /// Those that failed.
    pub failed: Vec<String>,
}

const THROUGHPUT: &str = "request_throughput_avg";

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
}

fn number(n: usize) -> Json {
    Json::from(n as u64)
}

impl Sweep {
    /// The whole as JSON.
    #[must_use]
    pub fn document(&self) -> Json {
        let failed = self.failed.iter().map(|label| Json::from(label.as_str())).collect();
        let several = self.trials > 1;
        let metadata = object([
            (
                "sweep_parameters",
                Json::Array(
                    self.parameters()
                        .into_iter()
                        .map(|(name, values)| object([("name", Json::String(name)), ("values", Json::Array(values))]))
                        .collect(),
                ),
            ),
            ("num_combinations", number(self.cells.len())),
            ("sweep_mode", Json::from(self.mode.as_str())),
            ("confidence_level", Json::float(self.confidence)),
            ("num_trials_per_value", Json::from(u64::from(self.trials))),
            ("aggregation_type", Json::from("sweep")),
        ]);
        let cell = |cell: &Cell| {
            let metrics = if several { by_statistic(&cell.figures) } else { by_metric(cell.documents.first()) };
            object([("parameters", Json::Object(cell.values.clone())), ("metrics", metrics)])
        };
        let pareto = if several { self.pareto() } else { Vec::new() };
        object([
            ("aggregation_type", Json::from("sweep")),
            ("num_profile_runs", number(self.runs)),
            ("num_successful_runs", number(self.runs - self.failed.len().min(self.runs))),
            ("failed_runs", Json::Array(failed)),
            ("metadata", metadata),
            ("per_combination_metrics", Json::Array(self.cells.iter().map(cell).collect())),
            ("best_configurations", Json::Object(if several { self.best() } else { Members::new() })),
            ("pareto_optimal", Json::Array(pareto.into_iter().map(|at| Json::Object(self.cells[at].values.clone())).collect())),
        ])
    }

    fn parameters(&self) -> Vec<(String, Vec<Json>)> {
        let mut all: Vec<(String, Vec<Json>)> = Vec::new();
        for (name, value) in self.cells.iter().flat_map(|cell| &cell.values) {
            match all.iter_mut().find(|(n, _)| n == name) {
                Some((_, values)) if values.contains(value) => {}
                Some((_, values)) => values.push(value.clone()),
                None => all.push((name.clone(), vec![value.clone()])),
            }
        }
        all
    }

    fn mean(&self, at: usize, name: &str) -> Option<f64> {
        self.cells[at].figures.figures.get(name).map(|(_, spread)| spread.mean)
    }

    /// The 99th percentile of the time to the first token, or of the whole where nothing streams.
    fn latency(&self) -> &'static str {
        let streams = self.cells.iter().any(|cell| cell.figures.figures.contains_key("time_to_first_token_p99"));
        if streams { "time_to_first_token_p99" } else { "request_latency_p99" }
    }

    fn best(&self) -> Members {
        let latency = self.latency();
        let most = (0..self.cells.len()).filter_map(|at| Some((at, self.mean(at, THROUGHPUT)?))).max_by(|a, b| a.1.total_cmp(&b.1));
        let least = (0..self.cells.len()).filter_map(|at| Some((at, self.mean(at, latency)?))).min_by(|a, b| a.1.total_cmp(&b.1));
        let one = |name: &str, found: Option<(usize, f64)>, unit: &str| {
            let (at, value) = found?;
            let values = Json::Object(self.cells[at].values.clone());
            Some((name.to_owned(), object([("parameters", values), ("metric", Json::float(value)), ("unit", Json::from(unit))])))
        };
        [one("best_throughput", most, "requests/sec"), one("best_latency_p99", least, "ms")].into_iter().flatten().collect()
    }

    /// Those than which none other has both more throughput and less latency.
    fn pareto(&self) -> Vec<usize> {
        let latency = self.latency();
        let points: Vec<(usize, f64, f64)> =
            (0..self.cells.len()).filter_map(|at| Some((at, self.mean(at, THROUGHPUT)?, self.mean(at, latency)?))).collect();
        let beaten = |(at, throughput, latency): &(usize, f64, f64)| {
            points.iter().any(|(other, t, l)| other != at && t >= throughput && l <= latency && (t > throughput || l < latency))
        };
        points.iter().filter(|point| !beaten(point)).map(|(at, _, _)| *at).collect()
    }

    /// A row for each combination, then the best and what was run.
    #[must_use]
    pub fn csv(&self) -> String {
        let names: Vec<String> = self.parameters().into_iter().map(|(name, _)| name).collect();
        // Of a single run a metric has its own statistics; of several each statistic has those of the runs.
        let rows: Vec<Vec<(String, [f64; 5])>> = self.cells.iter().map(|cell| self.row(cell)).collect();
        let columns: BTreeSet<&String> = rows.iter().flatten().map(|(name, _)| name).collect();
        let mut text = names.join(",");
        for column in &columns {
            for statistic in ["mean", "std", "min", "max", "cv"] {
                // To a string nothing fails.
                let _ = write!(text, ",{column}_{statistic}");
            }
        }
        text.push('\n');
        for (cell, row) in self.cells.iter().zip(&rows) {
            let values: Vec<String> =
                names.iter().map(|name| cell.values.iter().find(|(n, _)| n == name).map_or_else(String::new, |(_, v)| shown(v))).collect();
            text.push_str(&values.join(","));
            for column in &columns {
                match row.iter().find(|(name, _)| name == *column) {
                    Some((_, [mean, std, min, max, cv])) => {
                        let cv = if cv.is_finite() { format!("{cv:.4}") } else { String::new() };
                        let _ = write!(text, ",{mean:.2},{std:.2},{min:.2},{max:.2},{cv}");
                    }
                    None => text.push_str(",,,,,"),
                }
            }
            text.push('\n');
        }
        let several = self.trials > 1;
        text.push_str("\nBest Configurations\n");
        if several {
            for (name, best) in self.best() {
                let values = best.get("parameters").map(Json::members).unwrap_or_default();
                let values: Vec<String> = values.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
                let metric = best.get("metric").and_then(Json::as_f64).unwrap_or(0.0);
                let _ = writeln!(text, "{name},{},{metric:.2}", values.join(" "));
            }
        }
        text.push_str("\nPareto Optimal Points\n");
        let pareto = if several { self.pareto() } else { Vec::new() };
        if pareto.is_empty() {
            text.push_str("None\n");
        }
        for at in pareto {
            let values: Vec<String> = self.cells[at].values.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
            let _ = writeln!(text, "{}", values.join(" "));
        }
        text.push_str("\nMetadata\n");
        for (name, value) in [
            ("Aggregation Type", "sweep".to_owned()),
            ("Total Runs", self.runs.to_string()),
            ("Combinations", self.cells.len().to_string()),
            ("Sweep Mode", self.mode.clone()),
            ("Confidence Level", self.confidence.to_string()),
        ] {
            let _ = writeln!(text, "{name},{value}");
        }
        text
    }

    fn row(&self, cell: &Cell) -> Vec<(String, [f64; 5])> {
        if self.trials > 1 {
            return cell.figures.figures.iter().map(|(name, (_, s))| (name.clone(), [s.mean, s.std, s.min, s.max, s.cv])).collect();
        }
        let metrics = cell.documents.first().map(Json::members).unwrap_or_default();
        let one = |(tag, value): &(String, Json)| {
            value.get("unit")?;
            let avg = value.get("avg").and_then(Json::as_f64)?;
            let get = |name: &str| value.get(name).and_then(Json::as_f64).unwrap_or(avg);
            Some((tag.clone(), [avg, 0.0, get("min"), get("max"), 0.0]))
        };
        metrics.iter().filter_map(one).collect()
    }

    /// For people: a line for each combination.
    #[must_use]
    pub fn table(&self) -> String {
        let latency = self.latency();
        let name = |cell: &Cell| cell.values.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect::<Vec<_>>().join(" ");
        let width = self.cells.iter().map(|cell| name(cell).chars().count()).max().unwrap_or(0).max(12);
        let label = if latency.starts_with("time") { "TTFT p99 (ms)" } else { "latency p99 (ms)" };
        let mut text = format!("\n{:<width$}  {:>12}  {:>16}  {:>16}\n", "combination", "requests/s", label, "latency avg (ms)");
        for (at, cell) in self.cells.iter().enumerate() {
            let figure = |name: &str| self.mean(at, name).map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
            let _ = writeln!(
                text,
                "{:<width$}  {:>12}  {:>16}  {:>16}",
                name(cell),
                figure(THROUGHPUT),
                figure(latency),
                figure("request_latency_avg")
            );
        }
        text
    }
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| serde_json::to_string(value).unwrap_or_default(), str::to_owned)
}

/// By metric and statistic, over runs.
fn by_statistic(figures: &Aggregate) -> Json {
    let one = |(name, (unit, s)): (&String, &(String, Spread))| {
        let members = [
            ("mean", Json::float(s.mean)),
            ("std", Json::float(s.std)),
            ("min", Json::float(s.min)),
            ("max", Json::float(s.max)),
            ("cv", Json::float(s.cv)),
            ("ci_low", Json::float(s.interval.0)),
            ("ci_high", Json::float(s.interval.1)),
            ("unit", Json::from(unit.as_str())),
        ];
        (name.clone(), object(members))
    };
    Json::Object(figures.figures.iter().map(one).collect())
}

/// By metric, of the one run that there is.
fn by_metric(document: Option<&Json>) -> Json {
    let metrics = document.map(Json::members).unwrap_or_default().iter().filter(|(_, value)| value.get("unit").is_some());
    let one = |(tag, value): &(String, Json)| {
        let avg = value.get("avg").cloned().unwrap_or(Json::Null);
        let get = |name: &str| value.get(name).cloned().unwrap_or_else(|| avg.clone());
        let mut members: Members = [
            ("mean", avg.clone()),
            ("avg", avg.clone()),
            ("std", Json::float(0.0)),
            ("min", get("min")),
            ("max", get("max")),
            ("cv", Json::float(0.0)),
            ("ci_low", avg.clone()),
            ("ci_high", avg.clone()),
            ("unit", get("unit")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let more = value.members().iter().filter(|(name, _)| name.starts_with('p') || name == "count" || name == "sum");
        members.extend(more.cloned());
        (tag.clone(), Json::Object(members))
    };
    Json::Object(metrics.map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(trials: u32, cells: &[(u64, f64, f64)]) -> Sweep {
        let cell = |(concurrency, rate, latency): &(u64, f64, f64)| {
            let document = |shift: f64| -> Json {
                let text = format!(
                    r#"{{"request_throughput":{{"unit":"requests/sec","avg":{}}},"request_latency":{{"unit":"ms","avg":1.0,"p99":{latency},"min":0.5,"max":9.0}}}}"#,
                    rate + shift
                );
                serde_json::from_str(&text).unwrap()
            };
            let documents: Vec<Json> = (0..trials).map(|trial| document(f64::from(trial))).collect();
            let figures = Aggregate::of(&documents.iter().collect::<Vec<_>>(), 0.95);
            Cell { values: vec![("concurrency".to_owned(), Json::from(*concurrency))], figures, documents }
        };
        let cells: Vec<Cell> = cells.iter().map(cell).collect();
        Sweep { runs: cells.len() * trials as usize, cells, mode: "repeated".to_owned(), trials, confidence: 0.95, failed: Vec::new() }
    }

    #[test]
    fn the_best_and_the_unbeaten_are_named() {
        let sweep = sweep(2, &[(1, 10.0, 5.0), (2, 20.0, 7.0), (4, 19.0, 9.0)]);
        let document = sweep.document();
        let best = document.get("best_configurations").unwrap();
        let of = |name: &str| best.get(name).unwrap().get("parameters").unwrap().get("concurrency").unwrap().as_f64();
        assert_eq!((of("best_throughput"), of("best_latency_p99")), (Some(2.0), Some(1.0)));
        assert_eq!(sweep.pareto(), [0, 1]);
        assert!(sweep.csv().contains("\nbest_throughput,concurrency=2,20.50\n"));
    }

    #[test]
    fn of_single_runs_nothing_is_best() {
        let sweep = sweep(1, &[(1, 10.0, 5.0), (2, 20.0, 7.0)]);
        let text = serde_json::to_string(&sweep.document()).unwrap();
        assert!(text.contains("\"best_configurations\":{},\"pareto_optimal\":[]"), "{text}");
        let csv = sweep.csv();
        assert!(csv.starts_with("concurrency,request_latency_mean,request_latency_std,"), "{csv}");
        assert!(
            csv.contains("\n2,1.00,0.00,0.50,9.00,0.0000,20.00,0.00,20.00,20.00,0.0000\n") && csv.contains("Pareto Optimal Points\nNone\n")
        );
        assert!(sweep.table().contains("concurrency=2"));
    }
}
