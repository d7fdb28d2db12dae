//! A root of its own for a container, made of the host's entries and the Pod's mounts.
//!
//! The new root is a small tmpfs. Host entries are bound into it. A host folder that lacks the place where something must
//! be mounted becomes a folder of the tmpfs with the host's entries bound one by one; a folder that has every place is
//! bound whole and covered at those places. That needs no privileges inside a user namespace. Everything is undone by the
//! kernel when the last process of the namespace goes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Uid, chdir, chroot, fchdir, pivot_root};
use serde::{Deserialize, Serialize};

/// What a container sees beside the host's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// An empty folder that becomes the root; on the host it stays empty.
    pub root: PathBuf,
    /// Mounts, shallow targets first.
    pub mounts: Vec<Mount>,
}

/// A file or folder of the host shown at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Path on the host.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// A failed step: what, and the kernel's word.
fn step<'a, E: std::fmt::Display>(what: &'a str, path: &'a Path) -> impl FnOnce(E) -> String + 'a {
    move |e| format!("{what} {}: {e}", path.display())
}

/// Moves this process into a new sandbox.
pub(super) fn enter(sandbox: &Sandbox) -> Result<(), String> {
    let root_folder = Path::new("/");
    new_namespaces().map_err(|e| format!("the kernel gives no mount namespace: {}", e.desc()))?;
    mount(None::<&str>, root_folder, None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(step("making mounts private at", root_folder))?;
    let root = &sandbox.root;
    mount(Some("dormouse"), root, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=0755")).map_err(step("tmpfs at", root))?;
    // Or binding a host folder that holds the new root would bind the new root into itself.
    let _ = mount(None::<&str>, root, None::<&str>, MsFlags::MS_UNBINDABLE, None::<&str>);

    let mut tree = Node::default();
    let mut nested = Vec::new();
    let mut placed: Vec<PathBuf> = Vec::new();
    for m in &sandbox.mounts {
        let target = resolve(&m.target);
        if placed.iter().any(|p| target.starts_with(p)) {
            nested.push((target, m));
        } else {
            tree.insert(&target, m);
            placed.push(target);
        }
    }
    realize(&tree, Some(root_folder), root, true)?;
    for (target, m) in &nested {
        let at = below(root, target);
        make_place(&m.source, &at).map_err(step("making the mount point", &at))?;
        bind(&m.source, &at).map_err(|e| format!("mounting {} at {}: {}", m.source.display(), m.target.display(), e.desc()))?;
    }
    let resolved = |m: &Mount| below(root, &resolve(&m.target));
    for m in sandbox.mounts.iter().filter(|m| m.read_only) {
        let at = resolved(m);
        make_read_only(&at).map_err(step("making read-only", &m.target))?;
    }
    chdir(root).map_err(step("entering", root))?;
    match pivot_root(".", ".") {
        Ok(()) => umount2(".", MntFlags::MNT_DETACH).map_err(step("leaving the old root from", root))?,
        // On a rootfs there is nothing to pivot; a changed root does as well for programs that mean no harm.
        Err(Errno::EINVAL) => chroot(".").map_err(step("changing the root to", root))?,
        Err(e) => return Err(format!("changing the root: {}", e.desc())),
    }
    chdir("/").map_err(step("entering", root_folder))
}

/// A mount namespace; where only a user namespace may have one, that too, with this user as itself.
fn new_namespaces() -> nix::Result<()> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    if uid.is_root() && unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    let write = |path: &str, text: String| fs::write(path, text).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)));
    // Without this an unprivileged process may not map groups.
    let _ = write("/proc/self/setgroups", "deny".to_owned());
    write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// Mount targets below one folder.
#[derive(Default)]
struct Node<'a> {
    mount: Option<&'a Mount>,
    children: BTreeMap<OsString, Node<'a>>,
}

impl<'a> Node<'a> {
    fn insert(&mut self, target: &Path, mount: &'a Mount) {
        let mut node = self;
        for part in target.components() {
            if let Component::Normal(name) = part {
                node = node.children.entry(name.to_owned()).or_default();
            }
        }
        node.mount = Some(mount);
    }

    /// Whether the host has a place of the right kind for every mount below.
    fn fits(&self, host: &Path) -> bool {
        let Ok(meta) = fs::symlink_metadata(host) else { return false };
        match self.mount {
            Some(m) => meta.is_dir() == m.source.is_dir() && !meta.is_symlink(),
            None => meta.is_dir() && self.children.iter().all(|(name, child)| child.fits(&host.join(name))),
        }
    }

