//! Files as a container sees them, asked from outside: where a name on its PATH leads, before its process is there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::prepare::Stage;
use crate::host_program;
use crate::plan::mount::MountPlan;

/// Links that are followed for one name, as the kernel does.
const LINKS: usize = 40;

/// The file tree of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// What lies above the host's files: path inside and, unless it begins empty, the folder of the host; deepest first.
    above: Vec<(PathBuf, Option<PathBuf>)>,
}

impl Tree {
    /// That of a container in a sandbox, with a `/tmp` of its own.
    pub(super) fn inside(stage: &Stage, mounts: &[MountPlan]) -> Self {
        let source = |plan: &MountPlan| Some(stage.volumes.get(&plan.volume)?.join(plan.sub_path.as_deref().unwrap_or_default()));
        Self::new(mounts.iter().map(|plan| (PathBuf::from(&plan.target), source(plan))))
    }

    fn new(mounts: impl Iterator<Item = (PathBuf, Option<PathBuf>)>) -> Self {
        // Of two at one path, the volume counts: the sort is stable.
        let mut above: Vec<_> = mounts.chain([("/tmp".into(), None)]).collect();
        above.sort_by_key(|(target, _)| std::cmp::Reverse(target.components().count()));
        Self { above }
    }

    /// The first program of that name on `path`, as the container calls it.
    pub(super) fn which(&self, name: &str, path: &str) -> Option<String> {
        let folders = path.split(':').filter(|d| d.starts_with('/'));
        let found = folders.map(|d| Path::new(d).join(name)).find(|p| self.executable(p))?;
        Some(found.to_string_lossy().into_owned())
    }

    fn executable(&self, path: &Path) -> bool {
        self.follow(path).is_some_and(|file| host_program::executable(&file))
    }

    /// The host's path of the file at `path`, all links followed as they lead inside.
    fn follow(&self, path: &Path) -> Option<PathBuf> {
        let mut links = LINKS;
        let mut done = PathBuf::from("/");
        let mut todo: Vec<PathBuf> = vec![path.to_owned()];
        while let Some(next) = todo.pop() {
            let mut parts = next.components();
            let Some(part) = parts.next() else { continue };
            let rest = parts.as_path().to_owned();
            todo.push(rest);
            match part {
                Component::RootDir => done = PathBuf::from("/"),
                Component::ParentDir => drop(done.pop()),
                Component::Normal(name) => {
                    if let Some(link) = self.link(&done, name) {
                        links = links.checked_sub(1)?;
                        todo.push(link);
                    } else {
                        done.push(name);
                    }
                }
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        self.host(&done)
    }

    fn link(&self, folder: &Path, name: &OsStr) -> Option<PathBuf> {
        fs::read_link(self.host(&folder.join(name))?).ok()
    }

    /// Where on the host the entry at this path lies; links on the way are followed already.
    fn host(&self, path: &Path) -> Option<PathBuf> {
        for (target, source) in &self.above {
            if let Ok(rest) = path.strip_prefix(target) {
                let source = source.as_ref()?;
                // `join` with nothing would make a folder of a mounted file.
                return Some(if rest.as_os_str().is_empty() { source.clone() } else { source.join(rest) });
            }
        }
        Some(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn programs_are_found_where_the_container_sees_them() {
        let host = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let (venv, hidden) = (host.path().join("venv"), host.path().join("hidden"));
        program(&venv.join("real/tool"));
        fs::create_dir(venv.join("bin")).unwrap();
        // Links that lead somewhere only inside, by a full path and by a relative one.
        symlink("/opt/venv/real/tool", venv.join("bin/full")).unwrap();
        symlink("../real/tool", venv.join("bin/relative")).unwrap();
        symlink("/nowhere", venv.join("bin/broken")).unwrap();
        symlink("loop", venv.join("bin/loop")).unwrap();
        fs::write(venv.join("bin/text"), "").unwrap();
        program(&hidden.join("own"));
        let tree = Tree::new(
            [
                ("/opt/venv".into(), Some(venv.clone())),
                (hidden.clone(), Some(venv.join("bin"))),
                ("/one".into(), Some(venv.join("real/tool"))),
            ]
            .into_iter(),
        );
        let which = |name: &str, path: &str| tree.which(name, path);
        let path = "/opt/venv/bin:relative:/usr/bin:/bin";
        assert_eq!(which("full", path).as_deref(), Some("/opt/venv/bin/full"));
        assert_eq!(which("relative", path).as_deref(), Some("/opt/venv/bin/relative"));
        for missing in ["broken", "loop", "text", "tool"] {
            assert_eq!(which(missing, path), None, "{missing}");
        }
        assert!(which("sh", path).unwrap().ends_with("bin/sh"));
        assert_eq!(which("one", "/").as_deref(), Some("/one"));
        // What a volume hides is not there, what the host has elsewhere is.
        assert_eq!(which("own", hidden.to_str().unwrap()), None);
        assert_eq!(Tree::default().which("own", hidden.to_str().unwrap()), Some(hidden.join("own").display().to_string()));
    }

    #[test]
    fn the_hosts_tmp_is_not_the_containers() {
        let host = tempfile::tempdir_in("/tmp").unwrap();
        program(&host.path().join("tool"));
        let path = host.path().to_str().unwrap();
        assert_eq!(Tree::new(std::iter::empty()).which("tool", path), None);
        let shown = Tree::new([(host.path().to_owned(), Some(host.path().to_owned()))].into_iter());
        assert!(shown.which("tool", path).is_some());
        assert!(Tree::default().which("tool", path).is_some());
    }
}
