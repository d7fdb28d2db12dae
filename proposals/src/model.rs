//! What is known of a repository: its documents as they are read, and what is asked of git.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::civil::Date;

use crate::config::Config;
use crate::parse::body::Body;
use crate::parse::fields::{Field, Name as FieldName};
use crate::parse::head::Head;
use crate::parse::name::{Kind, Name};
use crate::parse::people::{People, Person};
use crate::parse::sections::Sections;
use crate::parse::status::{Status, StatusValue};
use crate::parse::value::Class;
use crate::text::Lines;

/// A Markdown file of the repository.
#[derive(Debug)]
pub struct Document {
    /// From the root, with `/`.
    pub path: String,
    /// What its name says.
    pub name: Name,
    /// Its text.
    pub source: Arc<str>,
    /// Where its lines begin.
    pub lines: Lines,
    /// Title and metadata.
    pub head: Head,
    rest: OnceLock<(Body, Sections)>,
}

impl Document {
    /// Reads the head; the rest is read when it is asked for. `None` when the path is no Markdown's.
    #[must_use]
    pub fn read(path: &str, source: impl Into<Arc<str>>) -> Option<Self> {
        let source = source.into();
        let name = Name::read(path.rsplit('/').next().unwrap_or(path))?;
        Some(Self { path: path.to_owned(), name, lines: Lines::of(&source), head: Head::read(&source), source, rest: OnceLock::new() })
    }

    fn rest(&self) -> &(Body, Sections) {
        self.rest.get_or_init(|| {
            let body = Body::read(&self.source, &self.lines);
            let from = body.headings.partition_point(|heading| heading.span.start < self.head.block.end.max(self.head.block.start));
            let sections = Sections::read(&body.headings, from);
            (body, sections)
        })
    }

    /// What stands below the head.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.rest().0
    }

    /// Which headings are which sections.
    #[must_use]
    pub fn sections(&self) -> &Sections {
        &self.rest().1
    }

    /// The number, of one that is no draft.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        self.name.number()
    }

    /// What stands behind the number.
    #[must_use]
    pub fn slug(&self) -> &str {
        &self.name.slug
    }

    /// The title as it is written, without marks around it.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.head.title.map(|span| span.of(&self.source))
    }

    /// The status as it is written.
    #[must_use]
    pub fn status(&self) -> Option<StatusValue> {
        self.head.field(FieldName::Status).filter(|field| !field.value.is_empty()).map(|field| StatusValue::read(&field.value))
    }

    /// The status that rules go by.
    #[must_use]
    pub fn effective(&self) -> Option<Status> {
        self.status()?.effective()
    }

    /// The people of a field; those of several fields of one meaning one after the other.
    #[must_use]
    pub fn people(&self, name: FieldName) -> Vec<Person> {
        self.head.fields(name).flat_map(|field| people(&self.source, field).all).collect()
    }
}

/// The people of a field; comments within are none.
#[must_use]
pub fn people(source: &str, field: &Field) -> People {
    // Comments have to be blanks of the same length, as in the head.
    let end = field.span.end.max(field.value_span.end);
    let blanked = crate::text::without_comments(source.get(..end).unwrap_or_default());
    if field.form == crate::parse::fields::Form::FrontMatter {
        let mut people = People::read(&field.value, crate::text::Span::new(0, field.value.len()));
        people.all.iter_mut().for_each(|person| person.span = field.value_span);
        return people;
    }
    let mut people = People::read(&blanked, field.value_span);
    people.all.retain(|person| Class::of(&person.name, []) == Class::Value);
    people
}

/// What the templates of the repository say.
#[derive(Debug, Default)]
pub struct Templates {
    /// The files.
    pub documents: Vec<Document>,
}

impl Templates {
    /// What they say in a field.
    pub fn values(&self, name: FieldName) -> impl Iterator<Item = &str> {
        self.documents.iter().flat_map(move |document| document.head.fields(name)).map(|field| field.value.as_str())
    }

    /// The class of a field's value.
    #[must_use]
    pub fn class(&self, field: &Field) -> Class {
        match field.name {
            Some(name) => Class::of(&field.value, self.values(name)),
            None => Class::of(&field.value, []),
        }
    }
}

