//! Several runs: the same again, one for each combination of swept values, or both (perf contract 1.6, 6.13).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dormouse_perf_report::json::{Json, Members};
use dormouse_perf_report::sweep as files;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::{Out, error_line};

use crate::config::model::{Config, Phase};
use crate::config::plan::is_warmup;
use crate::config::sweep::{self, Variation};
use crate::config::tree::Object;
use crate::export::Place;
use crate::files::put;
use crate::run::{self, CLIENT_BOUND, Outcome};
use crate::signals::{INTERRUPTED, Signals};

/// One run of several.
struct Done {
    variation: usize,
    label: String,
    outcome: Option<Outcome>,
    why: String,
}

/// Runs all of a document.
///
/// # Errors
/// What the shell is told.
pub(crate) fn run(document: &Json, signals: &Signals) -> anyhow::Result<()> {
    let config = Config::read(document)?;
    let variations = sweep::variations(document, &config)?;
    let trials = config.multi_run.num_runs.max(1);
    let base = folder(document)?;
    let sweep_id = uuid::Uuid::new_v4().to_string();
    let repeated = config.sweep.as_ref().and_then(|sweep| sweep.mode.as_deref()).unwrap_or("repeated") == "repeated";
    let order: Vec<(usize, u32)> = if repeated {
        (0..trials).flat_map(|trial| (0..variations.len()).map(move |v| (v, trial))).collect()
    } else {
        (0..variations.len()).flat_map(|v| (0..trials).map(move |trial| (v, trial))).collect()
    };
    let mut all: Vec<Done> = Vec::new();
    for (number, (v, trial)) in order.iter().copied().enumerate() {
        let variation = &variations[v];
        if number > 0 {
            let pause = if trial > 0 {
                config.multi_run.cooldown_seconds
            } else {
                config.sweep.as_ref().map_or(0.0, |sweep| sweep.cooldown_seconds)
            };
            run::pause(pause, signals);
        }
        if signals.have_come() {
            break;
        }
        error_line(&format!("run {} of {}: {}, trial {}", number + 1, order.len(), variation.label, trial + 1));
        all.push(one(&config, variation, trial, trials, repeated, &base, &sweep_id, signals));
    }
    let worst = aggregate(&config, &variations, trials, &base, &all)?;
    for done in all.iter().filter(|done| done.outcome.is_none()) {
        error_line(&format!("{} failed: {}", done.label, done.why));
    }
    Out.line(&format!("{}: {}", base.display(), worst))?;
    let good = all.iter().filter(|done| done.outcome.is_some()).count();
    if signals.have_come() {
        return Err(Failure::with_code(INTERRUPTED, format!("interrupted after {good} of {} runs", order.len())).into());
    }
    if good < 2 {
        return Err(Failure::with_code(1, format!("{good} of {} runs succeeded: nothing can be said of several", order.len())).into());
    }
    if worst == "client-bound" && !config.dormouse.as_the_peer() {
        return Err(Failure::with_code(CLIENT_BOUND, "in some of the runs the client was what was measured").into());
    }
    Ok(())
}

/// The folder of all of them.
fn folder(document: &Json) -> anyhow::Result<PathBuf> {
    let config = Config::read(document)?;
    if let Some(dir) = &config.benchmark.artifacts.dir {
        return Ok(dir.into());
    }
    let endpoint = crate::config::plan::endpoint(&config)?;
    let models = crate::config::plan::models(&config)?;
    Ok(Path::new("artifacts").join(crate::config::plan::folder(&config, &models, endpoint)))
}

#[allow(clippy::too_many_arguments, reason = "where a run stands among all")]
fn one(
    config: &Config,
    variation: &Variation,
    trial: u32,
    trials: u32,
    repeated: bool,
    base: &Path,
    sweep_id: &str,
    signals: &Signals,
) -> Done {
    let label = format!("run_{:04}", trial + 1);
    let dir = match (&variation.dir, trials > 1) {
        (None, _) => base.join("profile_runs").join(&label),
        (Some(dir), false) => base.join(dir),
        (Some(dir), true) if repeated => base.join("profile_runs").join(format!("trial_{:04}", trial + 1)).join(dir),
        (Some(dir), true) => base.join(dir).join("profile_runs").join(format!("trial_{:04}", trial + 1)),
    };
    let mut document = run::seeded(&variation.document, variation, trial, config);
    if trial > 0 && config.multi_run.disable_warmup_after_first {
        without_warmup(&mut document);
    }
    let mut run_info: Members = vec![("sweep_id".to_owned(), Json::from(sweep_id)), ("run_label".to_owned(), Json::String(label))];
    run_info.push(("variation_label".to_owned(), Json::String(variation.label.clone())));
    run_info.push(("variation_index".to_owned(), Json::from(variation.index as u64)));
    run_info.push(("variation_values".to_owned(), Json::Object(variation.values.clone())));
    let place = Place { run_info, trial, one_of_several: true, calibration: None };
    let outcome = configured(&dir, &document, variation, trial, sweep_id).and_then(|()| run::one(document, Some(&dir), &place, signals));
    let (outcome, why) = match outcome {
        Ok(outcome) => match outcome.code(config) {
            // Objectives and verdicts are those of the whole.
            Err(error) if error.downcast_ref::<Failure>().is_some_and(|failure| failure.code() == 1) => (None, error.to_string()),
            _ => (Some(outcome), String::new()),
        },
        Err(error) => (None, format!("{error:#}")),
    };
    Done { variation: variation.index, label: dir.display().to_string(), outcome, why }
}

