//! The one thread of the process that starts shims.
//!
//! A parent-death signal fires when the *thread* that forked ends, so this one never does.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

type Order = (Command, oneshot::Sender<io::Result<Started>>);

/// A child that was started. Whoever asked may go before they take it, at any moment, also when it was already handed
/// over and not looked at yet; then it is waited for here, so that no dead one stays behind.
struct Started(Option<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Its socket has ended with whoever asked, and so will it. Should there be no thread: a dead entry in the
            // process table, until the plane ends, is all.
            let _ = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait());
        }
    }
}

fn thread() -> Option<&'static Sender<Order>> {
    static THREAD: OnceLock<Option<Sender<Order>>> = OnceLock::new();
    THREAD
        .get_or_init(|| {
            let (sender, orders) = channel::<Order>();
            let started = std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
                while let Ok((mut command, reply)) = orders.recv() {
                    let _ = reply.send(command.spawn().map(|child| Started(Some(child))));
                }
            });
            started.is_ok().then_some(sender)
        })
        .as_ref()
}

/// Starts `command` from the spawner thread.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    let gone = || io::Error::other("the spawner thread could not be started");
    let (reply, answer) = oneshot::channel();
    thread().ok_or_else(gone)?.send((command, reply)).map_err(|_| gone())?;
    let mut started = answer.await.map_err(|_| gone())??;
    started.0.take().ok_or_else(gone)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::{Duration, Instant};

    use super::*;

    /// Children of this process with this command name, and whether they are dead and not waited for.
    fn children(name: &str) -> Vec<bool> {
        let me = std::process::id().to_string();
        let stats = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
        let of_us = stats.filter_map(|stat| {
            let rest = stat.split_once(&format!("({name}) "))?.1;
            let mut fields = rest.split(' ');
            let dead = fields.next()? == "Z";
            (fields.next()? == me).then_some(dead)
        });
        of_us.collect()
    }

    #[test]
    fn a_child_that_nobody_takes_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("untaken");
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut command = Command::new(&program);
        command.arg("0.1");
        {
            let mut asked = pin!(spawn(command));
            assert!(matches!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
            let begun = Instant::now();
            while children("untaken").is_empty() {
                assert!(begun.elapsed() < Duration::from_secs(20), "it is not started");
                std::thread::sleep(Duration::from_millis(2));
            }
            // Dropped when the answer may be there already.
        }
        let begun = Instant::now();
        while !children("untaken").is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is not waited for");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
