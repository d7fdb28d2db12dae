//! The server's own truth: what came, when it left, how many at once.
//!
//! Levels and counters are shared by all threads; each thread keeps the records of its own requests behind a lock that nobody else takes
//! while the server is measured. What is averaged over time needs no clock of its own: every step adds or takes its time.

mod summary;

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dormouse_perf_net::{Clock, now};
use serde_json::{Value, json};

use crate::answer::push_number;
use crate::fault::Fault;

/// How many there are, were at most, and were on average.
#[derive(Debug, Default)]
pub(crate) struct Level {
    now: AtomicI64,
    max: AtomicI64,
    /// The sum of `leaving - arriving`, so far only with the arrivals of those who have not left.
    area: AtomicI64,
}

impl Level {
    pub(crate) fn up(&self, at: u64) {
        self.area.fetch_sub(at.cast_signed(), Ordering::Relaxed);
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.max.fetch_max(now, Ordering::Relaxed);
    }

    pub(crate) fn down(&self, at: u64) {
        self.area.fetch_add(at.cast_signed(), Ordering::Relaxed);
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    #[allow(clippy::cast_precision_loss, reason = "an average")]
    fn average(&self, since: u64, at: u64) -> f64 {
        let area = self.area.load(Ordering::Relaxed).wrapping_add(self.now().wrapping_mul(at.cast_signed()));
        if at > since { area as f64 / (at - since) as f64 } else { 0.0 }
    }

    /// From now on only what is here counts.
    fn reset(&self, at: u64) {
        let now = self.now();
        self.max.store(now, Ordering::Relaxed);
        self.area.store(now.wrapping_mul(at.cast_signed()).wrapping_neg(), Ordering::Relaxed);
    }

    fn json(&self, since: u64, at: u64) -> Value {
        json!({"now": self.now(), "max": self.max.load(Ordering::Relaxed), "average": self.average(since, at)})
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All that was to be sent was.
    Answered,
    /// The client closed the connection before.
    Disconnected,
}

/// What is kept of one request. Times are nanoseconds since its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) number: u64,
    /// Monotonic, when the read of its last byte returned.
    pub(crate) arrival: u64,
    pub(crate) first_content: Option<u64>,
    pub(crate) last_content: Option<u64>,
    /// The latest of its writes, by its own plan; how many there were, and how late all together.
    pub(crate) lateness: u64,
    pub(crate) writes: u32,
    pub(crate) lateness_sum: u64,
    pub(crate) tokens: u32,
    pub(crate) status: u16,
    pub(crate) fault: Option<Fault>,
    pub(crate) outcome: Outcome,
}

/// Upper bounds of the histogram of times to the first content, in milliseconds.
const BUCKETS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/// The requests of one thread.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: VecDeque<Record>,
    answered: u64,
    disconnected: u64,
    errors: u64,
    tokens: u64,
    writes: u64,
    lateness_sum: u64,
    buckets: [u64; BUCKETS.len() + 1],
    first_content_sum: u64,
}

/// What all threads add to.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) clock: Clock,
    since: AtomicU64,
    remembered: usize,
    /// Arrived and not yet answered; in service, without those that wait for a place.
    pub(crate) in_flight: Level,
    pub(crate) in_service: Level,
    pub(crate) connections: Level,
    pub(crate) accepted: AtomicU64,
    pub(crate) arrived: AtomicU64,
    /// Requests that were no request to an endpoint, or a wrong one.
    pub(crate) refused: AtomicU64,
    logs: Vec<Mutex<Log>>,
}

impl Stats {
    pub(crate) fn new(threads: usize, remembered: usize) -> Self {
        let logs = (0..threads).map(|_| Mutex::default()).collect();
        Self {
            clock: Clock::start(),
            since: AtomicU64::new(now()),
            remembered,
            in_flight: Level::default(),
            in_service: Level::default(),
            connections: Level::default(),
            accepted: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            logs,
        }
    }

