//! Where something stands, in words that stay when lines move; and what stands below a heading.

use crate::model::Document;
use crate::text::Span;

/// A heading with those that it belongs to: `Motivation > Goals`.
pub(super) fn path(document: &Document, heading: usize) -> String {
    let parents = &document.sections().parents;
    let mut chain: Vec<&str> = std::iter::successors(Some(heading), |at| parents.get(*at).copied().flatten())
        .filter_map(|at| document.body().headings.get(at))
        .map(|heading| heading.text.as_str())
        .collect();
    chain.reverse();
    chain.join(" > ")
}

/// What a byte belongs to: a field of the metadata, or a section.
pub(super) fn context(document: &Document, at: usize) -> String {
    let field = document.head.fields.iter().find(|field| field.span.range().contains(&at));
    if let Some(field) = field {
        return field.name.map_or_else(|| field.written.clone(), |name| name.written().to_owned());
    }
    if at < document.head.block.end {
        return "metadata".to_owned();
    }
    let behind = document.body().headings.partition_point(|heading| heading.span.start <= at);
    behind.checked_sub(1).map(|heading| path(document, heading)).unwrap_or_default()
}

/// All that stands below a heading, headings below it and theirs included.
pub(super) fn below(document: &Document, heading: usize) -> Span {
    let headings = &document.body().headings;
    let start = headings.get(heading).map_or(0, |heading| heading.span.end);
    let next = document.sections().ends.get(heading).and_then(|end| headings.get(*end));
    Span::new(start, next.map_or(document.source.len(), |heading| heading.span.start).max(start))
}

/// The headings below a heading.
pub(super) fn children(document: &Document, heading: usize) -> std::ops::Range<usize> {
    heading + 1..document.sections().ends.get(heading).copied().unwrap_or(heading + 1)
}

/// The heading that a byte is part of.
pub(super) fn heading_at(document: &Document, at: usize) -> Option<usize> {
    let headings = &document.body().headings;
    let last = headings.partition_point(|heading| heading.span.start <= at).checked_sub(1)?;
    (at < headings.get(last)?.span.end).then_some(last)
}
