//! `DEP-NNNN` in code and in other texts (proposals contract 3.14, `refs`): what is unknown, what was replaced, what may mean two.

use std::collections::BTreeSet;

use crate::finding::Severity;
use crate::model::{Corpus, Document};
use crate::parse::body::Body;
use crate::parse::status::Status;
use crate::rules::{Context, RelationKind, Target, mentions};
use crate::text::{Lines, Position};

/// What is said of a mention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Where.
    pub place: Position,
    /// The number.
    pub number: u32,
    /// An error, or a warning.
    pub severity: Severity,
    /// In a sentence.
    pub message: String,
}

/// What is to be said of the mentions in a text, which is code as likely as not: no syntax is known.
#[must_use]
pub fn remarks(context: &Context<'_>, text: &str) -> Vec<Remark> {
    let (lines, none) = (Lines::of(text), Body::default());
    mentions(text, &none)
        .filter_map(|(span, number)| {
            let (severity, message) = said(context, number)?;
            Some(Remark { place: lines.position(text, span.start), number, severity, message })
        })
        .collect()
}

fn said(context: &Context<'_>, number: u32) -> Option<(Severity, String)> {
    let all = context.numbers.get(&number).map_or(&[][..], Vec::as_slice);
    match all {
        [] => Some((Severity::Error, format!("there is no DEP-{number:04}"))),
        [one] if one.effective() == Some(Status::Replaced) => {
            let live = live(context, one);
            let names: Vec<String> = live.iter().map(|document| shown(document)).collect();
            let successor =
                if names.is_empty() { "; nothing says by what".to_owned() } else { format!("; live successor {}", names.join(", ")) };
            Some((Severity::Warning, format!("DEP-{number:04} is Replaced{successor}")))
        }
        [_] => None,
        several => {
            let files: Vec<&str> = several.iter().map(|document| document.path.as_str()).collect();
            Some((Severity::Warning, format!("DEP-{number:04} may mean {}", files.join(" or "))))
        }
    }
}

fn shown(document: &Document) -> String {
    document.number().map_or_else(|| document.slug().to_owned(), |number| format!("DEP-{number:04}"))
}

/// Who holds in the place of one that was replaced, through however many that were replaced themselves.
fn live<'a>(context: &'a Context<'a>, document: &Document) -> Vec<&'a Document> {
    let corpus: &Corpus = context.corpus;
    let place = |path: &str| corpus.documents.iter().position(|document| document.path == path);
    let mut seen = BTreeSet::new();
    let mut open: Vec<usize> = place(&document.path).into_iter().collect();
    let mut found = Vec::new();
    while let Some(at) = open.pop() {
        if !seen.insert(at) {
            continue;
        }
        for relation in context.relations.from(at, RelationKind::ReplacedBy) {
            let Target::Document(to) = relation.to else { continue };
            match corpus.documents.get(to) {
                Some(next) if next.effective() == Some(Status::Replaced) => open.push(to),
                Some(next) => found.push(next),
                None => {}
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Repository;

    #[test]
    fn mentions_are_judged() {
        let text = |status: &str, by: &str| format!("# T\n\n**Status**: {status}\n\n**Replaced By**: {by}\n");
        let files = [
            ("deps/0001-a.md", text("Replaced", "DEP-0002")),
            ("deps/0002-b.md", text("Superseded", "[c](0003-c.md)")),
            ("deps/0003-c.md", text("Approved", "N/A")),
            ("deps/0004-d.md", text("Draft", "N/A")),
            ("deps/0004-e.md", text("Draft", "N/A")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let repository = Repository::of(&files);
        let context = Context::new(&repository.corpus, &repository.config);
        let said = |text: &str| {
            remarks(&context, text).into_iter().map(|r| (r.place.line, r.place.column, r.severity, r.message)).collect::<Vec<_>>()
        };
        assert_eq!(said("// DEP-0003, XDEP-0009, DEP-12, ADEP 0001"), []);
        assert_eq!(said("a\n  é DEP-0001"), [(2, 5, Severity::Warning, "DEP-0001 is Replaced; live successor DEP-0003".to_owned())]);
        assert_eq!(said("DEP0009"), [(1, 1, Severity::Error, "there is no DEP-0009".to_owned())]);
        assert_eq!(said("DEP 0004"), [(1, 1, Severity::Warning, "DEP-0004 may mean deps/0004-d.md or deps/0004-e.md".to_owned())]);
    }
}
