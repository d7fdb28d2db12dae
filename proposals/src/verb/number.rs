//! `number`.

use clap::{Args, Subcommand, ValueEnum};
use dormouse_console::exit::Failure;
use dormouse_console::output::{Out, table};

use super::Common;
use super::session::{Session, State, Wants, diff, failed};
use crate::config::Strategy;
use crate::lint::SCHEMA;
use crate::model::Document;
use crate::numbers::{self, Asked, Change, Claims, FETCH_PULLS, Ledger, Plan, Step};
use crate::parse::name::number as shown;
use crate::tree::Source;

#[derive(Clone, Debug, Args)]
pub(super) struct NumberArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Who claims which number: trunk, branches and pull requests of this clone
    Claims(Output),
    /// The next number that nobody has
    Next(Output),
    /// Give a draft a number: its file is renamed, links to it are rewritten
    Assign {
        /// The draft: a path, or words of its name
        #[arg(value_name = "REF")]
        reference: String,
        /// This number, and not the next one
        #[arg(long, value_name = "N")]
        number: Option<u32>,
        /// Who does it, for the ledger
        #[arg(long = "as", value_name = "NAME")]
        by: Option<String>,
    },
    /// Give a proposal another number
    Renumber {
        /// The proposal; by its path where two have one number
        #[arg(value_name = "REF")]
        reference: String,
        /// This number, and not the next one
        #[arg(long, value_name = "N")]
        to: Option<u32>,
        /// Who does it, for the ledger
        #[arg(long = "as", value_name = "NAME")]
        by: Option<String>,
    },
    /// Fail where a number that this change added is somebody else's
    Check {
        /// What it is going to be merged into
        #[arg(long, value_name = "REV")]
        base: String,
        /// Fail on claims of other branches, too
        #[arg(long)]
        strict: bool,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Clone, Copy, Debug, Args)]
struct Output {
    /// The form of the answer
    #[arg(long, visible_alias = "format", value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Table,
    /// For programs
    Json,
}

impl NumberArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        let session = Session::open(common)?;
        match &self.verb {
            Verb::Claims(output) => claims(&session, output.output),
            Verb::Next(output) => next(&session, output.output),
            Verb::Assign { reference, number, by } => {
                change(&session, by.as_deref(), |asked, document| numbers::assign(asked, document, *number), reference)
            }
            Verb::Renumber { reference, to, by } => {
                change(&session, by.as_deref(), |asked, document| numbers::renumber(asked, document, reference, *to), reference)
            }
            Verb::Check { base, strict, output } => check(&session, base, *strict, output.output),
        }
    }
}

fn told(session: &Session<'_>, claims: &Claims) {
    if !session.has_git() {
        session.note("note: without git only this tree is known: another branch may have the number");
    } else if !claims.pulls {
        session.note(&format!("note: no refs of pull requests are here; {FETCH_PULLS}"));
    }
}

fn all(session: &Session<'_>, state: &State) -> Claims {
    if session.has_git() && state.corpus.trunk.is_some() {
        return Claims::of(&state.corpus, |path| state.settings.has(path));
    }
    let here: Vec<String> = state.corpus.documents.iter().map(|document| document.path.clone()).collect();
    Claims::among(&here, &[], |path| state.settings.has(path))
}

