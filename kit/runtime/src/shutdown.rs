//! Ending as asked: one token that everything long-lived watches.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGINT or SIGTERM cancels. Must be called inside a tokio runtime.
///
/// When nothing can listen (which needs a runtime without the signal driver) the token is returned all the same, and that is
/// logged.
#[must_use]
pub fn on_signals() -> CancellationToken {
    let token = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        if let Err(error) = cancel_on(kind, &token) {
            tracing::warn!(%error, "cannot listen for signals");
        }
    }
    token
}

/// tokio installs the handler before it begins to listen: a signal between the two is heard by nobody. The flag hears it.
fn cancel_on(kind: SignalKind, token: &CancellationToken) -> io::Result<()> {
    let early = Arc::new(AtomicBool::new(false));
    let flag = signal_hook::flag::register(kind.as_raw_value(), Arc::clone(&early))?;
    let listening = signal(kind);
    signal_hook::low_level::unregister(flag);
    let mut stream = listening?;
    if early.load(Ordering::SeqCst) {
        token.cancel();
    }
    let token = token.clone();
    tokio::spawn(async move {
        if stream.recv().await.is_some() {
            token.cancel();
        }
    });
    Ok(())
}
