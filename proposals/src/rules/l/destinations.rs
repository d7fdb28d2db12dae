//! Addresses of links, and the bytes they are written with.

use super::split;
use crate::finding::Edit;
use crate::model::Document;
use crate::parse::body::{Link, attribute};
use crate::text::Span;

/// An address. One that is defined apart is one, whoever uses it.
pub(super) struct Destination<'a> {
    /// The address, escapes undone.
    pub url: &'a str,
    /// Where it stands, or the link where that is not known.
    pub place: Span,
    /// It stands in a definition.
    pub defined: bool,
    /// Who uses it: one link, or those of a definition.
    pub links: Vec<&'a Link>,
    /// Its bytes, without `<` and `>`.
    written: Option<Span>,
}

/// The addresses of a document, in order. A definition that nobody uses is none.
pub(super) fn all(document: &Document) -> Vec<Destination<'_>> {
    let body = document.body();
    let mut all: Vec<Destination<'_>> = Vec::with_capacity(body.links.len());
    let mut defined = vec![None; body.definitions.len()];
    for link in &body.links {
        let definition = link.definition.and_then(|at| Some((body.definitions.get(at)?, defined.get_mut(at)?)));
        if let Some((definition, known)) = definition {
            match *known {
                Some(at) => {
                    let known: &mut Destination<'_> = &mut all[at];
                    known.links.push(link);
                }
                None => {
                    *known = Some(all.len());
                    let written = Some(definition.url);
                    all.push(Destination { url: &link.url, place: definition.url, defined: true, links: vec![link], written });
                }
            }
            continue;
        }
        let written = written(&document.source, link);
        let place = written.filter(|span| span.start < span.end).unwrap_or(link.span);
        all.push(Destination { url: &link.url, place, defined: false, links: vec![link], written });
    }
    all.sort_by_key(|destination| destination.place);
    all
}

impl Destination<'_> {
    /// Nothing, or a comment.
    pub(super) fn is_placeholder(&self) -> bool {
        let url = self.url.trim();
        url.is_empty() || url.starts_with("!--") || url.starts_with("<!--")
    }

    /// An image shows it.
    pub(super) fn is_image(&self) -> bool {
        self.links.iter().any(|link| link.image)
    }

    /// Its path replaced; nothing where it is written with escapes, so that nobody has to guess.
    pub(super) fn rewritten(&self, source: &str, path: &str) -> Vec<Edit> {
        let Some(span) = self.written.filter(|span| span.of(source) == self.url) else { return Vec::new() };
        let (old, _) = split(self.url);
        vec![Edit::new(Span::new(span.start, span.start + old.len()), path)]
    }
}

/// Where the address of a link is written.
fn written(source: &str, link: &Link) -> Option<Span> {
    let text = link.span.of(source);
    if link.bare {
        return None;
    }
    if text.starts_with('<') {
        let value = attribute(text, "src")?;
        return Some(Span::new(link.span.start + value.start, link.span.start + value.end));
    }
    // From behind: a link's text may hold an image with an address of its own.
    text.rmatch_indices("](").find_map(|(at, _)| {
        let rest = text.get(at + 2..)?;
        let blanks = rest.len() - rest.trim_start().len();
        let inner = &rest[blanks..];
        let (open, length) = match inner.strip_prefix('<') {
            Some(inner) => (1, inner.find('>')?),
            None => (0, bare(inner)),
        };
        let start = link.span.start + at + 2 + blanks + open;
        let span = Span::new(start, start + length);
        let raw = span.of(source);
        (raw == link.url || unescaped(raw) == link.url).then_some(span)
    })
}

/// The length of an address without brackets around: to a blank, or to the parenthesis that was not opened in it.
fn bare(text: &str) -> usize {
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth == 0 => return at,
            ')' => depth -= 1,
            letter if letter.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\\' && letters.peek().is_some_and(char::is_ascii_punctuation) {
            out.extend(letters.next());
        } else {
            out.push(letter);
        }
    }
    out
}

/// What a link shows; `true` when that finds a definition as well.
pub(super) fn text(source: &str, link: &Link) -> (Span, bool) {
    let whole = link.span.of(source);
    if link.bare || whole.starts_with('<') {
        return (Span::new(link.span.start, link.span.start), false);
    }
    let (end, is_label) = if link.definition.is_some() || whole.ends_with(']') {
        match whole.rfind("][").filter(|at| at + 3 < whole.len()) {
            Some(at) => (at, false),
            None => (whole.len(), true),
        }
    } else {
        (whole.rfind("](").unwrap_or(0), false)
    };
    (Span::new(link.span.start, link.span.start + end), is_label)
}
