//! Names of files (perf contract 6.2), and writing them whole or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Endings that a prefix may have been given with.
const ENDINGS: [&str; 14] = [
    "_raw.jsonl",
    "_timeslices.csv",
    "_timeslices.json",
    "_server_metrics.parquet",
    "_server_metrics.jsonl",
    "_server_metrics.json",
    "_server_metrics.csv",
    "_gpu_telemetry.jsonl",
    "_network_latency.jsonl",
    "_console.txt",
    ".jsonl",
    ".json",
    ".csv",
    ".txt",
];

/// The files of one run.
#[derive(Clone, Debug)]
pub struct Names {
    dir: PathBuf,
    prefix: Option<String>,
}

impl Names {
    /// In a folder, with a prefix of the user's own.
    #[must_use]
    pub fn new(dir: &Path, prefix: Option<&str>) -> Self {
        let prefix = prefix.map(|prefix| ENDINGS.iter().find_map(|ending| prefix.strip_suffix(ending)).unwrap_or(prefix).to_owned());
        Self { dir: dir.to_owned(), prefix: prefix.filter(|prefix| !prefix.is_empty()) }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn file(&self, usual: &str, ending: &str) -> PathBuf {
        self.dir.join(self.prefix.as_ref().map_or_else(|| usual.to_owned(), |prefix| format!("{prefix}{ending}")))
    }

    /// The summary.
    #[must_use]
    pub fn summary(&self) -> PathBuf {
        self.file("profile_export_aiperf.json", ".json")
    }

    /// The same for spreadsheets.
    #[must_use]
    pub fn csv(&self) -> PathBuf {
        self.file("profile_export_aiperf.csv", ".csv")
    }

    /// A line for each request.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.file("profile_export.jsonl", ".jsonl")
    }

    /// The same with what was sent and came.
    #[must_use]
    pub fn raw(&self) -> PathBuf {
        self.file("profile_export_raw.jsonl", "_raw.jsonl")
    }

    /// The tables.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.file("profile_export_console.txt", "_console.txt")
    }

    /// Slices of time, with this ending.
    #[must_use]
    pub fn slices(&self, ending: &str) -> PathBuf {
        self.file(&format!("profile_export_aiperf_timeslices.{ending}"), &format!("_timeslices.{ending}"))
    }

    /// Metrics of servers, with this ending.
    #[must_use]
    pub fn server_metrics(&self, ending: &str) -> PathBuf {
        self.file(&format!("server_metrics_export.{ending}"), &format!("_server_metrics.{ending}"))
    }

    /// What GPUs did.
    #[must_use]
    pub fn gpus(&self) -> PathBuf {
        self.file("gpu_telemetry_export.jsonl", "_gpu_telemetry.jsonl")
    }

    /// A file whose name is the same for all.
    #[must_use]
    pub fn other(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// A file's name while it is being written.
#[must_use]
pub fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Writes a file whole or not at all.
///
/// # Errors
/// What the system says.
pub fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    let partial = partial(path);
    std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })
}

/// This thread stands behind the one that measures: on Linux each thread has a nice value of its own.
pub fn behind() {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::nice(10);
    }
}

/// A folder that is written by one run at a time.
#[derive(Debug)]
pub struct Held(#[allow(dead_code, reason = "it is held, not used")] File);

/// Takes a folder, which is made if it is not there.
///
/// # Errors
/// It cannot be made, or another run has it.
pub fn hold(dir: &Path) -> io::Result<Held> {
    std::fs::create_dir_all(dir)?;
    let file = File::options().create(true).truncate(false).write(true).open(dir.join(".dormouse.lock"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(Held(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_loses_a_known_ending() {
        let names = |prefix| Names::new(Path::new("d"), prefix);
        assert_eq!(names(None).summary(), Path::new("d/profile_export_aiperf.json"));
        for prefix in ["foo", "foo.json", "foo_raw.jsonl", "foo_timeslices.csv"] {
            let names = names(Some(prefix));
            assert_eq!((names.summary(), names.raw()), (PathBuf::from("d/foo.json"), PathBuf::from("d/foo_raw.jsonl")));
            assert_eq!(names.server_metrics("csv"), Path::new("d/foo_server_metrics.csv"));
        }
    }
}
