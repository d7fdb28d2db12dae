//! Sleep and wake as procedures: act, then look until it is so.
//!
//! Room on the accelerator is the caller's to check before a wake: it holds the node's ledger. A wake that fails after it
//! was sent is followed by one sleep, so that the engine is in a defined state, and by the error; what comes after that (a
//! restart) is the caller's, too.

use std::time::Duration;

use dormouse_runtime::http::Cause;
use tokio::time::{Instant, sleep, timeout_at};

use crate::admin::{SleepMode, WakeTag};
use crate::driver::{Driver, Timeouts};
use crate::error::EngineError;

/// First and longest pause between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(250);

/// Puts an engine to sleep and confirms it. Asleep already: done.
///
/// # Errors
/// The call's own failure, or [`EngineError::NotReached`] when the engine stays awake.
pub async fn put_to_sleep(driver: &dyn Driver, level: u8, mode: Option<SleepMode>, timeouts: &Timeouts) -> Result<(), EngineError> {
    if driver.is_sleeping().await? {
        return Ok(());
    }
    let deadline = Instant::now() + timeouts.sleep;
    match driver.sleep(level, mode).await {
        Ok(()) => {}
        // It may be on its way: look.
        Err(e) if e.is_unknown() => tracing::warn!(error = %e, "sleep was not answered"),
        Err(e) => return Err(e),
    }
    confirm(driver, true, deadline, timeouts.sleep).await
}

/// Wakes an engine that slept at `level` and confirms it. Awake already: done.
///
/// # Errors
/// The call's own failure, or [`EngineError::NotReached`] when the engine stays asleep; it was then told to sleep again.
pub async fn wake_up(driver: &dyn Driver, level: u8, timeouts: &Timeouts) -> Result<(), EngineError> {
    if !driver.is_sleeping().await? {
        return Ok(());
    }
    let deadline = Instant::now() + timeouts.wake;
    let result = match wake_calls(driver, level).await {
        Err(e) if e.is_unknown() => {
            tracing::warn!(error = %e, "wake was not answered");
            confirm(driver, false, deadline, timeouts.wake).await
        }
        Ok(()) => confirm(driver, false, deadline, timeouts.wake).await,
        Err(e) => Err(e),
    };
    let Err(failed) = result else {
        return Ok(());
    };
    if !never_done(&failed)
        && let Err(e) = driver.sleep(level, None).await
    {
        tracing::warn!(error = %e, "sleep after a failed wake failed");
    }
    Err(failed)
}

/// From level 2 the contents are gone: weights, their contents, cache, in this order, and nothing that the old contents gave.
async fn wake_calls(driver: &dyn Driver, level: u8) -> Result<(), EngineError> {
    if level < 2 {
        return driver.wake(&[]).await;
    }
    driver.wake(&[WakeTag::Weights]).await?;
    driver.restore_weights().await?;
    driver.wake(&[WakeTag::KvCache]).await?;
    match driver.release_cache().await {
        // Releases that lack it drop it at sleep.
        Err(EngineError::Unsupported { .. }) => Ok(()),
        result => result,
    }
}

/// Whether the engine cannot have done it, and will not.
fn never_done(error: &EngineError) -> bool {
    match error {
        EngineError::Call(failure) => matches!(failure.cause, Cause::Unreachable(_)),
        EngineError::Unsupported { .. } => true,
        EngineError::NotReached { .. } => false,
    }
}

/// Looks until the engine is (or is not) asleep. A look that fails is one that told nothing.
async fn confirm(driver: &dyn Driver, asleep: bool, deadline: Instant, limit: Duration) -> Result<(), EngineError> {
    let mut pause = FIRST_LOOK;
    loop {
        match timeout_at(deadline, driver.is_sleeping()).await {
            Ok(Ok(now)) if now == asleep => return Ok(()),
            Ok(Err(e)) if never_done(&e) => return Err(e),
            _ => {}
        }
        if Instant::now() + pause >= deadline {
            let state = if asleep { "is awake" } else { "sleeps" };
            return Err(EngineError::NotReached { state, after: limit });
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}
