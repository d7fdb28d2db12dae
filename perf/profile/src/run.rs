//! `perf profile`: one run, the same several times, or one for each combination of swept values; and what the shell is told.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use dormouse_perf_metrics::Metric;
use dormouse_perf_report::aggregate::Aggregate;
use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::{Out, error_line};

use crate::config::model::Config;
use crate::config::sweep::{self, Variation};
use crate::config::tree::{Object, overlay, set};
use crate::config::{document, file, plan, wrong};
use crate::export::{self, Place};
use crate::files::{Names, put};
use crate::options::ProfileArgs;
use crate::signals::{INTERRUPTED, Signals};
use crate::system_controller::{self as controller, Running};

/// Exit code: more requests failed than are allowed, or an objective was missed.
pub const MISSED: u8 = 4;
/// Exit code: the client is what was measured.
pub const CLIENT_BOUND: u8 = 5;

/// The document of a command line: the file that it names, and its options over that.
///
/// # Errors
/// What is wrong with either.
pub fn document(args: &ProfileArgs) -> anyhow::Result<Json> {
    let mut options = document::of(args)?;
    let Some(path) = &args.input.config else { return Ok(options) };
    let mut document = file::read(path)?;
    speak_of_the_same_data(&document, &mut options);
    overlay(&mut document, options);
    Ok(document)
}

/// Options speak of the data set that there is, whatever the file calls it.
fn speak_of_the_same_data(document: &Json, options: &mut Json) {
    let benchmark = document.get("benchmark");
    let alone = benchmark.and_then(|benchmark| benchmark.get("dataset"));
    let there = match (alone, benchmark.and_then(|benchmark| benchmark.get("datasets"))) {
        (Some(one), None) => one,
        (None, Some(Json::Array(all))) if all.len() == 1 => &all[0],
        _ => return,
    };
    let Json::Object(root) = options else { return };
    let Some((_, Json::Object(asked))) = root.iter_mut().find(|(name, _)| name == "benchmark") else { return };
    for (name, value) in asked {
        let Json::Array(all) = value else { continue };
        let [Json::Object(members)] = &mut all[..] else { continue };
        if name == "datasets" {
            members.retain(|(name, _)| name != "name");
            members.extend(there.get("name").map(|name| ("name".to_owned(), name.clone())));
            if alone.is_some() {
                "dataset".clone_into(name);
                *value = Json::Object(std::mem::take(members));
            }
        }
    }
}

/// How a run is started for several values of a level.
pub(crate) type Meanwhile<'a> = Box<dyn FnOnce(Running<'_>) + Send + 'a>;

/// Runs it to its end.
///
/// # Errors
/// What the shell is told, with its exit code.
pub fn run(args: &ProfileArgs) -> anyhow::Result<()> {
    let signals = Signals::listen().context("cannot listen for signals")?;
    if args.ours.demo {
        return crate::demo::run(args, &signals);
    }
    let document = document(args)?;
    run_document(document, &signals)
}

/// Runs a whole document.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_document(mut document: Json, signals: &Signals) -> anyhow::Result<()> {
    let config = Config::read(&document)?;
    config.dormouse.slo.iter().try_for_each(|text| crate::slo::Slo::parse(text).map(drop))?;
    let variations = sweep::variations(&document, &config)?;
    let runs = config.multi_run.num_runs.max(1);
    if config.dormouse.search.is_some() {
        if variations.len() > 1 || runs > 1 {
            return Err(wrong("--search finds a level in one run: it takes no lists and no repeated runs").into());
        }
        return crate::search::run(document, signals);
    }
    if variations.len() == 1 && variations[0].dir.is_none() && runs == 1 {
        let calibration = crate::calibrate::is_wanted(&config).then(|| crate::calibrate::run(&document, signals)).transpose()?;
        let outcome = one(document, None, &Place { calibration, ..Place::default() }, signals)?;
        return outcome.conclude(&config);
    }
    if config.benchmark.runtime.ui.as_deref() == Some("dashboard") {
        return Err(wrong("--ui dashboard shows one run: with several pass --ui simple or none").into());
    }
    if config.random_seed.is_none() && config.multi_run.set_consistent_seed {
        set(&mut document, "random_seed", Json::from(42));
    }
    crate::several::run(&document, signals)
}

/// What came of one run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: export::Result,
    pub(crate) dir: std::path::PathBuf,
    pub(crate) unwritten: Option<String>,
    pub(crate) too_many_failed: Option<(u64, u64)>,
    pub(crate) interrupted: bool,
}

/// One run into its folder; `dir` in place of the configuration's own.
///
/// # Errors
/// What kept it from beginning, or its files from being written.
pub(crate) fn one(document: Json, dir: Option<&Path>, place: &Place, signals: &Signals) -> anyhow::Result<Outcome> {
    let mut prepared = controller::prepare(document)?;
    prepared.alone = !place.one_of_several;
    with(&prepared, dir, place, signals, Box::new(|_| {}))
}

