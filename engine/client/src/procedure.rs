//! Sleep and wake as procedures: act, then look.
//!
//! An answer of 200 proves nothing, so both look afterwards; no answer proves nothing either, so a call that its transport has
//! given up is looked at before it counts as failed. Neither tries anything twice, and neither has a bound of its own: whoever
//! calls has retries and the time for the whole, and has to look when that is up. A wake that fails when it may have begun is
//! followed by one sleep, so that the engine is in a defined state, and by the error. Room on the accelerator is the caller's to
//! check before a wake: it holds the node's ledger.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::WakeTag;
use crate::driver::Driver;
use crate::error::EngineError;

/// Shortest and longest pause between two looks at an engine that was told to wake. Between them it is a part of the time it has
/// taken, so that an end is seen at most that much late.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// Puts an engine to sleep; whether it then says that it sleeps.
///
/// # Errors
/// The call's own failure, or that of the look.
pub async fn put_to_sleep(driver: &dyn Driver, level: u8) -> Result<bool, EngineError> {
    let Err(failed) = driver.sleep(level, None).await else { return driver.is_sleeping().await };
    if failed.is_unknown() && driver.is_sleeping().await == Ok(true) { Ok(true) } else { Err(failed) }
}

/// Wakes an engine that slept at `level` and looks until it says that it is awake.
///
/// # Errors
/// The call's own failure, after which it was told to sleep again; or that of a look.
pub async fn wake_up(driver: &dyn Driver, level: u8) -> Result<(), EngineError> {
    let mut begun = false;
    if let Err(failed) = wake_calls(driver, level, &mut begun).await {
        if (begun || !failed.is_undone())
            && let Err(error) = driver.sleep(level, None).await
        {
            tracing::warn!(%error, "sleep after a failed wake failed");
        }
        return Err(failed);
    }
    let told = Instant::now();
    while driver.is_sleeping().await? {
        sleep((told.elapsed() / 20).clamp(LOOKS.0, LOOKS.1)).await;
    }
    Ok(())
}

/// From level 2 the contents are gone: weights, their contents, cache, in this order, and nothing that the old contents gave.
/// `begun`: some of it is done.
async fn wake_calls(driver: &dyn Driver, level: u8, begun: &mut bool) -> Result<(), EngineError> {
    if level < 2 {
        let Err(failed) = driver.wake(&[]).await else { return Ok(()) };
        return if failed.is_unknown() && driver.is_sleeping().await == Ok(false) { Ok(()) } else { Err(failed) };
    }
    driver.wake(&[WakeTag::Weights]).await?;
    *begun = true;
    // Without an answer to one of these an engine that says it is awake may still answer with the old contents.
    driver.restore_weights().await?;
    driver.wake(&[WakeTag::KvCache]).await?;
    match driver.release_cache().await {
        // Releases that lack it drop it at sleep.
        Err(EngineError::Unsupported { .. }) => Ok(()),
        result => result,
    }
}
