//! `lint`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use dormouse_console::exit::Failure;
use dormouse_console::output::{Out, table};

use super::Common;
use super::session::{Session, State, Wants, diff, failed};
use crate::config::{Level, nearest};
use crate::edit;
use crate::finding::Severity;
use crate::lint::{Baseline, Before, Options, Report, lint};
use crate::report::text::Style;
use crate::report::{github, json, text};
use crate::rules::{self, Check, Mend, Needs, Rule};
use crate::tree::Source;

/// How often what mending brings is mended again.
const ROUNDS: usize = 5;

#[derive(Clone, Debug, Args)]
pub(super) struct LintArgs {
    /// Only what is found in these files and folders
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Look at what is staged for the next commit, not at the work tree
    #[arg(long, conflicts_with_all = ["fix", "since"])]
    staged: bool,
    /// Only what this change brought, against where it left REV
    #[arg(long, value_name = "REV")]
    since: Option<String>,
    /// As trunk: what is no fault of a draft is one there
    #[arg(long)]
    trunk: bool,
    /// Rules with a clock, too, and what history says
    #[arg(long)]
    history: bool,
    #[arg(long, hide = true, conflicts_with = "history")]
    no_history: bool,
    /// Mend what can be mended without a doubt
    #[arg(long)]
    fix: bool,
    /// Fail on these, too
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
    /// Turn a rule off
    #[arg(long, value_name = "ID", value_parser = rule)]
    allow: Vec<&'static str>,
    /// Make a rule's findings warnings
    #[arg(long, value_name = "ID", value_parser = rule)]
    warn: Vec<&'static str>,
    /// Make a rule's findings errors
    #[arg(long, value_name = "ID", value_parser = rule)]
    error: Vec<&'static str>,
    /// Only these rules
    #[arg(long, value_name = "ID", value_parser = rule)]
    only: Vec<&'static str>,
    /// Pass over what this file froze
    #[arg(long, value_name = "FILE", conflicts_with = "write_baseline")]
    baseline: Option<PathBuf>,
    /// Freeze what is found now into this file
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// Show notes, too
    #[arg(long)]
    notes: bool,
    /// The form of the report
    #[arg(long, visible_alias = "format", value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Say what a rule is for, and end
    #[arg(long, value_name = "ID", value_parser = rule, exclusive = true)]
    explain: Option<&'static str>,
    /// List all rules, and end
    #[arg(long, exclusive = true)]
    list_rules: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deny {
    Warnings,
    Notes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// As compilers show it
    Text,
    /// A line each
    Short,
    /// For programs
    Json,
    /// Commands of a workflow
    Github,
}

/// The number of a rule.
fn rule(text: &str) -> Result<&'static str, String> {
    let known = || rules::all().flat_map(|rule| [rule.id, rule.name]).collect::<Vec<_>>();
    let found = rules::find(text).ok_or_else(|| format!("there is no such rule{}; --list-rules shows all", nearest(text, &known())))?;
    Ok(found.id)
}

