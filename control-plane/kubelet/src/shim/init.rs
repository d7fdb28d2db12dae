//! The init of one run: sets the stage, forks the main process, tells the plane how it goes, and kills what is left.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{KILL_ALL, Place, Report, RunSpec, sandbox, supervisor, sys, tree};

/// How long processes that got SIGKILL may take before the end of the main one is reported all the same.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at them.
const RECHECK: Duration = Duration::from_millis(20);

/// Runs one request to its end; never returns.
pub(super) fn run(fds: Vec<OwnedFd>) -> ! {
    let mut fds = fds.into_iter();
    let (Some(spec), Some(control), Some(stdout), Some(stderr)) = (fds.next(), fds.next(), fds.next(), fds.next()) else {
        sys::exit_now(2);
    };
    let mut control = UnixStream::from(control);
    match begin(spec, &control, stdout, stderr) {
        Ok(None) => report(&mut control, &Report::Exited { code: 0, signal: None }),
        Ok(Some((main, signals))) => attend(main, &signals, control),
        Err(error) => report(&mut control, &Report::Failed { error }),
    }
    sys::exit_now(0)
}

fn report(control: &mut UnixStream, what: &Report) {
    if let Ok(mut line) = serde_json::to_vec(what) {
        line.push(b'\n');
        // A plane that is gone needs no report.
        let _ = control.write_all(&line);
    }
}

