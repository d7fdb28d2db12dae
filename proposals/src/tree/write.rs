//! Writing: one file after the other, each whole or not at all, by one writer at a time. Nothing of ours stays in the tree: the lock
//! and the file that is going to take another's place lie in git's folder, where there is one.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Repository;
use super::error::Error;
use crate::numbers::Step;

/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The right to write in a work tree, until it is dropped.
#[derive(Debug)]
pub struct Lock<'r> {
    repository: &'r Repository,
    _file: File,
}

impl Repository {
    /// Takes the right to write. What is going to be written has to be read after that.
    ///
    /// # Errors
    /// Somebody else has it for too long, or there is no work tree.
    pub fn lock(&self) -> Result<Lock<'_>, Error> {
        self.lock_within(PATIENCE)
    }

    pub(super) fn lock_within(&self, patience: Duration) -> Result<Lock<'_>, Error> {
        if self.bare {
            return Err(Error::Bare { root: self.root.clone() });
        }
        let failed = |path: &Path, why| Error::File { path: path.display().to_string(), what: "lock it", why };
        // Without git the folder itself is locked: that leaves nothing behind.
        let (path, file) = match &self.git_directory {
            Some(directory) => {
                let path = directory.join("dormouse-dep.lock");
                let file = File::options().create(true).truncate(false).write(true).open(&path);
                (path, file)
            }
            None => (self.root.clone(), File::open(&self.root)),
        };
        let file = file.map_err(|why| failed(&path, why))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { repository: self, _file: file }),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(20)),
                Err(TryLockError::WouldBlock) => return Err(Error::Locked { lock: path, seconds: patience.as_secs() }),
                Err(TryLockError::Error(why)) => return Err(failed(&path, why)),
            }
        }
    }
}

impl Lock<'_> {
    /// Does the steps of a plan, one after the other. Each is whole or not done; whoever is stopped between two plans again and goes on.
    ///
    /// # Errors
    /// A file is not what the plan was made from, or cannot be written. Steps before it are done.
    pub fn execute(&self, steps: &[Step]) -> Result<(), Error> {
        steps.iter().try_for_each(|step| match step {
            Step::Write { path, was, text } => self.replace(path, was.as_deref(), text),
            Step::Rename { from, to } => self.rename(from, to),
        })
    }

    /// The place of a path, with links on the way followed; never out of the tree.
    fn place(&self, path: &str) -> Result<PathBuf, Error> {
        let whole = self.repository.root.join(path);
        let outside = || Error::Outside { path: path.to_owned() };
        let (Some(folder), Some(name)) = (whole.parent(), whole.file_name()) else { return Err(outside()) };
        let folder = std::fs::canonicalize(folder).map_err(|why| Error::File { path: path.to_owned(), what: "reach it", why })?;
        if !folder.starts_with(&self.repository.root) {
            return Err(outside());
        }
        Ok(folder.join(name))
    }

    /// Puts a text in a file's place, if it still is what it was; where it has the text already there is nothing to do.
    ///
    /// # Errors
    /// It is something else, or cannot be written.
    pub fn replace(&self, path: &str, was: Option<&str>, text: &str) -> Result<(), Error> {
        let file = |what, why| Error::File { path: path.to_owned(), what, why };
        let mut place = self.place(path)?;
        if std::fs::symlink_metadata(&place).is_ok_and(|found| found.is_symlink()) {
            // The link stays; what it leads to is written.
            place = std::fs::canonicalize(&place).map_err(|why| file("follow the link", why))?;
            if !place.starts_with(&self.repository.root) {
                return Err(Error::Outside { path: path.to_owned() });
            }
        }
        let is = match std::fs::read(&place) {
            Ok(bytes) => Some(bytes),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
            Err(why) => return Err(file("read it", why)),
        };
        if is.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        if is.as_deref() != was.map(str::as_bytes) {
            let what = if is.is_none() {
                "is gone"
            } else if was.is_none() {
                "was made"
            } else {
                "was changed"
            };
            return Err(Error::Changed { path: path.to_owned(), what });
        }
        let permissions = std::fs::metadata(&place).ok().map(|found| found.permissions());
        let put = |new: &Path| -> std::io::Result<()> {
            let mut out = File::create(new)?;
            out.write_all(text.as_bytes())?;
            if let Some(permissions) = permissions.clone() {
                out.set_permissions(permissions)?;
            }
            out.sync_all()?;
            std::fs::rename(new, &place)
        };
        let beside = || place.with_file_name(format!(".dormouse-dep.{}", std::process::id()));
        let attempt = |new: PathBuf| {
            put(&new).inspect_err(|_| {
                let _ = std::fs::remove_file(&new);
            })
        };
        let done = match &self.repository.git_directory {
            // Under the lock nobody else uses that name; what a kill left there is written over.
            Some(directory) => match attempt(directory.join("dormouse-dep.new")) {
                Err(why) if why.kind() == std::io::ErrorKind::CrossesDevices => attempt(beside()),
                done => done,
            },
            None => attempt(beside()),
        };
        done.map_err(|why| file("write it", why))
    }

    /// Gives a file or a folder another name; where that was done already there is nothing to do.
    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let (old, new) = (self.place(from)?, self.place(to)?);
        let exists = |path: &Path| std::fs::symlink_metadata(path).is_ok();
        match (exists(&old), exists(&new)) {
            (true, false) => std::fs::rename(&old, &new).map_err(|why| Error::File { path: from.to_owned(), what: "rename it", why }),
            (false, true) => Ok(()),
            (false, false) => Err(Error::Changed { path: from.to_owned(), what: "is gone" }),
            (true, true) => Err(Error::Changed { path: to.to_owned(), what: "was made" }),
        }
    }
}
