//! A line for each request (perf contract 6.5), written. The same lines that [`crate::records`] reads.
//!
//! They are written while requests are under way, by the cores that make those: what is the same in each line is kept as text.

use std::sync::OnceLock;

use dormouse_perf_metrics::catalog::{Group, Metric};
use dormouse_perf_metrics::record::Row;
use dormouse_perf_metrics::unit::Unit;
use serde::Serialize;

use crate::digits::{number, string, whole};
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
    /// Its stream ended without saying so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete_stream: bool,
}

impl Metadata<'_> {
    fn write(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        let mut put = Members(line);
        put.number("{\"session_num\":", self.session_num);
        put.text(",\"x_request_id\":", self.x_request_id)?;
        put.text(",\"x_correlation_id\":", self.x_correlation_id)?;
        put.text(",\"conversation_id\":", self.conversation_id)?;
        put.number(",\"turn_index\":", self.turn_index.into());
        put.number(",\"credit_issued_ns\":", self.credit_issued_ns);
        put.number(",\"request_start_ns\":", self.request_start_ns);
        put.some(",\"request_ack_ns\":", self.request_ack_ns);
        put.number(",\"request_end_ns\":", self.request_end_ns);
        put.text(",\"worker_id\":", self.worker_id)?;
        put.text(",\"record_processor_id\":", self.record_processor_id)?;
        put.text(",\"benchmark_phase\":", self.benchmark_phase)?;
        put.number(",\"phase_index\":", self.phase_index.into());
        put.some(",\"profiling_index\":", self.profiling_index.map(u64::from));
        put.text(",\"phase_name\":", self.phase_name)?;
        put.text(",\"phase_kind\":", self.phase_kind)?;
        put.truth(",\"was_cancelled\":", self.was_cancelled);
        put.some(",\"cancellation_time_ns\":", self.cancellation_time_ns);
        put.truth(",\"context_overflow_skip\":", self.context_overflow_skip);
        put.number(",\"agent_depth\":", self.agent_depth.into());
        put.text(",\"root_correlation_id\":", self.root_correlation_id)?;
        for (is, name) in [(self.reconnected, ",\"reconnected\":"), (self.incomplete_stream, ",\"incomplete_stream\":")] {
            if is {
                put.truth(name, true);
            }
        }
        line.push(b'}');
        Ok(())
    }
}

/// Members of an object, each behind its name and what stands before that.
struct Members<'a>(&'a mut Vec<u8>);

impl Members<'_> {
    fn number(&mut self, name: &str, value: u64) {
        self.0.extend_from_slice(name.as_bytes());
        whole(self.0, value);
    }

    fn some(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    fn text(&mut self, name: &str, value: &str) -> serde_json::Result<()> {
        self.0.extend_from_slice(name.as_bytes());
        string(self.0, value)
    }

    fn truth(&mut self, name: &str, value: bool) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }
}

/// What stands around the values of a metric.
struct Frame {
    before: String,
    after: String,
}

impl Frame {
    fn of(metric: Metric) -> Option<&'static Self> {
        static ALL: OnceLock<Vec<Frame>> = OnceLock::new();
        let frame = |m: Metric| Self {
            before: format!(",\"{}\":{{\"value\":", m.tag()),
            after: format!(",\"unit\":\"{}\"}}", m.entry().unit.shown()),
        };
        ALL.get_or_init(|| Metric::all().map(frame).collect()).get(metric as usize)
    }

    fn begin(&self, line: &mut Vec<u8>, first: &mut bool) {
        line.extend_from_slice(&self.before.as_bytes()[usize::from(std::mem::take(first))..]);
    }

    fn end(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(self.after.as_bytes());
    }
}

/// What a line says behind the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending<'a> {
    /// Why it failed.
    pub error: Option<&'a Problem>,
    /// It was cut off.
    pub censored: bool,
    /// When what happened on its connection, where that is wanted (perf contract 4.8).
    pub trace: &'a [(&'a str, u64)],
}

