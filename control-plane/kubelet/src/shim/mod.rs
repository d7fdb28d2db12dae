//! The processes between the plane and its containers.
//!
//! ```text
//! plane ── spawner thread ── shim (one per Pod, this binary re-executed)
//!                              ├─ init (one per container run, a fork of the shim) ── the container's processes
//!                              └─ init (one per exec: probes and hooks)           ── its processes
//! ```
//!
//! * The **shim** is single-threaded, so that it may fork and enter namespaces. It is a child subreaper. It takes
//!   requests from its one socket; when that ends, or when the plane's spawner thread ends (parent-death signal), it
//!   kills everything below it, also what called `setsid`, and goes.
//! * Each **init** has a socket of its own to the plane ([`Report`]s out, one-byte orders in), is a child subreaper too, and
//!   so knows exactly which processes belong to its container. When the container's main process ends, init kills what is
//!   left, as the end of process 1 does in a real container; when its socket ends it kills everything.
//! * A container's main process has its init as parent-death signal source; init has the shim.
//!
//! Hence no chain of deaths leaves a process: plane gone → sockets end → inits and shim kill; init gone → main process dies,
//! the shim kills what falls to it; shim gone → inits kill. What survives the death of several of them at the same instant
//! is swept by the next start ([`crate::node`]).

mod client;
mod fds;
mod init;
mod pause;
mod sandbox;
mod spawner;
mod supervisor;
mod sys;
pub(crate) mod tree;

use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::plan::image::PAUSE;

pub use client::{Control, Reports, Run, Shim};
pub use sandbox::{Mount, Sandbox};

/// `argv[0]` under which the plane starts this binary as a shim.
pub const ARGV0: &str = "dormouse-shim";

/// Whether `argv[0]` says that this process is to be a shim, or the program of the image `pause`. Ask first thing in `main`,
/// before any thread exists.
#[must_use]
pub fn is_shim(argv0: &OsStr) -> bool {
    is_called(argv0, ARGV0) || is_called(argv0, PAUSE)
}

fn is_called(argv0: &OsStr, name: &str) -> bool {
    Path::new(argv0).file_name() == Some(OsStr::new(name))
}

/// Runs this process as what [`is_shim`] has seen in it: a shim until the plane goes, or `pause` until it is told to end. Must
/// be called before any thread exists.
pub fn shim_main() -> ! {
    if std::env::args_os().next().is_some_and(|argv0| is_called(&argv0, PAUSE)) {
        pause::run();
    }
    supervisor::run()
}

/// What to run, as an init receives it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The file to execute.
    pub program: String,
    /// Its arguments, `argv[0]` first.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; made when it does not exist.
    pub cwd: Option<String>,
    /// User and group to become.
    pub user: Option<User>,
    /// Where to run.
    pub place: Place,
}

/// A numeric identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id; unchanged when absent.
    pub uid: Option<u32>,
    /// Group id; unchanged when absent.
    pub gid: Option<u32>,
}

/// Where a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// On the host as it is.
    #[default]
    Host,
    /// In a mount namespace of its own.
    New(Sandbox),
    /// Where the process with this id runs, a container's init.
    Join(i32),
    /// Builds the sandbox and ends: to find out whether the kernel allows it.
    Try(Sandbox),
}

/// What an init tells the plane, one JSON object per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// The program was executed.
    Started {
        /// Its process id.
        pid: i32,
        /// That of its init.
        init: i32,
    },
    /// It was not.
    Failed {
        /// What failed and why.
        error: String,
    },
    /// It ended, and everything below it.
    Exited {
        /// Exit code, 128 + signal for a signal.
        code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
    },
}

/// The order that means: kill everything of this container. Any other byte is a signal for its process group.
const KILL_ALL: u8 = 0;
