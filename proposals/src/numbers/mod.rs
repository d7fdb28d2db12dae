//! Numbers: who claims which, which is free, and how a proposal gets one (proposals contract 2.4, 3.6).
//!
//! Git merges two files with one number without a word, and a branch does not see another. So a number is claimed by every ref of the
//! clone, a ledger makes two branches conflict that take one, and a check stops the second.

mod ledger;
mod links;
mod plan;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{Corpus, Document, RefTree};
use crate::parse::name::{Kind, Name, number as shown};

pub use ledger::{Ledger, Line, is_union, resolving};
pub use plan::{Asked, Mention, Plan, Refused, Step, assign, renumber};

/// One that claims a number, by the words behind the number: a file that moved, or stands on several refs, claims once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claimant {
    /// Its path on the first of the refs.
    pub path: String,
    /// The words behind the number.
    pub slug: String,
    /// Refs that have it, by their whole names.
    pub refs: Vec<String>,
}

/// Who claims a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Paths on trunk.
    pub trunk: Vec<String>,
    /// On other refs, and not on trunk.
    pub others: Vec<Claimant>,
}

impl Claim {
    /// How many claim it.
    #[must_use]
    pub fn claimants(&self) -> usize {
        self.trunk.len() + self.others.len()
    }
}

/// All claims of a clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// By number.
    pub numbers: BTreeMap<u32, Claim>,
    /// Names off trunk that seem to bear a number, and do not as it should be: not counted.
    pub malformed: Vec<Claimant>,
    /// There are refs of pull requests in the clone.
    pub pulls: bool,
}

impl Claims {
    /// Of trunk and the other refs of a corpus. On trunk files in folders of proposals count, elsewhere every path does: branches put
    /// proposals where they like.
    #[must_use]
    pub fn of(corpus: &Corpus, in_folders: impl Fn(&str) -> bool) -> Self {
        let trunk = corpus.trunk.as_ref().map_or(&[][..], |trunk| trunk.paths.as_slice());
        Self::among(trunk, &corpus.refs, in_folders)
    }

    /// Of paths on trunk and of other refs.
    #[must_use]
    pub fn among(trunk: &[String], refs: &[RefTree], in_folders: impl Fn(&str) -> bool) -> Self {
        let mut claims = Self { pulls: refs.iter().any(|found| found.name.starts_with("refs/pull/")), ..Self::default() };
        let mut on_trunk = BTreeSet::new();
        for path in trunk {
            let Some(name) = name_of(path) else { continue };
            if let Some(number) = claimed(&name).filter(|_| in_folders(path)) {
                claims.numbers.entry(number).or_default().trunk.push(path.clone());
            }
            on_trunk.insert((claimed(&name), name.slug));
        }
        for found in refs.iter().filter(|found| !found.merged) {
            for path in &found.paths {
                let Some(name) = name_of(path).filter(|name| !on_trunk.contains(&(claimed(name), name.slug.clone()))) else { continue };
                let list = match claimed(&name) {
                    Some(number) => &mut claims.numbers.entry(number).or_default().others,
                    None if is_malformed(&name) => &mut claims.malformed,
                    None => continue,
                };
                match list.iter_mut().find(|known| known.slug == name.slug) {
                    Some(known) if known.refs.last() == Some(&found.name) => {}
                    Some(known) => known.refs.push(found.name.clone()),
                    None => list.push(Claimant { path: path.clone(), slug: name.slug, refs: vec![found.name.clone()] }),
                }
            }
        }
        claims
    }

    /// The largest number that anybody claims.
    #[must_use]
    pub fn largest(&self) -> u32 {
        self.numbers.last_key_value().map_or(0, |(number, _)| *number)
    }
}

/// How pull requests of the usual forge come into a clone, which knows none of them by itself.
pub const FETCH_PULLS: &str = "git fetch origin '+refs/pull/*/head:refs/pull/*/head'";

fn name_of(path: &str) -> Option<Name> {
    Name::read(path.rsplit('/').next().unwrap_or(path))
}

/// The number that a name claims. A date is none, with hyphens or without.
fn claimed(name: &Name) -> Option<u32> {
    name.number().filter(|number| *number <= LARGEST && !is_dated(name))
}

/// Numbers have five digits at most.
const LARGEST: u32 = 99_999;

