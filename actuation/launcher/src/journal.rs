//! The private folder of one launcher process, and what a killed predecessor left.
//!
//! `<log-dir>/launcher-<pid>-<epoch>/` (mode 0700) holds `owner.json`, locked while its launcher lives; the logs; and one
//! small record per engine, written before the creation is answered. A launcher that starts looks through its siblings:
//! a folder whose lock is free, whose owner is this user and has the same identity (Pod and address), and which was
//! made since boot, is a dead predecessor's. Engines it recorded (PID and start time), their sessions and descendants, and
//! processes that carry its mark are killed; then the folder is removed. Nothing else is touched.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::process::table::{self, Proc, Roots};
use crate::process::{self, MARK};

/// Time to wait for the survivors of a predecessor.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// Who a launcher is, beyond its process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// UID or name of the Pod, else the host's name.
    pub(crate) place: String,
    /// Address it was told to listen on.
    pub(crate) listen: String,
}

impl Identity {
    /// The identity of a launcher that listens on `listen`.
    pub(crate) fn new(listen: String) -> Self {
        let env = |name| std::env::var(name).ok().filter(|v: &String| !v.is_empty());
        let pod = || Some(format!("{}/{}", env("NAMESPACE")?, env("POD_NAME")?));
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        Self { place: env(dormouse_names::env::POD_UID).or_else(pod).unwrap_or_else(host), listen }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    epoch: String,
    boot: String,
    #[serde(flatten)]
    identity: Identity,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    instance_id: String,
    pid: i32,
    start: u64,
}

/// The private folder of this launcher. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    /// Held for its lock.
    _owner: File,
}

impl Journal {
    /// Kills what a predecessor left and makes the folder. Blocking.
    pub(crate) fn open(parent: &Path, epoch: &str, identity: Identity) -> io::Result<Self> {
        if let Err(error) = sweep(parent, &identity) {
            tracing::warn!(dir = %parent.display(), %error, "cannot look for engines of a predecessor");
        }
        let dir = parent.join(format!("launcher-{}-{epoch}", std::process::id()));
        let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot make the private folder {}: {e}", dir.display()));
        DirBuilder::new().mode(0o700).create(&dir).map_err(named)?;
        let mut owner = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join("owner.json")).map_err(named)?;
        owner.lock().map_err(named)?;
        let text = serde_json::to_string(&Owner { epoch: epoch.to_owned(), boot: boot_id(), identity })?;
        owner.write_all(text.as_bytes()).map_err(named)?;
        Ok(Self { dir, _owner: owner })
    }

    /// Where the log of an instance goes; the name says nothing about the ID.
    pub(crate) fn log_path(&self, instance_id: &str) -> PathBuf {
        self.dir.join(format!("{}.log", digest(instance_id)))
    }

    /// Notes an engine before anybody is told of it.
    pub(crate) fn record(&self, instance_id: &str, pid: i32, start: u64) {
        let record = Record { instance_id: instance_id.to_owned(), pid, start };
        let path = self.record_path(instance_id);
        let written = serde_json::to_string(&record).map_err(io::Error::other).and_then(|text| std::fs::write(&path, text));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "cannot note an engine; after a crash only its mark would identify it");
        }
    }

    /// Forgets an engine that is gone.
    pub(crate) fn forget(&self, instance_id: &str) {
        let _ = std::fs::remove_file(self.record_path(instance_id));
    }

    fn record_path(&self, instance_id: &str) -> PathBuf {
        self.dir.join(format!("{}.pid", digest(instance_id)))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn digest(id: &str) -> String {
    Sha256::digest(id).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn sweep(parent: &Path, identity: &Identity) -> io::Result<()> {
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = name.to_str().is_some_and(|n| n.starts_with("launcher-"))
            && entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == rustix::process::geteuid().as_raw());
        if is_ours && let Some((_lock, owner)) = dead_owner(&path, identity) {
            let killed = kill_survivors(&path, &owner);
            tracing::info!(dir = %path.display(), killed, "cleaned up after a launcher that was killed");
            std::fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// The owner of a folder, when it is a dead predecessor of `identity`; the lock keeps others from sweeping it too.
fn dead_owner(dir: &Path, identity: &Identity) -> Option<(File, Owner)> {
    let file = File::open(dir.join("owner.json")).ok()?;
    file.try_lock().ok()?;
    let owner: Owner = serde_json::from_reader(&file).ok()?;
    (owner.identity == *identity && owner.boot == boot_id()).then_some((file, owner))
}

/// Kills until nothing is left, and says how many there were.
fn kill_survivors(dir: &Path, owner: &Owner) -> usize {
    let mut roots = Roots::default();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|e| e == "pid")
            && let Ok(text) = std::fs::read_to_string(entry.path())
            && let Ok(record) = serde_json::from_str::<Record>(&text)
        {
            roots.sessions.insert(record.pid, record.start);
            roots.known.insert((record.pid, record.start));
        }
    }
    let (prefix, me) = (format!("{}.", owner.epoch), i32::try_from(std::process::id()).unwrap_or(0));
    let deadline = Instant::now() + SWEEP_LIMIT;
    let (mut killed, mut empty) = (std::collections::BTreeSet::new(), 0);
    while empty < 2 && Instant::now() < deadline {
        let Ok(all) = table::snapshot() else { break };
        for p in all.iter().filter(|p| p.pid != me && !p.zombie && table::has_mark(p.pid, MARK, |v| v.starts_with(&prefix))) {
            roots.known.insert(p.key());
        }
        let living: Vec<Proc> = roots.members(&all, me, |_| false).into_iter().filter(|p| !p.zombie).collect();
        living.iter().for_each(process::kill);
        killed.extend(living.iter().map(Proc::key));
        empty = if living.is_empty() { empty + 1 } else { 0 };
        if empty == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    if empty < 2 {
        tracing::error!(dir = %dir.display(), "engines of a predecessor survive SIGKILL");
    }
    killed.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(listen: &str) -> Identity {
        Identity { place: "here".into(), listen: listen.into() }
    }

    #[test]
    fn only_dead_predecessors_of_the_same_identity_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let living = Journal::open(parent.path(), "e1", identity("a:1")).unwrap();
        let dead = Journal::open(parent.path(), "e2", identity("a:1")).unwrap();
        let other = Journal::open(parent.path(), "e3", identity("a:2")).unwrap();
        dead.record("x", i32::MAX, 1);
        // As a kill leaves them: folders stay, locks go.
        for journal in [dead, other] {
            let mut journal = std::mem::ManuallyDrop::new(journal);
            journal._owner = File::open("/dev/null").unwrap();
        }
        std::fs::create_dir(parent.path().join("launcher-1-unrelated")).unwrap();
        let new = Journal::open(parent.path(), "e4", identity("a:1")).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(parent.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap().rsplit('-').next().unwrap().to_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["e1", "e3", "e4", "unrelated"]);
        drop((living, new));
        assert!(!parent.path().join(format!("launcher-{}-e4", std::process::id())).exists());
    }
}
