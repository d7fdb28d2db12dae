//! What git says of the past and of other branches.

use std::collections::{BTreeMap, BTreeSet};

use super::Repository;
use super::error::Error;
use super::listing::Entry;
use crate::model::{PathHistory, RefTree};
use crate::parallel::parallel;
use crate::parse::name::Name;

/// The branch that proposals come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// The whole name of its ref; `HEAD` where no branch has a usual name.
    pub name: String,
    /// Its last commit.
    pub commit: String,
}

/// A line that begins with the name of the field, whatever its form.
const STATUS: &str = "-G^[^[:alnum:]]*status[^[:alnum:]]";

impl Repository {
    /// Trunk: what the remote's HEAD names, else `main`, else `master`, else HEAD; of a name the remote's, which is what others see.
    /// `None` while nothing is committed.
    ///
    /// # Errors
    /// There is no git, or it refuses.
    pub fn trunk(&self) -> Result<Option<Trunk>, Error> {
        let named = self.ask("trunk", &["symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"])?;
        let usual = ["refs/remotes/origin/main", "refs/heads/main", "refs/remotes/origin/master", "refs/heads/master", "HEAD"];
        for name in named.into_iter().chain(usual.map(str::to_owned)) {
            let commit = self.ask("trunk", &["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])?;
            if let Some(commit) = commit.filter(|commit| !commit.is_empty()) {
                return Ok(Some(Trunk { name, commit }));
            }
        }
        Ok(None)
    }

    /// When files of the folders came to the first-parent line of a commit and were touched there last. A file that went and came again
    /// came when it came again.
    ///
    /// # Errors
    /// There is no git, it refuses, or commits are missing from the clone.
    pub fn history(&self, commit: &str, folders: &[String]) -> Result<BTreeMap<String, PathHistory>, Error> {
        let git = self.git("the history of files")?;
        if self.shallow {
            return Err(Error::Shallow { what: "the history of files", fetch: "git fetch --unshallow origin".to_owned() });
        }
        let commit = self.commit(commit)?;
        let mut arguments: Vec<&str> = vec!["log", "--first-parent", "-m", "--reverse", "-z", "--no-color", "--no-ext-diff"];
        arguments.extend(["--no-renames", "--raw", "--no-abbrev", "--format=%ct", "--root"]);
        let folders = folders.iter().map(|folder| if folder.is_empty() { "." } else { folder.as_str() });
        let paths: Vec<&str> = [commit.as_str(), "--"].into_iter().chain(folders).collect();
        let mut known = read_log(&git.run(&[arguments.as_slice(), &paths].concat())?);
        // Of these commits those that change a line of a status.
        arguments.extend(["--regexp-ignore-case", STATUS]);
        for (path, changed) in read_log(&git.run(&[arguments.as_slice(), &paths].concat())?) {
            if let Some(known) = known.get_mut(&path) {
                known.status = changed.touched;
            }
        }
        Ok(known)
    }

    /// The name of whoever works here, by git.
    ///
    /// # Errors
    /// There is no git, or it refuses.
    pub fn identity(&self) -> Result<Option<String>, Error> {
        self.ask("a name", &["config", "user.name"])
    }

    /// The commit at which two lines parted.
    ///
    /// # Errors
    /// One of them is not here, or where they parted is not.
    pub fn merge_base(&self, one: &str, other: &str) -> Result<String, Error> {
        let (a, b) = (self.commit(one)?, self.commit(other)?);
        match self.ask("a merge base", &["merge-base", &a, &b])? {
            Some(base) => Ok(base),
            None => Err(Error::NoBase { one: one.to_owned(), other: other.to_owned(), shallow: self.shallow, fetch: self.fetch(one) }),
        }
    }

    /// Branches, remote branches and pull requests of the clone, trunk left out; and trunk itself.
    ///
    /// # Errors
    /// There is no git, or it refuses.
    pub fn refs(&self) -> Result<(Option<RefTree>, Vec<RefTree>), Error> {
        let Some(trunk) = self.trunk()? else { return Ok((None, Vec::new())) };
        let git = self.git("other branches")?;
        // Names of refs have no control characters.
        let format = "--format=%(refname)%00%(objectname)%00%(objecttype)%00%(committerdate:unix)%00%(symref)";
        let all = git.run(&["for-each-ref", format, "refs/heads", "refs/remotes", "refs/pull"])?;
        let merged = format!("--merged={}", trunk.commit);
        let merged = git.run(&["for-each-ref", "--format=%(refname)", &merged, "refs/heads", "refs/remotes", "refs/pull"])?;
        let merged = String::from_utf8_lossy(&merged).into_owned();
        let merged: BTreeSet<&str> = merged.lines().collect();
        let mut refs = Vec::new();
        let mut commits: BTreeSet<String> = BTreeSet::new();
        for line in String::from_utf8_lossy(&all).lines() {
            let words: Vec<&str> = line.split('\0').collect();
            let &[name, commit, "commit", date, ""] = words.as_slice() else { continue };
            if name == trunk.name {
                continue;
            }
            let is_merged = merged.contains(name);
            if !is_merged {
                commits.insert(commit.to_owned());
            }
            let found = RefTree { name: name.to_owned(), committed: date.parse().unwrap_or(0), merged: is_merged, paths: Vec::new() };
            refs.push((found, commit.to_owned()));
        }
        commits.insert(trunk.commit.clone());
        let commits: Vec<String> = commits.into_iter().collect();
        let trees = parallel(&commits, |commit| self.markdown_of(commit));
        let mut known = BTreeMap::new();
        for (commit, paths) in commits.iter().zip(trees) {
            known.insert(commit.as_str(), paths?);
        }
        for (found, commit) in &mut refs {
            if !found.merged {
                found.paths = known.get(commit.as_str()).cloned().unwrap_or_default();
            }
        }
        let date = self.ask("trunk", &["show", "--no-patch", "--format=%ct", &trunk.commit])?.and_then(|date| date.parse().ok());
        let paths = known.remove(trunk.commit.as_str()).unwrap_or_default();
        let tree = RefTree { name: trunk.name, committed: date.unwrap_or(0), merged: true, paths };
        Ok((Some(tree), refs.into_iter().map(|(found, _)| found).collect()))
    }

    fn markdown_of(&self, commit: &str) -> Result<Vec<String>, Error> {
        let is_markdown = |path: &String| Name::read(path.rsplit('/').next().unwrap_or(path)).is_some();
        let entries = self.commit_entries(commit)?;
        Ok(entries.into_iter().filter(|(_, entry)| *entry != Entry::Module).map(|(path, _)| path).filter(is_markdown).collect())
    }
}

/// A log with raw differences and NUL behind each word: the time, then pairs of what happened (`:modes names letter`) and path.
fn read_log(log: &[u8]) -> BTreeMap<String, PathHistory> {
    let mut known: BTreeMap<String, PathHistory> = BTreeMap::new();
    let (mut order, mut time) = (0, 0);
    let mut words = log.split(|byte| *byte == 0);
    while let Some(word) = words.next() {
        let word = String::from_utf8_lossy(word);
        let word = word.trim_start_matches('\n');
        let Some(change) = word.strip_prefix(':') else {
            if let Ok(seconds) = word.trim().parse() {
                (order, time) = (order + 1, seconds);
            }
            continue;
        };
        let Some(path) = words.next() else { break };
        let path = String::from_utf8_lossy(path).into_owned();
        match change.chars().last() {
            Some('D') => {
                known.remove(&path);
            }
            _ => {
                known.entry(path).or_insert(PathHistory { order: order - 1, added: time, touched: time, status: time }).touched = time;
            }
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read() {
        let log = b"10\0\n:0 1 a b A\0deps/1\n.md\0:0 1 a b A\0deps/x.md\x0020\0\n:1 0 a b D\0deps/x.md\x0030\0\n:0 1 a b A\0deps/x.md\0:1 1 a b M\0deps/1\n.md\0";
        let known = read_log(log);
        assert_eq!(known["deps/x.md"], PathHistory { order: 2, added: 30, touched: 30, status: 30 });
        assert_eq!(known["deps/1\n.md"], PathHistory { order: 0, added: 10, touched: 30, status: 10 });
        assert!(read_log(b"").is_empty() && read_log(b":0 1 A").is_empty());
    }
}
