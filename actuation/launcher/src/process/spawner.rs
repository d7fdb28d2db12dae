//! One thread that starts every engine and never ends.
//!
//! A parent-death signal fires when the *thread* that forked ends, so engines may not be started from a runtime's
//! worker or blocking thread. The thread lives as long as the process and is shared by all launchers in it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};

use dormouse_names::env::CUDA_VISIBLE_DEVICES;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::oneshot;

use super::reaper::Leader;
use super::sys;
use super::table;

/// What to start.
#[derive(Debug)]
pub(crate) struct Order {
    /// Program and arguments; the program is looked for on the child's `PATH`.
    pub(crate) argv: Vec<String>,
    /// Added to the launcher's own environment.
    pub(crate) env: Vec<(String, String)>,
    /// Standard output and error, open for appending.
    pub(crate) log: File,
}

/// A process that has just been started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) leader: Leader,
    pub(crate) pid: i32,
    pub(crate) start: u64,
    pub(crate) pidfd: OwnedFd,
}

type Job = (Order, oneshot::Sender<io::Result<Started>>);

static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();

/// Starts a process from the spawner's thread; returns when it runs its program, or with the reason why it does not.
pub(crate) async fn spawn(order: Order) -> io::Result<Started> {
    let (reply, answer) = oneshot::channel();
    queue()?.lock().unwrap_or_else(PoisonError::into_inner).send((order, reply)).map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts engines has ended")
}

fn queue() -> io::Result<&'static Mutex<mpsc::Sender<Job>>> {
    if let Some(queue) = SPAWNER.get() {
        return Ok(queue);
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    // Two callers may race to here: the loser's channel closes and its thread ends without having started anything.
    let _ = SPAWNER.set(Mutex::new(sender));
    std::thread::Builder::new().name("spawner".into()).stack_size(256 << 10).spawn(move || {
        while let Ok((order, reply)) = jobs.recv() {
            // The asker waits in a task that is never dropped; if it is gone all the same, the process is nobody's.
            if let Err(Ok(orphan)) = reply.send(start(order)) {
                let _ = rustix::process::pidfd_send_signal(&orphan.pidfd, rustix::process::Signal::KILL);
            }
        }
    })?;
    SPAWNER.get().ok_or_else(gone)
}

fn start(order: Order) -> io::Result<Started> {
    let (program, args) =
        order.argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the engine command is empty"))?;
    let mut command = Command::new(program);
    let devices = order.env.iter().rev().find(|(name, _)| name == CUDA_VISIBLE_DEVICES).map(|(_, value)| value.into());
    let devices = devices.or_else(|| std::env::var_os(CUDA_VISIBLE_DEVICES));
    command.args(args).envs(order.env).stdin(Stdio::null()).stdout(order.log.try_clone()?).stderr(order.log);
    sys::lead_session(&mut command, devices.as_deref());
    let (leader, pid) =
        Leader::start(&mut command).map_err(|e| io::Error::new(e.kind(), format!("cannot start engine {program:?}: {e}")))?;
    // The child is not waited for until its pidfd says so, hence the number is its own.
    let raw = Pid::from_raw(pid).ok_or_else(|| io::Error::other("the kernel gave process number 0"))?;
    let pidfd = pidfd_open(raw, PidfdFlags::NONBLOCK).inspect_err(|_| {
        let _ = rustix::process::kill_process(raw, rustix::process::Signal::KILL);
    })?;
    let start = table::look_up(pid).map_or(0, |p| p.start);
    Ok(Started { leader, pid, start, pidfd })
}