    /// Covers the places below `at`, which has them all.
    fn cover(&self, at: &Path) -> Result<(), String> {
        if let Some(m) = self.mount {
            return bind(&m.source, at).map_err(|e| format!("mounting {} at {}: {}", m.source.display(), m.target.display(), e.desc()));
        }
        self.children.iter().try_for_each(|(name, child)| child.cover(&at.join(name)))
    }
}

/// Fills `at`, a folder of the tmpfs, with the host's entries and the mounts of `node`.
fn realize(node: &Node<'_>, host: Option<&Path>, at: &Path, top: bool) -> Result<(), String> {
    let entries = host.and_then(|h| fs::read_dir(h).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !node.children.contains_key(&name)
            && let Err(e) = mirror(&entry.path(), &at.join(&name))
        {
            // One odd entry must not cost the Pod its sandbox; being refused at the very top means that mounts are
            // forbidden as such.
            if top && matches!(e.raw_os_error(), Some(nix::libc::EPERM | nix::libc::EACCES)) {
                return Err(format!("binding {}: {e}", entry.path().display()));
            }
        }
    }
    for (name, child) in &node.children {
        let host_child = host.map(|h| h.join(name)).filter(|p| p.symlink_metadata().is_ok());
        let at_child = at.join(name);
        if let Some(m) = child.mount {
            make_place(&m.source, &at_child).map_err(step("making the mount point", &at_child))?;
            child.cover(&at_child)?;
        } else if let Some(host_child) = host_child.as_deref().filter(|h| child.fits(h)) {
            fs::create_dir(&at_child).map_err(step("making", &at_child))?;
            bind(host_child, &at_child).map_err(|e| format!("binding {}: {}", host_child.display(), e.desc()))?;
            child.cover(&at_child)?;
        } else {
            fs::create_dir(&at_child).map_err(step("making", &at_child))?;
            realize(child, host_child.as_deref().filter(|h| h.is_dir()), &at_child, false)?;
        }
    }
    Ok(())
}

/// Shows one entry of the host in the new root.
fn mirror(host: &Path, at: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(host)?;
    if meta.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(host)?, at);
    }
    if meta.is_dir() {
        fs::create_dir(at)?;
    } else {
        fs::File::create(at)?;
    }
    bind(host, at).map_err(io::Error::from)
}

/// A file or folder to mount `source` on.
fn make_place(source: &Path, at: &Path) -> io::Result<()> {
    if at.symlink_metadata().is_ok() {
        return Ok(());
    }
    if source.is_dir() {
        fs::create_dir_all(at)
    } else {
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::File::create(at).map(drop)
    }
}

fn bind(source: &Path, at: &Path) -> nix::Result<()> {
    // Recursive, because the kernel refuses to a user namespace what would uncover what a mount hides.
    mount(Some(source), at, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
}

fn make_read_only(at: &Path) -> nix::Result<()> {
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    // What the mount has already must be said again: a user namespace may not take it away.
    let has = statvfs(at)?.flags();
    for (have, keep) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if has.contains(have) {
            flags |= keep;
        }
    }
    mount(None::<&str>, at, None::<&str>, flags, None::<&str>)
}

/// `target` with the symbolic links of the host resolved, as far as it exists: `/var/run/x` is `/run/x`.
fn resolve(target: &Path) -> PathBuf {
    let mut rest: Vec<&OsStr> = Vec::new();
    let mut head = target;
    loop {
        if let Ok(real) = head.canonicalize() {
            return rest.iter().rev().fold(real, |path, name| path.join(name));
        }
        match (head.parent(), head.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name);
                head = parent;
            }
            _ => return target.to_owned(),
        }
    }
}

fn below(root: &Path, target: &Path) -> PathBuf {
    let relative = target.as_os_str().as_bytes();
    let relative = relative.strip_prefix(b"/").unwrap_or(relative);
    root.join(OsStr::from_bytes(relative))
}

/// Moves this process to where `pid` runs.
pub(super) fn join(pid: i32) -> Result<(), String> {
    let say = |e: Errno| format!("entering the container of process {pid}: {}", e.desc());
    let opened = |path: String| open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(say);
    let user = opened(format!("/proc/{pid}/ns/user"))?;
    let mounts = opened(format!("/proc/{pid}/ns/mnt"))?;
    let root = opened(format!("/proc/{pid}/root"))?;
    let differs = |kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok() != fs::read_link(format!("/proc/self/ns/{kind}")).ok();
    let (user_differs, mounts_differ) = (differs("user"), differs("mnt"));
    if user_differs {
        setns(user, CloneFlags::CLONE_NEWUSER).map_err(say)?;
    }
    if mounts_differ {
        setns(mounts, CloneFlags::CLONE_NEWNS).map_err(say)?;
        fchdir(root).map_err(say)?;
        chroot(".").map_err(say)?;
        chdir("/").map_err(say)?;
    }
    Ok(())
}
