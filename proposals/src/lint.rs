//! From what rules find to what is said of it: levels, suppressions, what was there before (proposals contract 3.3).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::{Config, Level};
use crate::edit;
use crate::finding::{Edit, Finding, Severity};
use crate::model::{Corpus, Document};
use crate::parse::status::Status;
use crate::rules::{self, Context, Rule};
use crate::suppression::Suppressions;

/// How it is looked at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// As trunk.
    pub trunk: bool,
    /// Rules with a clock run.
    pub clock: bool,
    /// Only these rules.
    pub only: Vec<String>,
    /// Levels from the command line, which win over those of the configuration; the last one of a rule counts.
    pub levels: Vec<(String, Level)>,
}

/// What is known from before.
#[derive(Debug, Default)]
pub struct Before<'a> {
    /// The repository at the merge base.
    pub base: Option<&'a Corpus>,
    /// Fingerprints that were frozen.
    pub baseline: BTreeSet<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of their places.
    pub findings: Vec<Finding>,
    /// How many a comment suppressed.
    pub suppressed: usize,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Errors.
    pub error: usize,
    /// Warnings.
    pub warning: usize,
    /// Notes.
    pub info: usize,
}

impl Counts {
    /// One more.
    pub fn add(&mut self, severity: Severity) {
        *match severity {
            Severity::Error => &mut self.error,
            Severity::Warning => &mut self.warning,
            Severity::Info => &mut self.info,
        } += 1;
    }
}

impl Report {
    /// Findings that are not inherited.
    pub fn fresh(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.inherited)
    }

    /// How many of those.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.fresh().for_each(|finding| counts.add(finding.severity));
        counts
    }

    /// How many of those can be mended without a doubt.
    #[must_use]
    pub fn fixable(&self) -> usize {
        self.fresh().filter(|finding| !finding.fix.is_empty()).count()
    }

    /// Whether the worst of them is as bad as that.
    #[must_use]
    pub fn fails(&self, from: Severity) -> bool {
        self.fresh().any(|finding| finding.severity >= from)
    }

    /// Edits that mend what can be, by path.
    #[must_use]
    pub fn edits(&self) -> BTreeMap<&str, Vec<Edit>> {
        let mut fixes: BTreeMap<&str, Vec<&[Edit]>> = BTreeMap::new();
        for finding in self.fresh().filter(|finding| !finding.fix.is_empty()) {
            fixes.entry(&finding.path).or_default().push(&finding.fix);
        }
        fixes.into_iter().map(|(path, fixes)| (path, edit::chosen(fixes))).collect()
    }
}

/// Looks at a repository.
#[must_use]
pub fn lint(corpus: &Corpus, config: &Config, options: &Options, before: &Before<'_>) -> Report {
    let mut report = found(corpus, config, options);
    let mut old = before.baseline.clone();
    if let Some(base) = before.base {
        old.extend(found(base, config, options).findings.into_iter().map(|finding| finding.fingerprint));
    }
    let decided: BTreeSet<&str> =
        corpus.proposals().filter(|document| is_decided_now(document, before.base)).map(|d| d.path.as_str()).collect();
    for finding in &mut report.findings {
        let frozen = before.baseline.contains(&finding.fingerprint);
        finding.inherited = frozen || (old.contains(&finding.fingerprint) && !decided.contains(finding.path.as_str()));
    }
    report
}

/// Whether the change decides a document that nobody had decided.
fn is_decided_now(document: &Document, base: Option<&Corpus>) -> bool {
    let Some(base) = base else { return false };
    let decided = |document: &Document| document.effective().is_some_and(|status| !status.is_undecided());
    let was = base.proposals().find(|old| old.slug() == document.slug());
    decided(document) && was.is_some_and(|old| !decided(old))
}

fn found(corpus: &Corpus, config: &Config, options: &Options) -> Report {
    let mut context = Context::new(corpus, config);
    (context.trunk, context.clock) = (options.trunk, options.clock);
    let levels = Levels { config, options };
    let wanted = |rule: &Rule| levels.is_wanted(rule);
    let mut findings = rules::run(&context, wanted);
    let documents: BTreeMap<&str, &Document> = corpus.documents.iter().map(|document| (document.path.as_str(), document)).collect();
    findings.retain_mut(|finding| levels.set(finding, documents.get(finding.path.as_str()).copied(), corpus));
    let mut suppressed = 0;
    let is_unused = rules::find("T005").filter(|rule| wanted(rule));
    for (path, document) in &documents {
        let mut suppressions = Suppressions::of(document);
        if suppressions.is_empty() {
            continue;
        }
        let count = findings.len();
        findings.retain(|finding| finding.path != *path || !suppressions.cover(finding));
        suppressed += count - findings.len();
        if let Some(rule) = is_unused {
            for mut finding in suppressions.unused(rule) {
                if levels.set(&mut finding, Some(document), corpus) {
                    findings.push(finding);
                }
            }
        }
    }
    findings.sort_by(|a, b| (&a.path, a.span, a.id, &a.context).cmp(&(&b.path, b.span, b.id, &b.context)));
    fingerprints(&mut findings, &documents);
    Report { findings, suppressed }
}

