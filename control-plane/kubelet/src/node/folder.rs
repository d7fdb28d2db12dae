//! The files of a Pod on this machine: `<node>/pods/<uid>/`
//!
//! ```text
//! begun                        when, in clock ticks since boot: the sweep's bound
//! root/                        empty; where a sandbox's root is mounted (inside its namespace only)
//! hosts                        /etc/hosts of its containers
//! kubeconfig                   for containers without a sandbox
//! volumes/<name>/              volumes
//! c/<container>/app/           scripts, for images that have some
//! c/<container>/tmp/           /tmp of a container
//! c/<container>/termination-log
//! ```

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{atomic, scripts};
use crate::plan::volume::{Content, VolumePlan};
use crate::shim;

/// Makes a folder that everyone may use, whatever the umask.
fn open_folder(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes the Pod's folder and what every Pod has.
pub(super) fn create(dir: &Path, hosts: &str) -> io::Result<()> {
    open_folder(&dir.join("root"), 0o755)?;
    open_folder(&dir.join("volumes"), 0o755)?;
    open_folder(&dir.join("c"), 0o755)?;
    let begun = shim::tree::stat(std::process::id().cast_signed()).map_or(0, |s| s.start);
    fs::write(dir.join("begun"), begun.to_string())?;
    write_file(&dir.join("hosts"), hosts.as_bytes(), 0o644)
}

/// Removes a folder, if it is there.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Sets a volume up, or brings it up to date, and answers where its root is.
pub(super) fn volume(dir: &Path, plan: &VolumePlan, now: Timestamp) -> io::Result<PathBuf> {
    let own = dir.join("volumes").join(&plan.name);
    match &plan.content {
        Content::Empty => open_folder(&own, 0o777)?,
        Content::Files(files) => {
            open_folder(&own, 0o777)?;
            atomic::write(&own, files, now)?;
        }
        Content::Host { path, kind } => {
            let path = PathBuf::from(path);
            check_host_path(&path, kind)?;
            return Ok(path);
        }
    }
    Ok(own)
}

/// The place `sub` of the volume at `root`; what is missing of it becomes a folder with the mode of the volume's. A link in
/// the volume must not lead out of it.
///
/// # Errors
/// What failed, in the kubelet's words: it keeps the rest to itself, lest a Pod explore the host.
pub(super) fn sub_path(root: &Path, sub: &str) -> Result<PathBuf, &'static str> {
    let prepare = |_| "prepare subPath";
    let real = root.canonicalize().map_err(prepare)?;
    let mode = fs::metadata(&real).map_err(prepare)?.permissions();
    let mut at = real.clone();
    for part in Path::new(sub).components() {
        at.push(part);
        if at.symlink_metadata().is_err() {
            match fs::create_dir(&at).and_then(|()| fs::set_permissions(&at, mode.clone())) {
                // Another container of the Pod was first.
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err("create subPath directory"),
                _ => {}
            }
        }
        at = at.canonicalize().map_err(prepare)?;
        if !at.starts_with(&real) {
            return Err("prepare subPath");
        }
    }
    Ok(root.join(sub))
}

pub(super) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let fresh = path.with_file_name(format!(".{name}.new"));
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    fs::rename(&fresh, path)
}

fn check_host_path(path: &Path, kind: &str) -> io::Result<()> {
    let refused = |what: &str| Err(io::Error::other(format!("hostPath type check failed: {} is not {what}", path.display())));
    let meta = fs::metadata(path).ok();
    let exists = |test: fn(&fs::Metadata) -> bool| meta.as_ref().is_some_and(test);
    match kind {
        // Without a type it is the container runtime that makes what is missing, a folder always.
        "" | "DirectoryOrCreate" if meta.is_none() => {
            fs::create_dir_all(path).map_err(|e| io::Error::new(e.kind(), format!("mkdir {}: {e}", path.display())))
        }
        "FileOrCreate" if meta.is_none() => fs::File::create(path).map(drop),
        "Directory" | "DirectoryOrCreate" if !exists(fs::Metadata::is_dir) => refused("a directory"),
        "File" | "FileOrCreate" if !exists(fs::Metadata::is_file) => refused("a file"),
        "Socket" if !exists(|m| m.file_type().is_socket()) => refused("a socket file"),
        "CharDevice" if !exists(|m| m.file_type().is_char_device()) => refused("a character device"),
        "BlockDevice" if !exists(|m| m.file_type().is_block_device()) => refused("a block device"),
        "" | "Directory" | "DirectoryOrCreate" | "File" | "FileOrCreate" | "Socket" | "CharDevice" | "BlockDevice" => Ok(()),
        other => Err(io::Error::other(format!("{other} is an invalid volume type"))),
    }
}

/// Paths of one container.
pub(super) struct ContainerFolder {
    /// Its scripts, where its image has some.
    pub(super) app: PathBuf,
    pub(super) tmp: PathBuf,
    pub(super) termination_log: PathBuf,
}

