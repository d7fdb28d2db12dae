//! What was found, in the forms in which it is wanted.

pub mod github;
pub mod json;
pub mod text;

use std::collections::BTreeMap;

use crate::finding::{Finding, Severity};
use crate::lint::Report;
use crate::model::{Corpus, Document};
use crate::text::{Position, Span};

/// Documents and templates by their paths: findings know no texts.
pub(crate) struct Texts<'a>(BTreeMap<&'a str, &'a Document>);

impl<'a> Texts<'a> {
    pub(crate) fn of(corpus: &'a Corpus) -> Self {
        Self(corpus.documents.iter().chain(&corpus.templates.documents).map(|document| (document.path.as_str(), document)).collect())
    }

    pub(crate) fn get(&self, path: &str) -> Option<&'a Document> {
        self.0.get(path).copied()
    }

    /// The place of a finding's first and behind its last byte; the first line of what is no text here.
    pub(crate) fn places(&self, path: &str, span: Span) -> (Position, Position) {
        let first = Position { line: 1, column: 1 };
        self.get(path).map_or((first, first), |document| {
            (document.lines.position(&document.source, span.start), document.lines.position(&document.source, span.end))
        })
    }
}

/// How bad it is, in the words of a line.
#[must_use]
pub fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// The findings that are shown: those that are new, and notes if they are wanted.
pub(crate) fn shown(report: &Report, notes: bool) -> impl Iterator<Item = &Finding> {
    report.fresh().filter(move |finding| notes || finding.severity > Severity::Info)
}

/// `1 error, 2 warnings, 3 notes (shown with --notes); 1 fixable with --fix`.
#[must_use]
pub fn summary(report: &Report, notes: bool) -> String {
    let counts = report.counts();
    let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut said: Vec<String> =
        [(counts.error, "error"), (counts.warning, "warning")].iter().filter(|(n, _)| *n > 0).map(|(n, what)| many(*n, what)).collect();
    if counts.info > 0 {
        said.push(format!("{}{}", many(counts.info, "note"), if notes { "" } else { " (shown with --notes)" }));
    }
    let mut text = if said.is_empty() { "nothing found".to_owned() } else { said.join(", ") };
    let fixable = report.fixable();
    if fixable > 0 {
        text += &format!("; {fixable} fixable with --fix");
    }
    let inherited = report.findings.len() - report.fresh().count();
    for (count, what) in [(inherited, "inherited"), (report.suppressed, "suppressed")] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    text
}
