//! What a maintainer should look at, on one page (proposals contract 2.3).

use jiff::civil::Date;
use serde::Serialize;

use crate::finding::Finding;
use crate::lint::SCHEMA;
use crate::model::{Corpus, Document, day};
use crate::numbers::{Claim, Claims};
use crate::parse::fields::Name;
use crate::parse::name::{self, Name as FileName};
use crate::parse::status::Status;
use crate::parse::value::Class;
use crate::rules::{Context, days, run};

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The number, where it is about one.
    pub number: Option<u32>,
    /// The file, or the ref.
    pub path: String,
    /// What it is.
    pub what: String,
    /// Days since then, where it is about a time.
    pub days: Option<i64>,
}

/// Things of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// For programs.
    pub key: &'static str,
    /// For people.
    pub title: &'static str,
    /// What there is.
    pub rows: Vec<Row>,
}

/// The page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Triage {
    /// The format.
    pub schema: &'static str,
    /// The day that it is of.
    pub today: Date,
    /// In order.
    pub sections: Vec<Section>,
}

/// Looks at a repository. `since` is how many days back decisions are told.
#[must_use]
pub fn triage(context: &Context<'_>, claims: &Claims, today: Date, since: i64) -> Triage {
    let corpus = context.corpus;
    let findings = run(context, |rule| ["R001", "R003", "R007", "R008"].contains(&rule.id));
    let of_rule = |id: &str| findings.iter().filter(|finding| finding.id == id).map(|finding| found(corpus, finding)).collect();
    let section = |key, title, rows| Section { key, title, rows };
    let sections = vec![
        section("numbers", "Numbers used or claimed twice", numbers(claims)),
        section("overdue", "Under review with a past date, or with none", of_rule("R003")),
        section("undecided", "Undecided on trunk", of_rule("R001")),
        section("stale", "Drafts that nobody touches", of_rule("R007")),
        section("no_sponsor", "Undecided, and nobody looks after them", without_sponsor(context)),
        section("maintenance", "Decisions to look at again", of_rule("R008")),
        section("refs", "Refs with proposals that are not merged", refs(corpus, today)),
        section("decided", "Decided of late", decided(corpus, today, since)),
    ];
    Triage { schema: SCHEMA, today, sections }
}

fn row(document: &Document, what: String, days: Option<i64>) -> Row {
    Row { number: document.number(), path: document.path.clone(), what, days }
}

fn found(corpus: &Corpus, finding: &Finding) -> Row {
    let document = corpus.documents.iter().find(|document| document.path == finding.path);
    let number = document.and_then(Document::number);
    Row { number, path: finding.path.clone(), what: finding.message.clone(), days: None }
}

fn numbers(claims: &Claims) -> Vec<Row> {
    let who = |claim: &Claim| {
        let others = claim.others.iter().map(|other| format!("{} ({})", other.path, other.refs.join(", ")));
        claim.trunk.iter().cloned().chain(others).collect::<Vec<_>>().join(", ")
    };
    let shared = claims.numbers.iter().filter(|(_, claim)| claim.claimants() > 1);
    shared.map(|(number, claim)| Row { number: Some(*number), path: String::new(), what: who(claim), days: None }).collect()
}

fn without_sponsor(context: &Context<'_>) -> Vec<Row> {
    let has = |document: &Document| document.head.fields(Name::Sponsor).any(|field| context.corpus.templates.class(field) == Class::Value);
    let undecided = |document: &&Document| document.effective().is_some_and(Status::is_undecided);
    let all = context.corpus.proposals().filter(undecided).filter(|document| !has(document));
    all.map(|document| row(document, document.effective().map_or("", Status::written).to_owned(), None)).collect()
}

fn refs(corpus: &Corpus, today: Date) -> Vec<Row> {
    let known: std::collections::BTreeSet<&str> = corpus.paths.iter().map(String::as_str).collect();
    let is_new = |path: &&String| {
        let file = path.rsplit('/').next().unwrap_or_default();
        FileName::read(file).is_some_and(|name| name.is_proposal()) && !known.contains(path.as_str())
    };
    let mut rows: Vec<Row> = Vec::new();
    for tree in corpus.refs.iter().filter(|tree| !tree.merged) {
        let new: Vec<&str> = tree.paths.iter().filter(is_new).map(String::as_str).collect();
        if !new.is_empty() {
            let age = day(tree.committed).map(|then| days(then, today));
            rows.push(Row { number: None, path: tree.name.clone(), what: new.join(", "), days: age });
        }
    }
    rows.sort_by(|a, b| b.days.cmp(&a.days).then_with(|| a.path.cmp(&b.path)));
    rows
}

fn decided(corpus: &Corpus, today: Date, since: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for document in corpus.proposals() {
        let age = corpus.decided(document).map(|then| days(then, today)).filter(|age| (0..=since).contains(age));
        if let (Some(age), Some(status)) = (age, document.effective()) {
            rows.push(row(document, status.written().to_owned(), Some(age)));
        }
    }
    rows.sort_by_key(|row| row.days);
    rows
}

impl Triage {
    /// As a page of Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("# Proposals on {}\n", self.today);
        for section in &self.sections {
            out += &format!("\n## {}\n\n", section.title);
            if section.rows.is_empty() {
                out += "None.\n";
            }
            for row in &section.rows {
                let number = row.number.map(|number| format!("**{}** ", name::number(number))).unwrap_or_default();
                let path = if row.path.is_empty() { String::new() } else { format!("`{}`: ", row.path) };
                let age = row.days.map(|days| format!(" ({days} {})", if days == 1 { "day" } else { "days" })).unwrap_or_default();
                out += &format!("- {number}{path}{}{age}\n", row.what);
            }
        }
        out
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }
}
