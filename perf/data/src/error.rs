//! Why there is no data.

use std::path::{Path, PathBuf};

/// What keeps data from being made, or from being sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A line of a file, counted as editors do.
    #[error("{}:{line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1, empty ones counted.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A file as a whole.
    #[error("{}: {why}", path.display())]
    File {
        /// The file, or the folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An option, by the flag of its name.
    #[error("{flag}: {why}")]
    Option {
        /// As it is written on the command line.
        flag: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A conversation that the endpoint cannot take.
    #[error("session {id}, turn {turn}: {why}")]
    Turn {
        /// Of the conversation.
        id: String,
        /// From 0.
        turn: usize,
        /// Why it cannot.
        why: String,
    },
}

impl Error {
    pub(crate) fn line(path: &Path, line: usize, why: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, why: why.into() }
    }

    pub(crate) fn file(path: &Path, why: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn option(flag: &'static str, why: impl Into<String>) -> Self {
        Self::Option { flag, why: why.into() }
    }
}
