//! Which proposals are wanted, and in what order (proposals contract 3.4). Values of one option are alternatives, options come together; a
//! value that nothing has is an error that says what there is, since a filter that matches nothing by mistake tells a lie.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::config::{Config, nearest};
use crate::finding::Finding;
use crate::model::{Corpus, Document};
use crate::parse::date::DateValue;
use crate::parse::fields::Name;
use crate::parse::people::Person;
use crate::parse::sections::Kind;
use crate::parse::status::{CategoryValue, Status, StatusValue};
use crate::parse::value::Class;

/// Which day is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateField {
    /// Of the decision.
    #[default]
    Review,
    /// On which it reached trunk.
    Added,
    /// On which it was decided.
    Decided,
    /// On which it was touched last.
    Touched,
}

/// What is wanted, as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Statuses, by their names or as they are written.
    pub statuses: Vec<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// Areas.
    pub areas: Vec<String>,
    /// People, with their sign or without.
    pub authors: Vec<String>,
    /// People.
    pub sponsors: Vec<String>,
    /// People.
    pub reviewers: Vec<String>,
    /// `A..B`, `A..`, `..B` or one.
    pub numbers: Option<String>,
    /// `limited` or `complete`.
    pub kind: Option<String>,
    /// From this day.
    pub since: Option<Date>,
    /// To this day.
    pub until: Option<Date>,
    /// Which day.
    pub date_field: DateField,
    /// Under review beyond the day of its decision, or without one.
    pub overdue: bool,
    /// Nobody looks after it.
    pub no_sponsor: bool,
    /// Fields with a value.
    pub has: Vec<String>,
    /// Fields without one.
    pub lacks: Vec<String>,
    /// Rules that find something.
    pub findings: Vec<String>,
    /// Keys, from the first; a `-` before one turns it round.
    pub sort: Vec<String>,
}

/// What [`Query::sort`] may name.
pub const SORT_KEYS: [&str; 9] = ["number", "slug", "title", "status", "category", "review_date", "added", "decided", "touched"];

impl Query {
    /// The documents that are wanted, by their places, in the order that is wanted.
    ///
    /// # Errors
    /// A value that nothing has, with those that there are.
    pub fn run(&self, corpus: &Corpus, config: &Config, findings: &[Finding]) -> Result<Vec<usize>, String> {
        let asked = Asked::of(self, corpus, config)?;
        let mut all: Vec<usize> = (0..corpus.documents.len())
            .filter(|at| corpus.documents[*at].name.is_proposal() && asked.matches(&corpus.documents[*at], corpus, config, findings))
            .collect();
        all.sort_by(|a, b| asked.order(&corpus.documents[*a], &corpus.documents[*b], corpus, config));
        Ok(all)
    }
}

/// A query that makes sense.
struct Asked<'q> {
    query: &'q Query,
    statuses: Vec<Status>,
    kind: Option<Kind>,
    numbers: Option<(u32, u32)>,
    has: Vec<Name>,
    lacks: Vec<Name>,
    /// Position of the key, and whether it is turned round.
    sort: Vec<(usize, bool)>,
}

