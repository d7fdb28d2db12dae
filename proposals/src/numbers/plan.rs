//! Plans: which files change, and how, when a proposal gets a number.
//!
//! The order is what makes a plan safe to stop: the ledger first, which keeps the number; then texts; then the folder of attachments;
//! and the proposal's own file last. While that has its old name everything is planned again, whatever was done already, and links to
//! the same words under any other number are set right; once it has its new name nothing is left to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;

use super::links::{Subject, prefix};
use super::{Claims, Ledger, Line};
use crate::config::Config;
use crate::edit;
use crate::finding::Edit;
use crate::model::{Corpus, Document, attachments};
use crate::parse::fields::{Form, Name as FieldName};
use crate::parse::name::{Name, number as shown};
use crate::parse::value::Class;
use crate::rules::mentions;

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A text in the place of a file's.
    Write {
        /// The file.
        path: String,
        /// What it has to have; none when there has to be no such file.
        was: Option<Arc<str>>,
        /// What it gets.
        text: String,
    },
    /// Another name for a file or a folder.
    Rename {
        /// From.
        from: String,
        /// To.
        to: String,
    },
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// The file, under the name that it has before.
    pub path: String,
    /// The line, from one.
    pub line: usize,
}

/// What is going to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The number.
    pub number: u32,
    /// The file as it is called.
    pub from: String,
    /// As it is going to be called.
    pub to: String,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// The line that the ledger gets.
    pub line: Option<String>,
    /// Links that are rewritten, and in how many files.
    pub links: (usize, usize),
    /// Where the old number stands without a link: a person has to see whether this proposal is meant.
    pub mentions: Vec<Mention>,
    /// What else a person has to do.
    pub notes: Vec<String>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has a number.
    #[error("{path} has number {} already; `dormouse dep number renumber` gives it another one", shown(*number))]
    Numbered {
        /// The file.
        path: String,
        /// Its number.
        number: u32,
    },
    /// It has none yet.
    #[error("{0} has no number yet; `dormouse dep number assign` gives it one")]
    Draft(String),
    /// It is the document of the process.
    #[error("{0} is the document of the process and keeps 0000; process_document in dep.toml names another one")]
    Process(String),
    /// Somebody has the number.
    #[error("number {} is taken: {by} has it; take another one, {} is free", shown(*number), shown(*free))]
    Taken {
        /// The number.
        number: u32,
        /// Who has it.
        by: String,
        /// One that nobody has.
        free: u32,
    },
    /// The ledger is not in order.
    #[error("{path}: {problem}; {}", super::resolving(path))]
    Ledger {
        /// Its file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// There is a file or a folder of that name.
    #[error("{0} is in the way; see what it is, and take it away")]
    InTheWay(String),
}

impl Refused {
    /// The exit status that says it.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::Taken { .. } | Self::Ledger { .. } => 5,
            _ => 4,
        }
    }
}

/// What plans are made from.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Proposals, and what lies among them.
    pub corpus: &'a Corpus,
    /// Other Markdown of the tree, which may link to them.
    pub others: &'a [Document],
    /// The configuration.
    pub config: &'a Config,
    /// What other refs claim.
    pub claims: &'a Claims,
    /// The ledger, where one is used: its path, and its text where there is one.
    pub ledger: Option<(&'a str, Option<&'a str>)>,
    /// For the ledger.
    pub today: Date,
    /// For the ledger: who does it.
    pub by: &'a str,
}

/// Gives a draft a number: one that is asked for, that the ledger has for it already, or the next.
///
/// # Errors
/// It has one, or the number is taken.
pub fn assign(asked: &Asked<'_>, document: &Document, number: Option<u32>) -> Result<Plan, Refused> {
    if asked.corpus.is_process(document, asked.config) {
        return Err(Refused::Process(document.path.clone()));
    }
    if let Some(number) = document.number() {
        return Err(Refused::Numbered { path: document.path.clone(), number });
    }
    Maker::new(asked)?.plan(document, number)
}