fn claims(session: &Session<'_>, form: Form) -> anyhow::Result<()> {
    let state = session.load(Source::WorkTree, Wants { refs: true, ..Wants::default() })?;
    let claims = all(session, &state);
    told(session, &claims);
    let free = free(session, &state, &claims)?;
    if form == Form::Json {
        let document = serde_json::json!({"schema": SCHEMA, "claims": claims, "next": free});
        return Ok(Out.line(&serde_json::to_string_pretty(&document)?)?);
    }
    let row = |(number, claim): (&u32, &numbers::Claim)| {
        let note = match (claim.trunk.len(), claim.claimants()) {
            (trunk, _) if trunk > 1 => "shared on trunk".to_owned(),
            (0, all) if all > 1 => format!("{all} claimants, none merged"),
            (0, _) => "free on trunk, claimed".to_owned(),
            (_, all) if all > 1 => format!("{all} claimants"),
            _ => String::new(),
        };
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let others: Vec<String> = claim.others.iter().map(|other| name(&other.path)).collect();
        vec![shown(*number), claim.trunk.iter().map(|path| name(path)).collect::<Vec<_>>().join(" "), others.join(" "), note]
    };
    let rows: Vec<Vec<String>> = claims.numbers.iter().map(row).collect();
    Out.text(&table::render(&["NUMBER", "TRUNK", "OTHER REFS", "NOTE"], &rows))?;
    for odd in &claims.malformed {
        Out.line(&format!("not counted: {} ({})", odd.path, odd.refs.join(", ")))?;
    }
    Out.line(&format!("next: {}", shown(free)))?;
    session.ended(&state.troubles, 0)
}

/// The ledger, where one is used: its path, and its text where there is one.
fn ledger(session: &Session<'_>, state: &State, source: Source) -> anyhow::Result<Option<(String, Option<String>)>> {
    let tree = session.repository.tree(source).map_err(failed)?;
    Ok(tree.ledger(&state.settings).map_err(failed)?)
}

fn free(session: &Session<'_>, state: &State, claims: &Claims) -> anyhow::Result<u32> {
    let ledger = ledger(session, state, Source::WorkTree)?.and_then(|(_, text)| text).map(|text| Ledger::read(&text));
    Ok(numbers::next(claims, ledger.as_ref(), state.corpus.documents.iter().map(|document| document.path.as_str())))
}

fn next(session: &Session<'_>, form: Form) -> anyhow::Result<()> {
    let state = session.load(Source::WorkTree, Wants { refs: true, ..Wants::default() })?;
    let claims = all(session, &state);
    told(session, &claims);
    let free = free(session, &state, &claims)?;
    Out.line(&match form {
        Form::Table => shown(free),
        Form::Json => serde_json::to_string(&serde_json::json!({"schema": SCHEMA, "next": free}))?,
    })?;
    session.ended(&state.troubles, 0)
}

