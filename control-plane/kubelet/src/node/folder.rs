//! The files of a Pod on this machine: `<node>/pods/<uid>/`
//!
//! ```text
//! begun                        when, in clock ticks since boot: the sweep's bound
//! root/                        empty; where a sandbox's root is mounted (inside its namespace only)
//! hosts                        /etc/hosts of its containers
//! kubeconfig                   for containers without a sandbox
//! volumes/<name>/              volumes
//! c/<container>/tmp/           /tmp of a container
//! c/<container>/termination-log
//! ```

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::plan::volume::{Content, File, VolumePlan};
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

/// Sets a volume up and answers where its root is.
pub(super) fn volume(dir: &Path, plan: &VolumePlan) -> io::Result<PathBuf> {
    let own = dir.join("volumes").join(&plan.name);
    match &plan.content {
        Content::Empty => open_folder(&own, 0o777)?,
        Content::Files(files) => {
            open_folder(&own, 0o755)?;
            write_files(&own, files)?;
        }
        Content::Host { path, kind } => {
            let path = PathBuf::from(path);
            check_host_path(&path, kind)?;
            return Ok(path);
        }
    }
    Ok(own)
}

/// Writes the files of a volume; each is replaced in one step, so that a reader sees the old or the new.
pub(super) fn write_files(root: &Path, files: &[File]) -> io::Result<()> {
    for file in files {
        let path = root.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        write_file(&path, &file.bytes, file.mode)?;
    }
    Ok(())
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
        "" if meta.is_none() => Err(io::Error::other(format!("hostPath {} does not exist", path.display()))),
        "DirectoryOrCreate" if meta.is_none() => fs::create_dir_all(path),
        "FileOrCreate" if meta.is_none() => fs::File::create(path).map(drop),
        "Directory" | "DirectoryOrCreate" if !exists(fs::Metadata::is_dir) => refused("a directory"),
        "File" | "FileOrCreate" if !exists(fs::Metadata::is_file) => refused("a file"),
        "Socket" if !exists(|m| m.file_type().is_socket()) => refused("a socket file"),
        "CharDevice" if !exists(|m| m.file_type().is_char_device()) => refused("a character device"),
        "BlockDevice" if !exists(|m| m.file_type().is_block_device()) => refused("a block device"),
        _ => Ok(()),
    }
}

/// Paths of one container.
pub(super) struct ContainerFolder {
    pub(super) tmp: PathBuf,
    pub(super) termination_log: PathBuf,
}

/// Makes a container's own files anew: a restart finds none of what the last run left.
pub(super) fn container(dir: &Path, name: &str) -> io::Result<ContainerFolder> {
    let own = dir.join("c").join(name);
    match fs::remove_dir_all(&own) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let folder = ContainerFolder { tmp: own.join("tmp"), termination_log: own.join("termination-log") };
    open_folder(&folder.tmp, 0o1777)?;
    write_file(&folder.termination_log, b"", 0o666)?;
    Ok(folder)
}

/// The folder of links that stands first in every Pod's PATH: `bin/<name>` → `../dormouse` → this binary.
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_made_with_their_modes_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), "hosts").unwrap();
        let file = |bytes: &[u8]| File { path: "d/f".into(), bytes: bytes.to_vec(), mode: 0o400 };
        let plan = |content| VolumePlan { name: "v".into(), content };
        let root = volume(dir.path(), &plan(Content::Files(vec![file(b"one")]))).unwrap();
        write_files(&root, &[file(b"two")]).unwrap();
        assert_eq!(fs::read(root.join("d/f")).unwrap(), b"two");
        assert_eq!(fs::metadata(root.join("d/f")).unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 1, "nothing temporary stays");
        let empty = volume(dir.path(), &VolumePlan { name: "e".into(), content: Content::Empty }).unwrap();
        assert_eq!(fs::metadata(empty).unwrap().permissions().mode() & 0o777, 0o777);
    }

    #[test]
    fn host_paths_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let host = |path: &Path, kind: &str| {
            let content = Content::Host { path: path.to_str().unwrap().to_owned(), kind: kind.to_owned() };
            volume(dir.path(), &VolumePlan { name: "h".into(), content }).map_err(|e| e.to_string())
        };
        let new = dir.path().join("new");
        assert!(host(&new, "").unwrap_err().contains("does not exist"));
        assert!(host(&new, "Directory").unwrap_err().contains("is not a directory"));
        assert_eq!(host(&new, "DirectoryOrCreate").unwrap(), new);
        assert!(host(&new, "File").is_err() && host(&new, "").is_ok());
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
