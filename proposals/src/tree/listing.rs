//! Which paths there are: in the work tree, in the index, in a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use super::error::{Error, Trouble};
use super::git::said;
use super::limits::{LARGEST, text_of};
use super::{Repository, path_of, slashed};
use crate::parallel::parallel;

/// Which state of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The files as they lie there.
    WorkTree,
    /// What the next commit will have.
    Index,
    /// A commit, by any name of it.
    Commit(String),
}

/// A path of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A file; the name of its object where git has it.
    File(Option<String>),
    /// A symbolic link; the same.
    Link(Option<String>),
    /// Its name is no text, so that no link leads there.
    Odd,
    /// Another repository.
    Module,
}

/// What a repository holds at one moment.
#[derive(Debug)]
pub struct Tree<'r> {
    pub(super) repository: &'r Repository,
    pub(super) source: Source,
    pub(super) entries: BTreeMap<String, Entry>,
    troubles: Vec<Trouble>,
}

/// What was read of a path.
pub(super) type Read = Result<String, Trouble>;

impl Repository {
    /// The paths of a state.
    ///
    /// # Errors
    /// Git is needed and is not there, does not know the commit, or refuses.
    pub fn tree(&self, source: Source) -> Result<Tree<'_>, Error> {
        if self.bare && !matches!(source, Source::Commit(_)) {
            return Err(Error::Bare { root: self.root.clone() });
        }
        let mut troubles = Vec::new();
        let entries = match &source {
            Source::WorkTree => self.walk(&mut troubles)?,
            Source::Index => listed(&self.git("the index")?.run(&["ls-files", "-s", "-z"])?),
            Source::Commit(revision) => self.commit_entries(&self.commit(revision)?)?,
        };
        Ok(Tree { repository: self, source, entries, troubles })
    }

    /// The whole name of a commit.
    ///
    /// # Errors
    /// There is no git, or no such commit.
    pub fn commit(&self, revision: &str) -> Result<String, Error> {
        let git = self.git("a commit")?;
        let asked = format!("{revision}^{{commit}}");
        let ended = git.attempt(&["rev-parse", "--verify", "--quiet", "--end-of-options", &asked]).map_err(|fault| git.fault(fault))?;
        // An old git repeats the option it was given.
        let name = String::from_utf8_lossy(&ended.value).lines().last().unwrap_or_default().to_owned();
        if ended.success && !name.is_empty() {
            return Ok(name);
        }
        Err(Error::Revision { revision: revision.to_owned(), fetch: self.fetch(revision) })
    }

    /// The command that brings a revision here, as far as its name says.
    pub(super) fn fetch(&self, revision: &str) -> String {
        let bare = revision.strip_prefix("refs/remotes/").unwrap_or(revision);
        let (remote, branch) = match bare.split_once('/') {
            Some((remote, branch)) if remote != "refs" => (remote, branch),
            _ => ("origin", bare),
        };
        let whole = if self.shallow { " --unshallow" } else { "" };
        if let Some(number) = revision.strip_prefix("refs/pull/") {
            return format!("git fetch{whole} origin '+refs/pull/{number}:refs/pull/{number}'");
        }
        let plain = !branch.is_empty() && branch.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        if plain && remote == "origin" && branch != "HEAD" && !branch.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return format!("git fetch{whole} origin '+refs/heads/{branch}:refs/remotes/origin/{branch}'");
        }
        format!("git fetch{whole} origin")
    }

    pub(super) fn commit_entries(&self, commit: &str) -> Result<BTreeMap<String, Entry>, Error> {
        Ok(listed(&self.git("a commit")?.run(&["ls-tree", "-r", "-z", "--full-tree", commit])?))
    }

    fn walk(&self, troubles: &mut Vec<Trouble>) -> Result<BTreeMap<String, Entry>, Error> {
        let mut entries = BTreeMap::new();
        let mut add = |path: &Path, link: bool| {
            let name = slashed(path);
            let odd = path.to_str().is_none();
            entries.insert(
                name,
                if odd {
                    Entry::Odd
                } else if link {
                    Entry::Link(None)
                } else {
                    Entry::File(None)
                },
            );
        };
        let mut walk = ignore::WalkBuilder::new(&self.root);
        walk.hidden(false).ignore(false).parents(false).require_git(false).follow_links(false);
        walk.filter_entry(|entry| entry.file_name() != ".git");
        for found in walk.build() {
            match found {
                Ok(found) if found.file_type().is_some_and(|kind| kind.is_file() || kind.is_symlink()) => {
                    if let Ok(path) = found.path().strip_prefix(&self.root) {
                        add(path, found.path_is_symlink());
                    }
                }
                Ok(_) => {}
                Err(why) => troubles.push(Trouble::new("", why.to_string(), "see who may read it")),
            }
        }
        if self.has_git() {
            // What git has in spite of being ignored is there all the same.
            let kept = self.git("the work tree")?.run(&["ls-files", "-z", "--cached", "--ignored", "--exclude-standard"])?;
            for path in kept.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(path_of) {
                if let Ok(found) = std::fs::symlink_metadata(self.root.join(&path)) {
                    add(&path, found.is_symlink());
                }
            }
        }
        Ok(entries)
    }
}