/// Levels of rules, from the configuration and from the command line.
struct Levels<'a> {
    config: &'a Config,
    options: &'a Options,
}

impl Levels<'_> {
    /// What the command line says of a rule.
    fn asked(&self, id: &str) -> Option<Level> {
        self.options.levels.iter().rev().find(|(rule, _)| rule == id).map(|(_, level)| *level)
    }

    /// Whether a rule is to run: not, when it is off for all documents.
    fn is_wanted(&self, rule: &Rule) -> bool {
        let only = &self.options.only;
        let of_all = || self.config.rules.get(rule.id).filter(|level| level.since.is_none()).map(|level| level.level);
        (only.is_empty() || only.iter().any(|id| id == rule.id)) && self.asked(rule.id).or_else(of_all) != Some(Level::Off)
    }

    /// Gives a finding its severity; `false` when nobody wants to know of it.
    fn set(&self, finding: &mut Finding, document: Option<&Document>, corpus: &Corpus) -> bool {
        let draft = document.is_some_and(|document| document.effective() == Some(Status::Draft));
        if draft && (finding.id == "S002" || (!self.options.trunk && ["S001", "M006"].contains(&finding.id))) {
            finding.severity = Severity::Warning;
        }
        let configured = || {
            let rule = self.config.rules.get(finding.id)?;
            // What nobody knows the day of is new.
            let added = rule.since.and(document).and_then(|document| corpus.added(document));
            rule.since.zip(added).is_none_or(|(since, added)| added >= since).then_some(rule.level)
        };
        match self.asked(finding.id).or_else(configured) {
            Some(Level::Off) => return false,
            Some(Level::Info) => finding.severity = Severity::Info,
            Some(Level::Warning) => finding.severity = Severity::Warning,
            Some(Level::Error) => finding.severity = Severity::Error,
            None => {}
        }
        true
    }
}

/// Of rule, slug and context, and which one it is of those that have the same: lines move, and this stays.
fn fingerprints(findings: &mut [Finding], documents: &BTreeMap<&str, &Document>) {
    let mut seen: BTreeMap<(&str, String, String), usize> = BTreeMap::new();
    for finding in findings {
        let slug = documents.get(finding.path.as_str()).map_or(finding.path.clone(), |document| document.slug().to_owned());
        let context = finding.context.split_whitespace().collect::<Vec<_>>().join(" ");
        let ordinal = seen.entry((finding.id, slug.clone(), context.clone())).or_default();
        let text = format!("{}\0{slug}\0{context}\0{ordinal}", finding.id);
        *ordinal += 1;
        finding.fingerprint = format!("{:x}", Sha256::digest(text));
    }
}

/// A file of fingerprints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The format.
    pub schema: String,
    /// What was frozen.
    pub findings: Vec<Frozen>,
}

/// One finding that was frozen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frozen {
    /// Where it was; for people.
    pub path: String,
    /// The rule; for people.
    pub id: String,
    /// What counts.
    pub fingerprint: String,
}

/// The format of all JSON.
pub const SCHEMA: &str = "dormouse.dep/1";

