//! The shim's own loop: take requests, fork inits, reap, and end everything when the plane is gone.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{fds, init, sys, tree};

/// How long between two looks at processes that were killed and have not gone yet.
const RECHECK: Duration = Duration::from_millis(50);

/// Runs until the plane is gone and nothing is left below.
pub(super) fn run() -> ! {
    sys::close_inherited();
    let code = match setup() {
        Ok((socket, signals)) => {
            let signals = serve(socket, signals);
            end_everything(&signals);
            0
        }
        Err(e) => {
            eprintln!("dormouse-shim: cannot start: {e}");
            1
        }
    };
    sys::exit_now(code)
}

fn setup() -> nix::Result<(OwnedFd, SignalFd)> {
    let socket = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).map_err(errno)?;
    let null = std::fs::File::open("/dev/null").map_err(|_| Errno::ENOENT)?;
    nix::unistd::dup2_stdin(&null)?;
    let signals = block_signals()?;
    prctl::set_child_subreaper(true)?;
    // The thread that started us is the spawner, which lives as long as the plane. If it went before this call, the
    // socket has ended and says the same.
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    let _ = prctl::set_name(c"dormouse-shim");
    // Not in the plane's session: Ctrl-C on its terminal is for the plane, which then ends Pods with their grace.
    let _ = setsid();
    Ok((socket, signals))
}

/// Blocks the signals a shim or init waits for and opens a descriptor that delivers them.
pub(super) fn block_signals() -> nix::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for s in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(s);
    }
    mask.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Empties the descriptor; true when a signal other than SIGCHLD was among them.
pub(super) fn told_to_end(signals: &SignalFd) -> bool {
    let child = Signal::SIGCHLD as u32;
    let mut end = false;
    while let Ok(Some(info)) = signals.read_signal() {
        end |= info.ssi_signo != child;
    }
    end
}

/// Takes requests until the plane is gone.
fn serve(socket: OwnedFd, signals: SignalFd) -> SignalFd {
    let mut inits: BTreeSet<i32> = BTreeSet::new();
    loop {
        let mut polled = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return signals,
        }
        let (request, signal) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
        if signal {
            if told_to_end(&signals) {
                return signals;
            }
            reap(&mut inits);
        }
        if !request {
            continue;
        }
        match fds::receive(socket.as_fd()) {
            Ok(Some(fds)) => match sys::fork() {
                Ok(None) => {
                    drop((socket, signals));
                    init::run(fds)
                }
                Ok(Some(child)) => {
                    inits.insert(child.as_raw());
                }
                // The request's descriptors close here, which tells the plane that nothing was started.
                Err(e) => eprintln!("dormouse-shim: cannot fork: {e}"),
            },
            Ok(None) => return signals,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return signals,
        }
    }
}

/// Collects the dead. What an init left behind (it was killed itself) has fallen to us and is killed.
fn reap(inits: &mut BTreeSet<i32>) {
    let mut lost = false;
    while let Some(pid) = reap_one(WaitPidFlag::WNOHANG) {
        lost |= inits.remove(&pid);
    }
    if lost {
        tree::kill_below_self(inits);
    }
}

fn reap_one(flags: WaitPidFlag) -> Option<i32> {
    match waitpid(Pid::from_raw(-1), Some(flags)) {
        Ok(WaitStatus::StillAlive) | Err(_) => None,
        Ok(status) => status.pid().map(Pid::as_raw),
    }
}

/// Kills everything below until nothing is left.
fn end_everything(signals: &SignalFd) {
    loop {
        tree::kill_below_self(&BTreeSet::new());
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        // The next death wakes us; and a process may have forked while it was being killed, so look again soon.
        let pause = Timespec::try_from(RECHECK).ok();
        let _ = poll(&mut [PollFd::new(signals, PollFlags::IN)], pause.as_ref());
        told_to_end(signals);
    }
}

pub(super) fn errno(e: rustix::io::Errno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}
