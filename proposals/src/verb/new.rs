//! `new`.

use std::path::Path;
use std::process::Command;

use clap::{Args, ValueEnum};
use dormouse_console::exit::Failure;
use dormouse_console::output::Out;
use jiff::civil::Date;

use super::Common;
use super::session::{Session, State, Wants};
use crate::config::nearest;
use crate::new::{New, render, required, slug};
use crate::parse::fields::Name;
use crate::parse::name::{is_slug, number};
use crate::parse::sections::Kind;
use crate::parse::status::{CategoryValue, Status};
use crate::rules::link_between;
use crate::tree::Source;

#[derive(Clone, Debug, Args)]
pub(super) struct NewArgs {
    /// The title
    #[arg(value_name = "TITLE")]
    title: String,
    /// Which template
    #[arg(long, value_enum, default_value_t = Template::Limited)]
    kind: Template,
    /// Words of the file's name, in the place of those of the title
    #[arg(long, value_name = "WORDS")]
    slug: Option<String>,
    /// The category
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// An area; may be given often
    #[arg(long, value_name = "AREA", value_delimiter = ',')]
    area: Vec<String>,
    /// An author, in the place of git's user; may be given often
    #[arg(long, value_name = "@HANDLE", value_delimiter = ',')]
    author: Vec<String>,
    /// Who looks after it
    #[arg(long, value_name = "@HANDLE", value_delimiter = ',')]
    sponsor: Vec<String>,
    /// Who must agree; may be given often
    #[arg(long, value_name = "@HANDLE", value_delimiter = ',')]
    reviewer: Vec<String>,
    /// When it is decided
    #[arg(long, value_name = "DATE")]
    review_date: Option<Date>,
    /// What it takes the place of, once it is decided; may be given often
    #[arg(long, value_name = "REF", value_delimiter = ',')]
    replaces: Vec<String>,
    /// What it builds on; may be given often
    #[arg(long, value_name = "REF", value_delimiter = ',')]
    extends: Vec<String>,
    /// Record what was decided already: Approved, with a link to where it was built
    #[arg(long)]
    retroactive: bool,
    /// Where it was built, or is; may be given often
    #[arg(long, value_name = "LINK", value_delimiter = ',')]
    implementation: Vec<String>,
    /// Without words of advice
    #[arg(long)]
    bare: bool,
    /// Open it in $VISUAL or $EDITOR
    #[arg(long)]
    edit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Template {
    Limited,
    Complete,
}

impl NewArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        let session = Session::open(common)?;
        let title = self.title.trim();
        if title.is_empty() || title.contains('\n') {
            return Err(Failure::usage("a title is one line, and not empty").into());
        }
        let slug = self.slug.clone().unwrap_or_else(|| slug(title));
        if !is_slug(&slug) {
            let said =
                format!("{slug:?} cannot be in a file's name: give --slug, lower-case words and digits with single hyphens between them");
            return Err(Failure::usage(said).into());
        }
        if self.retroactive && self.implementation.is_empty() {
            let said = "--retroactive records what was decided and built: say where, with --implementation LINK";
            return Err(Failure::with_code(4, said).into());
        }
        let state = session.load(Source::WorkTree, Wants::default())?;
        if let Some(taken) = state.corpus.proposals().find(|document| document.slug() == slug) {
            return Err(Failure::with_code(4, format!("{} has these words already; give others with --slug", taken.path)).into());
        }
        let folder = state.settings.folders.first().map_or("", String::as_str);
        let path = if folder.is_empty() { format!("0000-{slug}.md") } else { format!("{folder}/0000-{slug}.md") };
        let kind = if self.kind == Template::Complete { Kind::Complete } else { Kind::Limited };
        let new = New { title: title.to_owned(), fields: self.fields(&session, &state, &path)?, bare: self.bare };
        let text = render(&new, kind, &state.corpus.templates);
        session.write(&path, None, &text)?;
        if common.dry_run {
            return Ok(());
        }
        Out.line(&format!("created {path} ({}, {} required sections)", kind.name(), required()))?;
        for asked in &self.replaces {
            let old = state.find(&session.repository, asked)?;
            let status = old.effective().map_or("as it is", Status::written);
            let shown = old.number().map_or_else(|| old.slug().to_owned(), |n| format!("DEP-{}", number(n)));
            session.note(&format!("note: {shown} stays {status} until this proposal is approved"));
        }
        session.note(&format!("next: write it, then dormouse dep lint {path}"));
        if self.edit { edit(&session.repository.root().join(&path)) } else { Ok(()) }
    }

    fn fields(&self, session: &Session<'_>, state: &State, path: &str) -> anyhow::Result<Vec<(Name, String)>> {
        let mut fields = Vec::new();
        let status = if self.retroactive { Status::Approved } else { Status::Draft };
        fields.push((Name::Status, status.written().to_owned()));
        let authors = if self.author.is_empty() { session.identity().into_iter().collect() } else { self.author.clone() };
        if !authors.is_empty() {
            fields.push((Name::Authors, authors.join(", ")));
        }
        if let Some(asked) = &self.category {
            let known = &state.settings.config.categories;
            let found = CategoryValue::read(asked, known).category().map(str::to_owned);
            let all: Vec<&str> = known.iter().map(String::as_str).collect();
            let found = found
                .ok_or_else(|| Failure::usage(format!("--category {asked:?}: there are {}{}", all.join(", "), nearest(asked, &all))))?;
            fields.push((Name::Category, found));
        }
        for (name, asked) in [(Name::Replaces, &self.replaces), (Name::Extends, &self.extends)] {
            let mut links = Vec::new();
            for asked in asked {
                let target = state.find(&session.repository, asked)?;
                let shown = target.number().map_or_else(|| target.slug().to_owned(), |n| format!("DEP-{}", number(n)));
                links.push(format!("[{shown} {}]({})", target.title().unwrap_or_default(), link_between(path, &target.path)));
            }
            match (name, links.is_empty()) {
                (Name::Replaces, true) => fields.push((name, "N/A".to_owned())),
                (_, true) => {}
                (_, false) => fields.push((name, links.join(", "))),
            }
        }
        fields.push((Name::ReplacedBy, "N/A".to_owned()));
        for (name, people) in [(Name::Sponsor, &self.sponsor), (Name::Reviewers, &self.reviewer)] {
            fields.push((name, if people.is_empty() { "TBD".to_owned() } else { people.join(", ") }));
        }
        fields.push((Name::ReviewDate, self.review_date.map_or_else(|| "TBD".to_owned(), |date| date.to_string())));
        fields.push((Name::PullRequest, "TBD".to_owned()));
        let implementation = if self.implementation.is_empty() { "TBD".to_owned() } else { self.implementation.join(", ") };
        fields.push((Name::Implementation, implementation));
        if !self.area.is_empty() {
            fields.push((Name::Area, self.area.join(", ")));
        }
        Ok(fields)
    }
}

impl Session<'_> {
    /// Who git says works here.
    pub(super) fn identity(&self) -> Option<String> {
        if !self.has_git() {
            return None;
        }
        let name = self.repository.identity().ok().flatten();
        name.filter(|name| !name.trim().is_empty())
    }
}

/// Opens an editor, and waits for it.
fn edit(path: &Path) -> anyhow::Result<()> {
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty()));
    let Some(editor) = editor else { return Err(Failure::usage("--edit needs VISUAL or EDITOR in the environment").into()) };
    // As git does: the words of the variable are a command of the shell.
    let ended = Command::new("sh").args(["-c", &format!("{editor} \"$@\""), "sh"]).arg(path).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::with_code(3, format!("{editor}: {status}")).into()),
        Err(why) => Err(Failure::with_code(3, format!("{editor}: {why}")).into()),
    }
}
