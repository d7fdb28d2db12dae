//! The verb `down`: ends a detached plane.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use dormouse_runtime::output::Out;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run_folder;

/// Arguments of `down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Name the plane was started under
    #[arg(long, default_value = "default")]
    name: String,
}

/// Longest orderly end: Pods get 10 s.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn run(args: &DownArgs) -> anyhow::Result<()> {
    let Some(state) = run_folder::running(&args.name)? else {
        return Ok(Out.line(&format!("no plane runs under the name {:?}", args.name))?);
    };
    let pid = Pid::from_raw(state.pid);
    signal(pid, Signal::SIGTERM)?;
    if !gone(&args.name, PATIENCE)? {
        signal(pid, Signal::SIGKILL)?;
        if !gone(&args.name, Duration::from_secs(5))? {
            bail!("process {pid} does not end");
        }
    }
    Ok(Out.line(&format!("ended the plane {:?} (process {pid})", args.name))?)
}

fn signal(pid: Pid, signal: Signal) -> anyhow::Result<()> {
    match kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send {signal} to process {pid}")),
    }
}

/// Waits until nobody holds the run folder; the pause grows from milliseconds.
fn gone(name: &str, limit: Duration) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(5);
    while begun.elapsed() < limit {
        if run_folder::running(name)?.is_none() {
            return Ok(true);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
    Ok(false)
}
