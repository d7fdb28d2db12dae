//! What is known of a proposal, as a record (proposals contract 3.4).

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::finding::Finding;
use crate::lint::Counts;
use crate::model::{Corpus, Document, attachments};
use crate::parse::fields::Name;
use crate::parse::sections::{Kind, SCHEMA};
use crate::parse::status::Status;
use crate::parse::value::Class;
use crate::query::{self, DateField};
use crate::rules::{RelationKind, Relations, Target};
use crate::text::without_comments;

/// A proposal as others read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// None of a draft.
    pub number: Option<u32>,
    /// What stands behind the number in its file's name.
    pub slug: String,
    /// From the root.
    pub path: String,
    /// Empty where there is none.
    pub title: String,
    /// Which template it follows.
    pub kind: Kind,
    /// As it is written.
    pub status: Option<String>,
    /// What it means; none where nobody knows.
    pub effective_status: Option<Status>,
    /// People, as they are shown.
    pub authors: Vec<String>,
    /// One of those that there are.
    pub category: Option<String>,
    /// Labels; the first leads.
    pub areas: Vec<String>,
    /// What the field says.
    pub replaces: Option<String>,
    /// What the field says.
    pub replaced_by: Option<String>,
    /// People.
    pub sponsors: Vec<String>,
    /// People and teams.
    pub reviewers: Vec<String>,
    /// A day, where it is sure.
    pub review_date: Option<Date>,
    /// What the field says.
    pub pull_request: Option<String>,
    /// What the field says.
    pub implementation: Option<String>,
    /// Other fields, by their keys; those that the format does not know by their names.
    pub extra: BTreeMap<String, String>,
    /// What it says of others.
    pub relations: Vec<RelationRecord>,
    /// Files that belong to it.
    pub attachments: Vec<String>,
    /// The day on which it reached trunk.
    pub added: Option<Date>,
    /// The day on which it was decided, as far as it is known.
    pub decided: Option<Date>,
    /// The day on which it was touched last.
    pub touched: Option<Date>,
    /// Of what it says: `t1:` and 64 digits.
    pub text_hash: String,
    /// What lint finds.
    pub findings: Counts,
    /// The ref that it is in; none is the tree at hand.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
}

/// A relation of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelationRecord {
    /// How.
    pub kind: RelationKind,
    /// A path, or an address.
    pub to: String,
    /// The number of what it leads to.
    pub number: Option<u32>,
    /// In part only.
    pub partial: bool,
}

/// The record of a document. `findings` are counted by path; `relations` are those of fields, mentions are read here.
#[must_use]
pub fn record(corpus: &Corpus, config: &Config, relations: &Relations<'_>, at: usize, findings: &BTreeMap<&str, Counts>) -> Option<Record> {
    let document = corpus.documents.get(at)?;
    let field = |name: Name| document.head.field(name).filter(|field| corpus.templates.class(field) == Class::Value);
    let text = |name: Name| field(name).map(|field| field.value.clone());
    let people = |name: Name| document.people(name).iter().map(crate::parse::people::Person::shown).collect();
    let relation = |relation: &crate::rules::Relation| {
        let to = |at: usize| corpus.documents.get(at);
        let (to, number) = match &relation.to {
            Target::Document(at) => (to(*at)?.path.clone(), to(*at)?.number()),
            Target::Ambiguous(number) => (format!("DEP-{number:04}"), Some(*number)),
            Target::Missing(path) | Target::Outside(path) => (path.clone(), None),
        };
        Some(RelationRecord { kind: relation.kind, to, number, partial: relation.partial })
    };
    let mut related: Vec<RelationRecord> = Vec::new();
    let all = relations.of_document(at).iter().cloned().chain(relations.of_body(corpus, at));
    for relation in all.filter_map(|found| relation(&found)) {
        if !related.contains(&relation) {
            related.push(relation);
        }
    }
    let core = |name: Name| crate::parse::fields::CORE.contains(&name) || name == Name::Area;
    let others = document.head.fields.iter().filter(|field| !field.name.is_some_and(core));
    Some(Record {
        number: document.number(),
        slug: document.slug().to_owned(),
        path: document.path.clone(),
        title: document.title().unwrap_or_default().to_owned(),
        kind: document.sections().kind(),
        status: document.head.field(Name::Status).map(|field| field.value.clone()),
        effective_status: document.effective(),
        authors: people(Name::Authors),
        category: query::category(document, config),
        areas: query::areas(document, config),
        replaces: text(Name::Replaces),
        replaced_by: text(Name::ReplacedBy),
        sponsors: people(Name::Sponsor),
        reviewers: people(Name::Reviewers),
        review_date: query::day(document, DateField::Review, corpus, config),
        pull_request: text(Name::PullRequest),
        implementation: joined(document, Name::Implementation),
        extra: others.map(|field| (field.name.map_or(field.written.clone(), |name| name.key().to_owned()), field.value.clone())).collect(),
        relations: related,
        attachments: attached(corpus, document),
        added: corpus.added(document),
        decided: corpus.decided(document),
        touched: corpus.touched(document),
        text_hash: text_hash(document),
        findings: findings.get(document.path.as_str()).copied().unwrap_or_default(),
        reference: None,
    })
}