/// `2023-01-19 Title` is how an older process named its documents.
fn is_dated(name: &Name) -> bool {
    let two = |text: &str| text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_digit());
    let mut parts = name.slug.split('-');
    let (month, day) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let year = matches!(name.kind, Kind::Numbered(1900..2100));
    let ends = |text: &str| text.as_bytes().get(2).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    year && two(month) && month.len() == 2 && two(day) && ends(day)
}

/// Whether somebody seems to have meant a number: `001-x`, `00XX-x`, `AIP-001-x`.
fn is_malformed(name: &Name) -> bool {
    if name.kind != Kind::Other {
        return name.number().is_some() && claimed(name).is_none();
    }
    let Some((first, rest)) = name.slug.split_once('-') else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let ended = rest.as_bytes().get(digits).is_none_or(|byte| *byte == b'-');
    let lettered = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_alphabetic()) && (2..=6).contains(&digits) && ended;
    let numbered = first.len() >= 2 && first.bytes().take(2).all(|byte| byte.is_ascii_digit());
    numbered || lettered
}

/// The number that nobody has: one more than the largest of trunk, of other refs, of the ledger, and of paths here. Gaps stay.
#[must_use]
pub fn next<'a>(claims: &Claims, ledger: Option<&Ledger>, here: impl IntoIterator<Item = &'a str>) -> u32 {
    let here = here.into_iter().filter_map(|path| claimed(&name_of(path)?)).max().unwrap_or(0);
    claims.largest().max(ledger.map_or(0, Ledger::largest)).max(here).saturating_add(1)
}

/// What a check is given: paths of Markdown files in folders of proposals, and ledgers.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Where the change began.
    pub base: &'a [String],
    /// With the change.
    pub here: &'a [String],
    /// What it is going to be merged into.
    pub tip: &'a [String],
    /// The ledger with the change.
    pub ledger: Option<&'a Ledger>,
    /// The ledger of what it is going to be merged into.
    pub tip_ledger: Option<&'a Ledger>,
}

/// Why a number of a change cannot stay, or may not be able to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// By a file of the branch that it is going to be merged into.
    Tip(String),
    /// By another's line in the ledger.
    Ledger(String),
    /// By another file of the change itself.
    Here(String),
    /// By another ref: somebody will have to give way.
    Claimed(Claimant),
}

/// A number that a change added, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clash {
    /// The number.
    pub number: u32,
    /// The file that the change added.
    pub path: String,
    /// Who has it.
    pub by: Taken,
}

impl Clash {
    /// Whether it is refused; another ref's claim is only with `strict`.
    #[must_use]
    pub fn is_refused(&self, strict: bool) -> bool {
        strict || !matches!(self.by, Taken::Claimed(_))
    }

    /// In a sentence.
    #[must_use]
    pub fn message(&self) -> String {
        let by = match &self.by {
            Taken::Tip(path) => format!("{path} has it on the branch that this goes to"),
            Taken::Ledger(slug) => format!("the ledger gives it to {slug}"),
            Taken::Here(path) => format!("{path} has it here too"),
            Taken::Claimed(other) => format!("{} claims it on {}", other.path, other.refs.join(", ")),
        };
        format!("{}: number {} is taken: {by}", self.path, shown(self.number))
    }
}

/// Numbers of a change that somebody else has. What was there when it began is nobody's fault here.
#[must_use]
pub fn check(change: &Change<'_>, claims: &Claims) -> Vec<Clash> {
    let read = |paths: &'_ [String]| -> Vec<(u32, String, String)> {
        let one = |path: &String| {
            let name = name_of(path)?;
            Some((claimed(&name)?, name.slug, path.clone()))
        };
        paths.iter().filter_map(one).collect()
    };
    let (base, here, tip) = (read(change.base), read(change.here), read(change.tip));
    let has = |files: &[(u32, String, String)], number: u32, slug: &str| files.iter().any(|(n, s, _)| *n == number && s == slug);
    let mut clashes = Vec::new();
    for (number, slug, path) in here.iter().filter(|(number, slug, _)| !has(&base, *number, slug)) {
        // One that this change takes away or calls otherwise gives its number up.
        let left = |other: &str| has(&base, *number, other) && !has(&here, *number, other);
        let mut put = |by| clashes.push(Clash { number: *number, path: path.clone(), by });
        for (_, _, other) in tip.iter().filter(|(n, s, _)| n == number && s != slug && !left(s)) {
            put(Taken::Tip(other.clone()));
        }
        for (_, _, other) in here.iter().filter(|(n, _, p)| n == number && p != path && !change.tip.contains(p)) {
            put(Taken::Here(other.clone()));
        }
        let mut lines = BTreeSet::new();
        for ledger in [change.ledger, change.tip_ledger].into_iter().flatten() {
            lines.extend(ledger.owners(*number).filter(|owner| owner != slug && !left(owner)));
        }
        // What a file of the tip says already need not be said again by its line.
        lines.retain(|owner| !has(&tip, *number, owner));
        for owner in lines {
            put(Taken::Ledger(owner.to_owned()));
        }
        for other in claims.numbers.get(number).into_iter().flat_map(|claim| &claim.others).filter(|other| other.slug != *slug) {
            // A file that is here was told of above.
            if !has(&here, *number, &other.slug) && !left(&other.slug) {
                put(Taken::Claimed(other.clone()));
            }
        }
    }
    clashes
}