/// Gives a proposal another number. `reference` is what it was asked for by: a name with a number that the proposal no longer has says
/// that this was done before.
///
/// # Errors
/// It has no number, or that one, or it is taken.
pub fn renumber(asked: &Asked<'_>, document: &Document, reference: &str, to: Option<u32>) -> Result<Plan, Refused> {
    let Some(number) = document.number() else { return Err(Refused::Draft(document.path.clone())) };
    let named = Name::read(reference.rsplit('/').next().unwrap_or(reference)).and_then(|name| name.number());
    if to == Some(number) || named.is_some_and(|named| named != number) {
        return Err(Refused::Numbered { path: document.path.clone(), number });
    }
    Maker::new(asked)?.plan(document, to)
}

struct Maker<'a> {
    asked: &'a Asked<'a>,
    ledger: Option<Ledger>,
}

impl<'a> Maker<'a> {
    fn new(asked: &'a Asked<'a>) -> Result<Self, Refused> {
        let ledger = asked.ledger.map(|(_, text)| Ledger::read(text.unwrap_or_default()));
        match (&asked.ledger, ledger.as_ref().and_then(|ledger| ledger.problems.first())) {
            (Some((path, _)), Some(problem)) => Err(Refused::Ledger { path: (*path).to_owned(), problem: problem.clone() }),
            _ => Ok(Self { asked, ledger }),
        }
    }

    /// Who else has a number.
    fn owner(&self, number: u32, document: &Document) -> Option<String> {
        let slug = document.slug();
        let here = self.asked.corpus.proposals().find(|other| other.number() == Some(number) && other.path != document.path);
        let claim = self.asked.claims.numbers.get(&number);
        let trunk = || {
            let other = |path: &&String| Name::read(path.rsplit('/').next().unwrap_or(path)).is_some_and(|name| name.slug != slug);
            claim?.trunk.iter().find(other).map(|path| format!("{path} on trunk"))
        };
        let others = || {
            let other = claim?.others.iter().find(|other| other.slug != slug)?;
            Some(format!("{} on {}", other.path, other.refs.first()?))
        };
        let line = || self.ledger.as_ref()?.owners(number).find(|owner| *owner != slug).map(|owner| format!("{owner} of the ledger"));
        here.map(|other| other.path.clone()).or_else(trunk).or_else(line).or_else(others)
    }

    fn number(&self, document: &Document, wanted: Option<u32>) -> Result<u32, Refused> {
        let here = self.asked.corpus.proposals().map(|document| document.path.as_str());
        let free = super::next(self.asked.claims, self.ledger.as_ref(), here);
        if let Some(number) = wanted {
            return match self.owner(number, document) {
                _ if number == 0 => Err(Refused::Taken { number, by: "whatever is a draft".to_owned(), free }),
                Some(by) => Err(Refused::Taken { number, by, free }),
                None => Ok(number),
            };
        }
        // A line of the ledger that the file does not follow: somebody was stopped after writing it.
        let kept = self.ledger.as_ref().and_then(|ledger| ledger.number(document.slug()));
        let kept = kept.filter(|kept| document.number() != Some(*kept) && self.owner(*kept, document).is_none());
        Ok(kept.unwrap_or(free))
    }

