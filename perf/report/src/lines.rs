//! A line for each request (perf contract 6.5), written. The same lines that [`crate::records`] reads.

use dormouse_perf_metrics::catalog::{Group, Metric};
use dormouse_perf_metrics::record::Row;
use dormouse_perf_metrics::unit::Unit;
use serde::Serialize;

use crate::records::Problem;

/// Which request it was, and when; the order of members is the peer's.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata<'a> {
    /// Number of its credit in its phase.
    pub session_num: u64,
    /// Its own.
    pub x_request_id: &'a str,
    /// Its session's.
    pub x_correlation_id: &'a str,
    /// Of the data set.
    pub conversation_id: &'a str,
    /// From 0.
    pub turn_index: u32,
    /// When it was allowed to leave, Unix nanoseconds, as all below.
    pub credit_issued_ns: u64,
    /// When it left.
    pub request_start_ns: u64,
    /// When the head of the answer was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_ack_ns: Option<u64>,
    /// When it was over.
    pub request_end_ns: u64,
    /// Who sent it.
    pub worker_id: &'a str,
    /// Who computed its metrics.
    pub record_processor_id: &'a str,
    /// Its phase's kind, under its older name.
    pub benchmark_phase: &'a str,
    /// Its phase's number, warm-up included.
    pub phase_index: u32,
    /// Its phase's number among those that are measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiling_index: Option<u32>,
    /// Its phase's name.
    pub phase_name: &'a str,
    /// `warmup` or `profiling`.
    pub phase_kind: &'a str,
    /// It was given up on purpose.
    pub was_cancelled: bool,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancellation_time_ns: Option<u64>,
    /// It was not sent, because the context was full.
    pub context_overflow_skip: bool,
    /// How deep below the first of its agents.
    pub agent_depth: u32,
    /// The session of that one.
    pub root_correlation_id: &'a str,
    /// It was sent again, on a fresh connection, before a byte had come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reconnected: bool,
}

/// Writes a line, its end included.
///
/// # Errors
/// None in practice: everything here can be JSON.
pub fn write(line: &mut Vec<u8>, metadata: &Metadata<'_>, row: &Row, error: Option<&Problem>, censored: bool) -> serde_json::Result<()> {
    line.extend_from_slice(b"{\"metadata\":");
    serde_json::to_writer(&mut *line, metadata)?;
    line.extend_from_slice(b",\"metrics\":{");
    let mut first = true;
    for (metric, base) in row.values.iter().filter(|(m, _)| m.entry().group != Group::Internal) {
        begin(line, &mut first, metric);
        number(line, metric.entry().unit, base)?;
        end(line, metric);
    }
    if !row.gaps.is_empty() {
        begin(line, &mut first, Metric::InterChunkLatency);
        line.push(b'[');
        for (at, gap) in row.gaps.iter().enumerate() {
            if at > 0 {
                line.push(b',');
            }
            number(line, Unit::Time, *gap)?;
        }
        line.push(b']');
        end(line, Metric::InterChunkLatency);
    }
    line.push(b'}');
    if let Some(error) = error {
        line.extend_from_slice(b",\"error\":");
        serde_json::to_writer(&mut *line, error)?;
    }
    if censored {
        line.extend_from_slice(b",\"censored\":true");
    }
    line.extend_from_slice(b"}\n");
    Ok(())
}

fn begin(line: &mut Vec<u8>, first: &mut bool, metric: Metric) {
    if !std::mem::take(first) {
        line.push(b',');
    }
    line.push(b'"');
    line.extend_from_slice(metric.tag().as_bytes());
    line.extend_from_slice(b"\":{\"value\":");
}

fn end(line: &mut Vec<u8>, metric: Metric) {
    line.extend_from_slice(b",\"unit\":\"");
    line.extend_from_slice(metric.entry().unit.shown().as_bytes());
    line.extend_from_slice(b"\"}");
}

/// What is counted is written without a point.
fn number(line: &mut Vec<u8>, unit: Unit, base: f64) -> serde_json::Result<()> {
    let shown = unit.show(base);
    let counted = matches!(unit, Unit::Tokens | Unit::Requests | Unit::Count | Unit::Ratio);
    if counted && shown.fract() == 0.0 && shown.abs() < 9e15 {
        #[allow(clippy::cast_possible_truncation, reason = "whole, and small enough")]
        return serde_json::to_writer(line, &(shown as i64));
    }
    serde_json::to_writer(line, &shown)
}

#[cfg(test)]
mod tests {
    use dormouse_perf_metrics::record::{Facts, Http, Shape, Values};
    use proptest::prelude::*;

