//! The files of a volume, replaced all at once and in the kubelet's way, which programs that watch such folders know.
//!
//! ```text
//! <root>/..2026_02_01_15_04_05.1234567890/   the files, in folders of their own where their paths have them
//! <root>/..data -> ..2026_02_01_15_04_05.1234567890
//! <root>/key -> ..data/key                   one link for the first part of each path
//! ```
//!
//! A change is a new folder of files and one rename of the link `..data`: a reader sees all of the old or all of the new.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use crate::plan::volume::File;

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// Makes the files below `root` what `files` says, and answers whether anything had to be done.
pub(super) fn write(root: &Path, files: &[File], now: Timestamp) -> io::Result<bool> {
    // While a Pod is prepared once more, the task that followed its objects before may still be at work.
    let one_writer = fs::File::open(root)?;
    one_writer.lock()?;
    let old = match fs::read_link(root.join(DATA)) {
        Ok(name) => Some(root.join(name)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    if old.as_deref().is_some_and(|old| holds(old, files)) {
        return Ok(false);
    }
    let fresh = new_folder(root, now)?;
    let shown = fill(&fresh, files).and_then(|()| show(root, files)).and_then(|()| turn_to(root, &fresh));
    if let Err(e) = shown {
        let _ = fs::remove_dir_all(&fresh);
        return Err(e);
    }
    hide_others(root, files)?;
    old.map_or(Ok(()), fs::remove_dir_all)?;
    Ok(true)
}

/// Whether `folder` has exactly these files. One that cannot be read has not.
fn holds(folder: &Path, files: &[File]) -> bool {
    let mut present = BTreeMap::new();
    let wanted = files.iter().map(|f| (folder.join(&f.path), (f.bytes.as_slice(), f.mode)));
    collect(folder, &mut present).is_ok()
        && present.len() == files.len()
        && wanted.into_iter().all(|(path, (bytes, mode))| present.get(&path).is_some_and(|(b, m)| b == bytes && *m == mode))
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, (Vec<u8>, u32)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, meta) = (entry.path(), entry.metadata()?);
        if meta.is_dir() {
            collect(&path, files)?;
        } else {
            let bytes = fs::read(&path)?;
            files.insert(path, (bytes, meta.permissions().mode() & 0o777));
        }
    }
    Ok(())
}

fn new_folder(root: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let stamp = now.strftime("..%Y_%m_%d_%H_%M_%S");
    let folder = root.join(format!("{stamp}.{}", uuid::Uuid::new_v4().as_fields().0));
    make_folder(&folder)?;
    Ok(folder)
}

/// A folder that everyone may look into, whatever the umask.
fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755))),
    }
}

fn fill(folder: &Path, files: &[File]) -> io::Result<()> {
    for file in files {
        let mut path = folder.to_owned();
        for part in Path::new(&file.path).parent().into_iter().flat_map(Path::components) {
            path.push(part);
            make_folder(&path)?;
        }
        let mut to = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(&file.path))?;
        to.write_all(&file.bytes)?;
        to.set_permissions(fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

/// The names that a user of the volume sees: the first parts of its paths.
fn names(files: &[File]) -> impl Iterator<Item = &std::ffi::OsStr> {
    files.iter().filter_map(|f| {
        Path::new(&f.path).components().find_map(|c| match c {
            Component::Normal(name) => Some(name),
            _ => None,
        })
    })
}

fn show(root: &Path, files: &[File]) -> io::Result<()> {
    for name in names(files) {
        match symlink(Path::new(DATA).join(name), root.join(name)) {
            // As the kubelet: what somebody else has put there stays.
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn turn_to(root: &Path, folder: &Path) -> io::Result<()> {
    let new = root.join(NEW_DATA);
    // Left by a process that was killed between two steps.
    let _ = fs::remove_file(&new);
    symlink(folder.file_name().unwrap_or_default(), &new)?;
    fs::rename(new, root.join(DATA))
}

/// Removes links of ours to what is no longer there.
fn hide_others(root: &Path, files: &[File]) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(DATA).join(&name));
        if ours && !names(files).any(|n| n == name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str, mode: u32) -> File {
        File { path: path.to_owned(), bytes: text.as_bytes().to_vec(), mode }
    }

    /// What `ls -A` shows, and where each link leads.
    fn listing(root: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(root).unwrap().map(|e| e.unwrap());
        let shown = entries.map(|e| {
            let target = fs::read_link(e.path()).map(|t| t.to_str().unwrap().to_owned()).unwrap_or_default();
            (e.file_name().into_string().unwrap(), target)
        });
        let mut all: Vec<_> = shown.collect();
        all.sort();
        all
    }

    fn write_at(root: &Path, second: i64, files: &[File]) -> bool {
        write(root, files, Timestamp::from_second(1_700_000_000 + second).unwrap()).unwrap()
    }

    #[test]
    fn the_layout_is_the_kubelets() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(write_at(root, 0, &[file("a", "one", 0o644), file("d/e/f", "two", 0o400), file("d/g", "", 0o600)]));
        let all = listing(root);
        let stamped = &all[0].0;
        assert!(stamped.starts_with("..2023_11_14_22_13_20.") && stamped[22..].bytes().all(|b| b.is_ascii_digit()), "{stamped}");
        let links: Vec<_> = all[1..].iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        assert_eq!(links, [("..data", stamped.as_str()), ("a", "..data/a"), ("d", "..data/d")]);
        assert_eq!(fs::read_to_string(root.join("d/e/f")).unwrap(), "two");
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a"), mode("d/e/f"), mode("d/e"), mode("..data")), (0o644, 0o400, 0o755, 0o755));
    }

    #[test]
    fn a_change_replaces_everything_and_nothing_else_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(write_at(root, 0, &[file("gone", "x", 0o644), file("stays", "one", 0o644), file("d/x", "", 0o644)]));
        let before = listing(root);
        let open = fs::File::open(root.join("stays")).unwrap();
        assert!(!write_at(root, 1, &[file("gone", "x", 0o644), file("stays", "one", 0o644), file("d/x", "", 0o644)]));
        assert_eq!(listing(root), before);
        // What others have put there is theirs.
        fs::create_dir(root.join("new")).unwrap();
        assert!(write_at(root, 2, &[file("stays", "two", 0o644), file("new", "y", 0o644)]));
        let after: Vec<_> = listing(root).into_iter().map(|(n, _)| n).collect();
        assert_eq!(after[1..], ["..data", "new", "stays"], "the old folder and its links are gone");
        assert!(root.join("new").is_dir());
        assert_eq!(fs::read_to_string(root.join("stays")).unwrap(), "two");
        assert_eq!(std::io::read_to_string(open).unwrap(), "one", "who has it open reads the old one to its end");
        assert!(write_at(root, 3, &[file("stays", "two", 0o600)]), "a mode is a change");
        assert!(write_at(root, 4, &[]));
        assert_eq!(listing(root).len(), 3);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(write_at(root, 0, &[file("a", "one", 0o644)]));
        let before = listing(root);
        let clash = [file("b", "", 0o644), file("b/c", "", 0o644)];
        assert!(write(root, &clash, Timestamp::UNIX_EPOCH).is_err());
        assert_eq!(listing(root), before);
        assert!(write(&root.join("nowhere"), &[], Timestamp::UNIX_EPOCH).is_err());
    }
}
