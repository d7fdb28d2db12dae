//! Lines of records, ours and the peer's, and the summary of them.

use dormouse_perf_metrics::Stamps;
use dormouse_perf_metrics::summary::Window;
use dormouse_perf_report::console::{self, Style};
use dormouse_perf_report::folder::{Counts, Phase, Run, Source};
use dormouse_perf_report::json::Json;
use dormouse_perf_report::records::{self, Record};
use dormouse_perf_report::{slices, summary};

use crate::memory;

/// What slices may take for each record: the statistics of its own, and some that are empty.
const OF_A_RECORD: usize = 32 << 10;

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A value of a metric is a number of a few characters there, and has its place in a table of all here.
    let all: Vec<Record> = memory::at_most(4096 + 1200 * text.len(), || text.lines().filter_map(|line| records::read(line).ok()).collect());
    for line in text.lines() {
        same_in_other_words(line);
    }
    for record in &all {
        assert_eq!(record.row.failed, record.error.is_some());
        assert!(record.row.overflowed || !record.error.as_ref().is_some_and(records::Problem::is_overflow));
    }
    if !all.is_empty() {
        summed(all);
    }
}

/// What a line says does not depend on its blanks and escapes.
fn same_in_other_words(line: &str) {
    let Ok(record) = records::read(line) else { return };
    // What is passed over may be more than JSON that we write can be.
    let Ok(json) = serde_json::from_str::<Json>(line) else { return };
    for text in [serde_json::to_string(&json).unwrap(), serde_json::to_string_pretty(&json).unwrap()] {
        let again = records::read(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
        assert_eq!(format!("{again:?}"), format!("{record:?}"), "{text}");
    }
}

/// Whatever the records say, there is a summary, and its files are JSON and tables.
fn summed(all: Vec<Record>) {
    let start_ns = all.iter().map(|record| record.row.credit_ns.min(record.row.start_ns)).min().unwrap_or(0);
    let end_ns = all.iter().map(|record| record.row.end_ns).max().unwrap_or(0);
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for record in all {
        rows.push(record.row);
        problems.extend(record.error);
    }
    let count = rows.len();
    let phase = Phase {
        name: "profiling".to_owned(),
        warmup: false,
        window: (Window { start_ns, end_ns }, Source::Records),
        rows,
        problems,
        counts: Counts::default(),
    };
    for stamps in [Stamps::Whole, Stamps::Doubles] {
        let phase = Phase { rows: phase.rows.clone(), problems: phase.problems.clone(), name: phase.name.clone(), ..phase };
        let run = Run { phases: vec![phase], objectives: Vec::new(), stamps, about: Json::Null };
        let sum = run.profiling();
        is_json(&summary::document(&sum, None, &run.about));
        let _ = summary::csv(&sum, &run.about);
        let _ = console::tables(&sum, &run.phases[0].problems, "LLM Metrics", Style::default(), true);
        let cut = memory::at_most((64 << 20) + OF_A_RECORD * count, || run.slices(1_000_000_000));
        is_json(&slices::document(&cut, &Json::Null));
        let _ = slices::csv(&cut);
    }
    assert!(count > 0);
}

fn is_json(json: &Json) {
    let text = serde_json::to_string(json).unwrap();
    let again: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(&again, json);
}
