//! The peer's recorded runs (`tests/golden/perf`, or the folder in `DORMOUSE_GOLDEN`): its summaries come out of its records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use dormouse_perf_report::check::differences;
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
        let got = summary::document(&computed, &run.about);
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
            let computed = summary::document(&phase.summary(&run), &recorded);
            assert_eq!(differences(&computed, &recorded), Vec::<String>::new(), "{} of {}", phase.name, folder.display());
        }
        let warmup = run.phases.iter().find(|p| p.warmup).expect("a warm-up");
        let recorded = json(folder, "profile_export_aiperf.json");
        let computed = summary::document(&warmup.summary(&run), &Json::Null);
        assert_eq!(differences(&computed, recorded.get("warmup_metrics").unwrap()), Vec::<String>::new(), "{}", folder.display());
    }
}
