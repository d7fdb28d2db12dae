//! What records cost: written, read, and summed up. Prints records per second and the seconds of a million.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::time::Instant;

use dormouse_perf_metrics::record::{Facts, Http, Row, Shape};
use dormouse_perf_metrics::slices;
use dormouse_perf_metrics::summary::{Summary, Window};
use dormouse_perf_metrics::{Columns, Stamps};
use dormouse_perf_report::lines::{self, Metadata};
use dormouse_perf_report::records;

const RECORDS: u64 = 1_000_000;
/// Written and read: enough to be steady, few enough to be kept.
const LINES: u64 = 100_000;
const START: u64 = 1_795_253_705_000_000_000;
const SHAPE: Shape = Shape { streaming: true, tokens: true, server_counts: false };

/// A stream of sixteen tokens; numbers differ from one to the next.
fn row(number: u64) -> Row {
    let jitter = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
    let content: Vec<u64> = (0..16).map(|i| 20_000_000 + jitter + i * (5_000_000 + (jitter >> (i % 8)))).collect();
    let http = Http {
        sending: 40_000 + jitter,
        waiting: 2_000_000,
        receiving: content[15],
        sent: (900, 1),
        received: (4_000, 17),
        reused: true,
        ..Http::default()
    };
    let mut facts = Facts {
        content: &content,
        first_output: Some(content[0]),
        input_tokens: Some(50),
        output_tokens: Some(16),
        requested_tokens: Some(16),
        http: Some(http),
        ..Facts::default()
    };
    facts.usage[0] = Some(60.0);
    let start_ns = START + number * 20_000;
    Row {
        credit_ns: start_ns - 9_000,
        start_ns,
        end_ns: start_ns + content[15] + 100_000,
        values: facts.values(SHAPE),
        gaps: facts.gaps(SHAPE),
        ..Row::default()
    }
}

fn metadata(number: u64, row: &Row) -> Metadata<'static> {
    Metadata {
        session_num: number,
        x_request_id: "d2a1a5a2-7d0b-4a63-9a36-6b3f54f0a4b1",
        x_correlation_id: "056fea59-28c0-4c68-b8fa-d7aced70adb2",
        conversation_id: "session_000003",
        turn_index: 0,
        credit_issued_ns: row.credit_ns,
        request_start_ns: row.start_ns,
        request_ack_ns: Some(row.start_ns + 1),
        request_end_ns: row.end_ns,
        worker_id: "worker_202bcef8",
        record_processor_id: "record_processor_178ac348",
        benchmark_phase: "profiling",
        phase_index: 0,
        profiling_index: Some(0),
        phase_name: "profiling",
        phase_kind: "profiling",
        was_cancelled: false,
        cancellation_time_ns: None,
        context_overflow_skip: false,
        agent_depth: 0,
        root_correlation_id: "056fea59-28c0-4c68-b8fa-d7aced70adb2",
        reconnected: false,
        incomplete_stream: false,
    }
}

/// What has passed: on the wall, and on processors, where the system says it. On a machine that others use too, the second is
/// what it costs.
struct Begun(Instant, Option<u64>);

/// Hundredths of a second that all threads together ran.
fn processors() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

impl Begun {
    fn now() -> Self {
        Self(Instant::now(), processors())
    }

    #[allow(clippy::cast_precision_loss)]
    fn say(&self, what: &str, records: u64) {
        let seconds = self.0.elapsed().as_secs_f64();
        let million = RECORDS as f64 / records as f64;
        print!("{what}: {:.0} records/s, {:.2} s for a million", records as f64 / seconds, seconds * million);
        match processors().zip(self.1) {
            Some((now, then)) => println!(", {:.2} s of a processor", (now - then) as f64 * 1e-2 * million),
            None => println!(),
        }
    }
}

fn main() {
    let some: Vec<Row> = (0..LINES).map(row).collect();
    let mut text = Vec::new();
    for (number, row) in (0..).zip(&some) {
        lines::write(&mut text, &metadata(number, row), row, lines::Ending::default()).unwrap();
    }
    // Into a buffer that is used again, as where a file is written.
    let (mut buffer, mut bytes) = (Vec::new(), 0);
    let begun = Begun::now();
    for (number, row) in (0..).zip(&some) {
        lines::write(&mut buffer, &metadata(number, row), row, lines::Ending::default()).unwrap();
        if buffer.len() > 1 << 16 {
            bytes += buffer.len();
            buffer.clear();
        }
    }
    begun.say("lines written", LINES);
    assert_eq!(bytes + buffer.len(), text.len());
    println!("  {} bytes each", text.len() as u64 / LINES);
    let text = String::from_utf8(text).unwrap();
    let begun = Begun::now();
    let read: usize = text.lines().map(|line| records::read(line).unwrap().row.gaps.len()).sum();
    assert_eq!(read as u64, LINES * 15);
    begun.say("lines read", LINES);
    drop(text);

    let begun = Begun::now();
    let rows: Vec<Row> = (0..RECORDS).map(row).collect();
    begun.say("facts to values", RECORDS);
    let window = Window { start_ns: START, end_ns: rows[rows.len() - 1].end_ns };
    let begun = Begun::now();
    let columns: Columns = rows.iter().collect();
    begun.say("values to columns", RECORDS);
    println!("  {} bytes each", columns.bytes() / columns.len());
    drop(rows);
    let begun = Begun::now();
    let few = Summary::of_columns(&columns, None, &[], Stamps::Whole);
    begun.say("columns to a summary without curves", RECORDS);
    let begun = Begun::now();
    let summary = Summary::of_columns(&columns, Some(window), &[], Stamps::Whole);
    begun.say("columns to a summary", RECORDS);
    assert!(summary.iter().count() > 60 && few.iter().count() > 40);
    let begun = Begun::now();
    let slices = slices::of_columns(&columns, 1_000_000_000, &[], Stamps::Whole);
    begun.say("columns to slices", RECORDS);
    assert!(slices.len() > 15);
}
