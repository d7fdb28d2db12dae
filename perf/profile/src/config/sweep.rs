//! Several runs from one document (perf contract 1.6): one for each combination of swept values.

use dormouse_perf_load::seeds::Seed;
use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;

use super::model::Config;
use super::{tree, wrong};

/// One combination.
#[derive(Clone, Debug)]
pub struct Variation {
    /// Its number, from 0.
    pub index: usize,
    /// What it is, as files say it: `phases.profiling.concurrency=2`; `base` where nothing is swept.
    pub label: String,
    /// Its folder; none where nothing is swept.
    pub dir: Option<String>,
    /// Each path and its value.
    pub values: Vec<(String, Json)>,
    /// The whole document with them.
    pub document: Json,
}

/// Fields of phases that have a short name in sweeps.
const PHASE_FIELDS: [&str; 7] = ["concurrency", "prefill_concurrency", "rate", "requests", "duration", "sessions", "users"];

/// Combinations more than this are a mistake.
const MOST: usize = 10_000;

/// All combinations of a document.
///
/// # Errors
/// A kind that is not built, lists of different lengths to be taken in pairs, a path that leads nowhere.
pub fn variations(document: &Json, config: &Config) -> Result<Vec<Variation>, Failure> {
    let base = |document: Json| Variation { index: 0, label: "base".to_owned(), dir: None, values: Vec::new(), document };
    let Some(sweep) = config.sweep.as_ref() else { return Ok(vec![base(document.clone())]) };
    let kind = sweep.r#type.as_deref().unwrap_or("grid");
    if kind == "scenarios" {
        return scenarios(document, config);
    }
    if sweep.parameters.0.is_empty() {
        return Ok(vec![base(document.clone())]);
    }
    if !matches!(kind, "grid" | "zip") {
        return Err(wrong(format!("sweep: type {kind:?} is not built; grid, zip and scenarios are")));
    }
    let mut axes = Vec::new();
    for (path, values) in &sweep.parameters.0 {
        let Json::Array(values) = values else { return Err(wrong(format!("sweep: the values of {path} are no list"))) };
        if values.is_empty() {
            return Err(wrong(format!("sweep: {path} has no values")));
        }
        axes.push((full(path), values));
    }
    let lengths: Vec<usize> = axes.iter().map(|(_, values)| values.len()).collect();
    let combinations: Vec<Vec<usize>> = if kind == "zip" {
        let length = lengths[0];
        if lengths.iter().any(|other| *other != length) {
            return Err(wrong("sweep: lists that are taken in pairs (zip) must be of one length"));
        }
        (0..length).map(|at| vec![at; axes.len()]).collect()
    } else {
        let count = lengths.iter().try_fold(1_usize, |all, length| all.checked_mul(*length)).filter(|count| *count <= MOST);
        let count = count.ok_or_else(|| wrong(format!("sweep: more than {MOST} combinations")))?;
        // The last one changes first.
        let digits = |mut number: usize| {
            let mut at = vec![0; lengths.len()];
            for (place, length) in at.iter_mut().zip(&lengths).rev() {
                (*place, number) = (number % length, number / length);
            }
            at
        };
        (0..count).map(digits).collect()
    };
    let one = |(index, at): (usize, Vec<usize>)| {
        let values: Vec<(String, Json)> = axes.iter().zip(at).map(|((path, values), at)| (path.clone(), values[at].clone())).collect();
        let mut document = document.clone();
        for (path, value) in &values {
            if !tree::set(&mut document, &format!("benchmark.{path}"), value.clone()) {
                return Err(wrong(format!("sweep: {path} leads nowhere in this configuration")));
            }
        }
        let label: Vec<String> = values.iter().map(|(path, value)| format!("{path}={}", shown(value))).collect();
        let dir: Vec<String> = values.iter().map(|(path, value)| format!("{}_{}", last(path), shown(value))).collect();
        Ok(Variation { index, label: label.join(","), dir: Some(folder(&dir.join("__"))), values, document })
    };
    Ok(apart(combinations.into_iter().enumerate().map(one).collect::<Result<_, Failure>>()?))
}

fn scenarios(document: &Json, config: &Config) -> Result<Vec<Variation>, Failure> {
    let runs = config.sweep.as_ref().map(|sweep| &sweep.runs[..]).unwrap_or_default();
    if runs.is_empty() {
        return Err(wrong("sweep: scenarios need runs, each with a name and what is its own of the benchmark"));
    }
    let one = |(index, run): (usize, &super::model::Scenario)| {
        let mut document = document.clone();
        tree::overlay(&mut document, Json::Object(vec![("benchmark".to_owned(), run.benchmark.clone())]));
        let dir = folder(&run.name);
        Variation {
            index,
            label: run.name.clone(),
            dir: Some(dir),
            values: vec![("scenario".to_owned(), Json::String(run.name.clone()))],
            document,
        }
    };
    Ok(apart(runs.iter().enumerate().map(one).collect()))
}

