//! Microseconds of `CLOCK_MONOTONIC`: one time line for all processes of a machine. And [`BootClock`], which runs on while
//! the machine sleeps.
//!
//! Programs stamp what they did with [`stamp`]; whoever measures them from outside (the demo, the
//! benchmarks) reads the lines from their logs and subtracts stamps of different processes.

use std::fmt::{Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

/// What starts a stamp line in a log.
pub const STAMP_PREFIX: &str = "dormouse-stamp ";

/// Microseconds since boot, the same for every process of this machine.
#[must_use]
pub fn now_us() -> u64 {
    let t = rustix_time();
    u64::try_from(t.0).unwrap_or(0) * 1_000_000 + u64::try_from(t.1).unwrap_or(0) / 1_000
}

fn rustix_time() -> (i64, i64) {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (t.tv_sec, t.tv_nsec)
}

/// A clock that never stands still and never jumps: it counts the time in which the process was stopped and that in which the
/// machine slept. What was promised to others until some time is measured with it.
#[derive(Clone)]
pub struct BootClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl BootClock {
    /// The machine's: time since boot.
    #[must_use]
    pub fn system() -> Self {
        // Elsewhere than on Linux `CLOCK_MONOTONIC` is the one that counts sleep.
        #[cfg(target_os = "linux")]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
        Self::new(|| {
            let t = rustix::time::clock_gettime(CLOCK);
            Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
        })
    }

    /// One of a test's own.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Time since a start that is the same for all of this machine.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl Debug for BootClock {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "BootClock({:?})", self.now())
    }
}

/// Writes one stamp line to standard error: `dormouse-stamp {"event":…,"monotonic_us":…}` and the
/// further members of `detail`, which must be an object.
pub fn stamp(event: &str, detail: &serde_json::Value) {
    let mut line = serde_json::json!({"event": event, "monotonic_us": now_us()});
    if let (Some(line), Some(detail)) = (line.as_object_mut(), detail.as_object()) {
        line.extend(detail.clone());
    }
    crate::output::error_line(&format!("{STAMP_PREFIX}{line}"));
}

/// One stamp read back from a log line, if the line holds one (anything may precede it).
#[must_use]
pub fn parse(line: &str) -> Option<Stamp> {
    let at = line.find(STAMP_PREFIX)?;
    serde_json::from_str(&line[at + STAMP_PREFIX.len()..]).ok()
}

/// A stamp: what happened, when on the machine's monotonic clock, and what the program said of it.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Stamp {
    /// The name of the event, e.g. `wake_end`.
    pub event: String,
    /// Microseconds of `CLOCK_MONOTONIC`.
    pub monotonic_us: u64,
    /// Further members of the line.
    #[serde(flatten)]
    pub detail: serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_behind_other_text() {
        let line = format!("2026-01-01T00:00:00Z stderr F {STAMP_PREFIX}{{\"event\":\"x\",\"monotonic_us\":7,\"k\":1}}");
        let s = parse(&line).unwrap();
        assert_eq!((s.event.as_str(), s.monotonic_us), ("x", 7));
        assert_eq!(s.detail["k"], 1);
        assert!(parse("nothing").is_none());
    }
}