    fn log(&self, thread: usize) -> Option<MutexGuard<'_, Log>> {
        self.logs.get(thread).map(|log| log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn record(&self, thread: usize, record: Record) {
        let Some(mut log) = self.log(thread) else { return };
        match record.outcome {
            Outcome::Answered => log.answered += 1,
            Outcome::Disconnected => log.disconnected += 1,
        }
        log.errors += u64::from(record.status >= 400);
        log.tokens += u64::from(record.tokens);
        log.writes += u64::from(record.writes);
        log.lateness_sum += record.lateness_sum;
        if let Some(first) = record.first_content {
            let bucket = BUCKETS.iter().position(|ms| first <= ms * 1_000_000).unwrap_or(BUCKETS.len());
            log.buckets[bucket] += 1;
            log.first_content_sum += first;
        }
        if self.remembered > 0 {
            if log.records.len() >= self.remembered {
                log.records.pop_front();
            }
            log.records.push_back(record);
        }
    }

    /// Forgets everything but what is going on.
    pub(crate) fn reset(&self) {
        let at = now();
        for thread in 0..self.logs.len() {
            self.log(thread).into_iter().for_each(|mut log| *log = Log::default());
        }
        for level in [&self.in_flight, &self.in_service, &self.connections] {
            level.reset(at);
        }
        for counter in [&self.accepted, &self.arrived, &self.refused] {
            counter.store(0, Ordering::Relaxed);
        }
        self.since.store(at, Ordering::Relaxed);
    }

    fn sum(&self, of: impl Fn(&Log) -> u64) -> u64 {
        (0..self.logs.len()).filter_map(|thread| self.log(thread)).map(|log| of(&log)).sum()
    }

    /// The last requests of all threads, by arrival.
    fn records(&self) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        for thread in 0..self.logs.len() {
            all.extend(self.log(thread).iter().flat_map(|log| log.records.iter().copied()));
        }
        all.sort_unstable_by_key(|record| (record.arrival, record.number));
        all.drain(..all.len().saturating_sub(self.remembered));
        all
    }

