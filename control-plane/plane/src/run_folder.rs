//! The run folder of a plane: one per name, one `up` at a time.
//!
//! Held in it: `lock` (an advisory lock that ends with its process, so that a crash frees it), `state.json`
//! (what `down`, `status` and `devices` need to find the plane), the kubeconfig, logs of a detached run.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Of the folder: keys and tokens are in it.
const MODE: u32 = 0o700;
/// How often, and with which pause, a lock that is held is tried again: a probe lets go of it long before.
const PROBES: usize = 10;
const PROBE: Duration = Duration::from_millis(5);

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

/// Makes the run folder of `name`, which nobody else may look into; one that is there is taken over if it is ours.
///
/// # Errors
/// When the name cannot be a folder's name, the folder is another user's, or the file system refuses.
pub fn make(name: &str) -> Result<PathBuf, Error> {
    let path = path(name)?;
    let io = |source| Error::Io { path: path.clone(), source };
    make_private(&path).map_err(io)?;
    for dir in [path.as_path(), path.parent().unwrap_or(&path)] {
        if fs::metadata(dir).map_err(io)?.uid() != nix::unistd::getuid().as_raw() {
            return Err(Error::Foreign(dir.to_owned()));
        }
    }
    fs::set_permissions(&path, Permissions::from_mode(MODE)).map_err(io)?;
    Ok(path)
}

/// Makes a folder, and those above it that are missing, for nobody else to look into.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(path)
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
        let path = make(name)?;
        let io = |source| Error::Io { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join("lock")).map_err(io)?;
        let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        // A probe holds the lock for an instant.
        for _ in 0..PROBES {
            let Err((file, _)) = lock else { break };
            std::thread::sleep(PROBE);
            lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        }
        match lock {
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
    let file = match File::open(path.join("lock")) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    // Whoever can lock it proves that nobody runs. Shared: two who ask at once must not take each other for a plane.
    if Flock::lock(file, FlockArg::LockSharedNonblock).is_ok() {
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
    fn probes_neither_see_each_other_nor_stand_in_the_way() {
        let name = format!("test-probes-{}", std::process::id());
        drop(RunFolder::take(&name).unwrap());
        let folder = path(&name).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, MODE);
        // What an older `up` wrote and a crash left: nobody runs.
        fs::write(folder.join("state.json"), br#"{"pid":1,"server":"s","kubeconfig":"k","namespace":"n","devices":[]}"#).unwrap();
        let probe = Flock::lock(File::open(folder.join("lock")).unwrap(), FlockArg::LockSharedNonblock).unwrap();
        assert!(running(&name).unwrap().is_none(), "another probe is no plane");
        let asked = std::thread::spawn(move || {
            std::thread::sleep(PROBE * 2);
            drop(probe);
        });
        let taken = RunFolder::take(&name).unwrap();
        asked.join().unwrap();
        drop(taken);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_that_others_could_read_is_closed() {
        let name = format!("test-mode-{}", std::process::id());
        let folder = make(&name).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        assert_eq!((make(&name).unwrap(), fs::metadata(&folder).unwrap().mode() & 0o777), (folder.clone(), MODE));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for bad in ["", "..", "a/b", "-x", "a b"] {
            assert!(matches!(path(bad), Err(Error::Name(_))), "{bad:?}");
        }
    }
}
