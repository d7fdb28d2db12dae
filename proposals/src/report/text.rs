//! For people: as compilers show what they find, or a line each.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{Texts, shown, summary, word};
use crate::finding::{Finding, Severity};
use crate::lint::Report;
use crate::model::{Corpus, Document};
use crate::text::Span;

/// How it is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// Notes, too.
    pub notes: bool,
}

/// With the lines that are meant.
#[must_use]
pub fn full(report: &Report, corpus: &Corpus, style: Style) -> String {
    let texts = Texts::of(corpus);
    let renderer = if style.colour { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for finding in shown(report, style.notes) {
        out += &renderer.render(&[group(finding, &texts)]);
        out += "\n\n";
    }
    out + &summary(report, style.notes) + "\n"
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::NOTE,
    }
}

fn group<'a>(finding: &'a Finding, texts: &Texts<'a>) -> Group<'a> {
    let title = level(finding.severity).primary_title(finding.message.as_str()).id(finding.id);
    let document = texts.get(&finding.path);
    let mut group = match document {
        Some(document) if finding.span.start < finding.span.end => {
            title.element(snippet(document, finding.span, AnnotationKind::Primary, &finding.label))
        }
        Some(document) if finding.span != Span::default() => {
            let place = document.lines.position(&document.source, finding.span.start);
            title.element(Origin::path(finding.path.as_str()).line(place.line).char_column(place.column))
        }
        _ if finding.path.is_empty() => Group::with_title(title),
        _ => title.element(Origin::path(finding.path.as_str())),
    };
    for related in &finding.related {
        group = match texts.get(&related.path) {
            Some(document) if related.span.start < related.span.end => {
                group.element(snippet(document, related.span, AnnotationKind::Context, &related.label))
            }
            _ => group.element(Level::NOTE.message(format!("{}: {}", related.path, related.label))),
        };
    }
    for note in &finding.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// The lines of a stretch, at most three of them.
fn snippet<'a>(document: &'a Document, span: Span, kind: AnnotationKind, label: &'a str) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let source: &str = &document.source;
    let first = document.lines.position(source, span.start).line;
    let last = document.lines.position(source, span.end.saturating_sub(1).max(span.start)).line.min(first + 2);
    let begin = document.lines.begin(first, source);
    let end = document.lines.begin(last + 1, source);
    let lines = source.get(begin..end).unwrap_or_default().trim_end_matches(['\n', '\r']);
    let inside = |at: usize| {
        let at = at.saturating_sub(begin).min(lines.len());
        (at..=lines.len()).find(|at| lines.is_char_boundary(*at)).unwrap_or(lines.len())
    };
    let annotation = kind.span(inside(span.start)..inside(span.end));
    let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
    Snippet::source(lines).line_start(first).path(document.path.as_str()).annotation(annotation)
}

/// A line each: `path:line:column: error[F002]: message`.
#[must_use]
pub fn short(report: &Report, corpus: &Corpus, notes: bool) -> String {
    let texts = Texts::of(corpus);
    let line = |finding: &Finding| {
        let (start, _) = texts.places(&finding.path, finding.span);
        let place = if finding.path.is_empty() { String::new() } else { format!("{}:{}:{}: ", finding.path, start.line, start.column) };
        format!("{place}{}[{}]: {}\n", word(finding.severity), finding.id, finding.message)
    };
    shown(report, notes).map(line).chain([summary(report, notes) + "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::lint::{Before, Options, lint};
    use crate::rules::testing::Repository;

    const FILES: &[(&str, &str)] = &[
        ("deps/0001-a.md", "# Naïve caches.\n\n**Status**: Draft\n\n**Replaces**: é DEP-0009\n\n# Summary\n"),
        ("deps/0003-b.md", "# B\n"),
    ];

    fn only(ids: &[&str]) -> (Report, Repository) {
        let repository = Repository::of(FILES);
        let options = Options { only: ids.iter().map(|id| (*id).to_owned()).collect(), ..Options::default() };
        (lint(&repository.corpus, &Config::default(), &options, &Before::default()), repository)
    }

    #[test]
    fn as_a_compiler_shows_it() {
        let (report, repository) = only(&["X001", "F003"]);
        let text = full(&report, &repository.corpus, Style { colour: false, notes: true });
        let wanted = "\
note[F003]: 2 is unused on trunk

error[X001]: Replaces names DEP-0009, which there is not
 --> deps/0001-a.md:5:17
  |
5 | **Replaces**: é DEP-0009
  |                 ^^^^^^^^

1 error, 1 note
";
        assert_eq!(text, wanted);
        let text = full(&report, &repository.corpus, Style::default());
        assert!(!text.contains("F003") && text.ends_with("1 error, 1 note (shown with --notes)\n"), "{text}");
        assert!(full(&report, &repository.corpus, Style { colour: true, notes: false }).contains("\u{1b}["));
    }

    #[test]
    fn a_line_each() {
        let (report, repository) = only(&["X001", "F003", "F007"]);
        let lines = short(&report, &repository.corpus, true);
        let wanted = "note[F003]: 2 is unused on trunk\n\
                      deps/0001-a.md:1:3: note[F007]: the title ends with a mark\n\
                      deps/0001-a.md:5:17: error[X001]: Replaces names DEP-0009, which there is not\n\
                      1 error, 2 notes\n";
        assert_eq!(lines, wanted);
        assert_eq!(short(&Report::default(), &repository.corpus, false), "nothing found\n");
    }
}
