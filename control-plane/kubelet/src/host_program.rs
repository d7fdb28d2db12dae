//! What a link in the PATH of Pods does that stands in for a program of the host: it becomes that program, told to listen at
//! the Pod's address. A shell inside a container finds its programs without asking the kubelet.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_names::Programs;
use dormouse_names::program::base;
use dormouse_runtime::net::{host_to_tell, pod_ip};

/// Becomes the program of the host that `args`, from `argv[0]` on, were meant for. Returns only what stood against it.
#[must_use]
pub fn become_host_program(programs: &Programs, args: &[OsString]) -> String {
    let words: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let name = words.first().map_or("", |w| base(w));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_this = |file: &Path| same_file(file, Path::new("/proc/self/exe"));
    let Some(program) = behind(&path, name, is_this) else {
        return format!("{name} is to be the one of this machine (--engine host), and there is none on the PATH");
    };
    // By its full path: an interpreter finds what belongs to it by the way in which it was called.
    let mut command = Command::new(&program);
    command.args(&args[1..]);
    if let Some(option) = programs.host_option(&words)
        && let Some(host) = host_to_tell(&words, option, pod_ip())
    {
        command.args([option, &host]);
    }
    format!("{} cannot be executed: {}", program.display(), command.exec())
}

/// The program of that name behind the last folder of the PATH where it is this binary. None before it is looked at, so that
/// two links that stand in for one program never call each other in turn.
fn behind(path: &OsStr, name: &str, is_this: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let files: Vec<PathBuf> = std::env::split_paths(path).filter(|d| d.is_absolute()).map(|d| d.join(name)).collect();
    let from = files.iter().rposition(|f| is_this(f)).map_or(0, |ours| ours + 1);
    files[from..].iter().find(|f| executable(f)).cloned()
}

pub(crate) fn executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn same_file(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    id(a).is_some_and(|a| id(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_our_link_is_found_and_never_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32| {
            let at = dir.path().join(name);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(&at, "").unwrap();
            std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode)).unwrap();
            at
        };
        let (first, ours) = (file("first/brain", 0o755), file("ours/dormouse", 0o755));
        std::os::unix::fs::symlink("dormouse", dir.path().join("ours/brain")).unwrap();
        file("text/brain", 0o644);
        let real = file("real/brain", 0o755);
        let found = |folders: &[&str]| {
            let path = std::env::join_paths(folders.iter().map(|f| dir.path().join(f))).unwrap();
            behind(&path, "brain", |f| same_file(f, &ours))
        };
        assert_eq!(found(&["first", "ours", "text", "real"]), Some(real.clone()));
        assert_eq!(found(&["ours", "ours", "real"]), Some(real));
        assert_eq!(found(&["first", "ours"]), None);
        assert_eq!(found(&["text", "first"]), Some(first));
        assert_eq!(behind(OsStr::new("relative:"), "brain", |_| false), None);
    }
}
