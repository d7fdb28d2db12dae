//! The program of the image `pause`: it waits to be told to end and collects the dead that fall to it.

use std::io::Write;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::sys;

/// Waits for SIGTERM or SIGINT.
pub(super) fn run() -> ! {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD]);
    if signals.thread_block().is_err() {
        sys::exit_now(2);
    }
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(s) if s != WaitStatus::StillAlive) {},
            Ok(signal) => {
                let name = if signal == Signal::SIGINT { "Interrupt" } else { "Terminated" };
                let _ = writeln!(std::io::stderr(), "Shutting down, got signal: {name}");
                sys::exit_now(0);
            }
            Err(_) => sys::exit_now(2),
        }
    }
}