/// The values of several fields of one meaning.
fn joined(document: &Document, name: Name) -> Option<String> {
    let all: Vec<&str> =
        document.head.fields(name).map(|field| field.value.as_str()).filter(|value| Class::of(value, []) == Class::Value).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

fn attached(corpus: &Corpus, document: &Document) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for folder in attachments(document) {
        let inside = corpus.paths.range(folder.clone()..).take_while(|path| path.starts_with(&folder));
        all.extend(inside.filter(|path| **path != document.path).cloned());
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// How many findings each path has.
#[must_use]
pub fn counted(findings: &[Finding]) -> BTreeMap<&str, Counts> {
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for finding in findings {
        counts.entry(&finding.path).or_default().add(finding.severity);
    }
    counts
}

/// Sections whose text is what was agreed to.
const NORMATIVE: [&str; 4] = ["Summary", "Motivation", "Proposal", "Implementation Details"];

/// A hash of what a proposal says: of the source of its normative sections, so that no reader of Markdown has a part in it, without
/// comments, blanks at line ends, and empty lines beyond one (proposals contract 1.7).
#[must_use]
pub fn text_hash(document: &Document) -> String {
    let (body, sections) = (document.body(), document.sections());
    let mut text = String::new();
    for found in sections.found.iter().filter(|found| NORMATIVE.contains(&SCHEMA[found.schema].name)) {
        let begin = body.headings.get(found.heading).map_or(0, |heading| heading.span.start);
        let end = sections.ends.get(found.heading).and_then(|end| body.headings.get(*end)).map_or(document.source.len(), |h| h.span.start);
        text += document.source.get(begin..end).unwrap_or_default();
        text.push('\n');
    }
    let plain = without_comments(&text.replace("\r\n", "\n"));
    let mut hash = Sha256::new();
    let mut empty = false;
    for line in plain.lines().map(str::trim_end) {
        // One empty line, however many there are; none at the end.
        if line.is_empty() {
            empty = true;
            continue;
        }
        if std::mem::take(&mut empty) {
            hash.update("\n");
        }
        hash.update(line);
        hash.update("\n");
    }
    format!("t1:{:x}", hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Repository;

    const TEXT: &str = "# Caches\n\n**Status**: Accepted\n\n**Authors**: @ada, Brin\n\n**Category**: Process - CI\n\n**Replaces** (partially): DEP-0002\n\n\
                        **Review Date**: Jul 9 2025\n\n**Implementation**: #3\n\n**Issue(s)**: #4\n\n**Team**: kv\n\n# Summary\n\nA text.\n\n# Background\n\nSee [x](0002-b.md).\n";

    #[test]
    fn a_record_says_what_is_known() {
        let mut repository = Repository::of(&[("deps/0001-a.md", TEXT), ("deps/0002-b.md", "# B\n")]);
        repository.corpus.paths.insert("deps/0001-a/one.png".to_owned());
        let relations = Relations::of(&repository.corpus);
        let record = record(&repository.corpus, &repository.config, &relations, 0, &BTreeMap::new()).unwrap();
        assert_eq!((record.number, record.slug.as_str(), record.title.as_str()), (Some(1), "a", "Caches"));
        assert_eq!((record.status.as_deref(), record.effective_status), (Some("Accepted"), Some(Status::Approved)));
        assert_eq!(
            (record.authors, record.category.as_deref(), record.areas),
            (vec!["@ada".to_owned(), "Brin".to_owned()], Some("Process"), vec!["CI".to_owned()])
        );
        assert_eq!((record.review_date.unwrap().to_string(), record.implementation.as_deref()), ("2025-07-09".to_owned(), Some("#3\n#4")));
        assert_eq!(record.extra, [("Team".to_owned(), "kv".to_owned())].into());
        assert_eq!(record.attachments, ["deps/0001-a/one.png"]);
        let related: Vec<_> = record.relations.iter().map(|r| (r.kind, r.number, r.partial)).collect();
        assert_eq!(related, [(RelationKind::Replaces, Some(2), true), (RelationKind::Mentions, Some(2), false)]);
    }

    #[test]
    fn the_hash_is_of_what_is_said() {
        let hash = |text: &str| text_hash(&Document::read("deps/0001-a.md", text).unwrap());
        let same = [
            TEXT.replace('\n', "\r\n"),
            TEXT.replace("A text.", "A text.  \n\n\n"),
            TEXT.replace("A text.", "A text.<!-- x -->"),
            TEXT.replace("Draft", "Approved"),
            TEXT.replace("See", "Look at"),
        ];
        for same in same {
            assert_eq!(hash(&same), hash(TEXT), "{same}");
        }
        assert_ne!(hash(&TEXT.replace("A text.", "Another text.")), hash(TEXT));
        assert!(hash(TEXT).starts_with("t1:") && hash(TEXT).len() == 67);
    }
}
