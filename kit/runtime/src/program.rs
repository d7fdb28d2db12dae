//! Running a program of one purpose, on one thread: programs that mostly wait need no more, and stay small.

use std::future::Future;
use std::io;

use tokio_util::sync::CancellationToken;

use crate::{shutdown, tls};

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
    runtime.block_on(work)
}