fn begin(spec: OwnedFd, control: &UnixStream, stdout: OwnedFd, stderr: OwnedFd) -> Result<Option<(Pid, SignalFd)>, String> {
    let say = |what: &'static str| move |e: nix::Error| format!("{what}: {}", e.desc());
    let parent = nix::unistd::getppid();
    prctl::set_child_subreaper(true).map_err(say("subreaper"))?;
    prctl::set_pdeathsig(Signal::SIGTERM).map_err(say("parent-death signal"))?;
    if nix::unistd::getppid() != parent {
        return Err("the shim is gone".to_owned());
    }
    let _ = prctl::set_name(c"dormouse-init");
    let _ = nix::unistd::setsid();
    let signals = supervisor::block_signals().map_err(say("signals"))?;
    let spec = read_spec(spec).map_err(|e| format!("request: {e}"))?;
    match &spec.place {
        Place::Host => {}
        Place::New(sandbox) => sandbox::enter(sandbox)?,
        Place::Try(sandbox) => {
            sandbox::enter(sandbox)?;
            return Ok(None);
        }
        Place::Join(pid) => sandbox::join(*pid)?,
    }
    let call = Call::new(&spec)?;
    let (read_end, write_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(say("pipe"))?;
    let Some(main) = sys::fork().map_err(say("fork"))? else {
        drop(read_end);
        let error = become_main(&spec, &call, &stdout, &stderr);
        let _ = File::from(write_end).write_all(error.as_bytes());
        sys::exit_now(127);
    };
    drop((write_end, stdout, stderr));
    // The pipe closes when the program is executed; what comes before that is why it was not.
    let mut error = String::new();
    let _ = File::from(read_end).take(4096).read_to_string(&mut error);
    if !error.is_empty() {
        let _ = waitpid(main, None);
        return Err(error);
    }
    let init = std::process::id().cast_signed();
    let mut control = control;
    if let Ok(mut line) = serde_json::to_vec(&Report::Started { pid: main.as_raw(), init }) {
        line.push(b'\n');
        let _ = control.write_all(&line);
    }
    Ok(Some((main, signals)))
}

fn read_spec(fd: OwnedFd) -> Result<RunSpec, String> {
    let mut file = File::from(fd);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(|e| e.to_string())?;
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}

/// Everything `execve` needs, made before the fork.
struct Call {
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Call {
    fn new(spec: &RunSpec) -> Result<Self, String> {
        let text = |s: &String| CString::new(s.as_str()).map_err(|_| format!("{s:?} holds a NUL byte"));
        Ok(Self {
            program: text(&spec.program)?,
            argv: spec.argv.iter().map(text).collect::<Result<_, _>>()?,
            env: spec.env.iter().map(text).collect::<Result<_, _>>()?,
        })
    }
}

/// In the child: takes the last steps and executes the program. Returns only why that failed.
fn become_main(spec: &RunSpec, call: &Call, stdout: &OwnedFd, stderr: &OwnedFd) -> String {
    let init = nix::unistd::getppid();
    let steps = || -> Result<(), String> {
        let say = |what: &'static str| move |e: nix::Error| format!("{what}: {}", e.desc());
        nix::unistd::setsid().map_err(say("setsid"))?;
        let null = File::open("/dev/null").map_err(|e| format!("/dev/null: {e}"))?;
        nix::unistd::dup2_stdin(&null).map_err(say("standard input"))?;
        nix::unistd::dup2_stdout(stdout).map_err(say("standard output"))?;
        nix::unistd::dup2_stderr(stderr).map_err(say("standard error"))?;
        let cwd = spec.cwd.as_deref().unwrap_or("/");
        if nix::unistd::chdir(cwd).is_err() {
            // A runtime makes the working directory an image lacks.
            let _ = std::fs::create_dir_all(cwd);
            nix::unistd::chdir(cwd).map_err(|e| format!("working directory {cwd:?}: {}", e.desc()))?;
        }
        if let Some(user) = spec.user {
            if let Some(gid) = user.gid {
                nix::unistd::setgroups(&[Gid::from_raw(gid)]).map_err(say("setgroups"))?;
                nix::unistd::setgid(Gid::from_raw(gid)).map_err(say("setgid"))?;
            }
            if let Some(uid) = user.uid {
                nix::unistd::setuid(Uid::from_raw(uid)).map_err(say("setuid"))?;
            }
        }
        // After the change of user, which clears it.
        prctl::set_pdeathsig(Signal::SIGKILL).map_err(say("parent-death signal"))?;
        if nix::unistd::getppid() != init {
            return Err("init is gone".to_owned());
        }
        sys::default_signals();
        Ok(())
    };
    if let Err(error) = steps() {
        return error;
    }
    match nix::unistd::execve(&call.program, &call.argv, &call.env) {
        Ok(never) => match never {},
        Err(e) => format!("cannot execute {:?}: {}", spec.program, e.desc()),
    }
}

/// Watches over the run until nothing of it is left.
fn attend(main: Pid, signals: &SignalFd, mut control: UnixStream) {
    let _ = control.set_nonblocking(true);
    let mut ended: Option<(i32, Option<i32>)> = None;
    let mut killing = false;
    let mut listening = true;
    let mut since = None;
    let mut reported = false;
    loop {
        let none_left = reap(main, &mut ended);
        if let Some((code, signal)) = ended {
            let begun = *since.get_or_insert_with(Instant::now);
            if !reported && (none_left || begun.elapsed() > PATIENCE) {
                reported = true;
                let _ = control.set_nonblocking(false);
                report(&mut control, &Report::Exited { code, signal });
            }
            killing = true;
        }
        if none_left {
            return;
        }
        if killing {
            tree::kill_below_self(&BTreeSet::new());
        }
        // While killing, look again soon: a process may have forked in its last moment.
        let pause = if killing { Timespec::try_from(RECHECK).ok() } else { None };
        let mut polled = vec![PollFd::new(signals, PollFlags::IN)];
        if listening {
            polled.push(PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN));
        }
        let _ = poll(&mut polled, pause.as_ref());
        let order = polled.get(1).is_some_and(|p| !p.revents().is_empty());
        drop(polled);
        killing |= supervisor::told_to_end(signals);
        if order {
            let mut bytes = [0_u8; 16];
            match control.read(&mut bytes) {
                Ok(0) => (listening, killing) = (false, true),
                Ok(n) => {
                    for byte in &bytes[..n] {
                        match Signal::try_from(i32::from(*byte)) {
                            _ if *byte == KILL_ALL => killing = true,
                            Ok(signal) => {
                                // The group first; a main process that left its group gets its own.
                                if killpg(main, signal).is_err() && ended.is_none() {
                                    let _ = kill(main, signal);
                                }
                            }
                            Err(_) => {}
                        }
                    }
                }
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
                Err(_) => (listening, killing) = (false, true),
            }
        }
    }
}

/// Collects the dead; true when no child is left.
fn reap(main: Pid, ended: &mut Option<(i32, Option<i32>)>) -> bool {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => *ended = Some((code, None)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => *ended = Some((128 + signal as i32, Some(signal as i32))),
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}