/// The same with what runs beside.
///
/// # Errors
/// As [`one`].
pub(crate) fn with(
    prepared: &controller::Prepared,
    dir: Option<&Path>,
    place: &Place,
    signals: &Signals,
    meanwhile: Meanwhile<'_>,
) -> anyhow::Result<Outcome> {
    let objectives = plan::objectives(&prepared.config)?;
    let dir = dir.map_or_else(|| prepared.dir(), Path::to_path_buf);
    controller::look(prepared)?;
    let _held = controller::hold(&dir)?;
    let names = Names::new(&dir, prepared.config.benchmark.artifacts.prefix.as_deref());
    let limit = prepared.config.dormouse.max_runtime.filter(|s| *s > 0.0);
    let meanwhile = move |running: Running<'_>| {
        std::thread::scope(|scope| {
            if let Some(limit) = limit {
                scope.spawn(move || end_after(running, limit));
            }
            meanwhile(running);
        });
    };
    let measured = controller::measure(prepared, &names, signals, meanwhile)?;
    let result =
        export::write(prepared, &measured, &names, &objectives, place).with_context(|| format!("cannot write into {}", dir.display()))?;
    log(&names, &result).with_context(|| format!("cannot write into {}", dir.display()))?;
    Ok(Outcome {
        result,
        dir,
        unwritten: measured.recorded.unwritten.as_ref().map(ToString::to_string),
        too_many_failed: measured.recorded.too_many_failed,
        interrupted: signals.have_come(),
    })
}

/// Ends a run that takes longer than it may.
fn end_after(running: Running<'_>, seconds: f64) {
    let until = std::time::Instant::now() + Duration::from_secs_f64(seconds.min(1e9));
    while !running.ended.load(std::sync::atomic::Ordering::Acquire) {
        if std::time::Instant::now() >= until {
            error_line(&format!("note: the run is ended after {seconds} s (--max-runtime)"));
            running.control.ask(dormouse_perf_load::worker::Command::Cancel);
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn log(names: &Names, result: &export::Result) -> std::io::Result<()> {
    std::fs::create_dir_all(names.other("logs"))?;
    let mut text = format!("verdict: {}\n", result.verdict.word());
    result.verdict.reasons.iter().chain(&result.notes).for_each(|line| text.push_str(&format!("{line}\n")));
    put(&names.other("logs/perf.log"), text.as_bytes())
}

impl Outcome {
    /// Prints the tables.
    pub(crate) fn show(&self) -> anyhow::Result<()> {
        Out.text(&self.result.console)?;
        self.result.notes.iter().for_each(|note| error_line(&format!("note: {note}")));
        self.result.verdict.reasons.iter().for_each(|reason| error_line(&format!("client-bound: {reason}")));
        Ok(())
    }

    /// Prints the tables and the last line, and gives the exit code.
    pub(crate) fn conclude(&self, config: &Config) -> anyhow::Result<()> {
        self.show()?;
        Out.line(&format!("{}: {}", self.dir.display(), self.result.verdict.word()))?;
        self.code(config)
    }

    /// What the shell is told (perf contract 0.2 items 14 and 18).
    pub(crate) fn code(&self, config: &Config) -> anyhow::Result<()> {
        let ours = &config.dormouse;
        let fail = |code: u8, words: String| Err(Failure::with_code(code, words).into());
        if let Some(why) = &self.unwritten {
            return fail(
                1,
                format!("{}: not everything could be written: {why}; the summary has all that was measured", self.dir.display()),
            );
        }
        if self.interrupted {
            return fail(INTERRUPTED, format!("interrupted; what was measured is in {}", self.dir.display()));
        }
        if let Some((failed, all)) = self.too_many_failed {
            return fail(1, format!("{failed} of {all} requests failed, more than --failed-request-threshold allows: the run was ended"));
        }
        let summary = &self.result.summary;
        let good = summary.single(Metric::RequestCount).unwrap_or(0.0);
        if good == 0.0 {
            let why = self.result.problems.iter().max_by_key(|(_, count)| **count).map(|(problem, _)| crate::words::problem(problem));
            return fail(1, format!("no request succeeded{}", why.map(|why| format!(": {why}")).unwrap_or_default()));
        }
        if ours.as_the_peer() {
            return Ok(());
        }
        let rate = summary.single(Metric::RequestErrorRate).unwrap_or(0.0);
        if let Some(most) = ours.max_error_rate.filter(|most| rate > *most) {
            return fail(MISSED, format!("{rate:.2} % of the requests failed, more than the {most} % that are allowed"));
        }
        for slo in &ours.slo {
            let objective = crate::slo::Slo::parse(slo)?;
            if !objective.holds(summary) {
                return fail(MISSED, format!("the objective {slo} does not hold: {}", objective.said(summary)));
            }
        }
        if !self.result.verdict.is_certified() {
            return fail(CLIENT_BOUND, format!("the client was what was measured: {}", self.result.verdict.reasons.join("; ")));
        }
        Ok(())
    }
}

/// Writes what several runs have in common.
pub(crate) fn aggregate(
    dir: &Path,
    documents: &[&Json],
    confidence: f64,
    metadata: Object,
    about: &[(&str, String)],
) -> anyhow::Result<Aggregate> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let all = Aggregate::of(documents, confidence);
    let document = all.document(crate::about::AIPERF_VERSION, metadata.0);
    let write = |name: &str, text: &[u8]| put(&dir.join(name), text).with_context(|| format!("cannot write into {}", dir.display()));
    write("profile_export_aiperf_aggregate.json", &serde_json::to_vec_pretty(&document)?)?;
    write("profile_export_aiperf_aggregate.csv", all.csv(about).as_bytes())?;
    Ok(all)
}

/// A pause that a signal ends.
pub(crate) fn pause(seconds: f64, signals: &Signals) {
    let until = std::time::Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0));
    while std::time::Instant::now() < until && !signals.have_come() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The seed of a run among several.
pub(crate) fn seeded(document: &Json, variation: &Variation, trial: u32, config: &Config) -> Json {
    let mut document = document.clone();
    if let Some(base) = config.random_seed {
        let same = config.sweep.as_ref().is_some_and(|sweep| sweep.same_seed);
        let seed = sweep::seed(base, variation, trial, same, config.multi_run.vary_seed_per_trial);
        set(&mut document, "random_seed", Json::from(seed));
    }
    document
}
