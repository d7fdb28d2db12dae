//! The few calls of the shim that need `unsafe`. Everything here is called by a process with one thread.
#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, Pid};

/// Splits the process: `None` in the child, its id in the parent.
pub(super) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the shim and its inits have a single thread, so no lock can be held by a thread that the child lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Ends this process without running destructors or exit handlers: a forked child must not flush its parent's buffers.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { nix::libc::_exit(code) }
}

/// Closes every descriptor above standard error. Called first thing in a shim, before it opens anything.
pub(super) fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet: `main` has only looked at its arguments.
    unsafe {
        nix::libc::close_range(3, u32::MAX, 0);
    }
}

/// Gives signals back their default meaning and lets all of them through, as a program expects to be started.
pub(super) fn default_signals() {
    for s in [Signal::SIGPIPE, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGCHLD] {
        // SAFETY: the default action installs no handler.
        let _ = unsafe { signal(s, SigHandler::SigDfl) };
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}
