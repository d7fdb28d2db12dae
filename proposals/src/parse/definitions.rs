//! Definitions of addresses, `[label]: address`: the tree of Markdown has none, and what is wrong with an address that is used often
//! is said once, where it stands.

use std::collections::{HashMap, HashSet};

use crate::text::{Span, lines};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its label, as labels are compared.
    pub label: String,
    /// Its line.
    pub span: Span,
    /// Its address, without `<` and `>`.
    pub url: Span,
}

/// All that stand in a text; `skipped` says what is no text of it.
pub(super) fn scan(source: &str, skipped: impl Fn(usize) -> bool) -> Vec<Definition> {
    let mut found: Vec<Definition> = Vec::new();
    let mut labels = HashSet::new();
    for (span, line) in lines(source, 0) {
        let indent = line.len() - line.trim_start_matches([' ', '>']).len();
        let Some(rest) = line.get(indent..).and_then(|rest| rest.strip_prefix('[')).filter(|rest| !rest.starts_with('^')) else { continue };
        let Some(close) = rest.find("]:") else { continue };
        let label = &rest[..close];
        let behind = indent + 1 + close + 2;
        let address = &line[behind..];
        let blanks = address.len() - address.trim_start().len();
        let address = address.trim_start();
        let length = if address.starts_with('<') {
            address.find('>').map_or(0, |end| end + 1)
        } else {
            address.find(char::is_whitespace).unwrap_or(address.len())
        };
        if length == 0 || label.trim().is_empty() || label.contains(['[', ']']) || skipped(span.start + indent) {
            continue;
        }
        let begin = span.start + behind + blanks;
        let url = if address.starts_with('<') { Span::new(begin + 1, begin + length - 1) } else { Span::new(begin, begin + length) };
        let label = plain(label);
        // Of two the first one counts.
        if labels.insert(label.clone()) {
            found.push(Definition { label, span, url });
        }
    }
    found
}

/// Where each label is defined.
pub(super) fn index(definitions: &[Definition]) -> HashMap<&str, usize> {
    definitions.iter().enumerate().map(|(at, definition)| (definition.label.as_str(), at)).collect()
}

/// The definition that a link uses, by its text.
pub(super) fn used(link: &str, definitions: &HashMap<&str, usize>) -> Option<usize> {
    let open = link.rfind('[')?;
    let label = link.get(open + 1..link.len() - 1)?;
    let first = || link.trim_start_matches('!').strip_prefix('[')?.split(']').next();
    let label = if label.is_empty() { first()? } else { label };
    definitions.get(plain(label).as_str()).copied()
}

fn plain(label: &str) -> String {
    label.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
