//! Process trees as `/proc` shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Every process with its parent.
fn parents() -> BTreeMap<i32, i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()).filter_map(|pid| Some((pid, stat(pid)?.parent))).collect()
}

/// What this module needs of `/proc/<pid>/stat`.
pub(crate) struct Stat {
    parent: i32,
    /// Clock ticks between boot and the start of the process.
    pub(crate) start: u64,
}

/// Reads `/proc/<pid>/stat`; `None` when the process is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses and newlines.
    let mut rest = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let parent = rest.nth(1)?.parse().ok()?;
    let start = rest.nth(17)?.parse().ok()?;
    Some(Stat { parent, start })
}

/// Everything that descends from `root`, without it, and without what descends from `spare` and these themselves.
///
/// All of it from one look at `/proc`: with a second look, a child that a spared process forks between the two would seem
/// to be nobody's.
fn below(root: i32, spare: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, parent) in parents() {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if !spare.contains(child) && found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found
}

/// SIGKILL for everything below this process, except below (and including) `spare`. Returns how many there were.
pub(super) fn kill_below_self(spare: &BTreeSet<i32>) -> usize {
    let found = below(std::process::id().cast_signed(), spare);
    for pid in &found {
        // Below us, so it cannot have been reaped and its number given away by anyone but a parent below us.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    found.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_below_this_process_with_its_start_time() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(below(own, &BTreeSet::new()).contains(&pid));
        assert!(!below(own, &[pid].into()).contains(&pid));
        assert!(stat(pid).unwrap().start >= stat(own).unwrap().start);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(stat(pid).is_none());
    }
}
