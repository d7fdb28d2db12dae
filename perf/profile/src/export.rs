//! The files of a run (perf contract 6), and what is said of it on the console.

use std::collections::BTreeMap;
use std::io;

use dormouse_perf_metrics::columns::Columns;
use dormouse_perf_metrics::summary::{Objective, Summary, Window};
use dormouse_perf_metrics::{Metric, Stamps, slices as time_slices};
use dormouse_perf_report::console::{self, Style};
use dormouse_perf_report::folder::Counts;
use dormouse_perf_report::json::Json;
use dormouse_perf_report::records::Problem;
use dormouse_perf_report::{slices, summary};
use dormouse_perf_scrape::{About as ScrapeAbout, Phase as ScrapePhase};
use jiff::{Timestamp, tz::TimeZone};

use crate::about;
use crate::config::plan::nanoseconds;
use crate::config::tree::Object;
use crate::files::{Names, put};
use crate::panels;
use crate::system_controller::{Measured, Prepared};
use crate::trust::Verdict;

/// What is known of a run when it is over.
#[derive(Debug)]
pub struct Result {
    /// The profiling phases together.
    pub summary: Summary,
    /// The summary as its file has it.
    pub document: Json,
    /// Whether it can be trusted.
    pub verdict: Verdict,
    /// Why requests failed.
    pub problems: BTreeMap<Problem, usize>,
    /// It was ended before everything was done.
    pub cancelled: bool,
    /// Text for the console, tables and boxes.
    pub console: String,
    /// Sentences for the console.
    pub notes: Vec<String>,
}

/// A run among several.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Further members of `run_info`.
    pub run_info: Vec<(String, Json)>,
    /// Its number, from 0.
    pub trial: u32,
    /// It is one of several: its identifier is longer.
    pub one_of_several: bool,
    /// How far this machine's figures were from a known truth, if that was measured.
    pub calibration: Option<Json>,
}

/// A phase, finished.
struct Phase<'a> {
    name: &'a str,
    warmup: bool,
    window: Window,
    rows: &'a Columns,
    counts: Counts,
    problems: &'a BTreeMap<Problem, usize>,
    cancelled: bool,
}

/// Computes everything and writes it.
///
/// # Errors
/// A file that could not be written.
pub fn write(prepared: &Prepared, measured: &Measured, names: &Names, objectives: &[Objective], place: &Place) -> io::Result<Result> {
    let phases = phases(prepared, measured);
    let window = |warmup: bool| {
        let windows = phases.iter().filter(|phase| phase.warmup == warmup).map(|phase| phase.window);
        windows.reduce(|a, b| Window { start_ns: a.start_ns.min(b.start_ns), end_ns: a.end_ns.max(b.end_ns) })
    };
    let of = |phases: &[&Phase<'_>], window: Option<Window>| {
        let mut rows = Columns::default();
        let mut counts = Counts::default();
        for phase in phases {
            rows.append(phase.rows);
            counts.add(phase.counts);
        }
        let mut summary = Summary::of_columns(&rows, window, objectives, Stamps::Whole);
        counts.put(&mut summary);
        (rows, summary)
    };
    let profiling: Vec<&Phase<'_>> = phases.iter().filter(|phase| !phase.warmup).collect();
    let (rows, whole) = of(&profiling, window(false));
    let warmup: Vec<&Phase<'_>> = phases.iter().filter(|phase| phase.warmup).collect();
    let warmup = (!warmup.is_empty()).then(|| of(&warmup, window(true)).1);
    let mut problems = BTreeMap::new();
    for (problem, count) in profiling.iter().flat_map(|phase| phase.problems) {
        *problems.entry(problem.clone()).or_default() += *count;
    }
    let times: Vec<_> = measured.ended.phases.iter().zip(&prepared.phases).filter(|(_, plan)| !plan.warmup).map(|(time, _)| time).collect();
    let verdict = Verdict::of(&times, &whole, prepared.config.dormouse.pace.as_deref() == Some("spin"));
    let id = if place.one_of_several { measured.benchmark_id.clone() } else { measured.benchmark_id.chars().take(12).collect() };
    let config = about::input_config(
        &prepared.document,
        &prepared.config,
        &names.dir().display().to_string(),
        prepared.conversations.data(),
        prepared.seed,
        prepared.tokenizer_name.as_deref(),
    );
    let scrape = scrape_about(&phases, prepared, &id, &config);
    let telemetry = measured.scraped.gpus.as_ref().map(|gpus| gpus.telemetry(&measured.scraped.fields, &scrape));
    let about = document_about(prepared, measured, place, &id, &config, telemetry.as_ref(), &problems, &verdict, window(false));
    let document = summary::document(&whole, warmup.as_ref(), &about);
    let text = |json: &Json| serde_json::to_vec_pretty(json).map_err(io::Error::other);
    let wanted = prepared.config.benchmark.artifacts.summary.as_deref();
    let wants = |format: &str| wanted.is_none_or(|formats| formats.iter().any(|f| f == format));
    if wants("json") {
        put(&names.summary(), &text(&document)?)?;
    }
    let gpus = telemetry.as_ref().map(|telemetry| dormouse_perf_scrape::files::gpu::section(telemetry, &measured.scraped.fields));
    if wants("csv") {
        put(&names.csv(), (summary::sections(&whole) + &gpus.unwrap_or_default()).as_bytes())?;
    }
    if let Some(seconds) = prepared.config.benchmark.artifacts.slice_duration.filter(|s| *s > 0.0) {
        let all = time_slices::of_columns(&rows, nanoseconds(seconds), objectives, Stamps::Whole);
        put(&names.slices("json"), &text(&slices::document(&all, &config))?)?;
        put(&names.slices("csv"), slices::csv(&all).as_bytes())?;
    }
    scraped(prepared, measured, names, &scrape)?;
    manifest(prepared, measured, names, &phases, objectives, &scrape)?;
    let style = if prepared.config.dormouse.console_style.as_deref() == Some("aiperf") { Style::Aiperf } else { Style::Dormouse };
    let listed: Vec<Problem> = problems.iter().flat_map(|(problem, count)| std::iter::repeat_n(problem.clone(), *count)).collect();
    let http = prepared.config.benchmark.artifacts.show_trace_timing;
    let mut console = console::tables(&whole, &listed, prepared.endpoint.title(), style, http);
    console.push_str(&panels::of(&whole));
    put(&names.console(), console.as_bytes())?;
    let cancelled = measured.ended.cancelled;
    let ready = format!("{{\"ready\":true,\"was_cancelled\":{cancelled},\"partial\":{}}}", measured.recorded.unwritten.is_some());
    let path = names.other(".aiperf_results_ready.json");
    put(&path, ready.as_bytes())?;
    private(&path)?;
    let notes = notes(prepared, measured, &profiling, &whole);
    Ok(Result { summary: whole, document, verdict, problems, cancelled, console, notes })
}

