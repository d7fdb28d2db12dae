//! A page is put together.

use dormouse_perf_report::compare::DEFINITIONS;
use dormouse_perf_report::json::Json;

use crate::model::{Line, Mark, Note, Page, Section, Table};
use crate::subject::{Input, Subject};
use crate::words::{ABSENT, leaves};
use crate::{chart, failures, figures, flow, search, shapes, told};

/// Settings that are listed of a run.
const SETTINGS: usize = 300;

impl Page {
    /// So many runs can be told apart on a page.
    pub const MOST: usize = chart::SERIES;

    /// Of these runs, of which the first is what the others are compared with. Runs behind [`Page::MOST`] are left out.
    #[must_use]
    pub fn of(title: Option<&str>, inputs: &[Input]) -> Self {
        let inputs = inputs.get(..Self::MOST).unwrap_or(inputs);
        let subjects: Vec<Subject<'_>> = inputs.iter().enumerate().map(|(at, input)| Subject::of(input, at, inputs.len())).collect();
        let about: Vec<Vec<(&str, String)>> = subjects.iter().map(told::properties).collect();
        let mut ids = 0;
        let timelines = flow::timelines(&subjects);
        let sections = [
            ran(&subjects, &about),
            key(&subjects),
            shapes::latencies(&subjects, &mut ids),
            shapes::gaps(&subjects, &mut ids),
            flow::timeline(&timelines, &mut ids),
            flow::offered(&timelines, &mut ids),
            failures::section(&subjects),
            search::section(&subjects, &mut ids),
        ];
        Self {
            title: title.map_or_else(|| default_title(&subjects, &about), str::to_owned),
            runs: subjects.iter().map(Subject::run_mark).collect(),
            verdicts: subjects.iter().map(told::verdict).collect(),
            notes: notes(&subjects, &about),
            sections: sections
                .into_iter()
                .filter(|s| !s.charts.is_empty() || !s.tables.is_empty() || s.id == "errors" && !s.lead.is_empty())
                .collect(),
            made_by: format!("Dormouse {}", env!("CARGO_PKG_VERSION")),
        }
    }
}

fn said<'a>(about: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    about.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_str())
}

fn default_title(subjects: &[Subject<'_>], about: &[Vec<(&str, String)>]) -> String {
    match (subjects, about) {
        ([one], [about]) => match said(about, "Model") {
            Some(model) => format!("Benchmark of {}: {}", crate::words::cut(&model.replace('\n', ", ")), one.run_mark().name),
            None => format!("Benchmark: {}", one.run_mark().name),
        },
        _ => format!("{} benchmarks side by side", subjects.len()),
    }
}

/// What was run, a column for each.
fn ran(subjects: &[Subject<'_>], about: &[Vec<(&str, String)>]) -> Section {
    let mut names: Vec<&str> = Vec::new();
    about.iter().flatten().for_each(|(name, _)| {
        if !names.contains(name) {
            names.push(name);
        }
    });
    let row = |name: &&str| {
        let cells = about.iter().map(|a| said(a, name).map_or_else(|| ABSENT.to_owned(), str::to_owned));
        let mut line = Line::of(*name, cells);
        let first = line.cells.first().map(|c| c.text.clone()).unwrap_or_default();
        if DEFINING.contains(name) {
            line.cells.iter_mut().filter(|c| c.text != first).for_each(|cell| cell.aside = "differs from the first".to_owned());
        }
        line
    };
    let head = std::iter::once("Run".to_owned()).chain(subjects.iter().map(Subject::label)).collect();
    let told = Table { caption: "What was run".to_owned(), wordy: true, head, rows: names.iter().map(row).collect(), ..Table::default() };
    let settings = subjects.iter().filter_map(|s| {
        let all = leaves(s.about().get("input_config").unwrap_or(&Json::Null), SETTINGS);
        let rows: Vec<Line> = all.into_iter().map(|(way, text)| Line::of(way, [text])).collect();
        let head = ["Setting", "Value"].map(str::to_owned).into();
        (!rows.is_empty()).then(|| Table { caption: format!("{}all settings", s.prefix()), folded: true, wordy: true, head, rows })
    });
    Section { id: "run", title: "What was run", tables: std::iter::once(told).chain(settings).collect(), ..Section::default() }
}

/// What makes runs another thing when it differs.
const DEFINING: [&str; 6] = ["Tool", "Model", "Endpoint", "Load", "Data", "Tokenizer"];

fn key(subjects: &[Subject<'_>]) -> Section {
    let mut section = Section { id: "figures", title: "Key figures", ..Section::default() };
    let there: Vec<&Subject<'_>> = subjects.iter().filter(|s| s.requests() > 0).collect();
    let single = subjects.len() == 1;
    if !single && !there.is_empty() {
        section.tables.push(figures::side_by_side(subjects));
    }
    for subject in there {
        let mut table = figures::key(&subject.summary, format!("{}key figures with percentiles", subject.prefix()));
        table.folded = !single;
        section.tables.push(table);
        section.tables.push(figures::rest(&subject.summary, format!("{}all other metrics", subject.prefix())));
    }
    section
}

fn notes(subjects: &[Subject<'_>], about: &[Vec<(&str, String)>]) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for (subject, text) in subjects.iter().flat_map(|s| told::notes(s).into_iter().map(move |text| (s, text))) {
        let runs: Vec<Mark> = Some(subject.run_mark()).filter(|m| !m.letter.is_empty()).into_iter().collect();
        // What is said of several is said once.
        match notes.iter_mut().find(|n| n.text == text) {
            Some(note) => note.runs.extend(runs),
            None => notes.push(Note { runs, text }),
        }
    }
    if subjects.len() < 2 {
        return notes;
    }
    let mut add = |text: String| notes.push(Note { runs: Vec::new(), text });
    let differs = |name: &&&str| about.iter().any(|a| said(a, name) != said(&about[0], name));
    let different: Vec<&str> = DEFINING.iter().filter(differs).copied().collect();
    if !different.is_empty() {
        add(format!("Not all runs are of the same kind: they differ in {}.", different.join(", ").to_lowercase()));
    }
    if subjects.iter().any(Subject::is_ours) && !subjects.iter().all(Subject::is_ours) {
        for (metrics, theirs, ours) in DEFINITIONS {
            let names: Vec<&str> = metrics.iter().map(|m| m.entry().header).collect();
            add(format!("The two tools mean {} otherwise. AIPerf: {theirs}. Dormouse: {ours}.", names.join(", ")));
        }
    }
    add("One run of each does not say how much runs differ by chance: repeat each before a small difference is believed.".to_owned());
    notes
}
