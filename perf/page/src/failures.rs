//! Why requests failed, most first.

use std::collections::BTreeMap;

use dormouse_perf_report::records::Problem;

use crate::model::{Line, Section, Table};
use crate::spread::count;
use crate::subject::Subject;
use crate::words::{ABSENT, cut, many, number, percent};

/// Kinds of failures that are shown; servers put what is of one request alone into their messages.
const KINDS: usize = 25;

/// The failures of all runs.
pub(crate) fn section(subjects: &[Subject<'_>]) -> Section {
    let mut section = Section { id: "errors", title: "Errors", ..Section::default() };
    let measured = subjects.iter().map(Subject::requests).sum::<usize>();
    if measured == 0 {
        return section;
    }
    if subjects.iter().all(|s| s.failed() == 0) {
        section.lead.push(format!("None of {} failed.", many(measured, "request", "requests")));
        return section;
    }
    let mut kinds: BTreeMap<&Problem, Vec<usize>> = BTreeMap::new();
    for (at, subject) in subjects.iter().enumerate() {
        for problem in subject.phases().flat_map(|p| &p.problems) {
            kinds.entry(problem).or_insert_with(|| vec![0; subjects.len()])[at] += 1;
        }
    }
    let mut kinds: Vec<(&Problem, Vec<usize>)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<usize>()));
    let cells = |counts: &[usize]| -> Vec<String> {
        let cell = |(n, subject): (&usize, &Subject<'_>)| format!("{} ({})", number(count(*n as u64)), percent(*n, subject.requests()));
        counts.iter().zip(subjects).map(cell).collect()
    };
    let row = |(problem, counts): &(&Problem, Vec<usize>)| {
        let class = problem.class.as_deref().map_or_else(|| ABSENT.to_owned(), cut);
        let code = problem.code.map_or_else(|| ABSENT.to_owned(), |code| code.to_string());
        Line::of(code, [vec![class, cut(&problem.message)], cells(counts)].concat())
    };
    let mut rows: Vec<Line> = kinds.iter().take(KINDS).map(row).collect();
    if let Some(others) = kinds.get(KINDS..).filter(|o| !o.is_empty()) {
        let sums: Vec<usize> = (0..subjects.len()).map(|at| others.iter().map(|(_, counts)| counts[at]).sum()).collect();
        rows.push(Line::of("others", [vec![ABSENT.to_owned(), many(others.len(), "more kind", "more kinds")], cells(&sums)].concat()));
    }
    let who = subjects.iter().map(|s| if subjects.len() == 1 { "Count".to_owned() } else { s.label() });
    let head = ["Code", "Class", "Message"].map(str::to_owned).into_iter().chain(who).collect();
    section.tables.push(Table { caption: "Failures, most first".to_owned(), wordy: true, head, rows, ..Table::default() });
    section
}
