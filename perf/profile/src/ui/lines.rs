//! Lines of figures: one that changes on a terminal, or one from time to time.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_perf_load::timing::{PhasePlan, SECOND};
use dormouse_perf_load::worker::Live;
use dormouse_perf_net::now;

/// Shows them until it is told to stop and unparked, each so many seconds; `lively` where one replaces the other.
pub(super) fn run(live: &Live, phases: &[PhasePlan], every: f64, lively: bool, stop: &AtomicBool) {
    let mut next = now() + every_ns(every);
    while !stop.load(Ordering::Acquire) {
        std::thread::park_timeout(Duration::from_nanos(next.saturating_sub(now())));
        if now() < next {
            continue;
        }
        next = now() + every_ns(every);
        if let Some(line) = line(live, phases) {
            show(&line, lively);
        }
    }
    if lively {
        // The line is gone again.
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

fn every_ns(seconds: f64) -> u64 {
    crate::config::plan::nanoseconds(seconds)
}

fn show(line: &str, lively: bool) {
    // Nobody can be told when that fails.
    let _ = if lively { write!(std::io::stderr(), "\r\x1b[K{line}") } else { writeln!(std::io::stderr(), "{line}") };
    let _ = std::io::stderr().flush();
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn line(live: &Live, phases: &[PhasePlan]) -> Option<String> {
    let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let started = get(&live.started);
    if started == 0 {
        return None;
    }
    let phase = phases.get(usize::try_from(get(&live.phase)).ok()?)?;
    let seconds = now().saturating_sub(started) as f64 / SECOND as f64;
    let (sent, returned, failed, flying) = (get(&live.sent), get(&live.returned), get(&live.failed), get(&live.in_flight));
    let of = match (phase.stop.requests, phase.stop.duration) {
        (Some(requests), _) => format!(" of {requests}"),
        (None, Some(duration)) => format!(", {seconds:.0} of {:.0} s", duration as f64 / SECOND as f64),
        (None, None) => String::new(),
    };
    let rate = returned as f64 / seconds.max(1e-9);
    let left = match phase.stop.requests {
        Some(requests) if rate > 0.0 => format!(", about {:.0} s left", requests.saturating_sub(returned) as f64 / rate),
        _ => String::new(),
    };
    Some(format!("{}: {returned}{of} done, {failed} failed, {flying} in flight, {sent} sent, {rate:.1}/s{left}", phase.name))
}