    use super::*;
    use crate::records;

    const METADATA: Metadata<'static> = Metadata {
        session_num: 3,
        x_request_id: "r",
        x_correlation_id: "c",
        conversation_id: "session_000003",
        turn_index: 0,
        credit_issued_ns: 1_795_253_705_737_622_025,
        request_start_ns: 1_795_253_705_751_397_243,
        request_ack_ns: Some(1_795_253_705_757_139_716),
        request_end_ns: 1_795_253_705_813_814_282,
        worker_id: "worker_1",
        record_processor_id: "record_processor_1",
        benchmark_phase: "profiling",
        phase_index: 0,
        profiling_index: Some(0),
        phase_name: "profiling",
        phase_kind: "profiling",
        was_cancelled: false,
        cancellation_time_ns: None,
        context_overflow_skip: false,
        agent_depth: 0,
        root_correlation_id: "c",
        reconnected: false,
    };

    fn row(values: Values, gaps: Vec<f64>) -> Row {
        let (credit_ns, start_ns, end_ns) = (METADATA.credit_issued_ns, METADATA.request_start_ns, METADATA.request_end_ns);
        Row { credit_ns, start_ns, end_ns, values, gaps, ..Row::default() }
    }

    #[test]
    fn members_stand_in_the_peers_order() {
        let mut line = Vec::new();
        write(&mut line, &METADATA, &row(Values::default(), Vec::new()), None, false).unwrap();
        let recorded = include_str!("../../../tests/golden/perf/stream-concurrency/profile_export.jsonl").lines().next().unwrap();
        let names = |text: &str| {
            let json: crate::json::Json = serde_json::from_str(text).unwrap();
            json.get("metadata").unwrap().members().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let line = String::from_utf8(line).unwrap();
        assert_eq!(names(&line), names(recorded));
        assert!(line.ends_with("\"metrics\":{}}\n"), "{line}");
    }

    #[test]
    fn failures_and_what_was_cut_off_say_so() {
        let problem = Problem { code: Some(503), class: Some("Service Unavailable".to_owned()), message: "no".to_owned() };
        let mut line = Vec::new();
        let metadata = Metadata { reconnected: true, request_ack_ns: None, ..METADATA };
        write(&mut line, &metadata, &Row { failed: true, ..row(Values::default(), Vec::new()) }, Some(&problem), true).unwrap();
        let line = String::from_utf8(line).unwrap();
        let expected = "\"metrics\":{},\"error\":{\"code\":503,\"type\":\"Service Unavailable\",\"message\":\"no\"},\"censored\":true}\n";
        assert!(line.ends_with(expected) && line.contains("\"reconnected\":true") && !line.contains("ack"), "{line}");
        assert!(records::read(&line).unwrap().row.failed);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            ttft in 1_u64..60_000_000_000, gaps in proptest::collection::vec(0_u64..5_000_000_000, 0..40), isl in 0_u64..200_000,
            osl in 0_u64..50_000, asked in proptest::option::of(1_u64..50_000), first in proptest::option::of(0_u64..20), bytes in 0_u64..1 << 40,
        ) {
            let mut at = ttft;
            let content: Vec<u64> = std::iter::once(ttft).chain(gaps.iter().map(|gap| { at += gap; at })).collect();
            let http = Http { sending: ttft / 3, waiting: ttft / 2, received: (bytes, 3), reused: true, ..Http::default() };
            let facts = Facts {
                content: &content, first_output: Some(ttft), first_tokens: first, input_tokens: Some(isl), output_tokens: Some(osl),
                requested_tokens: asked, http: Some(http), ..Facts::default()
            };
            let shape = Shape { streaming: true, tokens: true, server_counts: false };
            let written = row(facts.values(shape), facts.gaps(shape));
            for (metric, base) in written.values.iter() {
                let unit = metric.entry().unit;
                // What is a quotient of whole nanoseconds is computed anew.
                prop_assert!(metric == Metric::InterTokenLatency || unit.read(unit.show(base)).to_bits() == base.to_bits());
            }
            let mut line = Vec::new();
            write(&mut line, &METADATA, &written, None, false).unwrap();
            let read = records::read(std::str::from_utf8(&line).unwrap()).unwrap().row;
            prop_assert_eq!(&read.gaps, &written.gaps);
            for metric in Metric::all() {
                let (got, want) = (read.values.get(metric), written.values.get(metric));
                // What the mismatch was computed from comes back through it.
                prop_assert!(got.map(f64::to_bits) == want.map(f64::to_bits), "{:?}: {:?} {:?}", metric, got, want);
            }
        }
    }
}
