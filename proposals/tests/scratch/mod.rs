//! Repositories that tests make: nobody's settings, fixed people and days, no network.
#![allow(dead_code, clippy::unwrap_used, reason = "tests; each uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The day of the first commit of a scratch repository; each later one is given its own.
pub(crate) const DAY: &str = "2026-01-01T00:00:00Z";

/// A git that knows nothing of whoever runs it.
pub(crate) fn command(folder: &Path, day: &str) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder);
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(name);
    }
    for (who, name, address) in [("AUTHOR", "Ada Brook", "ada@example.org"), ("COMMITTER", "Ada Brook", "ada@example.org")] {
        git.env(format!("GIT_{who}_NAME"), name).env(format!("GIT_{who}_EMAIL"), address).env(format!("GIT_{who}_DATE"), day);
    }
    git.args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", "-c", "core.autocrlf=false"]);
    git
}

/// Runs it, to whatever end.
pub(crate) fn attempt(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, DAY).args(arguments).output().unwrap()
}

/// Runs it to a good end.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    git_on(folder, DAY, arguments)
}

/// The same on a day.
pub(crate) fn git_on(folder: &Path, day: &str, arguments: &[&str]) -> String {
    let out = command(folder, day).args(arguments).output().unwrap();
    assert!(out.status.success(), "git {arguments:?}: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Writes files.
pub(crate) fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Writes files, and commits all there is.
pub(crate) fn commit(folder: &Path, day: &str, files: &[(&str, &str)]) {
    write(folder, files);
    git(folder, &["add", "--all"]);
    git_on(folder, day, &["commit", "-q", "-m", "change"]);
}

/// A new repository with files in its first commit.
pub(crate) fn init(folder: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(folder).unwrap();
    git(folder, &["init", "-q"]);
    commit(folder, DAY, files);
}

/// Every file of a folder but git's, with its text.
pub(crate) fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(".git") => {}
                _ if path.is_dir() => folders.push(path),
                _ => all.push((
                    path.strip_prefix(folder).unwrap().display().to_string(),
                    String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
                )),
            }
        }
    }
    all.sort();
    all
}

/// A clone of upstream's trunk, from the bundle or from where `DORMOUSE_DEP_CORPUS` says.
pub(crate) fn upstream() -> Option<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(clone) = std::env::var_os("DORMOUSE_DEP_CORPUS") {
        return Some((clone.into(), None));
    }
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/proposals/upstream.bundle");
    if !bundle.exists() {
        eprintln!("SKIPPED: no clone of the proposals; DORMOUSE_DEP_CORPUS=FOLDER names one");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("upstream");
    git(folder.path(), &["clone", "-q", "--no-checkout", bundle.to_str().unwrap(), clone.to_str().unwrap()]);
    Some((clone, Some(folder)))
}
