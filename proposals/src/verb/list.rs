//! `list` and `show`.

use clap::{Args, ValueEnum};
use dormouse_console::exit::Failure;
use dormouse_console::output::{Out, table};
use jiff::civil::Date;

use super::Common;
use super::session::{Session, State, Wants, failed};
use crate::finding::Finding;
use crate::lint::{Before, Options, SCHEMA, lint};
use crate::model::{Corpus, Document};
use crate::parse::fields::Name;
use crate::parse::name::number;
use crate::parse::people::Person;
use crate::parse::status::Status;
use crate::query::{self, DateField, Query};
use crate::record::{Record, counted, record};
use crate::rules::Relations;
use crate::tree::Source;

#[derive(Clone, Debug, Args)]
pub(super) struct ListArgs {
    /// With this status; several are alternatives, as with all that may be given often
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,
    /// Of this category
    #[arg(long, value_name = "CATEGORY", value_delimiter = ',')]
    category: Vec<String>,
    /// In this area
    #[arg(long, value_name = "AREA", value_delimiter = ',')]
    area: Vec<String>,
    /// By this author
    #[arg(long, value_name = "@HANDLE", value_delimiter = ',')]
    author: Vec<String>,
    /// Looked after by
    #[arg(long, value_name = "@HANDLE", value_delimiter = ',')]
    sponsor: Vec<String>,
    /// To be reviewed by
    #[arg(long, value_name = "@HANDLE", value_delimiter = ',')]
    reviewer: Vec<String>,
    /// With these numbers: 7, 7..12, 7.. or ..12
    #[arg(long, value_name = "A..B")]
    number: Option<String>,
    /// Limited or complete
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// From this day
    #[arg(long, value_name = "DATE")]
    since: Option<Date>,
    /// To this day
    #[arg(long, value_name = "DATE")]
    until: Option<Date>,
    /// The day that --since and --until mean
    #[arg(long, value_enum, default_value_t = Field::Review)]
    date_field: Field,
    /// Under review beyond the day of its decision, or without one
    #[arg(long)]
    overdue: bool,
    /// Looked after by nobody
    #[arg(long)]
    no_sponsor: bool,
    /// With a value in this field
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    has: Vec<String>,
    /// Without one
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    lacks: Vec<String>,
    /// In which this rule finds something
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    finding: Vec<String>,
    /// The tree at hand, or proposals of all refs of the clone, each once
    #[arg(long, value_enum, default_value_t = Refs::Trunk)]
    refs: Refs,
    /// Keys from the first to the last; - before one turns it round
    #[arg(long, value_name = "KEY", value_delimiter = ',', allow_hyphen_values = true)]
    sort: Vec<String>,
    /// The form of the list
    #[arg(long, visible_alias = "format", value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Field {
    Review,
    Added,
    Decided,
    Touched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Refs {
    Trunk,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
    Jsonl,
    Csv,
    Tsv,
    Md,
    Yaml,
}

/// Proposals of one tree, and the ref that it is of.
struct Group {
    reference: Option<String>,
    state: State,
    /// What is listed of it.
    wanted: Vec<usize>,
    findings: Vec<Finding>,
}

impl ListArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        let session = Session::open(common)?;
        let records = self.output != Form::Table && self.output != Form::Md;
        let dated =
            matches!(self.date_field, Field::Added | Field::Decided | Field::Touched) && (self.since.is_some() || self.until.is_some());
        let sorted = self.sort.iter().any(|key| ["added", "decided", "touched"].contains(&key.trim_start_matches('-')));
        let wants = Wants { history: records || dated || sorted, bodies: records || !self.finding.is_empty(), refs: false };
        let here = session.load(Source::WorkTree, wants)?;
        let lints = records || !self.finding.is_empty();
        let mut groups = vec![self.group(None, here, lints)?];
        if self.refs == Refs::All {
            self.others(&session, &mut groups, lints)?;
        }
        let text = match self.output {
            Form::Table => self.table(&groups),
            Form::Md => markdown(&rows(&groups)),
            form => written(form, &groups)?,
        };
        Out.text(&text)?;
        let troubles: Vec<_> = groups.into_iter().flat_map(|group| group.state.troubles).collect();
        session.ended(&troubles, 0)
    }

    fn query(&self) -> Query {
        Query {
            statuses: self.status.clone(),
            categories: self.category.clone(),
            areas: self.area.clone(),
            authors: self.author.clone(),
            sponsors: self.sponsor.clone(),
            reviewers: self.reviewer.clone(),
            numbers: self.number.clone(),
            kind: self.kind.clone(),
            since: self.since,
            until: self.until,
            date_field: match self.date_field {
                Field::Review => DateField::Review,
                Field::Added => DateField::Added,
                Field::Decided => DateField::Decided,
                Field::Touched => DateField::Touched,
            },
            overdue: self.overdue,
            no_sponsor: self.no_sponsor,
            has: self.has.clone(),
            lacks: self.lacks.clone(),
            findings: self.finding.clone(),
            sort: self.sort.clone(),
        }
    }

    fn group(&self, reference: Option<String>, state: State, lints: bool) -> Result<Group, Failure> {
        let findings = if lints { found(&state) } else { Vec::new() };
        let wanted = self.query().run(&state.corpus, &state.settings.config, &findings).map_err(Failure::usage)?;
        Ok(Group { reference, state, wanted, findings })
    }

    /// Proposals of other refs that are not here: each once, on the first ref that has it.
    fn others(&self, session: &Session<'_>, groups: &mut Vec<Group>, lints: bool) -> Result<(), Failure> {
        if !session.has_git() {
            return Err(Failure::with_code(3, "--refs all needs git"));
        }
        let (_, refs) = session.repository.refs().map_err(failed)?;
        let settings = groups[0].state.settings.clone();
        let key = |document: &Document| (document.number(), document.slug().to_owned());
        let mut seen: std::collections::BTreeSet<_> = groups[0].state.corpus.proposals().map(key).collect();
        for tree in refs.into_iter().filter(|tree| !tree.merged) {
            let at = session.repository.tree(Source::Commit(tree.name.clone())).map_err(failed)?;
            let (documents, troubles) = at.documents(|path| settings.has(path)).map_err(failed)?;
            let new: Vec<Document> = documents.into_iter().filter(|d| d.name.is_proposal() && seen.insert(key(d))).collect();
            if new.is_empty() {
                continue;
            }
            let corpus = Corpus { documents: new, paths: at.paths(), today: groups[0].state.corpus.today, ..Corpus::default() };
            let state = State { settings: settings.clone(), corpus, troubles };
            // A filter that finds nothing there is no mistake.
            let findings = if lints { found(&state) } else { Vec::new() };
            let wanted = self.query().run(&state.corpus, &state.settings.config, &findings).unwrap_or_default();
            groups.push(Group { reference: Some(tree.name), state, wanted, findings });
        }
        Ok(())
    }

    fn table(&self, groups: &[Group]) -> String {
        let rows = rows(groups);
        if rows.is_empty() {
            return "no proposal is like that\n".to_owned();
        }
        let mut header = vec!["DEP", "STATUS", "REVIEW", "SPONSOR", "WAITING", "TITLE"];
        if self.refs == Refs::All {
            header.push("REF");
        }
        table::render(&header, &rows)
    }
}