    fn plan(&self, document: &Document, wanted: Option<u32>) -> Result<Plan, Refused> {
        let (asked, number) = (self.asked, self.number(document, wanted)?);
        let slug = document.slug();
        let (folder, file) = document.path.rsplit_once('/').map_or(("", document.path.as_str()), |(folder, file)| (folder, file));
        let nested = !folder.is_empty() && prefix(folder.rsplit('/').next().unwrap_or_default(), slug).is_some();
        let home = if nested { folder.rsplit_once('/').map_or("", |(up, _)| up) } else { folder };
        let home = if home.is_empty() { String::new() } else { format!("{home}/") };
        let before = prefix(file, slug).unwrap_or_default();
        let renamed = |part: &str, before: &str| format!("{}{}", shown(number), &part[before.len()..]);
        let mut plan = Plan { number, from: document.path.clone(), ..Plan::default() };

        let kept = self.ledger.as_ref().and_then(|ledger| ledger.number(slug));
        if let Some((path, text)) = asked.ledger.filter(|_| kept != Some(number)) {
            let line = Line { number, slug: slug.to_owned(), date: asked.today.to_string(), by: asked.by.to_owned() };
            plan.steps.push(Step::Write { path: path.to_owned(), was: text.map(Arc::from), text: Ledger::with(text, &line) });
            plan.line = Some(line.written());
        }

        let same = asked.corpus.proposals().filter(|other| other.slug() == slug && other.path != document.path);
        let others: BTreeSet<String> = same.map(|other| other.path.clone()).collect();
        let subject = Subject { home: &home, nested, slug, number, others: &others };
        for text in asked.corpus.documents.iter().chain(asked.others) {
            self.text(&subject, document, text, &mut plan);
        }

        // Folders of attachments, under whatever number: those that no other proposal has.
        let folders = asked.corpus.paths.iter().filter_map(|path| path.strip_prefix(&home)?.split_once('/').map(|(folder, _)| folder));
        let owned = |folder: &str| {
            others.iter().any(|other| {
                other.strip_suffix(".md") == Some(format!("{home}{folder}").as_str()) || other.starts_with(&format!("{home}{folder}/"))
            })
        };
        let folders: BTreeSet<&str> = folders.filter(|folder| Name::read(folder).is_none() && !owned(folder)).collect();
        let mut file_folder = folder.to_owned();
        for old in folders.iter().filter(|folder| prefix(folder, slug).is_some_and(|before| before != shown(number))) {
            let new = renamed(old, prefix(old, slug).unwrap_or_default());
            if folders.contains(new.as_str()) {
                return Err(Refused::InTheWay(format!("{home}{new}")));
            }
            if plan.steps.iter().any(|step| matches!(step, Step::Rename { .. })) {
                plan.notes.push(format!("{home}{old}/ stays as it is: another folder becomes {home}{new}/"));
                continue;
            }
            plan.steps.push(Step::Rename { from: format!("{home}{old}"), to: format!("{home}{new}") });
            if nested && folder == format!("{home}{old}") {
                file_folder = format!("{home}{new}");
            }
        }
        for other in attachments(document).skip(1).filter(|other| asked.corpus.paths.iter().any(|path| path.starts_with(other))) {
            plan.notes.push(format!("{other} keeps its name: links to it stay"));
        }

        let at = |file: &str| if file_folder.is_empty() { file.to_owned() } else { format!("{file_folder}/{file}") };
        plan.to = at(&renamed(file, before));
        if asked.corpus.paths.contains(&plan.to) {
            return Err(Refused::InTheWay(plan.to));
        }
        plan.steps.push(Step::Rename { from: at(file), to: plan.to.clone() });
        if let Some(title) = document.title().filter(|title| title.contains(before) && before.len() >= 4) {
            plan.notes.push(format!("the title is {title:?}: take the number out of it"));
        }
        plan.mentions.sort();
        Ok(plan)
    }

    /// What changes in a text.
    fn text(&self, subject: &Subject<'_>, document: &Document, text: &Document, plan: &mut Plan) {
        let own = text.path == document.path;
        let old = document.number();
        let source: &str = &text.source;
        // Most texts have nothing to do with it, and need not be parsed.
        let about = own || source.to_lowercase().contains(subject.slug) || (old.is_some() && source.contains("DEP"));
        if !about {
            return;
        }
        let (mut edits, left) = subject.edits(text);
        let line = |at: usize| text.lines.position(source, at).line;
        let place = |at: usize| Mention { path: text.path.clone(), line: line(at) };
        let links = edits.len();
        if let Some(old) = old {
            let links: Vec<_> = text.body().links.iter().filter(|link| !link.bare).map(|link| link.span).collect();
            // Links stand in order, and only an image lies within another.
            let linked = |at: usize| {
                let behind = links.partition_point(|span| span.start <= at);
                links[..behind].iter().rev().take(2).any(|span| at < span.end)
            };
            let found = mentions(source, text.body()).filter(|(span, number)| *number == old && !linked(span.start));
            plan.mentions.extend(found.map(|(span, _)| place(span.start)));
            if own {
                match formerly(text, old) {
                    Some(edit) => edits.extend(edit),
                    None => plan.notes.push(format!("{}: write into its metadata that it was {}", text.path, shown(old))),
                }
            }
        }
        plan.notes.extend(left.iter().map(|span| format!("{}:{}: mend this link by hand", text.path, line(span.start))));
        if edits.is_empty() {
            return;
        }
        let new = edit::apply(source, &edit::compatible(edits));
        if !is_alike(text, &new) {
            plan.notes.push(format!("{}: its links cannot be rewritten without changing more; mend them by hand", text.path));
            return;
        }
        if links > 0 {
            plan.links = (plan.links.0 + links, plan.links.1 + 1);
        }
        plan.steps.push(Step::Write { path: text.path.clone(), was: Some(Arc::clone(&text.source)), text: new });
    }
}

