//! Logs of containers: one run of a container is one [`RunLog`], kept in the format of the CRI in files of bounded size.
//!
//! Held: for every (Pod UID, container) its last two runs. The kubelet writes, [`LogReader`] reads; a follower is told of
//! new bytes by a channel and never polls. Files go with their Pod.

mod cri;
mod lacking;
mod reader;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

pub use cri::Stream;
pub use lacking::LogError;
pub use reader::{LogQuery, LogReader};
pub(crate) use writer::copy;

/// A file is followed by a new one when it has this many bytes.
const FILE_BYTES: u64 = 10 << 20;
/// Files kept per run.
const FILES: u64 = 5;

/// How far a run's log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Bytes written in all.
    bytes: u64,
    /// Number of the file that is written to.
    file: u64,
    /// Nothing more will come.
    ended: bool,
}

/// The log of one run.
#[derive(Debug)]
pub(crate) struct RunLog {
    dir: PathBuf,
    attempt: u32,
    file_bytes: u64,
    progress: watch::Sender<Progress>,
    sink: Mutex<writer::Sink>,
}

impl RunLog {
    fn create(dir: PathBuf, attempt: u32, file_bytes: u64) -> std::io::Result<Arc<Self>> {
        std::fs::create_dir_all(&dir)?;
        let sink = writer::Sink::open(&dir.join(file_name(attempt, 0)))?;
        Ok(Arc::new(Self { dir, attempt, file_bytes, progress: watch::Sender::new(Progress::default()), sink: Mutex::new(sink) }))
    }

    fn path(&self, file: u64) -> PathBuf {
        self.dir.join(file_name(self.attempt, file))
    }

    /// The oldest file that is still kept while `current` is written.
    fn oldest(current: u64) -> u64 {
        current.saturating_sub(FILES - 1)
    }

    /// Nothing more will come: followers end.
    pub(crate) fn end(&self) {
        self.progress.send_modify(|p| p.ended = true);
    }

    fn remove(&self) {
        let current = self.progress.borrow().file;
        for file in Self::oldest(current)..=current {
            let _ = std::fs::remove_file(self.path(file));
        }
    }
}

fn file_name(attempt: u32, file: u64) -> String {
    format!("{attempt}.{file}.log")
}

/// By (Pod UID, container): its last two runs, the older first.
type Runs = HashMap<(String, String), Vec<Arc<RunLog>>>;

/// The logs of a node.
#[derive(Debug)]
pub(crate) struct Logs {
    dir: PathBuf,
    file_bytes: u64,
    runs: Mutex<Runs>,
}

impl Logs {
    /// Logs below `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, file_bytes: FILE_BYTES, runs: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the log of a run; the one before the last goes.
    pub(crate) fn begin(&self, uid: &str, container: &str, attempt: u32) -> std::io::Result<Arc<RunLog>> {
        let log = RunLog::create(self.dir.join(uid).join(container), attempt, self.file_bytes)?;
        let mut runs = self.lock();
        let list = runs.entry((uid.to_owned(), container.to_owned())).or_default();
        while list.len() > 1 {
            list.remove(0).remove();
        }
        list.push(log.clone());
        Ok(log)
    }

    /// Forgets a Pod and removes its files.
    pub(crate) fn remove(&self, uid: &str) {
        let mut runs = self.lock();
        runs.retain(|(owner, _), list| {
            if owner == uid {
                list.iter().for_each(|log| log.end());
            }
            owner != uid
        });
        drop(runs);
        let _ = std::fs::remove_dir_all(self.dir.join(uid));
    }

    /// The last run of a container, or the one before it.
    pub(crate) fn find(&self, query: &LogQuery) -> Option<Arc<RunLog>> {
        let runs = self.lock();
        let list = runs.get(&(query.uid.clone(), query.container.clone())).map_or(&[][..], Vec::as_slice);
        let found = if query.previous { list.len().checked_sub(2).and_then(|i| list.get(i)) } else { list.last() };
        found.cloned()
    }

    /// The last bytes of the last run as text, for a termination message made of the log.
    pub(crate) fn tail(log: &RunLog, lines: usize, bytes: usize) -> String {
        let progress = *log.progress.borrow();
        let text = std::fs::read(log.path(progress.file)).unwrap_or_default();
        let all: Vec<&[u8]> = text.split(|b| *b == b'\n').filter_map(|l| cri::parse(l).map(|line| line.text)).collect();
        let joined = all[all.len().saturating_sub(lines)..].join(&b'\n');
        String::from_utf8_lossy(&joined[joined.len().saturating_sub(bytes)..]).into_owned()
    }
}

#[cfg(test)]
mod tests;
