//! Ending as asked: one token that everything long-lived watches.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGINT or SIGTERM cancels. Must be called inside a tokio runtime.
///
/// When a handler cannot be installed (which needs a runtime without the signal driver) the token
/// is returned all the same and the default disposition of the signal stays.
#[must_use]
pub fn on_signals() -> CancellationToken {
    let token = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        match signal(kind) {
            Ok(mut stream) => {
                let token = token.clone();
                tokio::spawn(async move {
                    if stream.recv().await.is_some() {
                        token.cancel();
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "cannot listen for signals"),
        }
    }
    token
}