fn found(state: &State) -> Vec<Finding> {
    lint(&state.corpus, &state.settings.config, &Options::default(), &Before::default()).findings
}

fn rows(groups: &[Group]) -> Vec<Vec<String>> {
    let of =
        |group: &Group| group.wanted.iter().filter_map(|at| Some(row(group, group.state.corpus.documents.get(*at)?))).collect::<Vec<_>>();
    groups.iter().flat_map(of).collect()
}

fn row(group: &Group, document: &Document) -> Vec<String> {
    let (corpus, config) = (&group.state.corpus, &group.state.settings.config);
    let people = |name| document.people(name).iter().map(Person::shown).collect::<Vec<_>>().join(" ");
    let status = document.effective();
    let raw = document.head.field(Name::Status).map(|field| field.value.replace('\n', " "));
    let review = query::day(document, DateField::Review, corpus, config).map(|day| day.to_string());
    let waiting = if status == Some(Status::UnderReview) { people(Name::Reviewers) } else { String::new() };
    vec![
        document.number().map_or_else(|| "draft".to_owned(), number),
        status.map_or_else(|| raw.unwrap_or_default(), |status| status.written().to_owned()),
        review.unwrap_or_default(),
        people(Name::Sponsor),
        waiting,
        document.title().unwrap_or_else(|| document.slug()).to_owned(),
        group.reference.clone().unwrap_or_default(),
    ]
}

fn markdown(rows: &[Vec<String>]) -> String {
    let cell = |text: &String| text.replace('|', "\\|");
    let line = |row: &Vec<String>| format!("| {} |\n", row.iter().take(6).map(cell).collect::<Vec<_>>().join(" | "));
    "| DEP | Status | Review | Sponsor | Waiting | Title |\n|---|---|---|---|---|---|\n".to_owned()
        + &rows.iter().map(line).collect::<String>()
}

fn records(groups: &[Group]) -> Vec<Record> {
    let of = |group: &Group| {
        let (relations, counts) = (Relations::of(&group.state.corpus), counted(&group.findings));
        let one = |at: &usize| {
            let record = record(&group.state.corpus, &group.state.settings.config, &relations, *at, &counts)?;
            Some(Record { reference: group.reference.clone(), ..record })
        };
        group.wanted.iter().filter_map(one).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of).collect()
}

