//! The plane's side: one [`Shim`] per Pod, one [`Run`] per container run or exec.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::io::{AsyncBufReadExt, BufReader, Interest, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{ARGV0, KILL_ALL, Report, RunSpec, fds, spawner};

/// How long a shim may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a run may take to be executed or refused.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A Pod's shim. When the last clone of it goes, it ends with everything below it.
#[derive(Clone, Debug)]
pub struct Shim {
    socket: Arc<OwnedWriteHalf>,
    gone: watch::Receiver<bool>,
}

impl Shim {
    /// Starts one. `mark` becomes its whole environment; `label` is shown by `ps`.
    ///
    /// # Errors
    /// When the program cannot be executed.
    pub async fn start(executable: &Path, label: &str, mark: &[(&str, &str)]) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(executable);
        command.arg0(ARGV0).arg(label).env_clear().envs(mark.iter().copied());
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = spawner::spawn(command).await?;
        // Dropping the write half ends the shim's input; the read half sees the shim's own end.
        let (read, write) = UnixStream::from_std(ours)?.into_split();
        let (tell, gone) = watch::channel(false);
        tokio::spawn(wait_for_end(read, child, tell));
        Ok(Self { socket: Arc::new(write), gone })
    }

    /// Asks for a run; its output comes out of the two pipes.
    ///
    /// # Errors
    /// When the shim is gone or descriptors run out.
    pub async fn run(&self, spec: &RunSpec) -> io::Result<Run> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let (stdout, stdout_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let (stderr, stderr_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let mut request = std::fs::File::from(memfd_create(c"dormouse-run", MFdFlags::MFD_CLOEXEC)?);
        request.write_all(&serde_json::to_vec(spec)?)?;
        let sent = [request.as_fd(), theirs.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()];
        let socket: &UnixStream = (*self.socket).as_ref();
        socket.async_io(Interest::WRITABLE, || fds::send(socket.as_fd(), &sent)).await?;
        let (read, write) = UnixStream::from_std(ours)?.into_split();
        Ok(Run {
            reports: BufReader::new(read).lines(),
            control: Control(Arc::new(write)),
            stdout: pipe::Receiver::from_owned_fd(stdout)?,
            stderr: pipe::Receiver::from_owned_fd(stderr)?,
        })
    }

    /// Completes when the shim has ended, with everything below it.
    pub fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        // Not a clone of the shim itself, which would keep it alive.
        let mut gone = self.gone.clone();
        async move {
            // An error means that the waiting task has gone, which it does only after the shim.
            let _ = gone.wait_for(|g| *g).await;
        }
    }

    /// Ends it and waits until it has.
    pub async fn end(self) {
        let socket: &UnixStream = (*self.socket).as_ref();
        let _ = rustix::net::shutdown(socket.as_fd(), rustix::net::Shutdown::Write);
        self.gone().await;
    }
}

/// Waits for the shim's end of the socket to close, then for the process.
async fn wait_for_end(read: OwnedReadHalf, mut child: Child, tell: watch::Sender<bool>) {
    loop {
        // It never says anything; readiness is its end.
        match read.readable().await.and_then(|()| read.try_read(&mut [0; 16])) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Ok(n) if n > 0 => {}
            _ => break,
        }
    }
    let pid = child.id();
    let mut waiting = tokio::task::spawn_blocking(move || child.wait());
    if tokio::time::timeout(PATIENCE, &mut waiting).await.is_err() {
        tracing::warn!(pid, "a shim does not end and is killed");
        // Not reaped yet, so the number is still its own.
        if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = waiting.await;
    }
    let _ = tell.send(true);
}

/// Orders to one run. When the last clone of it and the [`Run`] go, the run is killed.
#[derive(Clone, Debug)]
pub struct Control(Arc<OwnedWriteHalf>);

impl Control {
    /// Sends a signal to the run's process group.
    pub fn signal(&self, number: u8) {
        // Full or closed: the run is ending or gone.
        let _ = self.0.try_write(&[number]);
    }

    /// Kills everything of the run.
    pub fn kill(&self) {
        self.signal(KILL_ALL);
    }
}

/// One run.
#[derive(Debug)]
pub struct Run {
    reports: Lines<BufReader<OwnedReadHalf>>,
    /// Orders.
    pub control: Control,
    /// What it writes.
    pub stdout: pipe::Receiver,
    /// What it complains.
    pub stderr: pipe::Receiver,
}

/// The reports of a run whose pipes were taken.
#[derive(Debug)]
pub struct Reports(Lines<BufReader<OwnedReadHalf>>);

impl Run {
    /// Takes it apart.
    pub fn split(self) -> (Reports, Control, pipe::Receiver, pipe::Receiver) {
        (Reports(self.reports), self.control, self.stdout, self.stderr)
    }
}

impl Reports {
    /// Whether the program was executed: its process id and that of its init.
    ///
    /// # Errors
    /// Why not.
    pub async fn started(&mut self) -> Result<(i32, i32), String> {
        match tokio::time::timeout(START_PATIENCE, self.next()).await {
            Ok(Some(Report::Started { pid, init })) => Ok((pid, init)),
            Ok(Some(Report::Failed { error })) => Err(error),
            Ok(Some(Report::Exited { .. })) => Err("ended before it began".to_owned()),
            Ok(None) => Err("the Pod's shim is gone".to_owned()),
            Err(_) => Err(format!("was not executed within {} s", START_PATIENCE.as_secs())),
        }
    }

    /// Whether an attempt at a sandbox ([`super::Place::Try`]) succeeded.
    ///
    /// # Errors
    /// Why not.
    pub async fn tried(&mut self) -> Result<(), String> {
        match tokio::time::timeout(START_PATIENCE, self.next()).await {
            Ok(Some(Report::Exited { .. })) => Ok(()),
            Ok(Some(Report::Failed { error })) => Err(error),
            Ok(Some(Report::Started { .. }) | None) | Err(_) => Err("the attempt gave no answer".to_owned()),
        }
    }

    /// How it ended; `None` when whoever watched it was killed.
    pub async fn exited(&mut self) -> Option<(i32, Option<i32>)> {
        loop {
            match self.next().await? {
                Report::Exited { code, signal } => return Some((code, signal)),
                Report::Started { .. } | Report::Failed { .. } => {}
            }
        }
    }

    async fn next(&mut self) -> Option<Report> {
        let line = self.0.next_line().await.ok()??;
        serde_json::from_str(&line).ok()
    }
}
