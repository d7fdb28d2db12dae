//! For programs: one document.

use serde::Serialize;

use super::Texts;
use crate::finding::{Edit, Finding, Severity};
use crate::lint::{Counts, Report, SCHEMA};
use crate::model::Corpus;
use crate::rules;
use crate::text::{Position, Span};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    findings: Vec<Record<'a>>,
    summary: Counts,
}

#[derive(Serialize)]
struct Record<'a> {
    id: &'static str,
    name: &'static str,
    severity: Severity,
    path: &'a str,
    slug: Option<&'a str>,
    number: Option<u32>,
    span: Place,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    related: Vec<Related<'a>>,
    fix: Option<Fix<'a>>,
    fingerprint: &'a str,
    inherited: bool,
}

#[derive(Serialize)]
struct Place {
    start: Point,
    end: Point,
}

#[derive(Serialize)]
struct Point {
    byte: usize,
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct Related<'a> {
    path: &'a str,
    span: Place,
    message: &'a str,
}

#[derive(Serialize)]
struct Fix<'a> {
    safety: &'static str,
    edits: &'a [Edit],
}

/// All findings, those that are inherited too.
#[must_use]
pub fn document(report: &Report, corpus: &Corpus) -> String {
    let texts = Texts::of(corpus);
    let record = |finding| record(finding, &texts);
    let document = Document { schema: SCHEMA, findings: report.findings.iter().map(record).collect(), summary: report.counts() };
    serde_json::to_string_pretty(&document).map(|text| text + "\n").unwrap_or_default()
}

fn place(texts: &Texts<'_>, path: &str, span: Span) -> Place {
    let (start, end) = texts.places(path, span);
    let point = |byte: usize, at: Position| Point { byte, line: at.line, column: at.column };
    Place { start: point(span.start, start), end: point(span.end, end) }
}

fn record<'a>(finding: &'a Finding, texts: &Texts<'a>) -> Record<'a> {
    let document = texts.get(&finding.path);
    let related = |related: &'a crate::finding::Related| Related {
        path: &related.path,
        span: place(texts, &related.path, related.span),
        message: &related.label,
    };
    Record {
        id: finding.id,
        name: rules::find(finding.id).map_or("", |rule| rule.name),
        severity: finding.severity,
        path: &finding.path,
        slug: document.map(crate::model::Document::slug),
        number: document.and_then(crate::model::Document::number),
        span: place(texts, &finding.path, finding.span),
        message: &finding.message,
        label: &finding.label,
        notes: &finding.notes,
        help: finding.help.as_deref(),
        related: finding.related.iter().map(related).collect(),
        fix: (!finding.fix.is_empty()).then_some(Fix { safety: "safe", edits: &finding.fix }),
        fingerprint: &finding.fingerprint,
        inherited: finding.inherited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::lint::{Before, Options, lint};
    use crate::rules::testing::Repository;

    #[test]
    fn places_are_bytes_lines_and_characters() {
        let repository = Repository::of(&[("deps/0001-a.md", "# é\n\n**Status**: Draft\n\n**Replaces**: é DEP-0009\n")]);
        let options = Options { only: vec!["X001".to_owned()], ..Options::default() };
        let report = lint(&repository.corpus, &Config::default(), &options, &Before::default());
        let json: serde_json::Value = serde_json::from_str(&document(&report, &repository.corpus)).unwrap();
        let finding = &json["findings"][0];
        assert_eq!((&json["schema"], &json["summary"]["error"]), (&"dormouse.dep/1".into(), &1.into()));
        assert_eq!(finding["span"]["start"], serde_json::json!({"byte": 42, "line": 5, "column": 17}));
        assert_eq!((&finding["slug"], &finding["number"], &finding["name"]), (&"a".into(), &1.into(), &"dangling-relation".into()));
        assert_eq!((&finding["inherited"], &finding["fix"]), (&false.into(), &serde_json::Value::Null));
        assert_eq!(finding["fingerprint"].as_str().unwrap().len(), 64);
    }
}