impl Baseline {
    /// Of a report: everything in it is frozen.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let frozen =
            |finding: &Finding| Frozen { path: finding.path.clone(), id: finding.id.to_owned(), fingerprint: finding.fingerprint.clone() };
        let mut findings: Vec<Frozen> = report.findings.iter().map(frozen).collect();
        findings.sort_unstable();
        Self { schema: SCHEMA.to_owned(), findings }
    }

    /// As a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &str) -> Result<BTreeSet<String>, String> {
        let baseline: Self = serde_json::from_str(text).map_err(|why| format!("this is no baseline: {why}"))?;
        if baseline.schema != SCHEMA {
            return Err(format!("this is a baseline of {:?}; {SCHEMA:?} is read", baseline.schema));
        }
        Ok(baseline.findings.into_iter().map(|frozen| frozen.fingerprint).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Repository;

    fn report(files: &[(&str, &str)], options: &Options, before: &Before<'_>) -> Report {
        let repository = Repository::of(files);
        lint(&repository.corpus, &repository.config, options, before)
    }

    fn ids(report: &Report) -> Vec<(&'static str, Severity)> {
        report.fresh().filter(|f| f.id.starts_with(['F', 'X'])).map(|finding| (finding.id, finding.severity)).collect()
    }

    const GAP: &[(&str, &str)] = &[("deps/0002-a.md", "# A\n\n**Replaces**: DEP-0009\n")];

    #[test]
    fn levels_come_from_both() {
        let options = |levels: &[(&str, Level)]| Options {
            levels: levels.iter().map(|(id, level)| ((*id).to_owned(), *level)).collect(),
            ..Options::default()
        };
        let none = Before::default();
        assert_eq!(ids(&report(GAP, &options(&[]), &none)), [("F003", Severity::Info), ("X001", Severity::Error)]);
        assert_eq!(ids(&report(GAP, &options(&[("X001", Level::Off), ("F003", Level::Error)]), &none)), [("F003", Severity::Error)]);
        let only = Options { only: vec!["X001".to_owned()], ..Options::default() };
        assert_eq!(ids(&report(GAP, &only, &none)), [("X001", Severity::Error)]);
        let mut repository = Repository::of(GAP);
        repository.config = Config::read("rules = { X001 = \"warning\", F003 = \"off\" }").unwrap();
        let configured = lint(&repository.corpus, &repository.config, &Options::default(), &none);
        assert_eq!(ids(&configured), [("X001", Severity::Warning)]);
    }

    #[test]
    fn a_level_may_hold_from_a_day_on() {
        let of = |added: Option<i64>, level: &str| {
            let mut repository = Repository::of(GAP);
            if let Some(added) = added {
                let known = crate::model::PathHistory { order: 0, added, touched: added, status: added };
                repository.corpus.history.insert("deps/0002-a.md".to_owned(), known);
            }
            let rule = format!("rules = {{ F003 = \"off\", X001 = {{ level = \"{level}\", since = \"2026-01-01\" }} }}");
            ids(&lint(&repository.corpus, &Config::read(&rule).unwrap(), &Options::default(), &Before::default()))
        };
        let new_year = 1_767_225_600;
        assert_eq!(of(Some(new_year - 1), "warning"), [("X001", Severity::Error)]);
        assert_eq!(of(Some(new_year), "warning"), [("X001", Severity::Warning)]);
        assert_eq!(of(None, "warning"), [("X001", Severity::Warning)]);
        assert_eq!((of(Some(new_year), "off").len(), of(Some(new_year - 1), "off").len()), (0, 1));
    }

    #[test]
    fn what_was_there_is_inherited_until_it_is_decided() {
        let text = |status: &str, more: &str| format!("# A\n\n**Status**: {status}\n\n**Replaces**: DEP-0009{more}\n");
        let old = Repository::of(&[("deps/0000-a.md", &text("Draft", ""))]);
        let before = Before { base: Some(&old.corpus), ..Before::default() };
        let new = |path: &str, status: &str, more: &str| ids(&report(&[(path, &text(status, more))], &Options::default(), &before));
        assert_eq!(new("deps/0000-a.md", "Draft", ""), []);
        // Numbering inherits; another fault is new; a decision looks at all of it.
        assert_eq!(new("deps/0001-a.md", "Draft", ""), []);
        assert_eq!(new("deps/0001-a.md", "Draft", ", DEP-0008"), [("X001", Severity::Error)]);
        assert_eq!(new("deps/0001-a.md", "Approved", ""), [("X001", Severity::Error)]);
    }

    #[test]
    fn a_baseline_freezes() {
        let all = report(GAP, &Options::default(), &Before::default());
        let text = Baseline::of(&all).to_json();
        let before = Before { baseline: Baseline::read(&text).unwrap(), ..Before::default() };
        let frozen = report(GAP, &Options::default(), &before);
        assert!(!frozen.fails(Severity::Info) && frozen.findings.len() == all.findings.len());
        for broken in ["", "{}", "{\"schema\":\"x\",\"findings\":[]}"] {
            assert!(Baseline::read(broken).unwrap_err().contains("baseline"), "{broken}");
        }
    }

    #[test]
    fn a_comment_suppresses() {
        let text = |comment: &str| format!("# A\n\n{comment}\n\n**Replaces**: DEP-0009\n\n# Summary\n");
        let of = |comment: &str| {
            let options = Options { only: vec!["X001".to_owned(), "T005".to_owned()], ..Options::default() };
            let report = report(&[("deps/0001-a.md", &text(comment))], &options, &Before::default());
            (report.fresh().map(|finding| finding.id).collect::<Vec<_>>(), report.suppressed)
        };
        assert_eq!(of("<!-- dep:allow X001 reason=\"it is coming\" -->"), (vec![], 1));
        assert_eq!(of("<!-- dep:allow-file X001 reason=\"it is coming\" -->"), (vec![], 1));
        assert_eq!(of("<!-- dep:allow X001 -->"), (vec!["T005", "X001"], 0));
        assert_eq!(of("<!-- dep:allow X002 reason=\"no\" -->"), (vec!["T005", "X001"], 0));
        assert_eq!(of("<!-- dep:allow X001 X002 reason=\"half\" -->"), (vec!["T005"], 1));
    }
}
