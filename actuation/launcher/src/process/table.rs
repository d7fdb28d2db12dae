//! The process table, and who in it belongs to an instance.
//!
//! [`snapshot`] reads `/proc`; [`Roots::members`] is pure. A process belongs to an instance when it is in the session or
//! group of its leader (or of any process once known to belong to it), when it was known before, or when its parent
//! belongs to it. A daemon that has left session and parents is recognised by the mark in its environment.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;

/// One process at the time of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proc {
    /// Process ID.
    pub(crate) pid: i32,
    /// Parent.
    pub(crate) parent: i32,
    /// Process group.
    pub(crate) group: i32,
    /// Session.
    pub(crate) session: i32,
    /// Start in clock ticks since boot: with the PID it names a process for ever.
    pub(crate) start: u64,
    /// Dead, but not waited for.
    pub(crate) zombie: bool,
}

impl Proc {
    /// PID and start.
    pub(crate) fn key(&self) -> (i32, u64) {
        (self.pid, self.start)
    }
}

/// All processes that can be seen; those that vanish meanwhile are left out.
pub(crate) fn snapshot() -> io::Result<Vec<Proc>> {
    let mut all = Vec::with_capacity(256);
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok())
            && let Some(proc) = look_up(pid)
        {
            all.push(proc);
        }
    }
    Ok(all)
}

/// One process, if it exists.
pub(crate) fn look_up(pid: i32) -> Option<Proc> {
    let mut file = std::fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    // One read gives all of it; its size is not known before, and asking in small steps costs more than the rest.
    let mut stat = [0; 2048];
    let n = file.read(&mut stat).ok()?;
    parse_stat(pid, &String::from_utf8_lossy(&stat[..n]))
}

/// `pid (any name) S ppid pgrp session … starttime(22nd) …`; the name may hold blanks and parentheses.
fn parse_stat(pid: i32, stat: &str) -> Option<Proc> {
    let rest = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<i32>().ok();
    Some(Proc {
        pid,
        zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        start: fields.get(19)?.parse().ok()?,
    })
}

/// Whether the environment the process was started with holds `NAME=value`; false when it cannot be read.
pub(crate) fn has_mark(pid: i32, name: &str, matches: impl Fn(&str) -> bool) -> bool {
    let Ok(environ) = std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ")) else { return false };
    environ.split(|b| *b == 0).any(|entry| {
        std::str::from_utf8(entry).ok().and_then(|e| e.strip_prefix(name)).and_then(|e| e.strip_prefix('=')).is_some_and(&matches)
    })
}

/// What is known of an instance's processes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Roots {
    /// Sessions that belong to it, with the start of the process that made each: a session's number stays taken
    /// while a process is in it, so a later process with that number is one of ours.
    pub(crate) sessions: HashMap<i32, u64>,
    /// Processes that belong to it, dead ones included.
    pub(crate) known: HashSet<(i32, u64)>,
}

impl Roots {
    /// The roots of an instance whose leader has just been started.
    pub(crate) fn of_leader(pid: i32, start: u64) -> Self {
        Self { sessions: HashMap::from([(pid, start)]), known: HashSet::from([(pid, start)]) }
    }

    /// The processes in `all` that belong to the instance, and remembers them. `mark` is asked for orphans only
    /// (children of `me` that nothing else explains), because it is the expensive question.
    pub(crate) fn members(&mut self, all: &[Proc], me: i32, mark: impl Fn(&Proc) -> bool) -> Vec<Proc> {
        let mut found: HashSet<i32> = HashSet::new();
        loop {
            let before = found.len();
            for p in all {
                if p.pid == me || found.contains(&p.pid) {
                    continue;
                }
                let in_session = |s: i32| self.sessions.get(&s).is_some_and(|start| p.start >= *start);
                if self.known.contains(&p.key())
                    || in_session(p.session)
                    || in_session(p.group)
                    || found.contains(&p.parent)
                    || (p.parent == me && !p.zombie && mark(p))
                {
                    found.insert(p.pid);
                    self.known.insert(p.key());
                    // A process that leads a session of its own takes its members along.
                    if p.session == p.pid {
                        self.sessions.entry(p.pid).or_insert(p.start);
                    }
                }
            }
            if found.len() == before {
                break;
            }
        }
        let members: Vec<Proc> = all.iter().filter(|p| found.contains(&p.pid)).copied().collect();
        self.known = members.iter().map(Proc::key).collect();
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(pid: i32, parent: i32, session: i32) -> Proc {
        Proc { pid, parent, group: session, session, start: u64::try_from(pid).unwrap(), zombie: false }
    }

    #[test]
    fn stat_lines_with_odd_names_are_read() {
        let line = "77 (a) b) (c) S 1 70 60 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9999 1 2 3";
        let got = parse_stat(77, line).unwrap();
        assert_eq!((got.parent, got.group, got.session, got.start, got.zombie), (1, 70, 60, 9999, false));
        assert!(parse_stat(77, "nonsense").is_none());
        assert!(look_up(i32::try_from(std::process::id()).unwrap()).is_some());
    }

    #[test]
    fn the_tree_is_session_group_parentage_and_mark() {
        let me = 10;
        let all = [p(10, 1, 10), p(20, 10, 20), p(21, 20, 20), p(22, 21, 22), p(23, 22, 22), p(30, 10, 30), p(31, 30, 30), p(40, 10, 40)];
        let mut roots = Roots::of_leader(20, 20);
        let pids = |v: Vec<Proc>| v.iter().map(|p| p.pid).collect::<Vec<_>>();
        assert_eq!(pids(roots.members(&all, me, |_| false)), [20, 21, 22, 23], "children that made a session of their own too");

        // The leader and the maker of the second session are gone; what they left was adopted by us.
        let later = [p(10, 1, 10), p(21, 10, 20), p(23, 10, 22), p(40, 10, 40), p(50, 10, 50), p(51, 50, 50)];
        assert_eq!(pids(roots.clone().members(&later, me, |_| false)), [21, 23], "by session, known from before");
        assert_eq!(pids(roots.members(&later, me, |q| q.pid == 50)), [21, 23, 50, 51], "a marked daemon and its child");
    }

    #[test]
    fn a_reused_number_is_not_ours() {
        let mut roots = Roots::of_leader(20, 20);
        let old = Proc { start: 5, ..p(21, 1, 20) };
        let ours = Proc { start: 25, ..p(22, 1, 20) };
        assert_eq!(roots.members(&[old, ours], 10, |_| false), [ours], "a session number is ours from its maker's start on");
    }
}