#[cfg(unix)]
fn private(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

fn phases<'a>(prepared: &'a Prepared, measured: &'a Measured) -> Vec<Phase<'a>> {
    let (clock, recorded) = (measured.clock, &measured.recorded);
    let one = |((plan, time), records): (
        (&'a dormouse_perf_load::timing::PhasePlan, &'a dormouse_perf_load::worker::PhaseTime),
        &'a crate::records_manager::PhaseRecords,
    )| {
        Phase {
            name: &plan.name,
            warmup: plan.warmup,
            window: Window { start_ns: clock.wall(time.start), end_ns: clock.wall(time.end) },
            rows: &records.rows,
            counts: Counts { missed: time.missed, ..records.counts },
            problems: &records.problems,
            cancelled: time.cancelled,
        }
    };
    prepared.phases.iter().zip(&measured.ended.phases).zip(&recorded.phases).map(one).collect()
}

fn scrape_about(phases: &[Phase<'_>], prepared: &Prepared, id: &str, config: &Json) -> ScrapeAbout {
    let at = phases.first().map_or(0, |phase| phase.window.start_ns);
    let offset = TimeZone::system().to_offset(moment(at)).seconds();
    let phase = |phase: &Phase<'_>| ScrapePhase {
        name: phase.name.to_owned(),
        warmup: phase.warmup,
        was_cancelled: phase.cancelled,
        window: phase.window,
    };
    ScrapeAbout {
        version: about::AIPERF_VERSION.to_owned(),
        benchmark_id: id.to_owned(),
        input_config: config.clone(),
        phases: phases.iter().map(phase).collect(),
        slice_ns: prepared.config.benchmark.artifacts.slice_duration.map(nanoseconds),
        utc_offset_seconds: offset,
    }
}

fn moment(ns: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default()
}

/// Local time without a zone, as the peer writes it.
fn local(ns: u64) -> String {
    moment(ns).to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
}

#[allow(clippy::too_many_arguments, reason = "the members of one document")]
fn document_about(
    prepared: &Prepared,
    measured: &Measured,
    place: &Place,
    id: &str,
    config: &Json,
    telemetry: Option<&Json>,
    problems: &BTreeMap<Problem, usize>,
    verdict: &Verdict,
    window: Option<Window>,
) -> Json {
    let mut run_info = Object::new();
    run_info.put("benchmark_id", id);
    run_info.0.extend(place.run_info.iter().filter(|(name, _)| name == "sweep_id").cloned());
    run_info.put_some("random_seed", prepared.seed).put("trial", place.trial);
    run_info.0.extend(place.run_info.iter().filter(|(name, _)| name != "sweep_id").cloned());
    run_info.put("cli_command", about::command_line(std::env::args()));
    let window = window.unwrap_or_default();
    let mut object = Object::new();
    object.put("schema_version", "1.4").put("aiperf_version", about::AIPERF_VERSION);
    object.put("dormouse_version", env!("CARGO_PKG_VERSION")).put("benchmark_id", id);
    object.put_some("telemetry_data", telemetry.cloned());
    object.put("input_config", config.clone());
    object.put("run_info", run_info.json());
    object.put("was_cancelled", measured.ended.cancelled);
    object.put("is_complete", !measured.ended.cancelled);
    object.put("error_summary", about::error_summary(problems));
    object.put("verdict", verdict.word());
    object.put("verdict_reasons", verdict.reasons.clone());
    object.put("generator", verdict.generator.clone());
    object.put_some("calibration", place.calibration.clone());
    object.put("start_time", local(window.start_ns)).put("end_time", local(window.end_ns));
    object.put("start_time_unix_ns", window.start_ns).put("end_time_unix_ns", window.end_ns);
    object.json()
}

fn scraped(prepared: &Prepared, measured: &Measured, names: &Names, scrape: &ScrapeAbout) -> io::Result<()> {
    let pretty = |json: &Json| serde_json::to_vec_pretty(json).map_err(io::Error::other);
    let lines = |items: &mut dyn Iterator<Item = Json>| {
        let mut text = Vec::new();
        for item in items {
            serde_json::to_writer(&mut text, &item)?;
            text.push(b'\n');
        }
        Ok::<_, io::Error>(text)
    };
    if let Some(servers) = measured.scraped.servers.as_ref().filter(|servers| !servers.is_empty()) {
        let formats = prepared.config.benchmark.server_metrics.formats.clone();
        let formats = formats.unwrap_or_else(|| vec!["json".to_owned(), "csv".to_owned()]);
        for format in formats {
            match format.as_str() {
                "json" => put(&names.server_metrics("json"), &pretty(&servers.document(scrape))?)?,
                "csv" => put(&names.server_metrics("csv"), servers.csv(scrape).as_bytes())?,
                "jsonl" => put(&names.server_metrics("jsonl"), &lines(&mut servers.lines())?)?,
                _ => {}
            }
        }
    }
    if let Some(gpus) = measured.scraped.gpus.as_ref().filter(|gpus| !gpus.is_empty()) {
        put(&names.gpus(), &lines(&mut gpus.telemetry_lines(&measured.scraped.fields))?)?;
    }
    Ok(())
}

/// The manifest of phases; with more than one, each has its own summary.
fn manifest(
    prepared: &Prepared,
    measured: &Measured,
    names: &Names,
    phases: &[Phase<'_>],
    objectives: &[Objective],
    scrape: &ScrapeAbout,
) -> io::Result<()> {
    let mut listed = Vec::new();
    let mut profiling = 0_u64;
    for (index, phase) in phases.iter().enumerate() {
        let mut files = Object::new();
        if phases.len() > 1 {
            let dir = format!("phases/{}", phase.name);
            std::fs::create_dir_all(names.dir().join(&dir))?;
            let mut whole = Summary::of_columns(phase.rows, Some(phase.window), objectives, Stamps::Whole);
            phase.counts.put(&mut whole);
            let mut about = Object::new();
            about
                .put("schema_version", "1.4")
                .put("aiperf_version", about::AIPERF_VERSION)
                .put("dormouse_version", env!("CARGO_PKG_VERSION"));
            about.put("benchmark_id", scrape.benchmark_id.as_str()).put("input_config", scrape.input_config.clone());
            about.put("was_cancelled", phase.cancelled).put("is_complete", !phase.cancelled);
            about.put("error_summary", about::error_summary(phase.problems));
            about.put("start_time", local(phase.window.start_ns)).put("end_time", local(phase.window.end_ns));
            let document = summary::document(&whole, None, &about.json());
            let json = format!("{dir}/profile_export_aiperf.json");
            let csv = format!("{dir}/profile_export_aiperf.csv");
            put(&names.other(&json), &serde_json::to_vec_pretty(&document).map_err(io::Error::other)?)?;
            put(&names.other(&csv), summary::sections(&whole).as_bytes())?;
            files.put("metrics_csv", csv).put("metrics_json", json);
            if let Some(servers) = measured.scraped.servers.as_ref().filter(|servers| !servers.is_empty()) {
                let path = format!("{dir}/server_metrics.json");
                let document = servers.phase_document(scrape, index);
                put(&names.other(&path), &serde_json::to_vec_pretty(&document).map_err(io::Error::other)?)?;
                files.put("server_metrics_json", path);
            }
        }
        let failed: usize = phase.problems.values().sum();
        let all = phase.rows.len();
        let mut object = Object::new();
        object.put("end_ns", phase.window.end_ns).put("error_request_count", failed as u64);
        object.put("error_summary", about::error_summary(phase.problems));
        object.0.extend(files.0);
        object.put("phase_index", index as u64).put("phase_kind", if phase.warmup { "warmup" } else { "profiling" });
        object.put("phase_name", phase.name);
        let number = if phase.warmup {
            Json::Null
        } else {
            profiling += 1;
            Json::from(profiling - 1)
        };
        object.put("profiling_index", number).put("schedule_missed_count", phase.counts.missed);
        object.put("start_ns", phase.window.start_ns).put("successful_request_count", (all - failed) as u64);
        object.put("total_request_count", all as u64).put("was_cancelled", phase.cancelled);
        listed.push(object.json());
    }
    let mut manifest = Object::new();
    manifest.put("phases", Json::Array(listed)).put("schema_version", 1_u64);
    let _ = prepared;
    put(&names.other("phase_manifest.json"), &serde_json::to_vec_pretty(&manifest.json()).map_err(io::Error::other)?)
}

/// Sentences that a reader of the figures should not miss.
fn notes(prepared: &Prepared, measured: &Measured, profiling: &[&Phase<'_>], summary: &Summary) -> Vec<String> {
    let notes = &measured.recorded.notes;
    let mut said = Vec::new();
    let mut say = |count: u64, text: String| {
        if count > 0 {
            said.push(text);
        }
    };
    let censored: u64 = profiling.iter().map(|phase| phase.counts.censored).sum();
    let sent = profiling.iter().map(|phase| phase.rows.len() as u64).sum::<u64>() + censored;
    let why = if measured.ended.cancelled { "when the run was interrupted" } else { "at the deadline" };
    say(censored, format!("{censored} of {sent} requests unfinished {why}: p99 is a lower bound"));
    say(
        notes.redirected,
        format!("{} requests were redirected: what was measured is two requests each; pass the new address with --url", notes.redirected),
    );
    say(
        notes.other_media_type,
        format!(
            "{} streams came under another Content-Type than text/event-stream; they were read as the streams that they are",
            notes.other_media_type
        ),
    );
    say(
        notes.other_choices,
        format!("{} answers had more than one of their choices filled (n above 1): only the first is counted", notes.other_choices),
    );
    say(notes.no_usage, format!("{} answers had no usage: with --use-server-token-count their token figures are missing", notes.no_usage));
    say(
        notes.strange_usage,
        format!("{} answers report more reasoning tokens than completion tokens: output counts as 0 there", notes.strange_usage),
    );
    say(notes.undecodable, format!("{} events could not be read and were passed over", notes.undecodable));
    say(measured.ended.silent, format!("{} streams were silent for 30 s or more; --idle-timeout ends them", measured.ended.silent));
    let reconnected: u64 = profiling.iter().map(|phase| phase.counts.reconnected).sum();
    say(reconnected, format!("{reconnected} requests were sent once more: the server had closed the idle connection that they left on"));
    let incomplete: u64 = profiling.iter().map(|phase| phase.counts.incomplete).sum();
    say(incomplete, format!("{incomplete} streams ended without saying so: neither a finish reason nor [DONE]"));
    let missed: u64 = profiling.iter().map(|phase| phase.counts.missed).sum();
    let open = prepared.phases.iter().any(|phase| !phase.warmup && !matches!(phase.load, dormouse_perf_load::timing::Load::Closed));
    if open {
        say(
            missed,
            format!(
                "{missed} of {sent} requests found no free place at their time and left later: effective_latency counts from their time"
            ),
        );
    }
    if let Some(servers) = &measured.scraped.servers {
        said.extend(servers.warnings().iter().map(|warning| format!("server metrics: {warning}")));
    }
    if let Some(gpus) = &measured.scraped.gpus {
        said.extend(gpus.warnings().iter().map(|warning| format!("GPU telemetry: {warning}")));
    }
    let cached = summary.get(Metric::UsagePromptTokens).is_some() && summary.get(Metric::UsagePromptCacheReadTokens).is_none();
    if cached {
        said.push("the server reports usage without cached tokens: if it caches prefixes, let it say so (vLLM --enable-prompt-tokens-details, SGLang --enable-cache-report)".to_owned());
    }
    said
}
