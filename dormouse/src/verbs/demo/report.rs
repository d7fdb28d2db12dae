//! What the demo prints: a table for people, JSON for programs.

use dormouse_runtime::output::table;
use serde_json::{Value, json};

use super::DemoArgs;
use super::measure::{Sample, percentile};
use crate::engine::Engine;

/// One path and what was seen on it.
#[derive(Debug)]
pub(super) struct Path {
    pub name: &'static str,
    pub samples: Vec<Sample>,
    /// Least seconds that moving the bytes takes on this machine (or the simulated one).
    pub floor: Option<f64>,
    /// Which figures the simulator was told, not measured.
    pub modelled: Vec<&'static str>,
    /// What the model answered.
    pub answers: Vec<String>,
}

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Report {
    engine: Engine,
    paths: Vec<Path>,
    #[cfg(feature = "perf")]
    load: Option<super::load::Load>,
    problems: Vec<String>,
}

impl Report {
    pub(super) fn new(args: &DemoArgs) -> Self {
        Self {
            engine: args.engine,
            paths: Vec::new(),
            #[cfg(feature = "perf")]
            load: None,
            problems: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, path: Path) {
        if path.samples.is_empty() {
            self.problem(format!("path {} did not happen", path.name));
        }
        if path.answers.is_empty() || path.answers.iter().any(String::is_empty) {
            self.problem(format!("path {} gave an empty answer", path.name));
        }
        self.paths.push(path);
    }

    #[cfg(feature = "perf")]
    pub(super) fn under_load(&mut self, load: super::load::Load) {
        if let Some(problem) = load.problem() {
            self.problem(problem);
        }
        self.load = Some(load);
    }

    #[cfg(feature = "perf")]
    fn load(&self) -> (Value, String) {
        self.load.as_ref().map_or((Value::Null, String::new()), |load| (load.json(), load.text()))
    }

    #[cfg(not(feature = "perf"))]
    fn load(&self) -> (Value, String) {
        (Value::Null, String::new())
    }

    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(super) fn failed(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Schema `dormouse.demo/1`.
    pub(super) fn json(&self) -> Value {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let paths: Vec<Value> = self.paths.iter().map(path_json).collect();
        json!({
            "schema": "dormouse.demo/1", "engine": self.engine.as_str(),
            "machine": {"os": std::env::consts::OS, "arch": std::env::consts::ARCH, "cpus": cpus},
            "paths": paths, "load": self.load().0, "problems": self.problems,
        })
    }

    pub(super) fn table(&self) -> String {
        let header = ["PATH", "N", "T_ACTUATION", "LESS ENGINE", "CONTROL (OURS)", "ENGINE", "PROBE WAIT", "FIRST TOKEN", "MOVED", "FLOOR"];
        let rows: Vec<Vec<String>> = self.paths.iter().map(path_row).collect();
        let mut text = format!("\n{}", table::render(&header, &rows));
        text.push_str("\nMedians; in brackets the 99th percentile, or the largest of fewer than 100. ");
        text.push_str("T_ACTUATION: the requester's container started, to Ready; LESS ENGINE: less its start or wake.\n");
        text.push_str("CONTROL: until become-ready was answered, less the engine's start or wake; what it waited for besides is in it:\n");
        text.push_str("probes of Pods that were made (cold), the other engine's sleep (swap). ");
        text.push_str("FLOOR: the bytes at the link's peak (cold, warm: read from storage first).\n");
        if self.paths.iter().any(|p| !p.modelled.is_empty()) {
            text.push_str("~ modelled: the simulator was told how fast it is; everything without ~ was measured on this machine.\n");
        }
        text.push_str(&self.load().1);
        let answers: std::collections::BTreeSet<&String> = self.paths.iter().flat_map(|p| &p.answers).collect();
        if !answers.is_empty() {
            text.push_str("\nAnswers, the same before and after every sleep:\n");
            for answer in answers {
                text.push_str(&format!("  {answer}\n"));
            }
        }
        for problem in &self.problems {
            text.push_str(&format!("problem: {problem}\n"));
        }
        text
    }
}

fn column(path: &Path, f: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
    path.samples.iter().filter_map(f).collect()
}

/// An actuation less what the engine's own work took.
fn less_engine(sample: &Sample) -> Option<f64> {
    sample.control.map(|control| control + sample.probe_wait)
}

fn spread(values: &[f64]) -> Value {
    if values.is_empty() {
        return Value::Null;
    }
    let bound = |f: fn(f64, f64) -> f64| values.iter().copied().reduce(f);
    json!({"p50": percentile(values, 50.0), "p99": percentile(values, 99.0), "min": bound(f64::min), "max": bound(f64::max)})
}

fn path_json(path: &Path) -> Value {
    json!({
        "path": path.name, "n": path.samples.len(),
        "t_actuation_seconds": spread(&column(path, |s| Some(s.t_actuation))),
        "less_engine_seconds": spread(&column(path, less_engine)),
        "control_seconds": spread(&column(path, |s| s.control)),
        "engine_seconds": spread(&column(path, |s| Some(s.engine))),
        "probe_wait_seconds": spread(&column(path, |s| Some(s.probe_wait))),
        "first_token_seconds": spread(&column(path, |s| Some(s.first_token))),
        "bytes": path.samples.last().map(|s| s.bytes), "floor_seconds": path.floor,
        "modelled": path.modelled, "answers": path.answers,
    })
}

fn path_row(path: &Path) -> Vec<String> {
    let cell = |name: &str, values: Vec<f64>| {
        let (Some(median), Some(high)) = (percentile(&values, 50.0), percentile(&values, 99.0)) else { return "-".to_owned() };
        let mark = if path.modelled.contains(&name) { "~" } else { "" };
        if values.len() == 1 { format!("{mark}{}", time(median)) } else { format!("{mark}{} [{}]", time(median), time(high)) }
    };
    vec![
        path.name.to_owned(),
        path.samples.len().to_string(),
        cell("t_actuation_seconds", column(path, |s| Some(s.t_actuation))),
        cell("less_engine_seconds", column(path, less_engine)),
        cell("control_seconds", column(path, |s| s.control)),
        cell("engine_seconds", column(path, |s| Some(s.engine))),
        cell("probe_wait_seconds", column(path, |s| Some(s.probe_wait))),
        cell("first_token_seconds", column(path, |s| Some(s.first_token))),
        path.samples.last().filter(|s| s.bytes > 0).map(|s| table::bytes(s.bytes)).unwrap_or_default(),
        path.floor.map(time).unwrap_or_default(),
    ]
}

/// A time in the unit that suits it.
fn time(seconds: f64) -> String {
    if seconds.abs() >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds.abs() >= 1e-3 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.0} us", seconds * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_samples_or_answers_is_a_problem() {
        let mut report = Report {
            engine: Engine::Sim,
            paths: Vec::new(),
            problems: Vec::new(),
            #[cfg(feature = "perf")]
            load: None,
        };
        report.push(Path { name: "hot", samples: Vec::new(), floor: None, modelled: Vec::new(), answers: vec![String::new()] });
        assert_eq!(report.problems().len(), 2);
        assert_eq!(report.json()["paths"][0]["n"], 0);
    }

    #[test]
    fn modelled_figures_are_marked() {
        let s = Sample { t_actuation: 1.5, control: Some(0.01), engine: 0.16, probe_wait: 0.5, first_token: 0.02, bytes: 8_000_000_000 };
        let row = path_row(&Path {
            name: "hot",
            samples: vec![s, s],
            floor: Some(0.127),
            modelled: vec!["engine_seconds"],
            answers: vec!["a".into()],
        });
        assert_eq!((row[4].as_str(), row[5].as_str(), row[9].as_str()), ("10.0 ms [10.0 ms]", "~160.0 ms [160.0 ms]", "127.0 ms"));
    }
}
