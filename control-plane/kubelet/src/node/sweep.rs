//! Ends what an earlier run of the same run folder left behind.
//!
//! Shims and inits end with their plane, so there is nothing to sweep unless several of them were killed at the same
//! instant. A process is a stray when its environment holds `DORMOUSE_POD_UID` of a Pod whose folder lies here, and it did
//! not start before the plane that made the folder. Nothing else is touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use dormouse_names::env::POD_UID;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::shim::tree;

/// How long one stray may take to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// Kills strays of the Pods below `pods` and removes their folders. Returns how many processes were killed.
pub(super) fn sweep(pods: &Path) -> usize {
    let Ok(entries) = fs::read_dir(pods) else { return 0 };
    let known: BTreeMap<Vec<u8>, u64> = entries
        .flatten()
        .map(|e| {
            let begun = fs::read_to_string(e.path().join("begun")).ok().and_then(|t| t.trim().parse().ok());
            (format!("{POD_UID}={}", e.file_name().to_string_lossy()).into_bytes(), begun.unwrap_or(0))
        })
        .collect();
    let killed = end(&known);
    if !known.is_empty()
        && let Err(error) = fs::remove_dir_all(pods)
    {
        tracing::warn!(%error, folder = %pods.display(), "what an earlier run left could not be removed");
    }
    killed
}

/// Kills what is left of one Pod whose guards were killed while the plane goes on.
pub(super) fn sweep_pod(uid: &str) -> usize {
    end(&[(format!("{POD_UID}={uid}").into_bytes(), 0)].into())
}

fn end(known: &BTreeMap<Vec<u8>, u64>) -> usize {
    let mut killed = 0;
    // Twice: a stray may have forked while it was being killed.
    for _ in 0..2 {
        for pid in strays(known) {
            killed += usize::from(kill(pid, known));
        }
    }
    killed
}

fn strays(known: &BTreeMap<Vec<u8>, u64>) -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| !known.is_empty() && *pid != own && is_stray(*pid, known)).collect()
}

fn is_stray(pid: i32, known: &BTreeMap<Vec<u8>, u64>) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let begun = environment.split(|b| *b == 0).find_map(|entry| known.get(entry));
    begun.is_some_and(|begun| tree::stat(pid).is_some_and(|s| s.start >= *begun))
}

/// Kills `pid` if it is still the stray that was found.
fn kill(pid: i32, known: &BTreeMap<Vec<u8>, u64>) -> bool {
    let Some(number) = Pid::from_raw(pid) else { return false };
    // The descriptor pins the process: what is looked at and what is killed cannot be two.
    let Ok(pinned) = pidfd_open(number, PidfdFlags::empty()) else { return false };
    if !is_stray(pid, known) || pidfd_send_signal(&pinned, Signal::KILL).is_err() {
        return false;
    }
    let limit = Timespec::try_from(PATIENCE).ok();
    let _ = poll(&mut [PollFd::new(&pinned, PollFlags::IN)], limit.as_ref());
    true
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_marked_processes_of_this_folder_are_ended() {
        let dir = tempfile::tempdir().unwrap();
        let pods = dir.path().join("pods");
        let (ours, foreign) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        fs::create_dir_all(pods.join(&ours)).unwrap();
        let sleep = |uid: &str| Command::new("sleep").arg("60").env(POD_UID, uid).stdout(Stdio::null()).spawn().unwrap();
        let (mut stray, mut other) = (sleep(&ours), sleep(&foreign));
        assert_eq!(sweep(&pods), 1);
        assert!(!stray.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none(), "a process of another folder lives on");
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(!pods.exists());
        assert_eq!(sweep(&pods), 0);
    }

    #[test]
    fn a_process_older_than_the_folders_plane_is_none_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let pods = dir.path().join("pods");
        let uid = uuid::Uuid::new_v4().to_string();
        fs::create_dir_all(pods.join(&uid)).unwrap();
        fs::write(pods.join(&uid).join("begun"), u64::MAX.to_string()).unwrap();
        let mut older = Command::new("sleep").arg("60").env(POD_UID, &uid).spawn().unwrap();
        assert_eq!(sweep(&pods), 0);
        assert!(older.try_wait().unwrap().is_none());
        older.kill().unwrap();
        older.wait().unwrap();
    }
}