/// A name as that of a folder of its own, which lies in the one that it is made in.
fn folder(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    if plain.chars().all(|c| c == '.') { format!("_{plain}") } else { plain }
}

/// Folders of one name get the numbers of their combinations.
fn apart(mut all: Vec<Variation>) -> Vec<Variation> {
    let mut seen = std::collections::HashSet::new();
    for variation in &mut all {
        if let Some(dir) = variation.dir.as_mut()
            && !seen.insert(dir.clone())
        {
            dir.push_str(&format!("_{}", variation.index));
            seen.insert(dir.clone());
        }
    }
    all
}

fn full(path: &str) -> String {
    match path {
        path if PHASE_FIELDS.contains(&path) => format!("phases.{}.{path}", super::document::PROFILING),
        path => path.to_owned(),
    }
}

/// The part of a path that folders are named by; a mean has no name of its own.
fn last(path: &str) -> &str {
    let path = path.strip_suffix(".mean").unwrap_or(path);
    path.rsplit('.').next().unwrap_or(path)
}

fn shown(value: &Json) -> String {
    let text = value.as_str().map_or_else(|| serde_json::to_string(value).unwrap_or_default(), str::to_owned);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The seed of a combination and trial.
#[must_use]
pub fn seed(base: u64, variation: &Variation, trial: u32, same_seed: bool, vary_per_trial: bool) -> u64 {
    if vary_per_trial {
        return Seed(base).child(&format!("variation:{}{trial}", variation.label));
    }
    if same_seed { base } else { base.wrapping_add(variation.index as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Variation>, String> {
        let document: Json = serde_json::from_str(text).unwrap();
        let config = Config::read(&document).unwrap();
        variations(&document, &config).map_err(|why| why.to_string())
    }

    #[test]
    fn a_grid_has_every_combination() {
        let all = of(r#"{"benchmark":{"phases":[{"name":"profiling"}],"datasets":[{"name":"main"}]},
            "sweep":{"parameters":{"concurrency":[1,2],"datasets.main.prompts.isl.mean":[128.0,512.0]}}}"#)
        .unwrap();
        let dirs: Vec<_> = all.iter().map(|v| v.dir.as_deref().unwrap()).collect();
        assert_eq!(dirs, ["concurrency_1__isl_128", "concurrency_1__isl_512", "concurrency_2__isl_128", "concurrency_2__isl_512"]);
        assert_eq!(all[2].label, "phases.profiling.concurrency=2,datasets.main.prompts.isl.mean=128");
        let config = Config::read(&all[3].document).unwrap();
        assert_eq!(config.benchmark.phases[0].concurrency, Some(2));
        assert_eq!(config.benchmark.datasets[0].prompts.isl.as_ref().unwrap().mean, Some(512.0));
    }

    #[test]
    fn folders_stay_where_they_are_made_and_apart() {
        let all =
            of(r#"{"benchmark":{"endpoint":{}},"sweep":{"parameters":{"endpoint.url":["http://a/../b","http://a/..?b","/x"]}}}"#).unwrap();
        let dirs: Vec<_> = all.iter().map(|v| v.dir.clone().unwrap()).collect();
        assert_eq!(dirs, ["url_http___a_.._b", "url_http___a_.._b_1", "url__x"]);
        for (name, dir) in [("..", "_.."), ("", "_"), ("a b", "a_b"), ("a/b", "a_b")] {
            assert_eq!(folder(name), dir);
        }
    }

    #[test]
    fn pairs_need_as_many_of_each() {
        let zip = |b: &str| {
            of(&format!(
                r#"{{"benchmark":{{"phases":[{{"name":"profiling"}}]}},"sweep":{{"type":"zip","parameters":{{"concurrency":[1,2],"rate":{b}}}}}}}"#
            ))
        };
        assert_eq!(zip("[5,6]").unwrap().len(), 2);
        assert!(zip("[5]").unwrap_err().contains("zip"));
        assert!(of(r#"{"sweep":{"type":"sobol","parameters":{"rate":[1]}}}"#).unwrap_err().contains("not built"));
        assert!(
            of(r#"{"benchmark":{"phases":[{"name":"profiling"}]},"sweep":{"parameters":{"phases.none.x":[1]}}}"#)
                .unwrap_err()
                .contains("leads nowhere")
        );
    }

    #[test]
    fn each_combination_has_its_seed() {
        let all = of(r#"{"benchmark":{"phases":[{"name":"profiling"}]},"sweep":{"parameters":{"concurrency":[1,2,4]}}}"#).unwrap();
        assert_eq!(all.iter().map(|v| seed(7, v, 0, false, false)).collect::<Vec<_>>(), [7, 8, 9]);
        assert_ne!(seed(7, &all[0], 0, false, true), seed(7, &all[0], 1, false, true));
    }
}
