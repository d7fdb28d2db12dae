//! The run folder of a plane: one per name, one `up` at a time.
//!
//! Held in it: `lock` (an advisory lock that ends with its process, so that a crash frees it), `state.json`
//! (what `down`, `status` and `devices` need to find the plane), the kubeconfig, logs of a detached run.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// What a running plane says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Process of `up`.
    pub pid: i32,
    /// `https://…` of the API server.
    pub server: String,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// The focus namespace of the controllers.
    pub namespace: String,
    /// Node name to the abstract socket of its device ledger.
    pub devices: Vec<(String, String)>,
}

/// Why a run folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another `up` has it.
    #[error(
        "another `dormouse up` is running under the name {name:?} ({holder}); end it with `dormouse down --name {name}`, or choose another --name"
    )]
    Taken {
        /// The name.
        name: String,
        /// Who has it.
        holder: String,
    },
    /// Nothing runs under that name.
    #[error("no plane runs under the name {0:?}; start one with `dormouse up`, or choose another --name")]
    Absent(String),
    /// The name cannot be a folder's name.
    #[error("{0:?} cannot be a name: use letters, digits, '-', '_' and '.', and begin with a letter or digit")]
    Name(String),
    /// It belongs to someone else, so that what is in it cannot be trusted.
    #[error("{0} belongs to another user; remove it, or set XDG_RUNTIME_DIR")]
    Foreign(PathBuf),
    /// The file system refused.
    #[error("cannot use the run folder {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where the run folder of `name` is.
///
/// # Errors
/// When the name cannot be a folder's name.
pub fn path(name: &str) -> Result<PathBuf, Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(fine) || name.len() > 64 {
        return Err(Error::Name(name.to_owned()));
    }
    let base = match std::env::var_os("XDG_RUNTIME_DIR").filter(|d| !d.is_empty()) {
        Some(dir) => PathBuf::from(dir).join("dormouse"),
        None => std::env::temp_dir().join(format!("dormouse-{}", nix::unistd::getuid())),
    };
    Ok(base.join(name))
}

/// A run folder that is ours until this value is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    lock: Flock<File>,
}

impl RunFolder {
    /// Makes the folder if need be and takes it.
    ///
    /// # Errors
    /// When another `up` has it, or the file system refuses.
    pub fn take(name: &str) -> Result<Self, Error> {
        let path = path(name)?;
        let io = |source| Error::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(io)?;
        for dir in [path.as_path(), path.parent().unwrap_or(&path)] {
            if fs::metadata(dir).map_err(io)?.uid() != nix::unistd::getuid().as_raw() {
                return Err(Error::Foreign(dir.to_owned()));
            }
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join("lock")).map_err(io)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let _ = fs::remove_file(path.join("state.json"));
                lock.set_len(0).map_err(io)?;
                lock.rewind().map_err(io)?;
                write!(lock, "{}", std::process::id()).map_err(io)?;
                Ok(Self { path, lock })
            }
            Err((mut file, _)) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let holder = if pid.is_empty() { "a process that just started".to_owned() } else { format!("process {pid}") };
                Err(Error::Taken { name: name.to_owned(), holder })
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says that the plane is ready, atomically.
    ///
    /// # Errors
    /// What the file system says.
    pub fn announce(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(state)?;
        let new = self.path.join("state.json.new");
        fs::write(&new, text)?;
        fs::rename(new, self.path.join("state.json"))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join("state.json"));
        let _ = self.lock.set_len(0);
    }
}

/// The plane that runs under `name`, if one does.
///
/// # Errors
/// When the name cannot be one, or the folder cannot be read.
pub fn running(name: &str) -> Result<Option<State>, Error> {
    let path = path(name)?;
    let io = |source| Error::Io { path: path.clone(), source };
    let file = match OpenOptions::new().read(true).write(true).open(path.join("lock")) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    // Whoever can lock it proves that nobody runs.
    if Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok() {
        return Ok(None);
    }
    match fs::read(path.join("state.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| io(e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io(e)),
    }
}

/// The plane that runs under `name`.
///
/// # Errors
/// As [`running`], or when none does.
pub fn found(name: &str) -> Result<State, Error> {
    running(name)?.ok_or_else(|| Error::Absent(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_up_per_name_and_a_dropped_one_frees_it() {
        let name = format!("test-{}", std::process::id());
        let first = RunFolder::take(&name).unwrap();
        let error = RunFolder::take(&name).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())) && error.contains("dormouse down"), "{error}");
        assert!(running(&name).unwrap().is_none());
        let state = State { pid: 1, server: "https://x".into(), kubeconfig: "k".into(), namespace: "default".into(), devices: Vec::new() };
        first.announce(&state).unwrap();
        assert_eq!(running(&name).unwrap().unwrap().server, "https://x");
        let folder = first.path().to_owned();
        drop(first);
        assert!(running(&name).unwrap().is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for bad in ["", "..", "a/b", "-x", "a b"] {
            assert!(matches!(path(bad), Err(Error::Name(_))), "{bad:?}");
        }
    }
}