impl<'q> Asked<'q> {
    fn of(query: &'q Query, corpus: &Corpus, config: &Config) -> Result<Self, String> {
        let documents = || corpus.documents.iter().filter(|document| document.name.is_proposal());
        let statuses = query.statuses.iter().map(|asked| status(asked)).collect::<Result<_, _>>()?;
        let there: BTreeSet<String> = documents().flat_map(|d| category(d, config)).chain(config.categories.clone()).collect();
        known("--category", &query.categories, &there)?;
        known("--area", &query.areas, &documents().flat_map(|d| areas(d, config)).collect())?;
        for (option, asked, name) in [
            ("--author", &query.authors, Name::Authors),
            ("--sponsor", &query.sponsors, Name::Sponsor),
            ("--reviewer", &query.reviewers, Name::Reviewers),
        ] {
            if !asked.is_empty() {
                let there = documents().flat_map(|document| document.people(name)).map(|person| person.shown()).collect();
                known(option, asked, &there)?;
            }
        }
        let kind = match query.kind.as_deref() {
            None => None,
            Some("limited") => Some(Kind::Limited),
            Some("complete") => Some(Kind::Complete),
            Some(other) => return Err(format!("--kind {other:?}: there are limited and complete")),
        };
        for id in &query.findings {
            crate::rules::find(id).ok_or_else(|| format!("--finding {id:?}: there is no such rule; --list-rules of lint shows all"))?;
        }
        let field = |option: &str, asked: &String| {
            let found = Name::read(asked).map(|(name, _)| name).or_else(|| Name::of_key(asked));
            let keys: Vec<&str> = Name::all().map(Name::key).collect();
            found.ok_or_else(|| format!("{option} {asked:?}: there are {}{}", keys.join(", "), nearest(asked, &keys)))
        };
        let key = |asked: &String| {
            let (name, turned) = asked.strip_prefix('-').map_or((asked.as_str(), false), |name| (name, true));
            let found = SORT_KEYS.iter().position(|known| *known == name.replace('-', "_"));
            found.map(|at| (at, turned)).ok_or_else(|| format!("--sort {asked:?}: there are {}", SORT_KEYS.join(", ")))
        };
        Ok(Self {
            query,
            statuses,
            kind,
            numbers: query.numbers.as_deref().map(range).transpose()?,
            has: query.has.iter().map(|asked| field("--has", asked)).collect::<Result<_, _>>()?,
            lacks: query.lacks.iter().map(|asked| field("--lacks", asked)).collect::<Result<_, _>>()?,
            sort: query.sort.iter().map(key).collect::<Result<_, _>>()?,
        })
    }

    fn matches(&self, document: &Document, corpus: &Corpus, config: &Config, findings: &[Finding]) -> bool {
        let query = self.query;
        let any =
            |asked: &[String], there: &[String]| asked.is_empty() || asked.iter().any(|asked| there.iter().any(|there| same(asked, there)));
        let people = |asked: &[String], name: Name| {
            asked.is_empty() || any(asked, &document.people(name).iter().map(Person::shown).collect::<Vec<_>>())
        };
        let has = |name: &Name| document.head.fields(*name).any(|field| corpus.templates.class(field) == Class::Value);
        let number = document.number().unwrap_or(0);
        let day = day(document, query.date_field, corpus, config);
        let dated = query.since.is_none() && query.until.is_none()
            || day.is_some_and(|day| query.since.is_none_or(|since| day >= since) && query.until.is_none_or(|until| day <= until));
        (self.statuses.is_empty() || document.effective().is_some_and(|status| self.statuses.contains(&status)))
            && any(&query.categories, &category(document, config).into_iter().collect::<Vec<_>>())
            && any(&query.areas, &areas(document, config))
            && people(&query.authors, Name::Authors)
            && people(&query.sponsors, Name::Sponsor)
            && people(&query.reviewers, Name::Reviewers)
            && self.numbers.is_none_or(|(from, to)| (from..=to).contains(&number))
            && dated
            && (!query.overdue || is_overdue(document, corpus, config))
            && (!query.no_sponsor || !has(&Name::Sponsor))
            && self.has.iter().all(has)
            && !self.lacks.iter().any(has)
            && query.findings.iter().all(|id| findings.iter().any(|f| f.path == document.path && f.id.eq_ignore_ascii_case(id)))
            && self.kind.is_none_or(|kind| document.sections().kind() == kind)
    }