/// Makes a plan, and does it.
fn change(
    session: &Session<'_>,
    by: Option<&str>,
    plan: impl Fn(&Asked<'_>, &Document) -> Result<Plan, numbers::Refused>,
    reference: &str,
) -> anyhow::Result<()> {
    // What is planned is read under the lock.
    let lock = if session.common.dry_run { None } else { Some(session.repository.lock().map_err(failed)?) };
    let state = session.load(Source::WorkTree, Wants { refs: true, bodies: true, ..Wants::default() })?;
    let config = &state.settings.config;
    match config.numbers.strategy {
        Some(Strategy::Ref | Strategy::External) => {
            let said = "numbers.strategy in dep.toml: ref and external are not built; claims, ledger and none are";
            return Err(Failure::usage(said).into());
        }
        Some(Strategy::None) => session.note("warning: numbers.strategy is none: another branch may take the same number"),
        Some(Strategy::Ledger | Strategy::Claims) | None => {}
    }
    let tree = session.repository.tree(Source::WorkTree).map_err(failed)?;
    let (others, _) = tree.documents(|path| !state.settings.has(path)).map_err(failed)?;
    let claims = all(session, &state);
    told(session, &claims);
    let ledger = ledger(session, &state, Source::WorkTree)?;
    if let Some((path, _)) = &ledger {
        refuse_union(session, path)?;
    }
    let by = by.map(str::to_owned).or_else(|| session.identity()).unwrap_or_else(|| "unknown".to_owned());
    let asked = Asked {
        corpus: &state.corpus,
        others: &others,
        config,
        claims: &claims,
        ledger: ledger.as_ref().map(|(path, text)| (path.as_str(), text.as_deref())),
        today: session.today()?,
        by: &by,
    };
    let document = state.find(&session.repository, reference)?;
    let plan = plan(&asked, document).map_err(|why| Failure::with_code(why.exit(), why))?;
    if let Some(lock) = &lock {
        lock.execute(&plan.steps).map_err(failed)?;
    } else {
        for step in &plan.steps {
            Out.text(&match step {
                Step::Write { path, was, text } => diff(path, was.as_deref().unwrap_or_default(), text),
                Step::Rename { from, to } => format!("rename {from} -> {to}\n"),
            })?;
        }
    }
    Out.line(&format!("{} -> {}", plan.from, plan.to))?;
    let (links, files) = plan.links;
    let rewritten = if links > 0 { format!("links rewritten: {links} in {files} files") } else { "no links to rewrite".to_owned() };
    Out.line(&plan.line.as_ref().map_or_else(|| rewritten.clone(), |line| format!("ledger: + {line}; {rewritten}")))?;
    for mention in &plan.mentions {
        Out.line(&format!("look at {}:{}: it names the old number without a link", mention.path, mention.line))?;
    }
    for note in &plan.notes {
        session.note(&format!("note: {note}"));
    }
    session.ended(&state.troubles, 0)
}

/// A ledger whose conflicts git settles by itself protects nobody.
fn refuse_union(session: &Session<'_>, path: &str) -> anyhow::Result<()> {
    let tree = session.repository.tree(Source::WorkTree).map_err(failed)?;
    let attributes = tree.attributes(path).map_err(failed)?;
    let attributes: Vec<(&str, &str)> = attributes.iter().map(|(folder, text)| (folder.as_str(), text.as_str())).collect();
    if numbers::is_union(path, &attributes) {
        let said = format!(
            "{path} has merge=union in .gitattributes, so that two branches may take one number without a conflict; write `{path} merge` there"
        );
        return Err(Failure::with_code(5, said).into());
    }
    Ok(())
}

/// A ledger that is not in order says nothing that can be gone by.
fn refuse_disorder(path: &str, ledger: &Ledger) -> Result<(), Failure> {
    match ledger.problems.first() {
        Some(problem) => Err(Failure::with_code(5, format!("{path}: {problem}; {}", numbers::resolving(path)))),
        None => Ok(()),
    }
}

fn check(session: &Session<'_>, base: &str, strict: bool, form: Form) -> anyhow::Result<()> {
    let state = session.load(Source::WorkTree, Wants { refs: true, ..Wants::default() })?;
    let claims = all(session, &state);
    told(session, &claims);
    let begin = session.repository.merge_base(base, "HEAD").map_err(failed)?;
    let paths = |source: Source| -> anyhow::Result<Vec<String>> {
        let tree = session.repository.tree(source).map_err(failed)?;
        Ok(tree.paths().into_iter().filter(|path| state.settings.has(path)).collect())
    };
    let (began, tip) = (paths(Source::Commit(begin))?, paths(Source::Commit(base.to_owned()))?);
    let here: Vec<String> = state.corpus.documents.iter().map(|document| document.path.clone()).collect();
    let read = |source| -> anyhow::Result<Option<Ledger>> {
        let text = ledger(session, &state, source)?.and_then(|(_, text)| text);
        Ok(text.map(|text| Ledger::read(&text)))
    };
    let (own, theirs) = (read(Source::WorkTree)?, read(Source::Commit(base.to_owned()))?);
    if let Some(own) = &own {
        let path = state.settings.ledger();
        refuse_disorder(&path, own)?;
        refuse_union(session, &path)?;
    }
    let change = Change { base: &began, here: &here, tip: &tip, ledger: own.as_ref(), tip_ledger: theirs.as_ref() };
    let clashes = numbers::check(&change, &claims);
    if form == Form::Json {
        Out.line(&serde_json::to_string_pretty(&serde_json::json!({"schema": SCHEMA, "clashes": clashes}))?)?;
    } else {
        for clash in &clashes {
            Out.line(&format!("{}: {}", if clash.is_refused(strict) { "error" } else { "warning" }, clash.message()))?;
        }
        if clashes.is_empty() {
            Out.line("no number of this change is anybody else's")?;
        }
    }
    session.ended(&state.troubles, if clashes.iter().any(|clash| clash.is_refused(strict)) { 5 } else { 0 })
}