/// Makes a container's own files anew: a restart finds none of what the last run left.
pub(super) fn container(dir: &Path, name: &str) -> io::Result<ContainerFolder> {
    let own = dir.join("c").join(name);
    remove(&own)?;
    let folder = ContainerFolder { app: own.join("app"), tmp: own.join("tmp"), termination_log: own.join("termination-log") };
    open_folder(&folder.tmp, 0o1777)?;
    write_file(&folder.termination_log, b"", 0o666)?;
    Ok(folder)
}

/// The folder of links that stands first in every Pod's PATH: `bin/<name>` → `../dormouse` → this binary; and the one that
/// stands last where an image has scripts.
pub(super) fn links<'a>(dir: &Path, executable: &Path, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin)?;
    let link = |target: &Path, at: PathBuf| {
        let _ = fs::remove_file(&at);
        std::os::unix::fs::symlink(target, at)
    };
    link(executable, dir.join("dormouse"))?;
    for name in names {
        link(Path::new("../dormouse"), bin.join(name))?;
    }
    scripts::write_python(&dir.join("last"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::volume::File;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn made(dir: &Path, name: &str, content: Content) -> Result<PathBuf, String> {
        volume(dir, &VolumePlan { name: name.to_owned(), content }, Timestamp::UNIX_EPOCH).map_err(|e| e.to_string())
    }

    #[test]
    fn volumes_are_made_with_their_modes_and_brought_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), "hosts").unwrap();
        let files = |bytes: &[u8]| Content::Files(vec![File { path: "d/f".into(), bytes: bytes.to_vec(), mode: 0o400 }]);
        let root = made(dir.path(), "v", files(b"one")).unwrap();
        assert_eq!(made(dir.path(), "v", files(b"two")), Ok(root.clone()));
        assert_eq!(fs::read(root.join("d/f")).unwrap(), b"two");
        assert_eq!((mode(&root.join("d/f")), mode(&root)), (0o400, 0o777));
        assert_eq!(mode(&made(dir.path(), "e", Content::Empty).unwrap()), 0o777);
    }

    #[test]
    fn host_paths_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let host = |path: &Path, kind: &str| {
            made(dir.path(), "h", Content::Host { path: path.to_str().unwrap().to_owned(), kind: kind.to_owned() })
        };
        let new = dir.path().join("new");
        let refused = |what: &str| Err(format!("hostPath type check failed: {} is not {what}", new.display()));
        assert_eq!(host(&new, "Directory"), refused("a directory"));
        assert_eq!(host(&new, "DirectoryOrCreate").unwrap(), new);
        assert_eq!(host(&new, "File"), refused("a file"));
        assert_eq!(host(&new, "FileOrCreate"), refused("a file"));
        assert_eq!(host(&new, "Socket"), refused("a socket file"));
        assert_eq!(host(&new, ""), Ok(new.clone()));
        assert_eq!(host(&new, "Sock").unwrap_err(), "Sock is an invalid volume type");
        let deep = dir.path().join("not/yet/there");
        assert_eq!(host(&deep, ""), Ok(deep.clone()), "a container runtime makes it");
        assert!(deep.is_dir());
        let file = dir.path().join("file");
        assert!(host(&file, "FileOrCreate").is_ok() && file.is_file() && host(&file, "").is_ok());
        assert!(host(&file.join("below"), "").unwrap_err().starts_with("mkdir "));
    }

    #[test]
    fn a_place_in_a_volume_is_made_as_the_volume_is_and_stays_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = made(dir.path(), "e", Content::Empty).unwrap();
        assert_eq!(sub_path(&root, "a/b").unwrap(), root.join("a/b"));
        assert_eq!((mode(&root.join("a")), mode(&root.join("a/b"))), (0o777, 0o777));
        std::os::unix::fs::symlink("a", root.join("inside")).unwrap();
        std::os::unix::fs::symlink("/", root.join("out")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
        assert!(sub_path(&root, "inside/b").is_ok());
        for bad in ["out/etc", "out", "dangling/x"] {
            assert_eq!(sub_path(&root, bad), Err("prepare subPath"), "{bad}");
        }
        fs::write(root.join("file"), "").unwrap();
        assert!(sub_path(&root, "file").is_ok());
        assert_eq!(sub_path(&root, "file/x"), Err("create subPath directory"));
    }

    #[test]
    fn a_container_starts_with_an_empty_tmp() {
        let dir = tempfile::tempdir().unwrap();
        let first = container(dir.path(), "c").unwrap();
        fs::write(first.tmp.join("left"), "x").unwrap();
        fs::write(&first.termination_log, "bye").unwrap();
        let again = container(dir.path(), "c").unwrap();
        assert_eq!(fs::read_dir(again.tmp).unwrap().count(), 0);
        assert_eq!(fs::read(again.termination_log).unwrap(), b"");
    }
}