/// Whether a text says the same but for numbers: as many fields, headings and links as before, and one field more at most.
fn is_alike(document: &Document, new: &str) -> bool {
    let Some(after) = Document::read(&document.path, new) else { return false };
    let (old_body, new_body) = (document.body(), after.body());
    let fields = after.head.fields.len().checked_sub(document.head.fields.len());
    matches!(fields, Some(0 | 1)) && old_body.headings.len() == new_body.headings.len() && old_body.links.len() == new_body.links.len()
}

/// The edit that keeps the old number in the metadata; none where it is there; `None` where a person has to write it.
fn formerly(document: &Document, old: u32) -> Option<Option<Edit>> {
    let old = shown(old);
    if let Some(field) = document.head.field(FieldName::Formerly) {
        if field.value.contains(&old) {
            return Some(None);
        }
        return match (field.form, Class::of(&field.value, [])) {
            (Form::FrontMatter | Form::Table | Form::Heading, _) => None,
            (_, Class::Value) => Some(Some(Edit::insert(field.value_span.end, format!(", {old}")))),
            _ => Some(Some(Edit::new(
                field.value_span,
                format!("{}{old}", if field.value_span.start == field.value_span.end { " " } else { "" }),
            ))),
        };
    }
    let source: &str = &document.source;
    let last = document.head.fields.iter().max_by_key(|field| field.span.end).filter(|field| field.form == Form::Canonical)?;
    let end = last.span.start + last.span.of(source).trim_end().len();
    let end = source.get(end..)?.find('\n').map_or(source.len(), |at| end + at);
    let end = if source.get(..end)?.ends_with('\r') { end - 1 } else { end };
    let line = if source.contains("\r\n") { "\r\n" } else { "\n" };
    Some(Some(Edit::insert(end, format!("{line}{line}**{}**: {old}", FieldName::Formerly.written()))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::numbers::find;

    type Files = BTreeMap<String, String>;

    const LEDGER: &str = "deps/.numbers";

    fn files(all: &[(&str, &str)]) -> Files {
        all.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    /// What a plan does to files.
    fn done(mut files: Files, steps: &[Step]) -> Files {
        for step in steps {
            match step {
                Step::Write { path, was, text } => {
                    assert_eq!(files.insert(path.clone(), text.clone()).as_deref(), was.as_deref(), "{path}");
                }
                Step::Rename { from, to } => {
                    let inside = |path: &str| {
                        path.strip_prefix(from.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/')).map(str::to_owned)
                    };
                    let moved = files.into_iter().map(|(path, text)| (inside(&path).map_or(path, |rest| format!("{to}{rest}")), text));
                    files = moved.collect();
                }
            }
        }
        files
    }

    /// The plan for what is asked of files.
    fn plan(files: &Files, reference: &str, again: bool, to: Option<u32>) -> Result<Plan, Refused> {
        let read = |deps: bool| {
            files
                .iter()
                .filter(move |(path, _)| path.starts_with("deps/") == deps)
                .filter_map(|(path, text)| Document::read(path, text.as_str()))
        };
        let corpus = Corpus { documents: read(true).collect(), paths: files.keys().cloned().collect(), ..Corpus::default() };
        let others: Vec<Document> = read(false).collect();
        let (config, claims) = (Config::default(), Claims::default());
        let ledger = files.get(LEDGER).map(|text| (LEDGER, Some(text.as_str())));
        let today = jiff::civil::date(2026, 3, 8);
        let asked = Asked { corpus: &corpus, others: &others, config: &config, claims: &claims, ledger, today, by: "@ada" };
        let document = find(&corpus, reference).unwrap();
        if again { renumber(&asked, document, reference, to) } else { assign(&asked, document, to) }
    }

    /// Does it, and does it again after a stop behind each step: the end is one.
    fn all_the_same(begin: &Files, reference: &str, again: bool) -> (Plan, Files) {
        let whole = plan(begin, reference, again, None).unwrap();
        let end = done(begin.clone(), &whole.steps);
        for stop in 0..=whole.steps.len() {
            let stopped = done(begin.clone(), &whole.steps[..stop]);
            match plan(&stopped, reference, again, None) {
                Ok(rest) => assert_eq!(done(stopped, &rest.steps), end, "stopped after {stop}"),
                Err(refused) => assert!(stop == whole.steps.len() && matches!(refused, Refused::Numbered { .. }), "{refused}"),
            }
        }
        (whole, end)
    }

    #[test]
    fn a_draft_gets_a_number() {
        let begin = files(&[
            ("README.md", "[idle](deps/0000-idle.md) and [x](deps/0000-other.md), `[no](deps/0000-idle.md)`\n"),
            (
                "deps/0000-idle.md",
                "# Idle\r\n\r\n**Status**: Draft\r\n\r\n![p](0000-idle/p.png) [me](#idle) <img src=\"./0000-idle/p.png\">\r\n",
            ),
            ("deps/0000-idle/p.png", ""),
            ("deps/0000-idle/more.md", "[up](../0000-idle.md#x)\n"),
            ("deps/0000-other.md", "# Other\n\n[DEP-0000 Idle][i] [0000-idle](<0000-idle.md>) [i]\n\n[i]: ./0000-idle.md \"0000-idle\"\n"),
            ("deps/0016-x.md", "# X\n\n[Idle](NNNN-idle.md), [idle](/deps/000N-idle.md?x)\n"),
            ("docs/0000-idle.md", "# not this one: [a](0000-idle.md)\n"),
        ]);
        let (plan, end) = all_the_same(&begin, "idle", false);
        assert_eq!((plan.number, plan.to.as_str(), plan.links), (17, "deps/0017-idle.md", (10, 5)));
        let wanted = files(&[
            ("README.md", "[idle](deps/0017-idle.md) and [x](deps/0000-other.md), `[no](deps/0000-idle.md)`\n"),
            (
                "deps/0017-idle.md",
                "# Idle\r\n\r\n**Status**: Draft\r\n\r\n![p](0017-idle/p.png) [me](#idle) <img src=\"./0017-idle/p.png\">\r\n",
            ),
            ("deps/0017-idle/p.png", ""),
            ("deps/0017-idle/more.md", "[up](../0017-idle.md#x)\n"),
            ("deps/0000-other.md", "# Other\n\n[DEP-0017 Idle][i] [0017-idle](<0017-idle.md>) [i]\n\n[i]: ./0017-idle.md \"0000-idle\"\n"),
            ("deps/0016-x.md", "# X\n\n[Idle](0017-idle.md), [idle](/deps/0017-idle.md?x)\n"),
            ("docs/0000-idle.md", "# not this one: [a](0000-idle.md)\n"),
        ]);
        assert_eq!(end, wanted);
    }

    #[test]
    fn a_ledger_keeps_it() {
        let begin = files(&[
            ("deps/.numbers", "0040 old 2026-01-01 @chen"),
            ("deps/0000-idle.md", "# Idle\n"),
            ("deps/0001-a.md", "[x](0000-idle.md)"),
        ]);
        let (plan, end) = all_the_same(&begin, "deps/0000-idle.md", false);
        assert_eq!((plan.number, plan.line.as_deref()), (41, Some("0041 idle 2026-03-08 @ada")));
        assert_eq!(end[LEDGER], "0040 old 2026-01-01 @chen\n0041 idle 2026-03-08 @ada\n");
        // Stopped behind the ledger, and somebody took the next ones: this one stays.
        let mut stopped = done(begin, &plan.steps[..1]);
        stopped.insert("deps/0050-new.md".to_owned(), "# New\n".to_owned());
        assert_eq!(super::tests::plan(&stopped, "idle", false, None).unwrap().number, 41);
    }

    #[test]
    fn a_folder_of_its_own_moves_with_it() {
        let begin = files(&[
            ("deps/NNNN-roll-out/NNNN-roll-out.md", "# Roll out\n\n[a](traffic.md) [b](../NNNN-roll-out/traffic.md)\n"),
            ("deps/NNNN-roll-out/traffic.md", "[up](NNNN-roll-out.md)\n"),
            ("deps/0001-a.md", "[r](NNNN-roll-out/NNNN-roll-out.md)\n"),
        ]);
        let (_, end) = all_the_same(&begin, "roll-out", false);
        let wanted = files(&[
            ("deps/0002-roll-out/0002-roll-out.md", "# Roll out\n\n[a](traffic.md) [b](../0002-roll-out/traffic.md)\n"),
            ("deps/0002-roll-out/traffic.md", "[up](0002-roll-out.md)\n"),
            ("deps/0001-a.md", "[r](0002-roll-out/0002-roll-out.md)\n"),
        ]);
        assert_eq!(end, wanted);
    }

    #[test]
    fn one_of_two_gets_another() {
        let begin = files(&[
            ("deps/.numbers", "0014 a 2026-01-01 @a\n0015 z 2026-01-01 @a\n"),
            ("deps/0014-a.md", "# A\n\n**Status**: Approved\n\n**Category**: Process <!-- c -->\n\nDEP-0014 is this\n"),
            ("deps/0014-b.md", "# B\n\n[DEP-0014 A](0014-a.md) [DEP-0014 B](0014-b.md) DEP-0014\n"),
            ("deps/0014-images/x.png", ""),
        ]);
        let (plan, end) = all_the_same(&begin, "deps/0014-a.md", true);
        assert_eq!((plan.number, plan.links), (16, (2, 1)));
        assert_eq!(
            end["deps/0016-a.md"],
            "# A\n\n**Status**: Approved\n\n**Category**: Process <!-- c -->\n\n**Formerly**: 0014\n\nDEP-0014 is this\n"
        );
        assert_eq!(end["deps/0014-b.md"], "# B\n\n[DEP-0016 A](0016-a.md) [DEP-0014 B](0014-b.md) DEP-0014\n");
        let mentions: Vec<(&str, usize)> = plan.mentions.iter().map(|m| (m.path.as_str(), m.line)).collect();
        assert_eq!((mentions, plan.notes.len()), (vec![("deps/0014-a.md", 7), ("deps/0014-b.md", 3)], 1));
        assert!(end[LEDGER].ends_with("0016 a 2026-03-08 @ada\n"));
        let (_, again) = all_the_same(&end, "deps/0016-a.md", true);
        assert!(again["deps/0017-a.md"].contains("**Formerly**: 0014, 0016\n"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let begin = files(&[
            ("deps/0000-process.md", "# P\n\n**Status**: Approved\n\n**Category**: Process\n"),
            ("deps/0000-d.md", "# D\n"),
            ("deps/0003-c.md", "# C\n"),
        ]);
        let refused = |reference: &str, again, to| plan(&begin, reference, again, to).unwrap_err();
        assert!(matches!(refused("process", false, None), Refused::Process(_)));
        assert_eq!((refused("c", false, None).exit(), refused("d", true, None).exit(), refused("c", true, Some(3)).exit()), (4, 4, 4));
        let taken = refused("d", false, Some(3));
        assert_eq!(
            (taken.exit(), taken.to_string().as_str()),
            (5, "number 0003 is taken: deps/0003-c.md has it; take another one, 0004 is free")
        );
        let mut broken = begin.clone();
        broken.insert(LEDGER.to_owned(), "<<<<<<< HEAD\n".to_owned());
        let refused = plan(&broken, "d", false, None).unwrap_err();
        assert!(refused.exit() == 5 && refused.to_string().contains("git checkout --theirs"), "{refused}");
        let mut way = begin;
        way.insert("deps/0000-d/x".to_owned(), String::new());
        way.insert("deps/0004-d/x".to_owned(), String::new());
        assert!(matches!(plan(&way, "d", false, None), Err(Refused::InTheWay(_))));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_planned(text in "([#\\[\\]()!<>`é\n -]|0000-idle|NNNN-idle|0042-TBD-idle|\\.md|\\./|\\.\\./|0000|DEP-|\\]\\(|<img src=|\\[i\\]: |%30|\\\\){0,40}") {
            let begin = files(&[("deps/0000-idle.md", &text), ("deps/0000-idle/a.md", &text), ("deps/0007-b.md", &text), ("x.md", &text)]);
            let (plan, _) = all_the_same(&begin, "deps/0000-idle.md", false);
            assert_eq!(plan.to, "deps/0008-idle.md");
        }
    }
}
