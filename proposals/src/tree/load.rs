//! What is read of a tree: its configuration, its proposals, its templates.

use super::error::{Error, Trouble};
use super::listing::Tree;
use crate::config::{Config, Strategy};
use crate::model::{Corpus, Document, Templates};
use crate::parallel::parallel;
use crate::parse::name::{Kind, Name};

/// Where proposals are, unless somebody says otherwise; the first that there is.
const USUAL: [&str; 2] = ["deps", "docs/proposals"];

/// The name of the configuration.
const CONFIG: &str = "dep.toml";

/// How a repository is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// Where it stands; none where there is none.
    pub path: Option<String>,
    /// Folders with proposals, from the root, without a `/` at the end; nothing means the root itself.
    pub folders: Vec<String>,
}

impl Settings {
    /// Whether a path lies in a folder of proposals.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        within(&self.folders, path)
    }

    /// Where the ledger of numbers is, or would be.
    #[must_use]
    pub fn ledger(&self) -> String {
        let first = self.folders.first().map_or("", String::as_str);
        if first.is_empty() { ".numbers".to_owned() } else { format!("{first}/.numbers") }
    }
}

fn within(folders: &[String], path: &str) -> bool {
    folders.iter().any(|folder| folder.is_empty() || path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/')))
}

/// Proposals of a tree, and what of it could not be read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The documents; heads are read, bodies when somebody asks, or by [`parse_bodies`].
    pub corpus: Corpus,
    /// What was left out.
    pub troubles: Vec<Trouble>,
}

impl Tree<'_> {
    /// The configuration, and the folders that it means. `dep.toml` is looked for from the folder of the start up to the root, then in
    /// the usual folders of proposals.
    ///
    /// # Errors
    /// It is wrong, or there is no folder of proposals.
    pub fn settings(&self) -> Result<Settings, Error> {
        let (config, path) = self.config()?;
        self.settings_of(config, path)
    }

    /// The folders that a configuration from elsewhere means.
    ///
    /// # Errors
    /// There is no folder of proposals.
    pub fn settings_of(&self, config: Config, path: Option<String>) -> Result<Settings, Error> {
        let folders = self.folders(&config, path.as_deref())?;
        Ok(Settings { config, path, folders })
    }

    /// The configuration alone, and where it stands.
    ///
    /// # Errors
    /// It is wrong, or cannot be read.
    pub fn config(&self) -> Result<(Config, Option<String>), Error> {
        let start = self.repository.start();
        let ups = std::iter::successors(Some(start), |folder| {
            if folder.is_empty() { None } else { Some(folder.rsplit_once('/').map_or("", |(up, _)| up)) }
        });
        for folder in ups.chain(USUAL) {
            let path = if folder.is_empty() { CONFIG.to_owned() } else { format!("{folder}/{CONFIG}") };
            let config = match self.text(&path)? {
                None => continue,
                Some(Ok(text)) => Config::read(&text),
                Some(Err(trouble)) => Err(trouble.why),
            };
            return match config {
                Ok(config) => Ok((config, Some(path))),
                Err(why) => Err(Error::Config { path, why }),
            };
        }
        Ok((Config::default(), None))
    }

    fn folders(&self, config: &Config, path: Option<&str>) -> Result<Vec<String>, Error> {
        if config.proposals.is_empty() {
            let found = USUAL.into_iter().find(|folder| self.has_folder(folder));
            return match found {
                Some(folder) => Ok(vec![folder.to_owned()]),
                None => Err(Error::NoProposals { root: self.repository.root.clone(), looked: "deps and no docs/proposals".to_owned() }),
            };
        }
        let mut folders: Vec<String> = Vec::new();
        for written in &config.proposals {
            let plain = written.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/");
            if !self.has_folder(&plain) || plain.split('/').any(|part| part == "..") {
                let why = format!("proposals: there is no folder {written:?} in the repository");
                return Err(Error::Config { path: path.unwrap_or(CONFIG).to_owned(), why });
            }
            if !folders.contains(&plain) {
                folders.push(plain);
            }
        }
        Ok(folders)
    }

    /// The ledger of numbers, where one is used: its path, and its text where there is a file. One is used when there is a file, or when
    /// the configuration says so.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn ledger(&self, settings: &Settings) -> Result<Option<(String, Option<String>)>, Error> {
        let path = settings.ledger();
        match self.text(&path)? {
            Some(Ok(text)) => Ok(Some((path, Some(text)))),
            Some(Err(trouble)) => Err(Error::Ledger { path, why: trouble.why }),
            None => Ok((settings.config.numbers.strategy == Some(Strategy::Ledger)).then_some((path, None))),
        }
    }

    /// Texts of the files of attributes that speak of a path, each with its folder, outermost first; for
    /// [`is_union`](crate::numbers::is_union).
    ///
    /// # Errors
    /// Git refuses.
    pub fn attributes(&self, path: &str) -> Result<Vec<(String, String)>, Error> {
        let mut found = Vec::new();
        let folders = std::iter::once("").chain(path.match_indices('/').filter_map(|(at, _)| path.get(..at)));
        for folder in folders {
            let file = if folder.is_empty() { ".gitattributes".to_owned() } else { format!("{folder}/.gitattributes") };
            if let Some(Ok(text)) = self.text(&file)? {
                found.push((folder.to_owned(), text));
            }
        }
        Ok(found)
    }

    /// Reads proposals, what lies beside them, and templates: those at the root and in the folders.
    ///
    /// # Errors
    /// Git refuses. A file that cannot be read is a [`Trouble`].
    pub fn load(&self, folders: &[String]) -> Result<Loaded, Error> {
        let wanted = |path: &str| {
            let name = Name::read(path.rsplit('/').next().unwrap_or(path));
            let template = name.is_some_and(|name| name.kind == Kind::Template);
            within(folders, path) || (template && !path.contains('/'))
        };
        let (documents, mut troubles) = self.documents(wanted)?;
        troubles.splice(0..0, self.troubles().iter().cloned());
        let mut corpus = Corpus { paths: self.paths(), ..Corpus::default() };
        let mut templates = Templates::default();
        for document in documents {
            if document.name.kind == Kind::Template { templates.documents.push(document) } else { corpus.documents.push(document) }
        }
        corpus.templates = templates;
        Ok(Loaded { corpus, troubles })
    }

    /// Reads Markdown files whose paths are wanted, in the order of their paths.
    ///
    /// # Errors
    /// Git refuses. A file that cannot be read is a [`Trouble`].
    pub fn documents(&self, wanted: impl Fn(&str) -> bool) -> Result<(Vec<Document>, Vec<Trouble>), Error> {
        let markdown = |path: &str| Name::read(path.rsplit('/').next().unwrap_or(path)).is_some();
        let paths: Vec<&str> = self.entries.keys().map(String::as_str).filter(|path| markdown(path) && wanted(path)).collect();
        let read = self.read(&paths, |path, text| text.map(|text| Document::read(path, text)))?;
        let (mut documents, mut troubles) = (Vec::with_capacity(read.len()), Vec::new());
        for read in read {
            match read {
                Ok(document) => documents.extend(document),
                Err(trouble) => troubles.push(trouble),
            }
        }
        Ok((documents, troubles))
    }
}

/// Reads the bodies of all documents on all cores; each is read when it is asked for otherwise.
pub fn parse_bodies(documents: &[Document]) {
    parallel(documents, |document| {
        let _ = document.body();
    });
}