impl LintArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        if let Some(id) = self.explain {
            return Ok(Out.text(&rules::find(id).map(explained).unwrap_or_default())?);
        }
        if self.list_rules {
            return Ok(Out.text(&listed())?);
        }
        let options = self.options()?;
        let session = Session::open(common)?;
        if self.fix {
            self.mend(&session, &options)?;
        }
        let (state, report) = self.look(&session, &options)?;
        if let Some(path) = &self.write_baseline {
            let text = Baseline::of(&report).to_json();
            std::fs::write(path, text).map_err(|why| Failure::with_code(3, format!("{}: {why}", path.display())))?;
            session.note(&format!("{}: {} findings frozen", path.display(), report.findings.len()));
            return session.ended(&state.troubles, 0);
        }
        let corpus = &state.corpus;
        Out.text(&match self.output {
            Form::Text => text::full(&report, corpus, Style { colour: session.colour(), notes: self.notes }),
            Form::Short => text::short(&report, corpus, self.notes),
            Form::Json => json::document(&report, corpus),
            Form::Github => github::commands(&report, corpus, self.notes),
        })?;
        if self.output == Form::Github {
            self.page(&report, &state)?;
        }
        let from = match self.deny {
            None => Severity::Error,
            Some(Deny::Warnings) => Severity::Warning,
            Some(Deny::Notes) => Severity::Info,
        };
        let ended = session.ended(&state.troubles, u8::from(report.fails(from)));
        // The process ends now: taking thousands of documents apart first would be a twentieth of its time.
        std::mem::forget(state);
        ended
    }

    fn options(&self) -> Result<Options, Failure> {
        let lists = [(&self.allow, Level::Off), (&self.warn, Level::Warning), (&self.error, Level::Error)];
        let mut levels: Vec<(String, Level)> = Vec::new();
        for (id, level) in lists.into_iter().flat_map(|(ids, level)| ids.iter().map(move |id| (*id, level))) {
            if levels.iter().any(|(known, other)| known == id && *other != level) {
                return Err(Failure::usage(format!("{id} is given two levels: choose one of --allow, --warn and --error")));
            }
            levels.push((id.to_owned(), level));
        }
        let only = self.only.iter().map(|id| (*id).to_owned()).collect();
        Ok(Options { trunk: self.trunk, clock: self.history, only, levels })
    }

    fn look(&self, session: &Session<'_>, options: &Options) -> anyhow::Result<(State, Report)> {
        let source = if self.staged { Source::Index } else { Source::WorkTree };
        let mut state = session.load(source, Wants { history: self.history, bodies: true, ..Wants::default() })?;
        self.past(session, &mut state);
        let base = match &self.since {
            Some(revision) => {
                let base = session.repository.merge_base(revision, "HEAD").map_err(failed)?;
                Some(session.load(Source::Commit(base), Wants { bodies: true, ..Wants::default() })?)
            }
            None => None,
        };
        let mut before = Before { base: base.as_ref().map(|state| &state.corpus), ..Before::default() };
        if let Some(path) = &self.baseline {
            let broken = |why: &dyn std::fmt::Display| {
                Failure::with_code(3, format!("{}: {why}; write it anew with --write-baseline", path.display()))
            };
            let text = std::fs::read_to_string(path).map_err(|why| broken(&why))?;
            before.baseline = Baseline::read(&text).map_err(|why| broken(&why))?;
        }
        let mut report = lint(&state.corpus, &state.settings.config, options, &before);
        if !self.paths.is_empty() {
            let wanted: Vec<String> = self.paths.iter().map(|given| state.path(&session.repository, given)).collect::<Result<_, _>>()?;
            let inside =
                |path: &str| wanted.iter().any(|wanted| wanted.is_empty() || path == wanted || path.starts_with(&format!("{wanted}/")));
            report.findings.retain(|finding| inside(&finding.path));
        }
        Ok((state, report))
    }

    /// History where something asks for it though nobody named it: who of several with one number was first, and levels that hold from
    /// a day on. Without it the other file is named, and each document is new.
    fn past(&self, session: &Session<'_>, state: &mut State) {
        let mut numbers: Vec<u32> = state.corpus.proposals().filter_map(crate::model::Document::number).collect();
        numbers.sort_unstable();
        let shared = numbers.windows(2).any(|pair| pair[0] == pair[1]);
        let dated = state.settings.config.rules.values().any(|rule| rule.since.is_some());
        if (shared || dated) && !self.history && !self.no_history && session.has_git() {
            let trunk = session.repository.trunk().ok().flatten();
            let known = trunk.and_then(|trunk| session.repository.history(&trunk.commit, &state.settings.folders).ok());
            state.corpus.history = known.unwrap_or_default();
        }
    }

    /// Mends what can be, as often as that brings something new.
    fn mend(&self, session: &Session<'_>, options: &Options) -> anyhow::Result<()> {
        let (mut mended, mut files) = (0, std::collections::BTreeSet::new());
        for _ in 0..ROUNDS {
            // Read under the lock: nobody else of us writes between.
            let lock = if session.common.dry_run { None } else { Some(session.repository.lock().map_err(failed)?) };
            let (state, report) = self.look(session, options)?;
            let edits = report.edits();
            if edits.is_empty() {
                break;
            }
            mended += report.fixable();
            for (path, edits) in edits {
                let Some(document) = state.corpus.documents.iter().find(|document| document.path == path) else { continue };
                let text = edit::apply(&document.source, &edits);
                match &lock {
                    Some(lock) => lock.replace(path, Some(&document.source), &text).map_err(failed)?,
                    None => Out.text(&diff(path, &document.source, &text))?,
                }
                files.insert(path.to_owned());
            }
            if lock.is_none() {
                break;
            }
        }
        let would = if session.common.dry_run { "would be mended" } else { "mended" };
        session.note(&format!("{mended} findings {would} in {} files", files.len()));
        Ok(())
    }

    /// The page of a workflow's step, where it has one.
    fn page(&self, report: &Report, state: &State) -> anyhow::Result<()> {
        use std::io::Write as _;
        let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return Ok(()) };
        let page = github::page(report, &state.corpus, self.notes);
        let written =
            std::fs::File::options().create(true).append(true).open(Path::new(&path)).and_then(|mut file| file.write_all(page.as_bytes()));
        written.map_err(|why| Failure::with_code(3, format!("{}: {why}", Path::new(&path).display())).into())
    }
}

fn mend(rule: &Rule) -> &'static str {
    match rule.mend {
        Mend::Safe => "--fix mends it",
        Mend::Unsafe => "help says how to mend it",
        Mend::None => "nobody can mend it without thinking",
    }
}

fn needs(rule: &Rule) -> &'static str {
    match rule.needs {
        Needs::Nothing => "",
        Needs::Trunk => "with --trunk",
        Needs::Clock => "with --history",
        Needs::Configured => "where it is configured",
    }
}

fn severity(rule: &Rule) -> &'static str {
    crate::report::word(rule.severity)
}

fn explained(rule: &Rule) -> String {
    let needs = if needs(rule).is_empty() { String::new() } else { format!("; {}", needs(rule)) };
    let later = if matches!(rule.check, Check::Later) { "\n\nNot built yet: it never fires." } else { "" };
    format!("{} {}\n{}; {}{needs}\n\n{}{later}\n", rule.id, rule.name, severity(rule), mend(rule), rule.about)
}

fn listed() -> String {
    let row = |rule: &Rule| {
        let state = if matches!(rule.check, Check::Later) { "not built yet" } else { needs(rule) };
        let fix = if rule.mend == Mend::Safe { "safe" } else { "" };
        [rule.id, rule.name, severity(rule), fix, state].map(str::to_owned).to_vec()
    };
    table::render(&["ID", "NAME", "SEVERITY", "FIX", "RUNS"], &rules::all().map(row).collect::<Vec<_>>())
}
