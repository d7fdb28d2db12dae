//! Whether this machine can send the load, and tell times of it.

use std::time::{Duration, Instant};

use dormouse_perf_load::timing::Load;
use dormouse_perf_net::{EventLoop, Options, Turn, now, raise_file_limit, sharpen_timers};
use url::Host;

use super::Report;
use super::subject::Subject;

/// Sleeps that are timed.
const SLEEPS: u32 = 200;
/// How long each is.
const SLEEP: u64 = 1_000_000;

/// Looks at it; without a subject for no load in particular.
pub(super) fn look(subject: Option<&Subject>, report: &mut Report) {
    let most = subject.map_or(0, places);
    files(most, report);
    ports(subject, most, report);
    clock(report);
    timers(report);
    cores(subject, report);
}

/// Connections at a time.
fn places(subject: &Subject) -> u64 {
    let of = |phase: &dormouse_perf_load::timing::PhasePlan| match (&phase.load, phase.concurrency) {
        (_, Some(places)) => u64::from(places),
        (Load::Users { users, .. }, None) => u64::from(*users),
        _ => 0,
    };
    subject.phases.iter().map(of).max().unwrap_or(0)
}

fn wanted(most: u64) -> String {
    if most == 0 { "no concurrency is set".to_owned() } else { format!("{most} at a time are asked for") }
}

fn files(most: u64, report: &mut Report) {
    const NAME: &str = "open files";
    let Some(files) = raise_file_limit() else { return report.skipped(NAME, "the system does not say") };
    let seen = format!("{files} are allowed; {}", wanted(most));
    if most + 64 > files {
        report.usage = true;
        report.failed(NAME, seen, "raise ulimit -n");
    } else {
        report.ok(NAME, seen);
    }
}

fn ports(subject: Option<&Subject>, most: u64, report: &mut Report) {
    const NAME: &str = "ports";
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = range.split_ascii_whitespace().filter_map(|bound| bound.parse::<u64>().ok());
    let (Some(low), Some(high)) = (bounds.next(), bounds.next()) else { return report.skipped(NAME, "the system does not say") };
    let ports = high.saturating_sub(low) + 1;
    let origins = subject.map_or(1, |subject| {
        let origin = |url: &url::Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        subject.urls.iter().map(origin).collect::<std::collections::HashSet<_>>().len().max(1) as u64
    });
    let seen = format!("{ports} for each server; {}", wanted(most));
    let once = subject.is_some_and(|subject| crate::config::name(&subject.config.benchmark.endpoint.connection_reuse) == "never");
    let sent: u64 = subject.map_or(0, |subject| subject.phases.iter().filter_map(|phase| phase.stop.requests).sum());
    if most > ports * origins || (once && sent > ports * origins) {
        report.usage = true;
        report.failed(NAME, seen, "widen net.ipv4.ip_local_port_range, or pass --connection-reuse-strategy pooled");
    } else if once {
        report.warning(NAME, seen, "a connection for each request: a port rests for a minute behind it, and connecting is in every time");
    } else {
        report.ok(NAME, seen);
    }
}

fn clock(report: &mut Report) {
    const READINGS: u32 = 20_000;
    let begin = Instant::now();
    for _ in 0..READINGS {
        std::hint::black_box(now());
    }
    let each = begin.elapsed() / READINGS;
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource").unwrap_or_default();
    let source = source.trim();
    let seen = format!("{}{} ns for a reading", if source.is_empty() { String::new() } else { format!("{source}, ") }, each.as_nanos());
    if each > Duration::from_micros(1) {
        report.warning("clock", seen, "a slow clock takes time of every request: choose another clock source (tsc, kvm-clock)");
    } else {
        report.ok("clock", seen);
    }
}

/// How late a thread that waits as the load does is woken.
fn timers(report: &mut Report) {
    const NAME: &str = "timers";
    let measured = std::thread::Builder::new().name("timers".to_owned()).spawn(sleeps).ok().and_then(|thread| thread.join().ok()).flatten();
    let Some(mut late) = measured.filter(|late| !late.is_empty()) else { return report.skipped(NAME, "they cannot be set") };
    late.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let us = |ns: u64| ns as f64 * 1e-3;
    let at = |percent: usize| late.get((late.len() * percent / 100).min(late.len() - 1)).copied().unwrap_or(0);
    let seen = format!("a sleep of 1 ms ends {:.0} us late (p50), {:.0} us (p99)", us(at(50)), us(at(99)));
    if at(99) > 1_000_000 {
        report.warning(
            NAME,
            seen,
            "the machine is busy, or a guest that gets no time: sends will be as late; --pace spin takes a core for them",
        );
    } else {
        report.ok(NAME, seen);
    }
}

fn sleeps() -> Option<Vec<u64>> {
    sharpen_timers();
    let mut waits = EventLoop::new(Options::default()).ok()?;
    let mut turn = Turn::default();
    let mut late = Vec::new();
    for _ in 0..SLEEPS {
        let at = now() + SLEEP;
        waits.set(at, 0);
        loop {
            waits.wait(&mut turn).ok()?;
            if !turn.due.is_empty() {
                break;
            }
        }
        late.push(turn.now.saturating_sub(at));
    }
    Some(late)
}

fn cores(subject: Option<&Subject>, report: &mut Report) {
    const NAME: &str = "cores";
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let load = std::fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let here = subject.is_some_and(|subject| subject.urls.iter().any(is_here));
    let mut seen = format!("{cores}");
    seen.push_str(&load.map(|load| format!(", load {load}")).unwrap_or_default());
    seen.push_str(if here { "; the server is on this machine too" } else { "" });
    #[allow(clippy::cast_precision_loss, reason = "a few")]
    let busy = load.is_some_and(|load| load > cores as f64);
    if busy {
        report.warning(NAME, seen, "others work on this machine: what is measured now may be theirs");
    } else if cores < 2 || (here && cores < 3) {
        report.warning(NAME, seen, "load and server take time from each other: under much load figures are of both");
    } else {
        report.ok(NAME, seen);
    }
}

fn is_here(url: &url::Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
