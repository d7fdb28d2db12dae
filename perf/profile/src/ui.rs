//! What is seen of a run while it runs: a line that changes on a terminal, lines from time to time elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dormouse_perf_load::timing::{PhasePlan, SECOND};
use dormouse_perf_load::worker::{Control, Live};
use dormouse_perf_net::now;

use crate::system_controller::Prepared;

/// What is shown until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows from now on what the configuration wants to be shown.
    pub(crate) fn start(prepared: &Prepared, control: &Control) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let terminal = std::io::stderr().is_terminal();
        let wanted = prepared.config.benchmark.runtime.ui.as_deref().unwrap_or(if terminal { "simple" } else { "none" });
        let lively = wanted != "none" && terminal;
        let every = prepared.config.dormouse.stats_interval.unwrap_or(if lively { 0.5 } else { 30.0 });
        if every <= 0.0 {
            return Self { stop, thread: None };
        }
        let (live, phases, stopped) = (Arc::clone(&control.live), prepared.phases.clone(), Arc::clone(&stop));
        let work = move || {
            let mut next = now() + every_ns(every);
            while !stopped.load(Ordering::Acquire) {
                std::thread::park_timeout(Duration::from_millis(50));
                if now() < next {
                    continue;
                }
                next = now() + every_ns(every);
                if let Some(line) = line(&live, &phases) {
                    show(&line, lively);
                }
            }
            if lively {
                // The line is gone again.
                let _ = write!(std::io::stderr(), "\r\x1b[K");
            }
        };
        Self { thread: std::thread::Builder::new().name("ui".to_owned()).spawn(work).ok(), stop }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
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