/// Lines of `ls-tree` and of `ls-files -s`: mode, perhaps a kind, name of the object, perhaps a stage, and the path behind a tab.
fn listed(out: &[u8]) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for line in out.split(|byte| *byte == 0) {
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
        let head = String::from_utf8_lossy(&line[..tab]);
        let words: Vec<&str> = head.split(' ').collect();
        let (Some(mode), Some(id)) = (words.first(), words.iter().find(|word| word.len() >= 40)) else { continue };
        let path = &line[tab + 1..];
        let name = String::from_utf8_lossy(path).into_owned();
        let entry = match *mode {
            "160000" => Entry::Module,
            _ if std::str::from_utf8(path).is_err() => Entry::Odd,
            "120000" => Entry::Link(Some((*id).to_owned())),
            _ => Entry::File(Some((*id).to_owned())),
        };
        // Of a path in conflict, ours: stages come in order.
        match words.last() {
            Some(&"3") if entries.contains_key(&name) => {}
            _ => {
                entries.insert(name, entry);
            }
        }
    }
    entries
}

impl Tree<'_> {
    /// Every path.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<String> {
        self.entries.keys().cloned().collect()
    }

    /// Which state it is of.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Folders that could not be looked into.
    #[must_use]
    pub fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// The text of one file; `None` where there is none.
    ///
    /// # Errors
    /// Git refuses.
    pub fn text(&self, path: &str) -> Result<Option<Result<String, Trouble>>, Error> {
        if !self.entries.contains_key(path) {
            return Ok(None);
        }
        Ok(self.read(&[path], |_, text| text)?.pop())
    }

    /// Reads files on all cores, and makes something of each.
    pub(super) fn read<R: Send>(&self, paths: &[&str], make: impl Fn(&str, Read) -> R + Sync) -> Result<Vec<R>, Error> {
        if self.source == Source::WorkTree {
            return Ok(parallel(paths, |path| make(path, self.of_work_tree(path))));
        }
        // One git reads them all, and what it has read is made something of on all cores meanwhile.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
        let (sender, receiver) = sync_channel::<(usize, Read)>(64);
        // Once no worker has it any more, nothing can be sent, and nobody waits for room.
        let receiver = Arc::new(Mutex::new(receiver));
        let (given, mut made) = std::thread::scope(|scope| {
            let (make, paths) = (&make, &paths);
            let work = move |receiver: Arc<Mutex<Receiver<(usize, Read)>>>| {
                let mut made = Vec::new();
                // Whoever waits holds the others up no longer than until something comes.
                while let Some((at, read)) = receiver.lock().ok().and_then(|receiver| receiver.recv().ok()) {
                    made.push((at, make(paths[at], read)));
                }
                made
            };
            let threads: Vec<_> = (0..cores)
                .map(|_| {
                    let receiver = Arc::clone(&receiver);
                    scope.spawn(move || work(receiver))
                })
                .collect();
            drop(receiver);
            let given = self.of_git(paths, |at, read| {
                let _ = sender.send((at, read));
            });
            drop(sender);
            let mut made = Vec::with_capacity(paths.len());
            for thread in threads {
                match thread.join() {
                    Ok(more) => made.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            (given, made)
        });
        given?;
        made.sort_unstable_by_key(|(at, _)| *at);
        Ok(made.into_iter().map(|(_, made)| made).collect())
    }

    fn of_work_tree(&self, path: &str) -> Read {
        let whole = self.repository.root.join(path);
        let unread = |why: std::io::Error| Trouble::new(path, why.to_string(), "see whether it is there, and who may read it");
        match self.entries.get(path) {
            Some(Entry::Odd) => return Err(odd(path)),
            Some(Entry::Link(_)) => {
                let target = std::fs::canonicalize(&whole).map_err(|_| dangling(path))?;
                if !target.starts_with(&self.repository.root) {
                    return Err(outside(path, &target.display().to_string()));
                }
            }
            _ => {}
        }
        let size = std::fs::metadata(&whole).map_err(unread)?;
        if !size.is_file() {
            return Err(Trouble::new(path, "it is no file", "call it otherwise: names that end in .md are documents'"));
        }
        let bytes = if size.len() > LARGEST as u64 {
            Err(usize::try_from(size.len()).unwrap_or(usize::MAX))
        } else {
            Ok(std::fs::read(&whole).map_err(unread)?)
        };
        text_of(path, bytes)
    }

    /// Contents that git has, each given on as it comes.
    fn of_git(&self, paths: &[&str], mut each: impl FnMut(usize, Read)) -> Result<(), Error> {
        let git = self.repository.git("a commit")?;
        let link = |path: &&str| match self.entries.get(*path) {
            Some(Entry::Link(Some(id))) => Some(id.as_str()),
            _ => None,
        };
        let (places, ids): (Vec<usize>, Vec<&str>) = paths.iter().enumerate().filter_map(|(at, path)| Some((at, link(path)?))).unzip();
        let mut targets: BTreeMap<usize, String> = BTreeMap::new();
        git.blobs(&ids, 4096, |at, bytes| {
            targets.insert(places[at], String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned());
        })?;
        let mut wanted: Vec<(usize, &str)> = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            match self.blob(path, targets.get(&at).map(String::as_str)) {
                Ok(id) => wanted.push((at, id)),
                Err(trouble) => each(at, Err(trouble)),
            }
        }
        let ids: Vec<&str> = wanted.iter().map(|(_, id)| *id).collect();
        git.blobs(&ids, LARGEST, |at, bytes| each(wanted[at].0, text_of(paths[wanted[at].0], bytes)))
    }

    /// The object that holds the contents of a path; of a link, what it leads to.
    fn blob(&self, path: &str, target: Option<&str>) -> Result<&str, Trouble> {
        match (self.entries.get(path), target) {
            (Some(Entry::File(Some(id))), _) => Ok(id),
            (Some(Entry::Odd), _) => Err(odd(path)),
            (Some(Entry::Link(_)), Some(target)) => {
                // Within an address a `%` means something; within a link it does not.
                let address = target.replace('%', "%25");
                let end = crate::rules::resolve(path, &address).filter(|_| !target.starts_with('/'));
                match self.entries.get(&end.ok_or_else(|| outside(path, target))?) {
                    Some(Entry::File(Some(id))) => Ok(id),
                    _ => Err(dangling(path)),
                }
            }
            _ => Err(Trouble::new(path, "it is no file of this tree", "see what it is")),
        }
    }

    /// The entry of a commit or an index is an object; that of a work tree may be a folder without files.
    pub(super) fn has_folder(&self, folder: &str) -> bool {
        if folder.is_empty() {
            return true;
        }
        let prefix = format!("{folder}/");
        let listed = self.entries.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix));
        listed || (self.source == Source::WorkTree && self.repository.root.join(folder).is_dir())
    }
}

impl Repository {
    /// Whether a path is ignored by no one but is in the way: used before something is made there.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        std::fs::symlink_metadata(self.root.join(path)).is_ok()
    }

    /// What git says to a question that may have no answer.
    pub(super) fn ask(&self, what: &'static str, arguments: &[&str]) -> Result<Option<String>, Error> {
        let git = self.git(what)?;
        let ended = git.attempt(arguments).map_err(|fault| git.fault(fault))?;
        match (ended.success, ended.code) {
            (true, _) => Ok(Some(String::from_utf8_lossy(&ended.value).trim_end().to_owned())),
            (false, Some(1)) => Ok(None),
            _ => Err(Error::Git { command: arguments.join(" "), said: said(&ended.said), folder: git.folder().to_owned() }),
        }
    }
}

fn odd(path: &str) -> Trouble {
    Trouble::new(path, "its name is not UTF-8", "rename it")
}

fn outside(path: &str, target: &str) -> Trouble {
    Trouble::new(path, format!("it is a link out of the tree, to {target}"), "put the file itself here, or take the link away")
}

fn dangling(path: &str) -> Trouble {
    Trouble::new(path, "it is a link that leads nowhere", "mend the link, or take it away")
}
