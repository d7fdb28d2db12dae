//! The log of one instance: a file that the engine appends to and the launcher reads.
//!
//! Offsets are absolute for the life of the log. Its size is bounded from the front: the old part is given back to the
//! file system as a hole, so no offset moves, no pipe stands between engine and file, and an engine goes on writing
//! when the launcher dies. Where the file system cannot make holes, the log grows and one warning says so.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

/// Holes are made of whole pages.
const PAGE: u64 = 4096;
/// How far back last words are looked for.
const LAST_WORDS: u64 = 4096;

/// The log of one instance.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    /// First byte that is still there.
    start: AtomicU64,
    unbounded: AtomicBool,
}

impl LogFile {
    /// Makes an empty log.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o644).open(&path)?;
        file.set_len(0)?;
        Ok(Self { path, file, start: AtomicU64::new(0), unbounded: AtomicBool::new(false) })
    }

    /// The file for the engine's standard output and error: appending, so that writers do not overwrite each other.
    pub(crate) fn for_engine(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size: the offset after the last byte.
    pub(crate) fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The first offset that can be read, given the size.
    pub(crate) fn start(&self, size: u64) -> u64 {
        let start = self.start.load(Ordering::Relaxed);
        // An engine that truncates its own log starts over.
        if start > size { 0 } else { start }
    }

    /// At most `limit` bytes from `offset`; fewer at the end of the file.
    pub(crate) fn read(&self, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        read_at(&self.file, offset, limit)
    }

    /// The last line that speaks of an error, else the last line, shortened: what an engine complains of before it ends.
    pub(crate) fn last_words(&self) -> Option<String> {
        let size = self.size().ok()?;
        let tail = self.read(size.saturating_sub(LAST_WORDS).max(self.start(size)), usize::try_from(LAST_WORDS).ok()?).ok()?;
        let text = String::from_utf8_lossy(&tail);
        let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
        let line = lines().find(|line| line.to_ascii_lowercase().contains("error")).or_else(|| lines().next())?;
        Some(line.chars().take(400).collect())
    }

    /// Drops the oldest part when more than `keep` bytes (and a quarter, so that this is rare) are there.
    pub(crate) fn trim(&self, keep: u64) {
        if keep == 0 || self.unbounded.load(Ordering::Relaxed) {
            return;
        }
        let Ok(size) = self.size() else { return };
        let start = self.start(size);
        if size - start <= keep + keep / 4 {
            self.start.store(start, Ordering::Relaxed);
            return;
        }
        let cut = (size - keep) / PAGE * PAGE;
        // Readers must not see zeros: first the bound, then the hole.
        self.start.store(cut, Ordering::Relaxed);
        if let Err(error) = fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, cut) {
            self.start.store(start, Ordering::Relaxed);
            self.unbounded.store(true, Ordering::Relaxed);
            tracing::warn!(path = %self.path.display(), %error, "the file system cannot shorten this log; it will grow without bound");
        }
    }

    /// Removes the file; readers that have it open can go on.
    pub(crate) fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a log");
        }
    }
}

/// Reads until `limit` or the end of the file.
fn read_at(file: &impl FileExt, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; limit];
    let mut filled = 0;
    while filled < limit {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_front_is_dropped_and_offsets_stay() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFile::create(dir.path().join("l")).unwrap();
        let mut engine = log.for_engine().unwrap();
        for i in 0..4000_u32 {
            writeln!(engine, "{i:015}").unwrap();
        }
        let size = log.size().unwrap();
        assert_eq!(size, 64_000);
        log.trim(0);
        log.trim(60_000);
        assert_eq!(log.start(size), 0, "within the quarter");
        log.trim(20_000);
        let start = log.start(size);
        if log.unbounded.load(Ordering::Relaxed) {
            dormouse_testing::skipped("this file system makes no holes");
            return;
        }
        assert_eq!((start, log.size().unwrap()), (40_960, 64_000));
        assert_eq!(log.read(start, 16).unwrap(), b"000000000002560\n");
        assert_eq!(log.read(0, 16).unwrap(), [0; 16], "the old part is a hole");
        engine.set_len(0).unwrap();
        assert_eq!(log.start(0), 0, "a log that its engine truncated starts over");
    }

    #[test]
    fn last_words_are_the_last_line_that_speaks_of_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFile::create(dir.path().join("l")).unwrap();
        assert_eq!(log.last_words(), None);
        let mut engine = log.for_engine().unwrap();
        writeln!(engine, "{}\nstarting\n  ", "x".repeat(9000)).unwrap();
        assert_eq!(log.last_words().unwrap(), "starting");
        writeln!(engine, "ValueError: no model {}\n\nFor more, try --help.", "y".repeat(900)).unwrap();
        let words = log.last_words().unwrap();
        assert!(words.starts_with("ValueError: no model yyy") && words.len() == 400, "{words}");
    }

    /// Row 33 of the launcher's table: fewer bytes than the size promised.
    #[test]
    fn a_short_file_gives_what_it_has() {
        struct Short;
        impl FileExt for Short {
            fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
                let n = buf.len().min(usize::try_from(111_u64.saturating_sub(offset)).unwrap());
                Ok(n)
            }
            fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
                Ok(0)
            }
        }
        assert_eq!(read_at(&Short, 100, 100).unwrap().len(), 11);
    }
}
