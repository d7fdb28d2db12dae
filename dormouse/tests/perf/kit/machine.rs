//! Who runs beside whom, and on which core.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// No other test runs meanwhile: for what takes time as a figure.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Others may run meanwhile.
pub(crate) fn beside() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The situations' folder.
pub(crate) fn cases() -> PathBuf {
    repository().join("tests/cases/perf")
}

/// Said where nothing is proved.
pub(crate) fn skipped(what: &str, why: &str) {
    say(&format!("SKIPPED {what}: {why}"));
}

/// Said also where the test is good.
pub(crate) fn say(text: &str) {
    // Not by a macro: what those print is kept from the reader.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether a program ends well with these arguments.
pub(crate) fn works(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Words before a command that put it before other programs of a busy machine, where that is allowed: who waits for the least while is
/// served at once. A nice value would not do: Linux weighs it within a session alone (autogroup).
pub(crate) fn before_others() -> Vec<String> {
    let words = ["chrt", "--rr", "1"];
    if works(&[&words[..], &["true"]].concat()) { words.map(str::to_owned).to_vec() } else { Vec::new() }
}

/// Does the same with each, three at a time: what waits rather than computes.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], of: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(items.iter());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || std::iter::from_fn(take).map(&of).collect::<Vec<R>>();
    std::thread::scope(|scope| {
        let workers = [(); 3].map(|()| scope.spawn(worker));
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Loops that take a core for themselves until they are dropped.
pub(crate) struct Hogs(Vec<Child>);

impl Hogs {
    /// So many on this core.
    pub(crate) fn on(core: &str, count: usize) -> Self {
        let hog = || Command::new("taskset").args(["-c", core, "sh", "-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..count).map(|_| hog()).collect())
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}
