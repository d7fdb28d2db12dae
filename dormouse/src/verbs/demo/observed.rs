//! What an engine of the host did. PURE.
//!
//! A real one leaves no stamps of ours. The dual-pods controller logs each call with its start and how long it took, so that
//! a wake is the call that asked for it, and a start ends with the first call that the engine answered.

use dormouse_runtime::monotonic::Stamp;
use jiff::{SignedDuration, Timestamp};

use super::measure::Offset;

/// When an engine began to start.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<'a> {
    /// With the call of its launcher whose URL ends so.
    Call(&'a str),
    /// With its container.
    Container(Timestamp),
}

/// The stamps that the engine at `base` would have left, from the controller's log.
pub(super) fn stamps(offset: Offset, log: &str, base: &str, begin: Begin<'_>) -> Vec<Stamp> {
    let calls: Vec<Call<'_>> = log.lines().filter_map(Call::read).collect();
    let of_engine = |c: &&Call<'_>| c.url.strip_prefix(base).is_some_and(|path| path.starts_with('/'));
    let begun = match begin {
        Begin::Container(at) => Some(at),
        Begin::Call(end) => calls.iter().rev().find(|c| c.method == "PUT" && c.url.ends_with(end)).map(|c| c.begun),
    };
    let mut stamps = Vec::new();
    let mut push = |event: &str, at: Timestamp| stamps.push(offset.stamp(event, at));
    if let Some(begun) = begun {
        push("start_begin", begun);
        // Another engine may have listened there before.
        if let Some(answered) = calls.iter().filter(of_engine).find(|c| c.begun >= begun) {
            push("start_end", answered.ended);
        }
    }
    for call in calls.iter().filter(of_engine).filter(|c| c.url.ends_with("/wake_up")) {
        push("wake_begin", call.begun);
        push("wake_end", call.ended);
    }
    stamps
}

/// A call that was answered well.
#[derive(Debug)]
struct Call<'a> {
    method: &'a str,
    url: &'a str,
    begun: Timestamp,
    ended: Timestamp,
}

impl<'a> Call<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let fields = line.split_once("\"HTTP call done\"")?.1;
        let field = |name: &str| fields.split_once(&format!(" {name}="))?.1.split(' ').next().map(|v| v.trim_matches('"'));
        let code: u16 = field("statusCode")?.parse().ok()?;
        if !(200..300).contains(&code) {
            return None;
        }
        let begun: Timestamp = field("httpCallStartTime")?.parse().ok()?;
        let took = SignedDuration::try_from_secs_f64(field("latencySecs")?.parse().ok()?).ok()?;
        Some(Self { method: field("method")?, url: field("url")?, begun, ended: begun.checked_add(took).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(method: &str, url: &str, second: u32, latency: &str, code: u16) -> String {
        format!(
            "I1201 06:00:21.389170   19981 calls.rs:139] \"HTTP call done\" purpose=\"x\" method=\"{method}\" url=\"{url}\" \
             httpCallStartTime=\"2026-12-01T06:00:{second:02}Z\" latencySecs={latency} statusCode={code}\n"
        )
    }

    #[test]
    fn a_real_engines_work_is_what_the_controller_asked_of_it() {
        let zero: Timestamp = "2026-12-01T06:00:00Z".parse().unwrap();
        let offset = Offset::new(zero, 0);
        let log = [
            line("PUT", "http://127.0.0.5:8001/v2/vllm/instances/i", 1, "0.25", 201),
            line("GET", "http://127.0.0.5:8005/is_sleeping", 2, "0.1", 0),
            "something else\n".to_owned(),
            line("GET", "http://127.0.0.5:80/is_sleeping", 3, "0.5", 200),
            line("GET", "http://127.0.0.5:8005/is_sleeping", 4, "0.5", 200),
            line("POST", "http://127.0.0.5:8005/wake_up", 7, "0.125", 200),
        ]
        .concat();
        let seen = |begin| -> Vec<(String, u64)> {
            let stamps = stamps(offset, &log, "http://127.0.0.5:8005", begin);
            stamps.into_iter().map(|s| (s.event, s.monotonic_us / 1000)).collect()
        };
        let rest = [("start_end", 4500), ("wake_begin", 7000), ("wake_end", 7125)];
        let expected =
            |begin: u64| [&[("start_begin", begin)], &rest[..]].concat().into_iter().map(|(e, t)| (e.to_owned(), t)).collect::<Vec<_>>();
        assert_eq!(seen(Begin::Call("/instances/i")), expected(1000));
        let container = Begin::Container(zero + SignedDuration::from_secs(2));
        assert_eq!(seen(container), expected(2000));
    }
}
