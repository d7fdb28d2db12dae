//! Running a program of one purpose, on one thread: programs that mostly wait need no more, and stay small.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{shutdown, tls};

/// Time that threads have to end when the work has ended.
const THREADS: Duration = Duration::from_millis(500);

/// Runs a program until it ends; the token is cancelled when a signal tells it to.
///
/// # Errors
/// The program's, or that no runtime can be started.
pub fn run<F, T, E>(program: impl FnOnce(CancellationToken) -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: From<io::Error>,
{
    block_on(async { program(shutdown::on_signals()).await })
}

/// Runs something short that a signal may end at once.
///
/// # Errors
/// The work's, or that no runtime can be started.
pub fn block_on<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<io::Error>,
{
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| io::Error::new(e.kind(), format!("cannot start the runtime: {e}")))?;
    let result = runtime.block_on(work);
    // A thread that looks a name up ends when the resolver does, and nobody can tell it to: it is not waited for.
    runtime.shutdown_timeout(THREADS);
    result
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn threads_that_do_not_end_are_left() {
        let begun = Instant::now();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let result = block_on(async {
            let thread = tokio::task::spawn_blocking(move || ended.recv());
            tokio::time::timeout(Duration::from_millis(1), thread).await.map_err(io::Error::from)
        });
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(20));
        drop(end);
    }
}