    fn order(&self, a: &Document, b: &Document, corpus: &Corpus, config: &Config) -> Ordering {
        // What has none comes last, whichever way it is turned.
        fn by<T: Ord>(a: Option<T>, b: Option<T>, turned: bool) -> Ordering {
            match (a, b) {
                (Some(a), Some(b)) if turned => b.cmp(&a),
                (Some(a), Some(b)) => a.cmp(&b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            }
        }
        let dated = |field, turned| by(day(a, field, corpus, config), day(b, field, corpus, config), turned);
        let one = |(key, turned): &(usize, bool)| match key {
            0 => by(a.number(), b.number(), *turned),
            1 => by(Some(a.slug()), Some(b.slug()), *turned),
            2 => by(a.title(), b.title(), *turned),
            3 => by(a.effective(), b.effective(), *turned),
            4 => by(category(a, config), category(b, config), *turned),
            5 => dated(DateField::Review, *turned),
            6 => dated(DateField::Added, *turned),
            7 => dated(DateField::Decided, *turned),
            _ => dated(DateField::Touched, *turned),
        };
        self.sort.iter().map(one).find(|order| order.is_ne()).unwrap_or(Ordering::Equal).then_with(|| a.path.cmp(&b.path))
    }
}

fn plain(text: &str) -> String {
    text.trim_start_matches('@').to_lowercase()
}

fn same(a: &str, b: &str) -> bool {
    plain(a) == plain(b)
}

/// That each value is one of those that there are.
fn known(option: &str, asked: &[String], there: &BTreeSet<String>) -> Result<(), String> {
    let Some(unknown) = asked.iter().find(|asked| !there.iter().any(|there| same(asked, there))) else { return Ok(()) };
    let all: Vec<&str> = there.iter().map(String::as_str).collect();
    if all.is_empty() {
        return Err(format!("{option} {unknown:?}: no proposal has any"));
    }
    let few: Vec<&str> = all.iter().take(20).copied().collect();
    let more = if all.len() > few.len() { format!(" and {} more", all.len() - few.len()) } else { String::new() };
    Err(format!("{option} {unknown:?}: there are {}{more}{}", few.join(", "), nearest(unknown, &all)))
}

/// The status of a word: a name, or as it is written, in any case.
///
/// # Errors
/// When there is none, with those that there are.
pub fn status(asked: &str) -> Result<Status, String> {
    let named = Status::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(asked));
    let written = || match StatusValue::read(asked) {
        StatusValue::Exact(status) | StatusValue::Legacy(status) => Some(status),
        StatusValue::Choices(_) | StatusValue::Unknown(_) => None,
    };
    let all: Vec<&str> = Status::ALL.iter().map(|status| status.name()).collect();
    named.or_else(written).ok_or_else(|| format!("--status {asked:?}: there are {}{}", all.join(", "), nearest(asked, &all)))
}

fn range(asked: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("--number {asked:?}: write 7, 7..12, 7.. or ..12");
    let number = |text: &str, without: u32| if text.is_empty() { Ok(without) } else { text.parse().map_err(|_| wrong()) };
    match asked.split_once("..") {
        Some((from, to)) => Ok((number(from, 1)?, number(to.trim_start_matches('='), u32::MAX)?)),
        None if asked.is_empty() => Err(wrong()),
        None => number(asked, 0).map(|one| (one, one)),
    }
}

/// The category of a document, where it has one that there is.
#[must_use]
pub fn category(document: &Document, config: &Config) -> Option<String> {
    let field = document.head.field(Name::Category)?;
    CategoryValue::read(&field.value, &config.categories).category().map(str::to_owned)
}

/// The areas of a document.
#[must_use]
pub fn areas(document: &Document, config: &Config) -> Vec<String> {
    let compound = document.head.field(Name::Category).map(|field| CategoryValue::read(&field.value, &config.categories));
    let compound = match compound {
        Some(CategoryValue::Compound { area, .. }) => Some(area),
        _ => None,
    };
    let listed = document.head.fields(Name::Area).flat_map(|field| field.value.split(',')).map(|area| area.trim().to_owned());
    compound.into_iter().chain(listed.filter(|area| Class::of(area, []) == Class::Value)).collect()
}

/// A day of a document.
#[must_use]
pub fn day(document: &Document, field: DateField, corpus: &Corpus, config: &Config) -> Option<Date> {
    match field {
        DateField::Review => DateValue::read(&document.head.field(Name::ReviewDate)?.value, config.date_order.order())?.date(),
        DateField::Added => corpus.added(document),
        DateField::Decided => corpus.decided(document),
        DateField::Touched => corpus.touched(document),
    }
}

