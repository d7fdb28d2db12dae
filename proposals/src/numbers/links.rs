//! Links to a proposal that gets another number: their addresses, and what they show.

use std::collections::BTreeSet;

use crate::finding::Edit;
use crate::model::Document;
use crate::parse::body::Link;
use crate::parse::name::{Name, number as shown};
use crate::rules::is_outside;
use crate::text::Span;

/// A proposal that gets a number.
pub(super) struct Subject<'a> {
    /// Where its file lies, or the folder that is its own: with `/` at the end, nothing for the root.
    pub(super) home: &'a str,
    /// It has a folder of its own.
    pub(super) nested: bool,
    /// The words behind the number.
    pub(super) slug: &'a str,
    /// The number that it gets.
    pub(super) number: u32,
    /// Paths of other proposals with the same words: links there stay.
    pub(super) others: &'a BTreeSet<String>,
}

/// A name of a file or a folder that is the subject's: what stands before the words in it.
pub(super) fn prefix<'a>(part: &'a str, slug: &str) -> Option<&'a str> {
    let name = Name::read(part).or_else(|| Name::read(&format!("{part}.md")))?;
    if !name.is_proposal() || name.slug != slug {
        return None;
    }
    let stem = part.strip_suffix(".md").or_else(|| part.strip_suffix(".markdown")).unwrap_or(part);
    part.get(..stem.len().checked_sub(slug.len() + 1)?)
}

impl Subject<'_> {
    /// Whether a folder, with `/` at its end, is its own.
    fn is_mine(&self, folder: &str) -> bool {
        let part = folder.strip_prefix(self.home).and_then(|rest| rest.strip_suffix('/'));
        part.is_some_and(|part| !part.contains('/') && prefix(part, self.slug).is_some())
    }

    /// The part of an address that names it, and what stands before the words there.
    fn part<'a>(&self, document: &Document, address: &'a str) -> Option<(&'a str, &'a str, bool)> {
        let mut folder = match address.strip_prefix('/') {
            Some(_) => String::new(),
            None => document.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/")),
        };
        let last = address.rsplit('/').next().unwrap_or_default();
        for part in address.split('/') {
            match part {
                "" | "." => continue,
                ".." => {
                    let up = folder.trim_end_matches('/').rsplit_once('/').map_or(String::new(), |(up, _)| format!("{up}/"));
                    if folder.is_empty() {
                        return None;
                    }
                    folder = up;
                    continue;
                }
                _ => {}
            }
            let path = format!("{folder}{}", percent_encoding::percent_decode_str(part).decode_utf8_lossy());
            let is_file = std::ptr::eq(part, last) && Name::read(part).is_some();
            // In a folder of its own the file has the number too; elsewhere what lies in a folder keeps its name.
            let here = folder == self.home || (self.nested && is_file && self.is_mine(&folder));
            if let Some(before) = prefix(part, self.slug).filter(|_| here) {
                let folder_of = |other: &String| other.starts_with(&format!("{path}/")) || other.strip_suffix(".md") == Some(&path);
                if self.others.contains(&path) || (!is_file && self.others.iter().any(folder_of)) {
                    return None;
                }
                if before != shown(self.number) {
                    return Some((part, before, is_file));
                }
            }
            folder = format!("{path}/");
        }
        None
    }

    /// Edits of a document; and links of it that cannot be edited.
    pub(super) fn edits(&self, document: &Document) -> (Vec<Edit>, Vec<Span>) {
        let (mut edits, mut left) = (Vec::new(), Vec::new());
        let source: &str = &document.source;
        let body = document.body();
        for link in body.links.iter().filter(|link| !link.bare && !is_outside(&link.url)) {
            let address = link.url.split(['#', '?']).next().unwrap_or_default();
            // An address may name it twice, as a folder and as the file in it.
            let mut address = address.to_owned();
            for _ in 0..2 {
                let Some((part, before, is_file)) = self.part(document, &address) else { break };
                let place =
                    link.definition.and_then(|at| body.definitions.get(at)).map_or_else(|| written(source, link), |known| known.url);
                match find(place.of(source), part) {
                    Some(at) => {
                        let begin = place.start + at;
                        edits.push(Edit::new(Span::new(begin, begin + before.len()), shown(self.number)));
                        if is_file {
                            edits.extend(self.label(source, link, before));
                        }
                    }
                    None => left.push(link.span),
                }
                let renamed = format!("{}{}", shown(self.number), &part[before.len()..]);
                address = address.replacen(part, &renamed, 1);
            }
        }
        // Links of one definition edit it once.
        edits.sort_by_key(|edit| (edit.start, edit.end));
        edits.dedup();
        (edits, left)
    }

    /// The number in what a link shows, unless that is a name of a definition.
    fn label(&self, source: &str, link: &Link, before: &str) -> Vec<Edit> {
        let text = link.span.of(source);
        let end = if link.definition.is_some() { text.rfind("][").filter(|at| at + 3 < text.len()) } else { text.rfind("](") };
        let (Some(end), false) = (end, link.image) else { return Vec::new() };
        let alone = |at: usize| {
            let (front, behind) = (&text[..at], &text[at + before.len()..]);
            let free = front.ends_with("DEP") || !front.ends_with(|c: char| c.is_alphanumeric() || c == '/');
            free && !behind.starts_with(|c: char| c.is_alphanumeric())
        };
        let places = text.get(..end).unwrap_or_default().match_indices(before).filter(|(at, _)| alone(*at));
        let span = |at: usize| Span::new(link.span.start + at, link.span.start + at + before.len());
        places.map(|(at, _)| Edit::new(span(at), shown(self.number))).collect()
    }
}

/// Where the address of a link stands.
fn written(source: &str, link: &Link) -> Span {
    let text = link.span.of(source);
    let from = if text.starts_with('<') { 0 } else { text.rfind("](").map_or(0, |at| at + 2) };
    Span::new(link.span.start + from, link.span.end)
}

/// A part of an address within its text.
fn find(text: &str, part: &str) -> Option<usize> {
    let alone = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_');
    text.match_indices(part).map(|(at, _)| at).find(|at| alone(*at))
}
