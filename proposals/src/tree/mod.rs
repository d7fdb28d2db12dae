//! Files and git: the only place of this crate that knows them.
//!
//! A [`Repository`] is found from a folder. A [`Tree`] is what it holds at one moment: the work tree, the index, or a commit. Its
//! [`Settings`] say which folders have proposals; [`Tree::load`] reads those. Files that cannot be read are told as [`Trouble`], one
//! line each, and nothing else stops.

mod error;
mod git;
mod history;
mod limits;
mod listing;
mod load;
mod write;

use std::path::{Path, PathBuf};

pub use error::{Error, Trouble};
pub use history::Trunk;
pub use listing::{Source, Tree};
pub use load::{Loaded, Settings, parse_bodies};
pub use write::Lock;

use git::{Fault, Git, said};

/// A repository, or a folder without git.
#[derive(Clone, Debug)]
pub struct Repository {
    root: PathBuf,
    /// The folder of the start, from the root; with `/`, nothing for the root itself.
    start: String,
    /// Of this work tree; none without git.
    git_directory: Option<PathBuf>,
    bare: bool,
    shallow: bool,
    git: Git,
    /// Why there is no git.
    without: &'static str,
}

impl Repository {
    /// The one that a folder lies in; without git the folder itself.
    ///
    /// # Errors
    /// The folder is none, or git refuses to work in it.
    pub fn open(start: &Path) -> Result<Self, Error> {
        let start = std::fs::canonicalize(start).map_err(|why| Error::Start { path: start.to_owned(), why })?;
        if !start.is_dir() {
            return Err(Error::Start { path: start, why: std::io::ErrorKind::NotADirectory.into() });
        }
        let git = Git::new(&start);
        let asked = ["rev-parse", "--is-bare-repository", "--is-shallow-repository", "--absolute-git-dir", "--show-toplevel"];
        let (found, without) = match git.attempt(&asked) {
            Ok(ended) if ended.success => (Some(ended.value), ""),
            // The last question has no answer where there is no work tree; those before it were answered.
            Ok(ended) if ended.value.starts_with(b"true\n") => (Some(ended.value), ""),
            Ok(ended) if ended.said.contains("not a git repository") => (None, "this folder is in no repository; run `git init`"),
            Ok(ended) => {
                let command = asked.join(" ");
                return Err(Error::Git { command, said: said(&ended.said), folder: start });
            }
            Err(Fault::Absent) => (None, "there is no program git; install it"),
            Err(Fault::Error(error)) => return Err(error),
        };
        let Some(found) = found else {
            return Ok(Self { root: start, start: String::new(), git_directory: None, bare: false, shallow: false, git, without });
        };
        let mut lines = found.split(|byte| *byte == b'\n').map(path_of);
        let mut next = || lines.next().unwrap_or_default();
        let (bare, shallow) = (next() == Path::new("true"), next() == Path::new("true"));
        let (directory, root) = (next(), next());
        let root = if root.as_os_str().is_empty() { directory.clone() } else { std::fs::canonicalize(&root).unwrap_or(root) };
        let inside = start.strip_prefix(&root).map(slashed).unwrap_or_default();
        let git = Git::new(&root);
        Ok(Self { git, start: if bare { String::new() } else { inside }, root, git_directory: Some(directory), bare, shallow, without })
    }

    /// Its top folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that it was looked for from, seen from the root.
    #[must_use]
    pub fn start(&self) -> &str {
        &self.start
    }

    /// Whether git knows it.
    #[must_use]
    pub fn has_git(&self) -> bool {
        self.git_directory.is_some()
    }

    /// Whether commits are missing from the clone.
    #[must_use]
    pub fn is_shallow(&self) -> bool {
        self.shallow
    }

    /// A path of the command line, seen from the root: paths there are seen from the folder of the start.
    #[must_use]
    pub fn path(&self, given: &Path) -> Option<String> {
        let whole = if given.is_absolute() { given.strip_prefix(&self.root).ok()?.to_owned() } else { Path::new(&self.start).join(given) };
        let mut parts: Vec<String> = Vec::new();
        for part in whole.components() {
            match part {
                std::path::Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
                std::path::Component::ParentDir => {
                    parts.pop()?;
                }
                _ => {}
            }
        }
        Some(parts.join("/"))
    }

    fn git(&self, what: &'static str) -> Result<&Git, Error> {
        if self.has_git() {
            return Ok(&self.git);
        }
        Err(Error::NoGit { root: self.root.clone(), what, why: self.without.to_owned() })
    }
}

/// A path with `/` between its parts; bytes that are no text are replaced.
fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).trim_end_matches('\r'))
}
