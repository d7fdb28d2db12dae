//! The rules (proposals contract 3.2): one file for each letter, one entry for each rule, whose number never means anything else.
//!
//! A rule says what it looks at, how bad that is, and what it is for; its check is given the repository and says what it finds.
//! Levels, suppressions, baselines and what was there before are others' business (`lint`).

mod f;
#[cfg(test)]
mod fixture;
mod g;
mod l;
mod m;
mod p;
mod place;
mod r;
mod relations;
mod s;
mod t;
#[cfg(test)]
pub(crate) mod testing;
mod x;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::config::Config;
use crate::finding::{Finding, Severity};
use crate::model::{Corpus, Document};
use crate::parallel::parallel;
use crate::text::Span;

pub(crate) use r::days;
pub use relations::{Relation, RelationKind, Relations, Target, is_outside, mentions, resolve};
pub(crate) use x::link_between;

/// What a rule needs before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// That trunk is looked at.
    Trunk,
    /// Days and commits: it may fire by waiting.
    Clock,
    /// That what it is about is configured.
    Configured,
}

/// Whether there is a mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// `--fix` does it.
    Safe,
    /// Somebody has to look at it.
    Unsafe,
    /// There is none.
    None,
}

/// What a rule looks at.
#[derive(Clone, Copy)]
pub enum Check {
    /// Each proposal.
    Proposal(fn(&Context<'_>, &Document, &mut Sink<'_>)),
    /// All of them together.
    Repository(fn(&Context<'_>, &mut Sink<'_>)),
    /// It comes later.
    Later,
}

/// A rule.
pub struct Rule {
    /// Its number: a letter and three digits.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How bad it is, unless somebody says otherwise.
    pub severity: Severity,
    /// Whether it can be mended here.
    pub mend: Mend,
    /// What it needs.
    pub needs: Needs,
    /// What it is for, and what to do: `--explain`.
    pub about: &'static str,
    /// What it does.
    pub check: Check,
}

/// All rules, in the order of their numbers.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [f::RULES, m::RULES, s::RULES, l::RULES, x::RULES, r::RULES, t::RULES, p::RULES, g::RULES].into_iter().flatten()
}

/// The rule of a number or a name.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id.eq_ignore_ascii_case(id) || rule.name == id)
}

/// What rules are given.
#[derive(Debug)]
pub struct Context<'a> {
    /// The repository.
    pub corpus: &'a Corpus,
    /// Its configuration.
    pub config: &'a Config,
    /// It is trunk that is looked at.
    pub trunk: bool,
    /// Rules with a clock run.
    pub clock: bool,
    /// What replaces, extends and mentions what.
    pub relations: Relations<'a>,
    /// Proposals by number, those of nought left out.
    pub numbers: BTreeMap<u32, Vec<&'a Document>>,
    /// Paths as links ask for them; made when the first one does.
    tree: OnceLock<l::Tree>,
    /// What templates say, for those who left it; made when the first asks.
    guidance: OnceLock<t::Guidance>,
}

impl<'a> Context<'a> {
    /// Of a repository.
    #[must_use]
    pub fn new(corpus: &'a Corpus, config: &'a Config) -> Self {
        let mut numbers: BTreeMap<u32, Vec<&Document>> = BTreeMap::new();
        for document in corpus.proposals() {
            if let Some(number) = document.number() {
                numbers.entry(number).or_default().push(document);
            }
        }
        Self {
            corpus,
            config,
            trunk: false,
            clock: false,
            relations: Relations::of(corpus),
            numbers,
            tree: OnceLock::new(),
            guidance: OnceLock::new(),
        }
    }

    /// Proposals, with their places in [`Corpus::documents`].
    pub fn proposals(&self) -> impl Iterator<Item = (usize, &'a Document)> + use<'a> {
        self.corpus.documents.iter().enumerate().filter(|(_, document)| document.name.is_proposal())
    }
}

/// Where findings go.
pub struct Sink<'a> {
    rule: &'static Rule,
    findings: &'a mut Vec<Finding>,
}

impl Sink<'_> {
    /// A finding at a place of a document. `context` is what it is about, in words that do not depend on the line.
    pub fn at(&mut self, document: &Document, span: Span, context: impl Into<String>, message: impl Into<String>) -> &mut Finding {
        self.put(&document.path, span, context.into(), message.into())
    }

    /// A finding about what is absent: it stands at the title, else at the first line.
    pub fn absent(&mut self, document: &Document, context: impl Into<String>, message: impl Into<String>) -> &mut Finding {
        let span = document.head.title.unwrap_or_default();
        self.at(document, span, context, message)
    }

    /// A finding about a file's name, or about the repository where the path is none.
    pub fn file(&mut self, path: &str, context: impl Into<String>, message: impl Into<String>) -> &mut Finding {
        self.put(path, Span::default(), context.into(), message.into())
    }

    fn put(&mut self, path: &str, span: Span, context: String, message: String) -> &mut Finding {
        self.findings.push(finding(self.rule, path, span, context, message));
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }
}

/// A finding of a rule.
pub(crate) fn finding(rule: &'static Rule, path: &str, span: Span, context: String, message: String) -> Finding {
    Finding {
        id: rule.id,
        severity: rule.severity,
        path: path.to_owned(),
        span,
        message,
        label: String::new(),
        notes: Vec::new(),
        help: None,
        related: Vec::new(),
        fix: Vec::new(),
        context,
        fingerprint: String::new(),
        inherited: false,
    }
}

/// Runs the rules that are wanted: those of one document for many documents at once, then those of all together.
#[must_use]
pub fn run(context: &Context<'_>, wanted: impl Fn(&Rule) -> bool) -> Vec<Finding> {
    let runs = |rule: &&'static Rule| match rule.needs {
        Needs::Nothing | Needs::Configured => true,
        Needs::Trunk => context.trunk,
        Needs::Clock => context.clock,
    };
    let rules: Vec<&'static Rule> = all().filter(|rule| wanted(rule)).filter(runs).collect();
    let proposals: Vec<&Document> = context.corpus.proposals().collect();
    let of_one = parallel(&proposals, |document| {
        let mut findings = Vec::new();
        for rule in &rules {
            if let Check::Proposal(check) = rule.check {
                check(context, document, &mut Sink { rule, findings: &mut findings });
            }
        }
        findings
    });
    let mut findings: Vec<Finding> = of_one.into_iter().flatten().collect();
    for rule in &rules {
        if let Check::Repository(check) = rule.check {
            check(context, &mut Sink { rule, findings: &mut findings });
        }
    }
    findings
}