/// What is run, beside its files.
fn configured(dir: &Path, document: &Json, variation: &Variation, trial: u32, sweep_id: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut inner = Object::new();
    inner.put("index", variation.index as u64).put("label", variation.label.as_str()).put("values", Json::Object(variation.values.clone()));
    let mut benchmark = document.get("benchmark").cloned().unwrap_or(Json::Null);
    if let Some(Json::Object(endpoint)) = benchmark.get("endpoint").cloned() {
        let endpoint = endpoint.into_iter().filter(|(name, _)| name != "api_key").collect();
        crate::config::tree::set(&mut benchmark, "endpoint", Json::Object(endpoint));
    }
    let mut config = Object::new();
    config.put("sweep_id", sweep_id).put("cfg", benchmark).put_any("variation", inner).put("trial", trial);
    config.put_some("random_seed", document.get("random_seed").cloned());
    put(&dir.join("run_config.json"), &serde_json::to_vec_pretty(&config.json())?)
        .with_context(|| format!("cannot write into {}", dir.display()))
}

fn without_warmup(document: &mut Json) {
    let Some(Json::Array(phases)) = document.get("benchmark").and_then(|b| b.get("phases")).cloned() else { return };
    let warm = |phase: &Json| {
        let text = serde_json::to_string(phase).unwrap_or_default();
        serde_json::from_str::<Phase>(&text).is_ok_and(|phase| is_warmup(&phase))
    };
    let phases = phases.into_iter().filter(|phase| !warm(phase)).collect();
    crate::config::tree::set(document, "benchmark.phases", Json::Array(phases));
}

/// Writes what several runs have in common; the worst verdict of all.
fn aggregate(config: &Config, variations: &[Variation], trials: u32, base: &Path, all: &[Done]) -> anyhow::Result<&'static str> {
    let level = config.multi_run.confidence_level;
    let swept = variations.iter().any(|variation| variation.dir.is_some());
    let mut cells = Vec::new();
    for variation in variations {
        let runs: Vec<&Done> = all.iter().filter(|done| done.variation == variation.index).collect();
        let documents: Vec<&Json> = runs.iter().filter_map(|done| Some(&done.outcome.as_ref()?.result.document)).collect();
        let failed: Vec<String> = runs.iter().filter(|done| done.outcome.is_none()).map(|done| done.label.clone()).collect();
        let labels: Vec<String> = (1..=trials).map(|trial| format!("run_{trial:04}")).collect();
        let dir = match &variation.dir {
            Some(dir) => base.join("aggregate").join(dir),
            None => base.join("aggregate"),
        };
        let mut metadata = Object::new();
        metadata.put("aggregation_type", "confidence").put("num_profile_runs", runs.len() as u64);
        metadata.put("num_successful_runs", documents.len() as u64).put("failed_runs", failed);
        metadata.put("confidence_level", level).put("run_labels", labels.clone());
        metadata.put("cooldown_seconds", config.multi_run.cooldown_seconds);
        if swept {
            metadata.put("variation_label", variation.label.as_str()).put("variation_values", Json::Object(variation.values.clone()));
        }
        let about = [
            ("Aggregation Type", "confidence".to_owned()),
            ("Total Runs", runs.len().to_string()),
            ("Successful Runs", documents.len().to_string()),
            ("Confidence Level", format!("{level}")),
            ("Run Labels", format!("\"[{}]\"", labels.iter().map(|label| format!("'{label}'")).collect::<Vec<_>>().join(", "))),
            ("Cooldown Seconds", format!("{:?}", config.multi_run.cooldown_seconds)),
        ];
        if documents.is_empty() {
            continue;
        }
        if swept && trials == 1 {
            metadata.put("single_run", true);
        }
        let figures = run::aggregate(&dir, &documents, level, metadata, &about)?;
        cells.push(files::Cell { values: short(&variation.values), figures, documents: documents.into_iter().cloned().collect() });
    }
    if swept && !cells.is_empty() {
        let dir = if trials > 1 { base.join("aggregate").join("sweep_aggregate") } else { base.join("sweep_aggregate") };
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mode = config.sweep.as_ref().and_then(|sweep| sweep.mode.clone()).unwrap_or_else(|| "repeated".to_owned());
        let failed = all.iter().filter(|done| done.outcome.is_none()).map(|done| done.label.clone()).collect();
        let sweep = files::Sweep { cells, mode, trials, confidence: level, runs: all.len(), failed };
        let write = |name: &str, text: &[u8]| put(&dir.join(name), text).with_context(|| format!("cannot write into {}", dir.display()));
        write("profile_export_aiperf_sweep.json", &serde_json::to_vec_pretty(&sweep.document())?)?;
        write("profile_export_aiperf_sweep.csv", sweep.csv().as_bytes())?;
        if !config.no_sweep_table {
            Out.text(&sweep.table())?;
        }
    }
    let bound = all.iter().filter_map(|done| done.outcome.as_ref()).any(|outcome| !outcome.result.verdict.is_certified());
    let measured = all.iter().any(|done| done.outcome.is_some());
    Ok(match (measured, bound) {
        (false, _) => "nothing was measured",
        (true, true) => "client-bound",
        (true, false) => "certified",
    })
}

/// Parameters by the names that folders have.
fn short(values: &[(String, Json)]) -> Members {
    let last = |path: &str| path.strip_suffix(".mean").unwrap_or(path).rsplit('.').next().unwrap_or(path).to_owned();
    values.iter().map(|(path, value)| (last(path), value.clone())).collect()
}
