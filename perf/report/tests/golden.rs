//! The peer's recorded runs (`tests/golden/perf`, or the folder in `DORMOUSE_GOLDEN`): its summaries come out of its records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use dormouse_perf_report::aggregate::Aggregate;
use dormouse_perf_report::check::differences;
use dormouse_perf_report::console::{self, Style};
use dormouse_perf_report::folder::Run;
use dormouse_perf_report::json::Json;
use dormouse_perf_report::{slices, summary};

fn root() -> PathBuf {
    let given = std::env::var_os("DORMOUSE_GOLDEN").map(|folder| PathBuf::from(folder).join("perf")).filter(|folder| folder.is_dir());
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/perf"))
}

fn folders(at: &Path, found: &mut Vec<PathBuf>) {
    if at.join("profile_export.jsonl").is_file() {
        found.push(at.to_owned());
    }
    for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            folders(&entry.path(), found);
        }
    }
}

fn json(folder: &Path, name: &str) -> Json {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn summaries_come_out_of_the_records() {
    let mut found = Vec::new();
    folders(&root(), &mut found);
    assert!(!found.is_empty(), "no recordings in {}", root().display());
    let mut wrong = Vec::new();
    for folder in &found {
        let run = Run::read(folder).unwrap();
        let computed = run.profiling();
        let got = summary::document(&computed, run.warmup().as_ref(), &run.about);
        let recorded = json(folder, "profile_export_aiperf.json");
        let mut here = differences(&got, &recorded);
        let csv = std::fs::read_to_string(folder.join("profile_export_aiperf.csv")).unwrap();
        let ours = summary::csv(&computed, &run.about);
        if ours != csv {
            let first = ours.lines().zip(csv.lines()).find(|(a, b)| a != b);
            here.push(format!("CSV: {first:?}, {} lines of {}", ours.lines().count(), csv.lines().count()));
        }
        // Members stand where readers are used to see them; those without an order of their own come last.
        let names =
            |json: &Json| json.members().iter().map(|(name, _)| name.clone()).take_while(|name| name != "end_time").collect::<Vec<_>>();
        if names(&got) != names(&recorded) {
            here.push(format!("order: {:?}\n  not {:?}", names(&got), names(&recorded)));
        }
        wrong.extend(here.into_iter().map(|w| format!("{}: {w}", folder.display())));
    }
    assert!(wrong.is_empty(), "{} differences in {} runs:\n{}", wrong.len(), found.len(), wrong.join("\n"));
}

#[test]
fn slices_come_out_of_the_records() {
    let mut found = Vec::new();
    folders(&root(), &mut found);
    found.retain(|f| f.join("profile_export_aiperf_timeslices.json").is_file());
    assert!(!found.is_empty(), "no recordings with slices");
    for folder in &found {
        let run = Run::read(folder).unwrap();
        let recorded = json(folder, "profile_export_aiperf_timeslices.json");
        let Some(Json::Array(theirs)) = recorded.get("timeslices") else { panic!("no slices") };
        let moment = |slice: &Json, name: &str| slice.get(name).and_then(Json::as_f64).unwrap();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let length = (moment(&theirs[0], "end_ns") - moment(&theirs[0], "start_ns")) as u64;
        let slices = run.slices(length);
        let document = slices::document(&slices, recorded.get("input_config").unwrap());
        let Some(Json::Array(ours)) = document.get("timeslices") else { panic!("no slices") };
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(differences(ours, theirs), Vec::<String>::new(), "{}", folder.display());
            for name in ["start_ns", "end_ns", "is_complete"] {
                assert_eq!(ours.get(name), theirs.get(name), "{name}");
            }
        }
        let csv = std::fs::read_to_string(folder.join("profile_export_aiperf_timeslices.csv")).unwrap();
        let ours = slices::csv(&slices);
        let wrong: Vec<_> = ours.lines().zip(csv.lines()).filter(|(a, b)| a != b).take(10).collect();
        assert!(wrong.is_empty() && ours.lines().count() == csv.lines().count(), "{wrong:#?}");
    }
}

