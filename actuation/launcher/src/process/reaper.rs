//! Adoption: the launcher becomes the parent of what its engines leave behind, and buries it.
//!
//! Only children in a session other than ours are touched. Every descendant of an engine is in one (the leader made
//! it), and no other child of this process is, so a `Command` used elsewhere in the process keeps its exit status.
//! Leaders are left to the task that waits for them.

use std::collections::BTreeSet;
use std::io;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::table;

/// Leaders, of all launchers of this process, that have not been waited for. Locked while one is being started, so
/// that one that dies at once is known before anybody can look.
static LEADERS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn leaders() -> MutexGuard<'static, BTreeSet<i32>> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A leader that the reaper leaves alone until this is dropped.
#[derive(Debug)]
pub(crate) struct Leader(i32);

impl Leader {
    /// Starts a child as leader.
    pub(crate) fn start(command: &mut Command) -> io::Result<(Self, i32)> {
        let mut leaders = leaders();
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        leaders.insert(pid);
        Ok((Self(pid), pid))
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        leaders().remove(&self.0);
    }
}

/// Marks this process as the one that orphaned descendants come to, and reaps them until `end`.
pub(crate) fn adopt_orphans(end: CancellationToken) {
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::warn!(%error, "cannot become the parent of orphans; engines that leave workers behind may leak them");
    }
    let mut deaths = match signal(SignalKind::child()) {
        Ok(deaths) => deaths,
        Err(error) => {
            tracing::warn!(%error, "cannot hear of dead children");
            return;
        }
    };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                death = deaths.recv() => if death.is_none() { return },
            }
            let _ = tokio::task::spawn_blocking(reap_orphans).await;
            // Signals merge; a storm of deaths costs one look per interval.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

fn reap_orphans() {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let (Some(own), Ok(all)) = (table::look_up(me), table::snapshot()) else { return };
    for p in all.iter().filter(|p| p.zombie && p.parent == me && p.session != own.session) {
        let leaders = leaders();
        if !leaders.contains(&p.pid) {
            reap(p.pid);
        }
    }
}

/// Waits for one dead child.
pub(crate) fn reap(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}
