//! What every command begins with: the repository, its configuration, what of it is read.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use dormouse_console::clock::{Clock as _, SystemClock};
use dormouse_console::exit::Failure;
use dormouse_console::output::{Out, error_line};
use jiff::civil::Date;

use super::{Colour, Common};
use crate::config::Config;
use crate::model::{Corpus, Document};
use crate::numbers::{self, Unfound};
use crate::tree::{Error, Repository, Settings, Source, Tree, Trouble, parse_bodies};

/// What is wanted beside the heads of documents.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    /// When files came and changed.
    pub(super) history: bool,
    /// Other refs, and trunk.
    pub(super) refs: bool,
    /// The bodies of all documents.
    pub(super) bodies: bool,
}

/// A repository at work.
pub(super) struct Session<'a> {
    pub(super) repository: Repository,
    pub(super) common: &'a Common,
}

/// What was read.
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) corpus: Corpus,
    pub(super) troubles: Vec<Trouble>,
}

/// An error of the tree, with its exit code.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed(error: Error) -> Failure {
    Failure::with_code(error.exit(), error)
}

impl<'a> Session<'a> {
    pub(super) fn open(common: &'a Common) -> Result<Self, Failure> {
        let repository = Repository::open(&common.root).map_err(failed)?;
        Ok(Self { repository, common })
    }

    /// Whether git may be asked.
    pub(super) fn has_git(&self) -> bool {
        self.repository.has_git() && !self.common.no_git
    }

    /// The day of today: as told, else as the environment has it, else by the clock.
    pub(super) fn today(&self) -> Result<Date, Failure> {
        if let Some(today) = self.common.today {
            return Ok(today);
        }
        match std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty()) {
            Some(text) => text
                .parse()
                .ok()
                .and_then(crate::model::day)
                .ok_or_else(|| Failure::usage(format!("SOURCE_DATE_EPOCH is {text:?}: it is seconds since 1970"))),
            None => Ok(SystemClock.now().to_zoned(jiff::tz::TimeZone::UTC).date()),
        }
    }

    pub(super) fn colour(&self) -> bool {
        match self.common.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// A line for people, beside the report.
    pub(super) fn note(&self, line: &str) {
        if !self.common.quiet {
            error_line(line);
        }
    }

    fn settings(&self, tree: &Tree<'_>) -> Result<Settings, Failure> {
        let Some(path) = &self.common.config else { return tree.settings().map_err(failed) };
        let text = std::fs::read_to_string(path).map_err(|why| Failure::with_code(3, format!("{}: {why}", path.display())))?;
        let config = Config::read(&text).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
        tree.settings_of(config, None).map_err(failed)
    }

    /// Reads a state of the repository.
    pub(super) fn load(&self, source: Source, wants: Wants) -> Result<State, Failure> {
        let tree = self.repository.tree(source).map_err(failed)?;
        let settings = self.settings(&tree)?;
        let mut loaded = tree.load(&settings.folders).map_err(failed)?;
        let corpus = &mut loaded.corpus;
        corpus.today = Some(self.today()?);
        for path in [&settings.config.index.readme, &settings.config.index.json].into_iter().flatten() {
            if let Some(Ok(text)) = tree.text(path).map_err(failed)? {
                corpus.others.insert(path.clone(), Arc::from(text));
            }
        }
        if wants.bodies {
            parse_bodies(&corpus.documents);
        }
        if wants.history
            && self.has_git()
            && let Some(trunk) = self.repository.trunk().map_err(failed)?
        {
            corpus.history = self.repository.history(&trunk.commit, &settings.folders).map_err(failed)?;
        }
        if wants.refs && self.has_git() {
            (corpus.trunk, corpus.refs) = self.repository.refs().map_err(failed)?;
        }
        Ok(State { settings, corpus: loaded.corpus, troubles: loaded.troubles })
    }

    /// Says what could not be read, and that in the exit code, unless that says more already.
    pub(super) fn ended(&self, troubles: &[Trouble], code: u8) -> anyhow::Result<()> {
        for trouble in troubles {
            error_line(&format!("warning: {trouble}"));
        }
        match (code, troubles.is_empty()) {
            (0, true) => Ok(()),
            (0, false) => Err(Failure::said(3).into()),
            (code, _) => Err(Failure::said(code).into()),
        }
    }

    /// Writes a text in a file's place, or shows what would change.
    pub(super) fn write(&self, path: &str, was: Option<&str>, text: &str) -> anyhow::Result<bool> {
        if was == Some(text) {
            return Ok(false);
        }
        if self.common.dry_run {
            Out.text(&diff(path, was.unwrap_or_default(), text))?;
            return Ok(true);
        }
        let lock = self.repository.lock().map_err(failed)?;
        lock.replace(path, was, text).map_err(failed)?;
        Ok(true)
    }
}

/// What changes, as `diff -u` shows it.
pub(super) fn diff(path: &str, old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new).unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string()
}

impl State {
    /// The file or folder that was asked for, from the root.
    pub(super) fn path(&self, repository: &Repository, given: &Path) -> Result<String, Failure> {
        let is_folder = |path: &str| {
            let inside = format!("{path}/");
            self.corpus.paths.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside))
        };
        let there = |path: &String| path.is_empty() || self.corpus.paths.contains(path) || is_folder(path);
        let found = repository.path(given).filter(there);
        found.ok_or_else(|| Failure::usage(format!("{}: there is no such file or folder in the repository", given.display())))
    }

    /// The document of a number, a path, a slug, or the beginning of one.
    pub(super) fn find(&self, repository: &Repository, asked: &str) -> Result<&Document, Failure> {
        let path = repository.path(Path::new(asked)).filter(|path| self.corpus.documents.iter().any(|document| document.path == *path));
        let asked = path.as_deref().unwrap_or(asked);
        numbers::find(&self.corpus, asked).map_err(|why: Unfound| Failure::usage(why))
    }
}
