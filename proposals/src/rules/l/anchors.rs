//! Places in documents: headings, and names that HTML gives.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use super::super::{Context, Sink, is_outside};
use super::{Lookup, all, at, split};
use crate::model::Document;
use crate::parse::body::attribute;

/// More headings, and more broken links, than a document has: in one that was made to be slow nobody looks for what was meant.
const MANY: usize = 500;

/// The places of a document.
struct Places<'a> {
    document: &'a Document,
    headings: HashSet<&'a str>,
    /// Names of HTML, looked for where no heading fits.
    names: OnceCell<HashSet<&'a str>>,
}

impl<'a> Places<'a> {
    fn of(document: &'a Document) -> Self {
        Self { document, headings: document.body().anchors.iter().map(String::as_str).collect(), names: OnceCell::new() }
    }

    fn has(&self, anchor: &str) -> bool {
        self.headings.contains(anchor) || self.names.get_or_init(|| names(self.document)).contains(anchor)
    }

    /// The heading that was meant.
    fn nearest(&self, anchor: &str) -> Option<&'a str> {
        let wanted = anchor.to_lowercase();
        let anchors = self.document.body().anchors.iter().take(MANY);
        let scored = anchors.map(|known| (strsim::jaro_winkler(known, &wanted), known)).filter(|(score, _)| *score > 0.88);
        scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known.as_str())
    }
}

pub(super) fn broken(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let mut known: HashMap<&str, Places<'_>> = HashMap::new();
    let mut asked = 0;
    for destination in all(document) {
        let (path, rest) = split(destination.url);
        let Some((query, anchor)) = rest.split_once('#').filter(|(_, anchor)| !anchor.is_empty()) else { continue };
        // The forge shows lines instead of headings then.
        if destination.is_placeholder() || is_outside(destination.url) || query.contains("plain=1") {
            continue;
        }
        let target = match context.look(document, &destination) {
            None if path.is_empty() => document,
            Some(Lookup::There(target) | Lookup::Case(target)) => match context.tree().document(context.corpus, &target) {
                Some(target) => target,
                None => continue,
            },
            _ => continue,
        };
        let places = known.entry(&target.path).or_insert_with(|| Places::of(target));
        let decoded = percent_encoding::percent_decode_str(anchor).decode_utf8_lossy();
        let wanted = decoded.strip_prefix("user-content-").unwrap_or(&decoded);
        if wanted == "top" || places.has(wanted) {
            continue;
        }
        let of = if path.is_empty() { "no heading here".to_owned() } else { format!("no heading of {path:?}") };
        let near = if asked < MANY { places.nearest(wanted) } else { None };
        asked += 1;
        let finding = at(sink, document, &destination, format!("{of} has the anchor {anchor:?}"));
        finding.label = "no such heading".to_owned();
        finding.help = near.map(|near| format!("write {path}{query}#{near}"));
    }
}

/// Names in tags of HTML, outside of code and comments.
fn names(document: &Document) -> HashSet<&str> {
    let (source, body) = (&*document.source, document.body());
    let is_comment = |at: usize| {
        let behind = body.comments.partition_point(|comment| comment.start <= at);
        behind.checked_sub(1).and_then(|last| body.comments.get(last)).is_some_and(|comment| at < comment.end)
    };
    let mut names = HashSet::new();
    for (at, _) in source.match_indices('<') {
        let rest = &source[at..];
        if !rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) || body.is_code(at) || is_comment(at) {
            continue;
        }
        // A tag ends soon, or it is none.
        let Some(tag) = rest.find(['>', '\n']).and_then(|end| rest.get(..=end)) else { continue };
        names.extend(["id", "name"].iter().filter_map(|key| Some(attribute(tag, key)?.of(tag))));
    }
    names
}
