//! One of the runs that a page is of: what was read of it, and what is computed once.

use std::path::Path;

use dormouse_perf_metrics::record::Row;
use dormouse_perf_metrics::summary::Summary;
use dormouse_perf_report::folder::{Phase, Run};
use dormouse_perf_report::json::Json;

use crate::model::Mark;

/// What a page is made of: a folder that was read.
#[derive(Debug)]
pub struct Input {
    /// Where it lies, as it was given.
    pub folder: String,
    /// Its records, and its summary; without records where only a search was kept.
    pub run: Run,
    /// Its `search_history.json`.
    pub search: Option<Json>,
}

/// A run with what is computed of it.
pub(crate) struct Subject<'a> {
    pub(crate) input: &'a Input,
    pub(crate) summary: Summary,
    mark: Mark,
}

impl<'a> Subject<'a> {
    /// The one at this place of so many.
    pub(crate) fn of(input: &'a Input, number: usize, all: usize) -> Self {
        let path = Path::new(&input.folder);
        let name = path.file_name().map_or_else(|| input.folder.clone(), |name| name.to_string_lossy().into_owned());
        let letter = match u8::try_from(number) {
            Ok(n) if all > 1 && n < 26 => char::from(b'A' + n).to_string(),
            _ if all > 1 => (number + 1).to_string(),
            _ => String::new(),
        };
        Self { input, summary: input.run.profiling(), mark: Mark { letter, name, number } }
    }

    pub(crate) fn run(&self) -> &'a Run {
        &self.input.run
    }

    pub(crate) fn about(&self) -> &'a Json {
        &self.input.run.about
    }

    pub(crate) fn run_mark(&self) -> Mark {
        self.mark.clone()
    }

    pub(crate) fn number(&self) -> usize {
        self.mark.number
    }

    pub(crate) fn label(&self) -> String {
        self.mark.label()
    }

    /// What stands before a text of it, where there are several.
    pub(crate) fn prefix(&self) -> String {
        if self.mark.letter.is_empty() { String::new() } else { format!("{}: ", self.mark.letter) }
    }

    /// Our summaries say so.
    pub(crate) fn is_ours(&self) -> bool {
        self.about().get("dormouse_version").is_some()
    }

    /// What was measured: all phases but those that warm up.
    pub(crate) fn phases(&self) -> impl Iterator<Item = &'a Phase> {
        self.input.run.phases.iter().filter(|p| !p.warmup)
    }

    /// Their requests.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'a Row> {
        self.phases().flat_map(|p| &p.rows)
    }

    pub(crate) fn requests(&self) -> usize {
        self.phases().map(|p| p.rows.len()).sum()
    }

    pub(crate) fn failed(&self) -> usize {
        self.phases().map(|p| p.problems.len()).sum()
    }

    /// From when to when, Unix nanoseconds: everything that is drawn over time.
    pub(crate) fn span(&self) -> Option<(u64, u64)> {
        let starts = self.rows().map(|r| r.start_ns.min(r.credit_ns)).chain(self.phases().map(|p| p.window.0.start_ns));
        let ends = self.rows().map(|r| r.end_ns.max(r.start_ns)).chain(self.phases().map(|p| p.window.0.end_ns));
        starts.min().zip(ends.max())
    }
}