    /// What `/stats` says: summaries, and the last `rows` requests one by one.
    pub(crate) fn json(&self, rows: usize) -> Vec<u8> {
        let at = now();
        let since = self.since.load(Ordering::Relaxed);
        let records = self.records();
        let of = |what: fn(&Record) -> Option<u64>| summary::of(records.iter().filter_map(what).collect());
        let mut faults = serde_json::Map::new();
        for fault in records.iter().filter_map(|record| record.fault) {
            let count = faults.entry(fault.to_string()).or_insert_with(|| 0.into());
            *count = (count.as_u64().unwrap_or(0) + 1).into();
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (writes, late) = (self.sum(|log| log.writes), self.sum(|log| log.lateness_sum));
        let stats = json!({
            "since_wall_ns": self.clock.wall(since),
            "since_monotonic_ns": since,
            "now_wall_ns": self.clock.wall(at),
            "now_monotonic_ns": at,
            "requests": {
                "arrived": load(&self.arrived),
                "answered": self.sum(|log| log.answered),
                "disconnected": self.sum(|log| log.disconnected),
                "errors": self.sum(|log| log.errors),
                "refused": load(&self.refused),
                "remembered": records.len(),
            },
            "tokens": self.sum(|log| log.tokens),
            "in_flight": self.in_flight.json(since, at),
            "in_service": self.in_service.json(since, at),
            "connections": {
                "accepted": load(&self.accepted),
                "open": self.connections.now(),
                "max": self.connections.max.load(Ordering::Relaxed),
            },
            "first_content_ns": of(|record| record.first_content),
            "last_content_ns": of(|record| record.last_content),
            // Of each request its latest write; of the writes all.
            "lateness_ns": of(|record| Some(record.lateness)),
            "writes": {"count": writes, "lateness_mean_ns": late.checked_div(writes)},
            "faults": faults,
        });
        let mut out = stats.to_string().into_bytes();
        if rows > 0 {
            out.pop();
            out.extend_from_slice(b",\"columns\":[\"number\",\"arrival_wall_ns\",\"arrival_monotonic_ns\",\"first_content_ns\",");
            out.extend_from_slice(b"\"last_content_ns\",\"lateness_ns\",\"tokens\",\"status\",\"fault\",\"disconnected\"],\"rows\":[");
            for (number, record) in records.iter().skip(records.len().saturating_sub(rows)).enumerate() {
                out.extend_from_slice(if number == 0 { b"\n" } else { b",\n" });
                self.push_row(record, &mut out);
            }
            out.extend_from_slice(b"\n]}");
        }
        out
    }

    fn push_row(&self, record: &Record, out: &mut Vec<u8>) {
        let values = [
            Some(record.number),
            Some(self.clock.wall(record.arrival)),
            Some(record.arrival),
            record.first_content,
            record.last_content,
            Some(record.lateness),
            Some(u64::from(record.tokens)),
            Some(u64::from(record.status)),
        ];
        out.push(b'[');
        for value in values {
            match value {
                Some(value) => push_number(value, out),
                None => out.extend_from_slice(b"null"),
            }
            out.push(b',');
        }
        let fault = record.fault.map_or_else(|| "null".to_owned(), |fault| format!("\"{fault}\""));
        out.extend_from_slice(fault.as_bytes());
        out.extend_from_slice(if record.outcome == Outcome::Disconnected { b",true]" } else { b",false]" });
    }

    /// Counters as Prometheus reads them.
    pub(crate) fn prometheus(&self) -> String {
        let mut text = String::new();
        let mut value = |name: &str, kind: &str, what: &str, value: u64| {
            let _ = writeln!(text, "# HELP dormouse_mock_{name} {what}\n# TYPE dormouse_mock_{name} {kind}\ndormouse_mock_{name} {value}");
        };
        let level = |level: &Level| u64::try_from(level.now()).unwrap_or(0);
        value("requests_total", "counter", "Requests that arrived.", self.arrived.load(Ordering::Relaxed));
        value("answers_total", "counter", "Requests whose answer has left.", self.sum(|log| log.answered));
        value("errors_total", "counter", "Answers with a status of 400 or above.", self.sum(|log| log.errors));
        value("disconnected_total", "counter", "Requests whose client left before its answer.", self.sum(|log| log.disconnected));
        value("generation_tokens_total", "counter", "Tokens of answers that have left.", self.sum(|log| log.tokens));
        value("connections_total", "counter", "Connections that were accepted.", self.accepted.load(Ordering::Relaxed));
        value("connections", "gauge", "Connections that are open.", level(&self.connections));
        value("requests_in_flight", "gauge", "Requests without their whole answer.", level(&self.in_flight));
        value("requests_in_service", "gauge", "Requests that wait for no place.", level(&self.in_service));
        let name = "dormouse_mock_time_to_first_content_seconds";
        let _ = writeln!(text, "# HELP {name} From the request to the first write with content.\n# TYPE {name} histogram");
        let mut below = 0;
        for (at, ms) in BUCKETS.iter().enumerate() {
            below += self.sum(|log| log.buckets[at]);
            let _ = writeln!(text, "{name}_bucket{{le=\"{}.{:03}\"}} {below}", ms / 1000, ms % 1000);
        }
        let all = self.sum(|log| log.buckets.iter().sum());
        let sum = self.sum(|log| log.first_content_sum);
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {all}");
        let _ = writeln!(text, "{name}_sum {}.{:09}\n{name}_count {all}", sum / 1_000_000_000, sum % 1_000_000_000);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_averaged_over_time() {
        let level = Level::default();
        level.up(100);
        level.up(200);
        level.down(300);
        // 1 for 100, 2 for 100, 1 for 100.
        assert!((level.average(100, 400) - 4.0 / 3.0).abs() < 1e-9);
        level.reset(400);
        assert_eq!((level.average(400, 500), level.max.load(Ordering::Relaxed)), (1.0, 1));
    }

    #[test]
    fn only_the_last_requests_are_remembered() {
        let stats = Stats::new(2, 3);
        for number in 0..10_u64 {
            let thread = usize::try_from(number % 2).unwrap();
            let record = Record {
                number,
                arrival: 1000 + number,
                first_content: Some(number),
                last_content: None,
                lateness: 0,
                writes: 2,
                lateness_sum: 6,
                tokens: 1,
                status: 200,
                fault: (number == 9).then_some(Fault::Crlf),
                outcome: Outcome::Answered,
            };
            stats.record(thread, record);
        }
        let said: Value = serde_json::from_slice(&stats.json(2)).unwrap();
        assert_eq!(said["requests"]["remembered"], 3);
        assert_eq!(said["requests"]["answered"], 10);
        assert_eq!(said["first_content_ns"]["count"], 3);
        assert_eq!(said["writes"], json!({"count": 20, "lateness_mean_ns": 3}));
        assert_eq!(said["rows"].as_array().map(Vec::len), Some(2));
        assert_eq!((&said["rows"][1][0], &said["rows"][1][4], &said["rows"][1][8]), (&json!(9), &Value::Null, &json!("crlf")));
        assert!(stats.prometheus().contains("seconds_bucket{le=\"0.001\"} 10\n"));
        stats.reset();
        let said: Value = serde_json::from_slice(&stats.json(0)).unwrap();
        assert_eq!((&said["requests"]["answered"], &said["rows"]), (&json!(0), &Value::Null));
    }
}