#[test]
fn phases_have_summaries_of_their_own() {
    let mut found = Vec::new();
    folders(&root(), &mut found);
    found.retain(|f| f.join("phases").is_dir());
    assert!(!found.is_empty(), "no recordings with phases");
    for folder in &found {
        let run = Run::read(folder).unwrap();
        for phase in &run.phases {
            let recorded = json(&folder.join("phases").join(&phase.name), "profile_export_aiperf.json");
            let computed = summary::document(&phase.summary(&run), None, &recorded);
            assert_eq!(differences(&computed, &recorded), Vec::<String>::new(), "{} of {}", phase.name, folder.display());
        }
        let recorded = json(folder, "profile_export_aiperf.json");
        let computed = summary::document(&run.profiling(), run.warmup().as_ref(), &run.about);
        let warmup = |json: &Json| json.get("warmup_metrics").cloned().expect("a warm-up");
        assert_eq!(differences(&warmup(&computed), &warmup(&recorded)), Vec::<String>::new(), "{}", folder.display());
    }
}

#[test]
fn repeated_runs_spread_as_recorded() {
    let folder = root().join("repeated");
    if !folder.is_dir() {
        dormouse_runtime::output::error_line("SKIPPED repeated_runs_spread_as_recorded: no recording of repeated runs");
        return;
    }
    let mut runs: Vec<_> = std::fs::read_dir(folder.join("profile_runs")).unwrap().map(|e| e.unwrap().path()).collect();
    runs.sort();
    let summaries: Vec<Json> = runs.iter().map(|run| json(run, "profile_export_aiperf.json")).collect();
    let aggregate = Aggregate::of(&summaries.iter().collect::<Vec<_>>(), 0.95);
    let recorded = json(&folder.join("aggregate"), "profile_export_aiperf_aggregate.json");
    let theirs = recorded.get("metrics").unwrap();
    let document = aggregate.document("", Vec::new());
    let ours = document.get("metrics").unwrap();
    assert_eq!(ours.members().len(), theirs.members().len());
    for (name, want) in theirs.members() {
        let got = ours.get(name).unwrap_or_else(|| panic!("{name}"));
        for (what, want) in want.members() {
            match (got.get(what).and_then(Json::as_f64), want.as_f64()) {
                (Some(got), Some(want)) => assert!((got - want).abs() <= 1e-9 * want.abs().max(1e-6), "{name}.{what}: {got} {want}"),
                _ => assert_eq!(got.get(what), Some(want), "{name}.{what}"),
            }
        }
    }
    let sorted = |text: &str| {
        let (table, rest) = text.split_once("\n\n").unwrap();
        let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
        lines.sort();
        (lines, rest.to_owned())
    };
    let csv = std::fs::read_to_string(folder.join("aggregate/profile_export_aiperf_aggregate.csv")).unwrap();
    assert_eq!(sorted(&aggregate.csv(&[])).0, sorted(&csv).0);
}

/// The tables, not the sentences beside them: those are the peer's own.
#[test]
fn tables_look_as_recorded() {
    let mut found = Vec::new();
    folders(&root(), &mut found);
    found.retain(|f| f.join("profile_export_console.txt").is_file());
    assert!(!found.is_empty(), "no recordings of consoles");
    for folder in &found {
        let run = Run::read(folder).unwrap();
        let problems: Vec<_> = run.phases.iter().filter(|p| !p.warmup).flat_map(|p| p.problems.clone()).collect();
        let recorded = std::fs::read_to_string(folder.join("profile_export_console.txt")).unwrap();
        let endpoint = if recorded.contains("Embeddings Metrics") { "Embeddings Metrics" } else { "LLM Metrics" };
        let ours = console::tables(&run.profiling(), &problems, endpoint, Style::Aiperf, false);
        let drawn = |text: &str| {
            let is_drawn = |line: &&str| line.contains("NVIDIA AIPerf |") || line.starts_with(['┏', '┃', '┡', '│', '└']);
            text.lines()
                .filter(is_drawn)
                .filter(|l| !l.starts_with("│  ") || l.ends_with(" │") && l.matches('│').count() > 2)
                .map(|l| l.trim_end().to_owned())
                .collect::<Vec<_>>()
        };
        // The peer's error-adjusted rows have no order.
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        let (ours, theirs) = (sorted(drawn(&ours)), sorted(drawn(&recorded)));
        let wrong: Vec<_> = ours.iter().zip(&theirs).filter(|(a, b)| a != b).take(5).collect();
        assert!(
            wrong.is_empty() && ours.len() == theirs.len(),
            "{}: {} lines of {}, {wrong:#?}",
            folder.display(),
            ours.len(),
            theirs.len()
        );
    }
}
