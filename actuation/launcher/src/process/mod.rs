//! One engine's process tree: start, exit, signals, and the end of everything that belongs to it.
//!
//! Held: the leader's pidfd and what is known of its descendants. The leader is started in a session of its own;
//! the launcher is a child subreaper, so what the leader leaves behind becomes the launcher's child. The leader is
//! waited for by exactly one task, which publishes the exit code; orphans are reaped by [`reaper`].

mod reaper;
mod spawner;
pub(crate) mod sys;
pub(crate) mod table;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use reaper::adopt_orphans;
pub(crate) use spawner::Order;

use sys::Readable;
use table::{Proc, Roots};

/// Variable that marks the processes of an instance: `<epoch>.<number>`.
pub(crate) const MARK: &str = dormouse_names::env::INSTANCE;

/// An engine's process tree.
#[derive(Debug)]
pub(crate) struct Tree {
    pid: i32,
    start: u64,
    mark: String,
    pidfd: OwnedFd,
    roots: Mutex<Roots>,
    exit: watch::Receiver<Option<i32>>,
}

/// Processes that did not go away.
#[derive(Debug, Clone, thiserror::Error)]
#[error("processes {pids:?} did not end within {} s of SIGKILL", .waited.as_secs())]
pub(crate) struct Stuck {
    pids: Vec<i32>,
    waited: Duration,
}

impl Tree {
    /// Starts a leader. Must be called in a tokio runtime; the order's environment gets `mark`.
    pub(crate) async fn start(mut order: Order, mark: String) -> io::Result<Arc<Self>> {
        order.env.push((MARK.to_owned(), mark.clone()));
        let started = spawner::spawn(order).await?;
        let waiting = Readable::new(started.pidfd.try_clone()?)?;
        let (tell, exit) = watch::channel(None);
        let leader = started.leader;
        tokio::spawn(async move {
            let code = wait(&waiting).await.unwrap_or_else(|error| {
                // Somebody else has waited for our child: all that is known is that it is gone.
                tracing::error!(%error, "cannot tell how an engine ended");
                1
            });
            drop(leader);
            tell.send_replace(Some(code));
        });
        let roots = Mutex::new(Roots::of_leader(started.pid, started.start));
        Ok(Arc::new(Self { pid: started.pid, start: started.start, mark, pidfd: started.pidfd, roots, exit }))
    }

    /// The leader's process ID.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// The leader's start in clock ticks since boot.
    pub(crate) fn started(&self) -> u64 {
        self.start
    }

    /// Waits for the leader's end: its exit status, or the negative number of the signal that killed it.
    pub(crate) async fn exited(&self) -> i32 {
        // The waiting task always publishes before it ends; an error would mean that the runtime is going away.
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|code| *code).unwrap_or(1)
    }

    fn exit_code(&self) -> Option<i32> {
        *self.exit.borrow()
    }

    /// Looks at the tree, so that descendants stay known when their parents end.
    pub(crate) async fn remember(self: &Arc<Self>) {
        let tree = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || tree.living()).await;
    }

    /// SIGTERM to the leader, then, after `grace`, SIGKILL to all that is left; returns when nothing is.
    pub(crate) async fn stop(self: &Arc<Self>, grace: Duration, limit: Duration) -> Result<(), Stuck> {
        if self.exit_code().is_none() {
            self.remember().await;
            let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
            let _ = tokio::time::timeout(grace, self.exited()).await;
        }
        self.kill_rest(limit).await
    }

    /// SIGKILL to every member of the tree until none is left.
    pub(crate) async fn kill_rest(self: &Arc<Self>, limit: Duration) -> Result<(), Stuck> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        let mut empty = 0;
        loop {
            let tree = Arc::clone(self);
            let left = tokio::task::spawn_blocking(move || tree.kill_once()).await.unwrap_or_default();
            // A table is read one process after the other: only the second empty one in a row proves that nothing
            // slipped by between.
            empty = if left.is_empty() && self.exit_code().is_some() { empty + 1 } else { 0 };
            if empty == 2 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Stuck { pids: if left.is_empty() { vec![self.pid] } else { left }, waited: limit });
            }
            if empty == 0 {
                let _ = tokio::time::timeout(pause, self.exited_or_never()).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        }
    }

    /// Completes when a leader that still lives ends; never for one that has.
    async fn exited_or_never(&self) {
        if self.exit_code().is_some() {
            std::future::pending::<()>().await;
        }
        self.exited().await;
    }

    /// The living members. Reaps those that are dead and ours.
    fn living(&self) -> Vec<Proc> {
        let Ok(all) = table::snapshot() else { return Vec::new() };
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let members = roots.members(&all, me, |p| table::has_mark(p.pid, MARK, |v| v == self.mark));
        drop(roots);
        for dead in members.iter().filter(|p| p.zombie && p.parent == me && p.pid != self.pid) {
            reaper::reap(dead.pid);
        }
        members.into_iter().filter(|p| !p.zombie).collect()
    }

    /// Sends SIGKILL to the living members and names them.
    fn kill_once(&self) -> Vec<i32> {
        let living = self.living();
        for p in &living {
            kill(p);
        }
        living.iter().map(|p| p.pid).collect()
    }
}

/// SIGKILL to exactly this process: not to one that has its number by now.
pub(crate) fn kill(p: &Proc) {
    if let Some(pid) = Pid::from_raw(p.pid)
        && let Ok(fd) = pidfd_open(pid, PidfdFlags::empty())
        && table::look_up(p.pid).is_some_and(|now| now.start == p.start)
    {
        let _ = pidfd_send_signal(&fd, Signal::KILL);
    }
}

async fn wait(pidfd: &Readable) -> io::Result<i32> {
    loop {
        pidfd.wait().await?;
        let status = waitid(WaitId::PidFd(pidfd.fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?;
        if let Some(status) = status {
            let killed = status.terminating_signal().map(|signal| -signal);
            return Ok(status.exit_status().or(killed).unwrap_or(1));
        }
        // Readable without a status cannot happen; give the scheduler a chance rather than spin.
        tokio::task::yield_now().await;
    }
}