/// Writes a line, its end included.
///
/// # Errors
/// None in practice: everything here can be JSON.
pub fn write(line: &mut Vec<u8>, metadata: &Metadata<'_>, row: &Row, ending: Ending<'_>) -> serde_json::Result<()> {
    line.extend_from_slice(b"{\"metadata\":");
    metadata.write(line)?;
    line.extend_from_slice(b",\"metrics\":{");
    let mut first = true;
    for (metric, base) in row.values.iter() {
        if let Some(frame) = Frame::of(metric).filter(|_| metric.entry().group != Group::Internal) {
            frame.begin(line, &mut first);
            number(line, metric.entry().unit, base)?;
            frame.end(line);
        }
    }
    if let Some(frame) = Frame::of(Metric::InterChunkLatency).filter(|_| !row.gaps.is_empty()) {
        frame.begin(line, &mut first);
        line.push(b'[');
        for (at, gap) in row.gaps.iter().enumerate() {
            if at > 0 {
                line.push(b',');
            }
            number(line, Unit::Time, *gap)?;
        }
        line.push(b']');
        frame.end(line);
    }
    line.push(b'}');
    if !ending.trace.is_empty() {
        // The kind is the peer's, so that its readers take it.
        line.extend_from_slice(b",\"trace_data\":{\"trace_type\":\"aiohttp\"");
        for (name, value) in ending.trace {
            line.extend_from_slice(b",\"");
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(b"\":");
            serde_json::to_writer(&mut *line, value)?;
        }
        line.push(b'}');
    }
    if let Some(error) = ending.error {
        line.extend_from_slice(b",\"error\":");
        serde_json::to_writer(&mut *line, error)?;
    }
    if ending.censored {
        line.extend_from_slice(b",\"censored\":true");
    }
    line.extend_from_slice(b"}\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use dormouse_perf_metrics::catalog::OF_RECORDS;
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
        incomplete_stream: false,
    };

    fn row(values: Values, gaps: Vec<f64>) -> Row {
        let (credit_ns, start_ns, end_ns) = (METADATA.credit_issued_ns, METADATA.request_start_ns, METADATA.request_end_ns);
        Row { credit_ns, start_ns, end_ns, values, gaps, ..Row::default() }
    }

    #[test]
    fn members_stand_in_the_peers_order() {
        let mut line = Vec::new();
        write(&mut line, &METADATA, &row(Values::default(), Vec::new()), Ending::default()).unwrap();
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
        write(
            &mut line,
            &metadata,
            &Row { failed: true, ..row(Values::default(), Vec::new()) },
            Ending { error: Some(&problem), censored: true, trace: &[] },
        )
        .unwrap();
        let line = String::from_utf8(line).unwrap();
        let expected = "\"metrics\":{},\"error\":{\"code\":503,\"type\":\"Service Unavailable\",\"message\":\"no\"},\"censored\":true}\n";
        assert!(line.ends_with(expected) && line.contains("\"reconnected\":true") && !line.contains("ack"), "{line}");
        assert!(records::read(&line).unwrap().row.failed);
    }

    /// The line as `serde` alone writes it.
    fn plain(metadata: &Metadata<'_>, row: &Row, error: Option<&Problem>, censored: bool) -> String {
        let number = |metric: Metric, base: f64| {
            let unit = metric.entry().unit;
            let shown = unit.show(base);
            let counted = matches!(unit, Unit::Tokens | Unit::Requests | Unit::Count | Unit::Ratio);
            #[allow(clippy::cast_possible_truncation)]
            let whole = serde_json::to_string(&(shown as i64)).unwrap();
            if counted && shown.fract() == 0.0 && shown.abs() < 9e15 { whole } else { serde_json::to_string(&shown).unwrap() }
        };
        let member = |metric: Metric, value: &str| {
            format!("\"{}\":{{\"value\":{value},\"unit\":\"{}\"}}", metric.tag(), metric.entry().unit.shown())
        };
        let known = row.values.iter().filter(|(m, _)| m.entry().group != Group::Internal);
        let mut members: Vec<String> = known.map(|(m, base)| member(m, &number(m, base))).collect();
        if !row.gaps.is_empty() {
            let gaps: Vec<String> = row.gaps.iter().map(|gap| number(Metric::InterChunkLatency, *gap)).collect();
            members.push(member(Metric::InterChunkLatency, &format!("[{}]", gaps.join(","))));
        }
        let error = error.map(|e| format!(",\"error\":{}", serde_json::to_string(e).unwrap())).unwrap_or_default();
        let metadata = serde_json::to_string(metadata).unwrap();
        format!(
            "{{\"metadata\":{metadata},\"metrics\":{{{}}}{error}{}}}\n",
            members.join(","),
            if censored { ",\"censored\":true" } else { "" }
        )
    }

    proptest! {
        #[test]
        fn lines_are_those_of_serde(
            values in proptest::collection::vec((0..OF_RECORDS, prop_oneof![(0_u32..2_000_000_000).prop_map(f64::from), -1e9..1e15_f64]), 0..40),
            gaps in proptest::collection::vec(prop_oneof![(0_u32..50_000_000).prop_map(f64::from), 0.0..1e9_f64], 0..20),
            (number, small, at) in any::<(u64, u32, Option<u64>)>(), (id, name) in any::<(String, String)>(),
            (yes, no, problem) in any::<(bool, bool, bool)>(),
        ) {
            let metadata = Metadata {
                session_num: number, x_request_id: &id, turn_index: small, request_ack_ns: at, cancellation_time_ns: at, worker_id: &name,
                phase_index: small, profiling_index: yes.then_some(small), phase_name: &name, was_cancelled: yes, context_overflow_skip: no,
                agent_depth: small, root_correlation_id: &id, reconnected: no, incomplete_stream: yes, ..METADATA
            };
            let mut all = Values::default();
            for (at, value) in values {
                all.set(Metric::all().nth(at).unwrap(), value);
            }
            let (row, problem) = (row(all, gaps), problem.then(|| Problem { code: Some(-1), class: Some(name.clone()), message: id.clone() }));
            let mut line = Vec::new();
            write(&mut line, &metadata, &row, Ending { error: problem.as_ref(), censored: yes, trace: &[] }).unwrap();
            prop_assert_eq!(String::from_utf8(line).unwrap(), plain(&metadata, &row, problem.as_ref(), yes));
        }

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
            write(&mut line, &METADATA, &written, Ending::default()).unwrap();
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