fn written(form: Form, groups: &[Group]) -> anyhow::Result<String> {
    let records = records(groups);
    Ok(match form {
        Form::Jsonl => records.iter().map(|record| Ok(serde_json::to_string(record)? + "\n")).collect::<anyhow::Result<String>>()?,
        Form::Yaml => serde_saphyr::to_string(&records)?,
        Form::Csv | Form::Tsv => separated(if form == Form::Csv { b',' } else { b'\t' }, &records)?,
        _ => serde_json::to_string_pretty(&serde_json::json!({"schema": SCHEMA, "proposals": records}))? + "\n",
    })
}

fn separated(delimiter: u8, records: &[Record]) -> anyhow::Result<String> {
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    writer.write_record([
        "number",
        "slug",
        "path",
        "title",
        "kind",
        "status",
        "effective_status",
        "category",
        "areas",
        "authors",
        "sponsors",
        "reviewers",
        "review_date",
        "pull_request",
        "implementation",
        "replaces",
        "replaced_by",
        "added",
        "decided",
        "touched",
        "ref",
    ])?;
    for record in records {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let day = |day: &Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
        writer.write_record([
            record.number.map(number).unwrap_or_default(),
            record.slug.clone(),
            record.path.clone(),
            record.title.clone(),
            record.kind.name().to_owned(),
            text(&record.status),
            record.effective_status.map(|status| status.name().to_owned()).unwrap_or_default(),
            text(&record.category),
            record.areas.join(" "),
            record.authors.join(", "),
            record.sponsors.join(", "),
            record.reviewers.join(", "),
            day(&record.review_date),
            text(&record.pull_request),
            text(&record.implementation),
            text(&record.replaces),
            text(&record.replaced_by),
            day(&record.added),
            day(&record.decided),
            day(&record.touched),
            text(&record.reference),
        ])?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

#[derive(Clone, Debug, Args)]
pub(super) struct ShowArgs {
    /// A number, a path, or words of a name: 17, DEP-0017, expire-idle
    #[arg(value_name = "REF")]
    reference: String,
    /// The form of the record
    #[arg(long, visible_alias = "format", value_enum, default_value_t = ShowForm::Text)]
    output: ShowForm,
    /// The same as --output json
    #[arg(long, hide = true, conflicts_with = "output")]
    json: bool,
    /// The hash of what it says, alone
    #[arg(long, conflicts_with = "output")]
    text_hash: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShowForm {
    Text,
    Json,
    Yaml,
}

impl ShowArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        let session = Session::open(common)?;
        let state = session.load(Source::WorkTree, Wants { history: true, ..Wants::default() })?;
        let document = state.find(&session.repository, &self.reference)?;
        if self.text_hash {
            return Ok(Out.line(&crate::record::text_hash(document))?);
        }
        let at = state.corpus.documents.iter().position(|other| other.path == document.path).unwrap_or_default();
        let relations = Relations::of(&state.corpus);
        let findings = found(&state);
        let Some(record) = record(&state.corpus, &state.settings.config, &relations, at, &counted(&findings)) else { return Ok(()) };
        let text = match self.output {
            _ if self.json => serde_json::to_string_pretty(&record)? + "\n",
            ShowForm::Json => serde_json::to_string_pretty(&record)? + "\n",
            ShowForm::Yaml => serde_saphyr::to_string(&record)?,
            ShowForm::Text => shown(&record),
        };
        Ok(Out.text(&text)?)
    }
}

/// A record for people.
fn shown(record: &Record) -> String {
    let mut out = format!("{} {}\n", record.number.map_or_else(|| "draft".to_owned(), |n| format!("DEP-{}", number(n))), record.title);
    let mut line = |name: &str, text: String| {
        if !text.is_empty() {
            out += &format!("{:<16}{}\n", format!("{name}:"), text.replace('\n', &format!("\n{:16}", "")));
        }
    };
    let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
    let status = match (&record.status, record.effective_status) {
        (Some(raw), Some(status)) if raw != status.written() => format!("{} (written {raw:?})", status.written()),
        (raw, _) => raw.clone().unwrap_or_else(|| "none".to_owned()),
    };
    line("Status", status);
    line("File", record.path.clone());
    line("Kind", record.kind.name().to_owned());
    line("Category", record.category.clone().unwrap_or_default());
    line("Areas", record.areas.join(", "));
    line("Authors", record.authors.join(", "));
    line("Sponsors", record.sponsors.join(", "));
    line("Reviewers", record.reviewers.join(", "));
    line("Review date", day(record.review_date));
    line("Pull request", record.pull_request.clone().unwrap_or_default());
    line("Implementation", record.implementation.clone().unwrap_or_default());
    for (name, text) in &record.extra {
        line(name, text.clone());
    }
    line("Added", day(record.added));
    line("Decided", day(record.decided));
    line("Touched", day(record.touched));
    for relation in &record.relations {
        line("Relation", format!("{}{} {}", relation.kind.shown(), if relation.partial { " (in part)" } else { "" }, relation.to));
    }
    line("Attachments", record.attachments.join("\n"));
    line("Text", record.text_hash.clone());
    let counts = record.findings;
    line("Findings", format!("{} errors, {} warnings, {} notes", counts.error, counts.warning, counts.info));
    out
}
