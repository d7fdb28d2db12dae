//! The unsafe corner: what happens between fork and exec, and waiting for readiness of a descriptor.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, setsid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Makes the child a session and group leader that dies with the thread that forks it, and lets it write the first
/// line of its log, which names `devices`, the child's `CUDA_VISIBLE_DEVICES`. Standard output must be the log.
pub(crate) fn lead_session(command: &mut Command, devices: Option<&OsStr>) {
    let parent = getpid();
    let end = end_of_first_line(devices);
    // SAFETY: between fork and exec only system calls are made and the stack is used: no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The launcher may have died before the line above; then nobody would ever stop this process.
            if getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
            }
            let mut digits = [0_u8; 10];
            // One call, so that the line is whole whatever else comes into the log.
            let line = [IoSlice::new(FIRST_LINE), IoSlice::new(decimal(getpid(), &mut digits)), IoSlice::new(&end)];
            // SAFETY: descriptor 1 is the log, set up by the standard library before it calls this closure.
            let log = BorrowedFd::borrow_raw(1);
            // A full disk must not keep an engine from starting.
            let _ = rustix::io::writev(log, &line);
            Ok(())
        });
    }
}

/// Puts the child into a session of its own and nothing else: what an engine does that turns a worker into a daemon.
pub(crate) fn detach(command: &mut Command) {
    // SAFETY: one system call.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            Ok(())
        });
    }
}

/// Before the process ID in `VLLM process (PID: 123, CUDA_VISIBLE_DEVICES: 0) starting.`
const FIRST_LINE: &[u8] = b"VLLM process (PID: ";

/// What follows the process ID.
fn end_of_first_line(devices: Option<&OsStr>) -> Vec<u8> {
    let devices = devices.map_or(&b"<unset>"[..], OsStr::as_bytes);
    [b", CUDA_VISIBLE_DEVICES: ", devices, b") starting.\n"].concat()
}

/// A process ID in digits, made without allocation.
fn decimal(pid: Pid, digits: &mut [u8; 10]) -> &[u8] {
    let mut first = digits.len();
    let mut rest = pid.as_raw_nonzero().get().unsigned_abs();
    while rest > 0 && first > 0 {
        first -= 1;
        digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    &digits[first..]
}

/// A descriptor whose readability can be waited for: a pidfd, an inotify.
#[derive(Debug)]
pub(crate) struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Registers the descriptor with this runtime.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the `AsyncFd` owns `fd`, which therefore stays open, and the same, as long as it is registered.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(|e| io::Error::other(e.to_string()))?;
        Ok(Self(fd))
    }

    /// Waits until it can be read; does not consume the readiness, which suits a pidfd.
    pub(crate) async fn wait(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }

    /// Waits until it can be read, and reads.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|fd| rustix::io::read(fd.get_ref(), &mut *buffer).map_err(io::Error::from)) {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: borrowed from the owned descriptor for the life of `self`.
        unsafe { BorrowedFd::borrow_raw(self.0.get_ref().as_raw_fd()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_process_and_devices() {
        let mut digits = [0; 10];
        assert_eq!(decimal(Pid::from_raw(40_321).unwrap(), &mut digits), b"40321");
        assert_eq!(decimal(Pid::from_raw(i32::MAX).unwrap(), &mut digits), b"2147483647");
        assert_eq!(end_of_first_line(None), b", CUDA_VISIBLE_DEVICES: <unset>) starting.\n");
        assert_eq!(end_of_first_line(Some(OsStr::new("1,0"))), b", CUDA_VISIBLE_DEVICES: 1,0) starting.\n");
    }
}