/// A repository at one moment.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Proposals, and other Markdown among them.
    pub documents: Vec<Document>,
    /// Templates.
    pub templates: Templates,
    /// Every path of the tree.
    pub paths: BTreeSet<String>,
    /// The day that rules with a clock go by.
    pub today: Option<Date>,
    /// When files came and changed, where history is known: by path.
    pub history: BTreeMap<String, PathHistory>,
    /// Refs of the clone other than trunk, where they were asked for.
    pub refs: Vec<RefTree>,
    /// Trunk, where it was asked for.
    pub trunk: Option<RefTree>,
    /// Texts of other files that somebody asks for: those of the index.
    pub others: BTreeMap<String, Arc<str>>,
}

/// What the first-parent line of trunk says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathHistory {
    /// How many commits of the line that touch proposals came before the one that brought it.
    pub order: usize,
    /// When it came, seconds from the epoch.
    pub added: i64,
    /// When it was touched last.
    pub touched: i64,
    /// When its status was changed last.
    pub status: i64,
}

/// A ref, and the Markdown files of its tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefTree {
    /// Its whole name.
    pub name: String,
    /// When its last commit was made, seconds from the epoch.
    pub committed: i64,
    /// It is part of trunk.
    pub merged: bool,
    /// Paths of Markdown files; none are looked for where it is part of trunk.
    pub paths: Vec<String>,
}

impl Corpus {
    /// Documents whose name is that of a proposal, in the order of their paths.
    pub fn proposals(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(|document| document.name.is_proposal())
    }

    /// Whether a document of number nought is the process itself, and no draft.
    #[must_use]
    pub fn is_process(&self, document: &Document, config: &Config) -> bool {
        if document.name.kind != Kind::Numbered(0) {
            return false;
        }
        if let Some(path) = &config.process_document {
            return *path == document.path;
        }
        let category = document.head.field(FieldName::Category).map(|field| field.value.trim());
        category.is_some_and(|category| category.eq_ignore_ascii_case("Process"))
            && document.effective().is_some_and(|status| !status.is_undecided())
    }

    /// Of several with one number the one that reached trunk first; without history the first by its path.
    #[must_use]
    pub fn keeper<'a>(&self, documents: &[&'a Document]) -> Option<&'a Document> {
        let order =
            |document: &&&Document| (self.history.get(&document.path).map_or(usize::MAX, |known| known.order), document.path.clone());
        if documents.len() < 2 { None } else { documents.iter().min_by_key(order).copied() }
    }

    /// The day on which a document reached trunk, where that is known.
    #[must_use]
    pub fn added(&self, document: &Document) -> Option<Date> {
        day(self.history.get(&document.path)?.added)
    }

    /// The day on which a document was touched last, where that is known.
    #[must_use]
    pub fn touched(&self, document: &Document) -> Option<Date> {
        day(self.history.get(&document.path)?.touched)
    }

    /// The day on which a document was decided, as far as it is known: its status was changed last then.
    #[must_use]
    pub fn decided(&self, document: &Document) -> Option<Date> {
        let known = self.history.get(&document.path).filter(|_| document.effective().is_some_and(|status| !status.is_undecided()))?;
        day(known.status)
    }

    /// Whether a path lies in a folder of attachments of a proposal.
    #[must_use]
    pub fn is_attachment(&self, path: &str) -> bool {
        self.proposals().any(|document| attachments(document).any(|folder| path.starts_with(&folder)))
    }
}

/// The day of a moment, in UTC.
#[must_use]
pub fn day(seconds: i64) -> Option<Date> {
    jiff::Timestamp::from_second(seconds).ok().map(|moment| moment.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// Folders in which the attachments of a proposal may lie; the first is where they should.
pub fn attachments(document: &Document) -> impl Iterator<Item = String> {
    let (folder, file) =
        document.path.rsplit_once('/').map_or((String::new(), document.path.as_str()), |(f, file)| (format!("{f}/"), file));
    let stem = file.trim_end_matches(".md").to_owned();
    let number = stem.split('-').next().unwrap_or_default().to_owned();
    let title = document.title().map(|title| format!("{title} [Artifacts]"));
    [Some(stem), Some(number.clone()), Some(format!("{number}-images")), Some(format!("{number}_images")), title]
        .into_iter()
        .flatten()
        .map(move |name| format!("{folder}{name}/"))
}
