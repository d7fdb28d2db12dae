//! The one thread of the process that starts shims.
//!
//! A parent-death signal fires when the *thread* that forked ends, so this one never does.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

type Order = (Command, oneshot::Sender<io::Result<Child>>);

fn thread() -> Option<&'static Sender<Order>> {
    static THREAD: OnceLock<Option<Sender<Order>>> = OnceLock::new();
    THREAD
        .get_or_init(|| {
            let (sender, orders) = channel::<Order>();
            let started = std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
                while let Ok((mut command, reply)) = orders.recv() {
                    if let Err(Ok(mut orphan)) = reply.send(command.spawn()) {
                        // Whoever asked has gone: nobody would ever wait for it. Its socket ends with the command.
                        drop(command);
                        let _ = orphan.wait();
                    }
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
    answer.await.map_err(|_| gone())?
}
