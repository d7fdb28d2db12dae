//! Lists of terms and acronyms: tables, lists, and paragraphs that begin with a term in bold.

use super::super::{Context, Sink, place};
use crate::finding::Edit;
use crate::model::Document;
use crate::parse::body::Block;
use crate::parse::sections::{SCHEMA, index};
use crate::text::{Span, lines, trimmed};

/// A term with its text.
struct Item {
    term: String,
    /// Its line, or the first one, without marks of lists and blanks around.
    line: Span,
    /// That line is all of it, so that it can be moved.
    whole: bool,
}

pub(super) fn unsorted(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for section in [index::TERMS, index::ACRONYMS] {
        let Some(found) = document.sections().get(section) else { continue };
        for list in lists(document, place::below(document, found.heading)) {
            let key = |item: &Item| item.term.to_lowercase();
            let Some(pair) = list.windows(2).find(|pair| key(&pair[1]) < key(&pair[0])) else { continue };
            let message = format!("{:?} stands behind {:?}", pair[1].term, pair[0].term);
            let context = format!("{}: {}", SCHEMA[section].name, pair[1].term);
            let finding = sink.at(document, pair[1].line, context, message);
            finding.label = "out of alphabetical order".to_owned();
            if list.iter().all(|item| item.whole) {
                let mut sorted: Vec<&Item> = list.iter().collect();
                sorted.sort_by_key(|item| key(item));
                let moved = list.iter().zip(sorted).filter(|(old, new)| old.line != new.line);
                finding.fix = moved.map(|(old, new)| Edit::new(old.line, new.line.of(&document.source))).collect();
            } else {
                finding.help = Some("sort the list; upper and lower case count alike".to_owned());
            }
        }
    }
}

/// The lists of a section. What is no list of terms ends the one before.
fn lists(document: &Document, section: Span) -> Vec<Vec<Item>> {
    let source = &*document.source;
    let mut all: Vec<Vec<Item>> = Vec::new();
    // Paragraphs that follow one another are one list.
    let mut run: Vec<Item> = Vec::new();
    for (block, span) in document.body().blocks.iter().filter(|(_, span)| section.start <= span.start && span.end <= section.end) {
        if *block == Block::Paragraph
            && let Some(items) = of_paragraph(source, *span)
        {
            run.extend(items);
            continue;
        }
        all.push(std::mem::take(&mut run));
        match block {
            Block::List => all.extend(of_list(source, *span)),
            Block::Table => all.extend(of_table(source, *span)),
            _ => {}
        }
    }
    all.push(run);
    all
}

/// Lines of a block, without blanks around.
fn within(source: &str, span: Span) -> impl Iterator<Item = Span> {
    lines(source, span.start).map(|(line, _)| line).take_while(move |line| line.start < span.end).map(|line| trimmed(source, line))
}

/// Every line is a term, or the whole is one.
fn of_paragraph(source: &str, span: Span) -> Option<Vec<Item>> {
    let all: Vec<Span> = within(source, span).filter(|line| line.start < line.end).collect();
    let items: Vec<Item> = all.iter().filter_map(|line| item(source, *line, bold(line.of(source))?)).collect();
    if items.len() == all.len() {
        return Some(items);
    }
    let first = *all.first()?;
    Some(vec![Item { term: bold(first.of(source))?, line: first, whole: false }])
}

fn of_list(source: &str, span: Span) -> Option<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    let mut indent = None;
    for line in within(source, span).filter(|line| line.start < line.end) {
        let text = line.of(source);
        let marker = marker(text);
        let depth = source.get(..line.start).map_or(0, |before| before.len() - before.trim_end_matches([' ', '\t']).len());
        if marker > 0 && *indent.get_or_insert(depth) == depth {
            let line = trimmed(source, Span::new(line.start + marker, line.end));
            items.push(item(source, line, bold(line.of(source)).or_else(|| plain(line.of(source)))?)?);
        } else {
            // More lines, or a list of its own.
            items.last_mut()?.whole = false;
        }
    }
    Some(items)
}

fn of_table(source: &str, span: Span) -> Option<Vec<Item>> {
    let rows = within(source, span).skip(2).filter(|line| line.start < line.end);
    rows.map(|line| {
        let text = line.of(source);
        let cell = text.strip_prefix('|').unwrap_or(text).split('|').next()?;
        item(source, line, name(cell))
    })
    .collect()
}

fn item(source: &str, line: Span, term: String) -> Option<Item> {
    let text = line.of(source);
    // A break of a line, or a comment that goes on, must stay where it is.
    let whole = !text.ends_with('\\') && text.matches("<!--").count() == text.matches("-->").count();
    (!term.is_empty()).then_some(Item { term, line, whole })
}

/// How long the mark of a list is.
fn marker(text: &str) -> usize {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let marks: &[char] = if digits == 0 { &['-', '*', '+'] } else { &['.', ')'] };
    let behind = text.get(digits..).and_then(|rest| rest.strip_prefix(marks));
    behind.filter(|rest| rest.starts_with([' ', '\t'])).map_or(0, |_| digits + 1)
}

/// `**Term**: text`, `**Term:** text`, `**Term** - text`.
fn bold(text: &str) -> Option<String> {
    let mark = ["**", "__"].into_iter().find(|mark| text.starts_with(mark))?;
    let (term, rest) = text.get(mark.len()..)?.split_once(mark)?;
    let separated = term.trim_end().ends_with(':') || rest.trim_start().starts_with([':', '-', '=', '(', '\u{2013}', '\u{2014}']);
    separated.then(|| name(term))
}

/// `Term: text`, which is enough in a list.
fn plain(text: &str) -> Option<String> {
    text.split_once(": ").map(|(term, _)| name(term)).filter(|term| term.len() <= 60)
}

fn name(text: &str) -> String {
    let text: String = text.chars().filter(|c| !matches!(c, '\\' | '`' | '*' | '_' | '[' | ']')).collect();
    text.trim().trim_end_matches(':').trim_end().to_owned()
}
