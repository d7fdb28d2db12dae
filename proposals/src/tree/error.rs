//! What may go wrong with files and git: what, where, and what to do.

use std::path::PathBuf;

/// Why nothing could be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The start is no folder.
    #[error("{}: {why}; name a folder of the repository", path.display())]
    Start {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The configuration is wrong.
    #[error("{path}: {why}; mend it, or remove it: every key is optional")]
    Config {
        /// The file, from the root.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The ledger cannot be read.
    #[error("{path}: {why}; mend the ledger of numbers, nothing is given without it")]
    Ledger {
        /// The file, from the root.
        path: String,
        /// Why not.
        why: String,
    },
    /// There are no proposals.
    #[error("{}: no folder {looked} here; make one, or name yours in dep.toml: proposals = [\"folder\"]", root.display())]
    NoProposals {
        /// The root.
        root: PathBuf,
        /// Where they were looked for.
        looked: String,
    },
    /// A work tree is asked for where there is none.
    #[error("{}: a bare repository has no work tree and no index; name a commit or a branch", root.display())]
    Bare {
        /// The root.
        root: PathBuf,
    },
    /// Git is asked for where it is not.
    #[error("{}: {what} needs git, and {why}", root.display())]
    NoGit {
        /// The root.
        root: PathBuf,
        /// What needs it.
        what: &'static str,
        /// Why it is not there, and what to do.
        why: String,
    },
    /// A revision that is not in this clone.
    #[error("{revision} is no commit of this clone; fetch it: {fetch}")]
    Revision {
        /// As it was given.
        revision: String,
        /// A command.
        fetch: String,
    },
    /// Two revisions without a common commit here.
    #[error("{one} and {other} have no common commit in this clone{}; fetch their history: {fetch}", if *shallow { ", which is shallow" } else { "" })]
    NoBase {
        /// One.
        one: String,
        /// The other.
        other: String,
        /// The clone has not all commits.
        shallow: bool,
        /// A command.
        fetch: String,
    },
    /// The clone has not all commits, and what is asked needs them.
    #[error("this clone is shallow, and {what} needs all commits of trunk; fetch them: {fetch}")]
    Shallow {
        /// What needs them.
        what: &'static str,
        /// A command.
        fetch: String,
    },
    /// Git refused.
    #[error("`git {command}` failed: {said}; run it in {} to see why", folder.display())]
    Git {
        /// Its arguments.
        command: String,
        /// What it said.
        said: String,
        /// Where.
        folder: PathBuf,
    },
    /// Git did not come to an end.
    #[error("`git {command}` was stopped after {seconds} seconds; run it in {} to see what it waits for", folder.display())]
    Slow {
        /// Its arguments.
        command: String,
        /// How long it was waited for.
        seconds: u64,
        /// Where.
        folder: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}: cannot {what}: {why}")]
    File {
        /// The file.
        path: String,
        /// What was tried, and what to do when it is not plain.
        what: &'static str,
        /// What the system says.
        why: std::io::Error,
    },
    /// A file is not what it was when it was read.
    #[error("{path} {what} since it was read; nothing was written to it, run this again")]
    Changed {
        /// The file, from the root.
        path: String,
        /// What happened.
        what: &'static str,
    },
    /// A path that leads out of the tree.
    #[error("{path} leads out of the tree through a link; nothing was written, take the link away")]
    Outside {
        /// The path.
        path: String,
    },
    /// Somebody else writes.
    #[error("another dormouse writes in this repository ({}) for {seconds} seconds now; wait for it, or end it", lock.display())]
    Locked {
        /// What is locked.
        lock: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl Error {
    /// The exit status that says it: 2 for what was asked or configured, 3 for what files and git have not.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::Start { .. } | Self::Config { .. } | Self::NoProposals { .. } | Self::Bare { .. } => 2,
            _ => 3,
        }
    }
}

/// A file that was not read; all others were.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// Which.
    pub path: String,
    /// Why not.
    pub why: String,
    /// What to do.
    pub help: String,
}

impl Trouble {
    pub(super) fn new(path: &str, why: impl Into<String>, help: &str) -> Self {
        Self { path: path.to_owned(), why: why.into(), help: help.to_owned() }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: not read: {}; {}", self.path, self.why, self.help)
    }
}