/// Why a reference names no one proposal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfound {
    /// There is none.
    #[error("no proposal is {0:?}; name one by number, path, slug, or the beginning of a slug")]
    None(String),
    /// There are several, with these paths.
    #[error("{} are {asked:?}; name one by its path", paths.join(" and "))]
    Several {
        /// What was asked.
        asked: String,
        /// Their paths.
        paths: Vec<String>,
    },
}

/// The proposal that `17`, `0017`, `DEP-0017`, a path from the root, a slug, or the beginning of one slug names. A path that is no
/// longer there names the proposal with the same words behind its number.
///
/// # Errors
/// There is none, or more than one.
pub fn find<'a>(corpus: &'a Corpus, asked: &str) -> Result<&'a Document, Unfound> {
    let one = |found: Vec<&'a Document>| match found.as_slice() {
        [] => None,
        [one] => Some(Ok(*one)),
        several => {
            let paths = several.iter().map(|document| document.path.clone()).collect();
            Some(Err(Unfound::Several { asked: asked.to_owned(), paths }))
        }
    };
    let all = |fits: &dyn Fn(&Document) -> bool| one(corpus.proposals().filter(|document| fits(document)).collect());
    if let Some(found) = all(&|document| document.path == asked) {
        return found;
    }
    let digits = asked.strip_prefix("DEP").map_or(asked, |rest| rest.trim_start_matches(['-', ' ']));
    if !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = digits.parse().unwrap_or(0);
        if let Some(found) = all(&|document| document.number() == Some(number)) {
            return found;
        }
    }
    let file = asked.rsplit('/').next().unwrap_or(asked);
    let slug = match name_of(file).or_else(|| name_of(&format!("{file}.md"))) {
        Some(name) if name.is_proposal() => name.slug,
        _ => file.to_lowercase(),
    };
    // Words behind a number that somebody has mean that one first.
    let number = name_of(&format!("{file}.md")).and_then(|name| name.number());
    let both = || all(&|document| number.is_some() && document.number() == number && document.slug().starts_with(&slug));
    let by_slug = || all(&|document| document.slug() == slug);
    let by_file = || all(&|document| document.path.rsplit('/').next() == Some(file));
    let begin = || all(&|document| !slug.is_empty() && document.slug().starts_with(&slug));
    by_file().or_else(both).or_else(by_slug).or_else(begin).unwrap_or_else(|| Err(Unfound::None(asked.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(all: &[&str]) -> Vec<String> {
        all.iter().map(|path| (*path).to_owned()).collect()
    }

    fn branch(name: &str, all: &[&str]) -> RefTree {
        RefTree { name: name.to_owned(), paths: paths(all), ..RefTree::default() }
    }

    #[test]
    fn claims_are_counted_by_words() {
        let trunk = paths(&["deps/0001-a.md", "notes/0900-x.md", "deps/0000-d.md"]);
        let refs = [
            branch("refs/heads/x", &["0002-b.md", "deps/0001-a.md", "0001-A.md", "deps/0001-c.md", "2023-01-19 Old.md", "deps/NNNN-e.md"]),
            branch("refs/remotes/origin/x", &["deps/0002-b.md", "0002-b/0002-b.md", "deps/07-x.md", "0042-TBD-x.md", "20260102-x.md"]),
            RefTree { merged: true, ..branch("refs/heads/old", &["deps/0700-z.md"]) },
        ];
        let claims = Claims::among(&trunk, &refs, |path| path.starts_with("deps/"));
        assert_eq!(claims.numbers.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!((claims.numbers[&1].claimants(), claims.numbers[&2].claimants()), (2, 1));
        assert_eq!(claims.numbers[&2].others[0].refs, ["refs/heads/x", "refs/remotes/origin/x"]);
        assert_eq!(
            claims.malformed.iter().map(|m| m.path.as_str()).collect::<Vec<_>>(),
            ["2023-01-19 Old.md", "deps/07-x.md", "20260102-x.md"]
        );
        let ledger = Ledger::read("0009 z 2026-01-01 @a\n");
        assert_eq!((next(&claims, None, []), next(&claims, Some(&ledger), []), next(&claims, None, ["deps/0011-h.md"])), (3, 10, 12));
    }

    #[test]
    fn a_change_is_checked() {
        let base = paths(&["deps/0001-a.md", "deps/0001-b.md", "deps/0002-c.md"]);
        let run = |here: &[&str], tip: &[&str], ledger: Option<&str>, refs: &[RefTree]| {
            let (here, tip) = (paths(here), paths(tip));
            let ledger = ledger.map(Ledger::read);
            let claims = Claims::among(&tip, refs, |_| true);
            let change = Change { base: &base, here: &here, tip: &tip, ledger: ledger.as_ref(), tip_ledger: None };
            check(&change, &claims).into_iter().map(|clash| (clash.is_refused(false), clash.message())).collect::<Vec<_>>()
        };
        let old = ["deps/0001-a.md", "deps/0001-b.md", "deps/0002-c.md"];
        let with = |more: &[&'static str]| old.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
        assert_eq!(run(&old, &old, None, &[]), []);
        assert_eq!(run(&with(&["deps/0003-d.md"]), &old, None, &[]), []);
        let clash = run(&with(&["deps/0003-d.md"]), &with(&["deps/0003-e.md"]), None, &[]);
        assert_eq!(
            clash,
            [(true, "deps/0003-d.md: number 0003 is taken: deps/0003-e.md has it on the branch that this goes to".to_owned())]
        );
        // Another name for what was there, and one that the tip has got meanwhile.
        assert_eq!(run(&["deps/0001-a.md", "deps/0001-b.md", "deps/0002-new.md"], &old, None, &[]), []);
        assert_eq!(run(&with(&["deps/0003-d.md"]), &with(&["deps/0003-d.md"]), None, &[]), []);
        assert_eq!(run(&with(&["deps/0003-d.md", "deps/0003-e.md"]), &old, None, &[]).len(), 2);
        assert_eq!(run(&with(&["deps/0003-d.md"]), &old, Some("0003 d 2026-01-01 @a\n"), &[]), []);
        let ledger = run(&with(&["deps/0003-d.md"]), &old, Some("0003 z 2026-01-01 @a\n"), &[]);
        assert_eq!(ledger, [(true, "deps/0003-d.md: number 0003 is taken: the ledger gives it to z".to_owned())]);
        let refs = [branch("refs/heads/own", &["deps/0003-d.md"]), branch("refs/pull/7/head", &["deps/0003-z.md"])];
        let claimed = run(&with(&["deps/0003-d.md"]), &old, None, &refs);
        assert_eq!(claimed, [(false, "deps/0003-d.md: number 0003 is taken: deps/0003-z.md claims it on refs/pull/7/head".to_owned())]);
    }

    #[test]
    fn references_find_one() {
        let files = ["deps/0000-idle.md", "deps/0001-a.md", "deps/0001-b.md", "deps/0017-expire-idle.md", "deps/0018-expire-busy.md"];
        let documents = files.iter().map(|path| Document::read(path, "# T\n").unwrap()).collect();
        let corpus = Corpus { documents, ..Corpus::default() };
        let found = |asked: &str| find(&corpus, asked).map(|document| document.path.as_str()).map_err(|why| why.to_string());
        for asked in [
            "17",
            "0017",
            "DEP-0017",
            "DEP17",
            "deps/0017-expire-idle.md",
            "0017-expire-idle",
            "expire-idle",
            "expire-i",
            "deps/0000-expire-idle.md",
        ] {
            assert_eq!(found(asked), Ok("deps/0017-expire-idle.md"), "{asked}");
        }
        assert_eq!(found("1"), Err("deps/0001-a.md and deps/0001-b.md are \"1\"; name one by its path".to_owned()));
        assert!(found("expire").unwrap_err().contains("0018-expire-busy"));
        assert!(found("nothing").unwrap_err().contains("no proposal is"));
        assert_eq!(found("deps/0001-b.md"), Ok("deps/0001-b.md"));
    }
}