/// Whether a review should have ended, or has no end.
#[must_use]
pub fn is_overdue(document: &Document, corpus: &Corpus, config: &Config) -> bool {
    let date = day(document, DateField::Review, corpus, config);
    document.effective() == Some(Status::UnderReview) && date.is_none_or(|date| corpus.today.is_some_and(|today| date < today))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::rules::testing::Repository;

    fn repository() -> Repository {
        let text = |status: &str, more: &str| format!("# T\n\n**Status**: {status}\n\n{more}\n\n# Summary\n");
        let files = [
            ("deps/0001-a.md", text("Approved", "**Category**: Process - CI\n\n**Authors**: @Ada\n\n**Review Date**: 2026-01-01")),
            ("deps/0002-b.md", text("Ready for Review", "**Category**: Architecture\n\n**Sponsor**: @brin")),
            ("deps/0000-c.md", text("Under Review", "**Review Date**: 2026-07-01\n\n# Background")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let mut repository = Repository::of(&files);
        repository.corpus.today = Some(date(2026, 6, 1));
        repository
    }

    #[allow(clippy::needless_pass_by_value, reason = "made for the call")]
    fn run(query: Query) -> Result<Vec<usize>, String> {
        let repository = repository();
        query.run(&repository.corpus, &repository.config, &[])
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn filters_come_together() {
        let all = Query::default;
        assert_eq!(run(all()).unwrap(), [2, 0, 1]);
        assert_eq!(run(Query { statuses: texts(&["UnderReview"]), ..all() }).unwrap(), [2, 1]);
        assert_eq!(run(Query { statuses: texts(&["under review", "Approved"]), no_sponsor: true, ..all() }).unwrap(), [2, 0]);
        assert_eq!(run(Query { areas: texts(&["ci"]), categories: texts(&["process"]), ..all() }).unwrap(), [0]);
        assert_eq!(run(Query { authors: texts(&["ada"]), ..all() }).unwrap(), [0]);
        assert_eq!(run(Query { overdue: true, ..all() }).unwrap(), [1]);
        assert_eq!(run(Query { numbers: Some("2..".to_owned()), ..all() }).unwrap(), [1]);
        assert_eq!(run(Query { since: Some(date(2026, 2, 1)), ..all() }).unwrap(), [2]);
        assert_eq!(run(Query { has: texts(&["sponsors"]), lacks: texts(&["Review Date"]), ..all() }).unwrap(), [1]);
        assert_eq!(run(Query { kind: Some("complete".to_owned()), ..all() }).unwrap(), [2]);
        assert_eq!(run(Query { sort: texts(&["-review_date", "number"]), ..all() }).unwrap(), [2, 0, 1]);
        assert_eq!(run(Query { sort: texts(&["-number"]), ..all() }).unwrap(), [1, 0, 2]);
    }

    #[test]
    fn what_there_is_not_is_an_error() {
        let error = |query: Query| run(query).unwrap_err();
        let all = Query::default;
        assert!(error(Query { statuses: texts(&["Aproved"]), ..all() }).contains("did you mean \"Approved\"?"));
        assert!(error(Query { categories: texts(&["CI"]), ..all() }).contains("there are Architecture, Guidelines, Process"));
        assert!(error(Query { authors: texts(&["@brin"]), ..all() }).contains("@Ada"));
        assert!(error(Query { areas: texts(&["x"]), ..all() }).contains("CI"));
        assert!(error(Query { sort: texts(&["name"]), ..all() }).contains("title"));
        assert!(error(Query { numbers: Some("x".to_owned()), ..all() }).contains("7..12"));
        assert!(error(Query { has: texts(&["sponsr"]), ..all() }).contains("did you mean \"sponsors\"?"));
        assert!(error(Query { findings: texts(&["F999"]), ..all() }).contains("no such rule"));
    }
}
