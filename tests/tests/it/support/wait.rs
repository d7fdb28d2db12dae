//! Waiting for what someone else does: pauses grow from milliseconds, and what did not come is named.

use std::time::{Duration, Instant};

/// Waits until `look` finds something.
///
/// # Panics
/// When it does not within `limit`; `what` says what was waited for.
#[track_caller]
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "after {} s still not: {what}", limit.as_secs_f32());
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(250));
    }
}

/// Makes sure that `look` stays true for a while.
///
/// # Panics
/// When it does not; `what` says what should have stayed.
#[track_caller]
pub(crate) fn stays(what: &str, span: Duration, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        assert!(look(), "after {} s no longer: {what}", begun.elapsed().as_secs_f32());
        std::thread::sleep(Duration::from_millis(100));
    }
}
