//! Edits of metadata: a value, a new field, fields in order. Where the bytes are not as the canonical form has them, there is no
//! edit, and somebody has to look.

use super::{block, rank};
use crate::finding::Edit;
use crate::model::Document;
use crate::parse::fields::{Field, Form, Name};
use crate::text::Span;

/// How lines end around a byte; of the last line, as others of the text do.
fn line_end(source: &str, at: usize) -> &'static str {
    let end = source.get(at..).and_then(|rest| rest.find('\n')).map(|end| at + end).or_else(|| source.find('\n'));
    if end.is_some_and(|end| source[..end].ends_with('\r')) { "\r\n" } else { "\n" }
}

/// Another value in the place of a field's. None in front matter, and where comments or several lines are in the way.
pub(super) fn value(document: &Document, field: &Field, text: &str) -> Vec<Edit> {
    if field.form == Form::FrontMatter || field.value_span.of(&document.source) != field.value {
        return Vec::new();
    }
    vec![Edit::new(field.value_span, text)]
}

/// Whether a field begins a line with its name in bold, and ends where its lines do.
fn is_paragraph(field: &Field) -> bool {
    let begins = matches!(field.form, Form::Canonical | Form::Bold) && field.name_span.start == field.span.start + 2;
    begins && field.comments.iter().all(|comment| comment.end <= field.span.end)
}

/// A new field, as a paragraph at its place among the others; none where there are no paragraphs.
pub(super) fn field(document: &Document, name: Name, value: &str) -> Vec<Edit> {
    let source = &document.source;
    if !block(document).all(is_paragraph) {
        return Vec::new();
    }
    let Some(first) = block(document).next() else { return Vec::new() };
    let paragraph = format!("**{}**: {value}", name.written());
    let edit = match block(document).rfind(|field| field.name.is_some_and(|known| rank(known) < rank(name))) {
        Some(before) => {
            let at = before.span.end;
            let end = line_end(source, at);
            let next = source.get(at..).and_then(|rest| rest.split('\n').nth(1)).unwrap_or_default();
            let gap = if next.trim().is_empty() { "" } else { end };
            Edit::insert(at, format!("{end}{end}{paragraph}{gap}"))
        }
        None => {
            let at = first.span.start;
            let end = line_end(source, at);
            let above = source[..at].trim_start_matches('\u{feff}');
            let line = above.strip_suffix('\n').unwrap_or(above).rsplit('\n').next().unwrap_or_default();
            let gap = if line.trim().is_empty() { "" } else { end };
            Edit::insert(at, format!("{gap}{paragraph}{end}{end}"))
        }
    };
    vec![edit]
}

/// Fields in their order, each in a place where one stands now. None unless all are canonical, with nothing but blank lines between.
pub(super) fn order(document: &Document) -> Vec<Edit> {
    let fields: Vec<&Field> = block(document).collect();
    let alone = |pair: &[&Field]| {
        let between = Span::new(pair[0].span.end, pair[1].span.start).of(&document.source);
        between.trim().is_empty() && between.matches('\n').count() > 1
    };
    let canonical = |field: &&Field| field.form == Form::Canonical && is_paragraph(field);
    if !fields.iter().all(canonical) || !fields.windows(2).all(alone) {
        return Vec::new();
    }
    // What the format does not know goes where the field above it goes.
    let mut last = 0;
    let mut sorted: Vec<(usize, &Field)> = Vec::with_capacity(fields.len());
    for field in &fields {
        last = field.name.map_or(last, rank);
        sorted.push((last, field));
    }
    sorted.sort_by_key(|(rank, _)| *rank);
    let moved = fields.iter().zip(&sorted).filter(|(old, (_, new))| old.span != new.span);
    moved.map(|(old, (_, new))| Edit::new(old.span, new.span.of(&document.source))).collect()
}

/// The colon of a name in bold, from inside to behind it.
pub(super) fn colon(document: &Document, field: &Field) -> Option<Edit> {
    let at = field.name_span.end;
    let rest = document.source.get(at..field.span.end).filter(|_| field.form == Form::Bold && is_paragraph(field))?;
    let colon = rest.len() - rest.trim_start().len();
    let behind = rest.get(colon..)?.strip_prefix(':')?;
    let end = at + colon + 1 + (behind.len() - behind.trim_start().len());
    // A whole line in bold has its value before the marks.
    document.source.get(end..)?.starts_with("**").then(|| Edit::new(Span::new(at, end + 2), "**:"))
}
