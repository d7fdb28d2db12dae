//! A line for each request (perf contract 6.5), read back into what metrics are made of.
//!
//! Values stand there as they are shown. Whole nanoseconds come back exactly, so that everything can be computed again; what is
//! a quotient of them is computed anew.

use std::borrow::Cow;
use std::fmt;

use dormouse_perf_metrics::catalog::Metric;
use dormouse_perf_metrics::record::{Row, Values};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A record that was read.
#[derive(Debug)]
pub struct Record {
    /// Its phase, by name.
    pub phase: String,
    /// It warmed up only.
    pub warmup: bool,
    /// What the metrics need of it.
    pub row: Row,
    /// Why it failed.
    pub error: Option<Problem>,
    /// It was cut off: it is in no figure but the number of those.
    pub censored: bool,
    /// It was sent once more, on a fresh connection.
    pub reconnected: bool,
    /// Its stream ended without saying so.
    pub incomplete: bool,
}

/// Why a request failed, as files say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Problem {
    /// A status, or a number for what is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// Its class.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What was said.
    #[serde(default)]
    pub message: String,
}

/// What servers say when a conversation is longer than the model can take (perf contract 2.10).
const OVERFLOWS: [&str; 4] = ["context length", "maximum context", "context_length_exceeded", "prompt is too long"];

impl Problem {
    /// Whether the conversation was too long for the model.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        let message = self.message.to_lowercase();
        OVERFLOWS.iter().any(|phrase| message.contains(phrase))
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(default)]
    metrics: Metrics,
    #[serde(default)]
    error: Option<Problem>,
    #[serde(default)]
    censored: bool,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(default)]
    credit_issued_ns: Option<u64>,
    request_start_ns: u64,
    request_end_ns: u64,
    #[serde(borrow, default)]
    benchmark_phase: Cow<'a, str>,
    #[serde(borrow, default)]
    phase_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    phase_kind: Option<Cow<'a, str>>,
    #[serde(default)]
    context_overflow_skip: bool,
    #[serde(default)]
    reconnected: bool,
    #[serde(default)]
    incomplete_stream: bool,
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, with its column.
pub fn read(line: &str) -> serde_json::Result<Record> {
    let Line { metadata, metrics, error, censored } = serde_json::from_str(line)?;
    let kind = metadata.phase_kind.as_ref().unwrap_or(&metadata.benchmark_phase);
    let warmup = *kind == "warmup";
    let phase = metadata.phase_name.as_ref().unwrap_or(&metadata.benchmark_phase).clone().into_owned();
    let row = Row {
        credit_ns: metadata.credit_issued_ns.unwrap_or(metadata.request_start_ns),
        start_ns: metadata.request_start_ns,
        end_ns: metadata.request_end_ns,
        failed: error.is_some(),
        overflowed: metadata.context_overflow_skip || error.as_ref().is_some_and(Problem::is_overflow),
        values: metrics.values,
        gaps: metrics.gaps,
    };
    let Metadata { reconnected, incomplete_stream: incomplete, .. } = metadata;
    Ok(Record { phase, warmup, row, error, censored, reconnected, incomplete })
}

/// The values of a record, straight from its text.
#[derive(Default)]
struct Metrics {
    values: Values,
    gaps: Vec<f64>,
}

/// A value with its unit, which its metric knows.
struct Shown(Option<f64>, Vec<f64>);

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Metrics;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of metrics")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metrics, A::Error> {
                let mut metrics = Metrics::default();
                let mut itl = None;
                while let Some(tag) = map.next_key::<Tag>()? {
                    let Some(metric) = tag.0 else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let Shown(one, list) = map.next_value()?;
                    match (metric, one) {
                        (Metric::InterChunkLatency, _) => metrics.gaps = list.into_iter().map(|v| metric.entry().unit.read(v)).collect(),
                        (Metric::InterTokenLatency, one) => itl = one,
                        (_, Some(one)) => metrics.values.set(metric, metric.entry().unit.read(one)),
                        (_, None) => {}
                    }
                }
                metrics.complete(itl);
                Ok(metrics)
            }
        }
        deserializer.deserialize_map(Of)
    }
}

impl Metrics {
    /// What is not written, or not exactly.
    fn complete(&mut self, itl_shown: Option<f64>) {
        if let (Some(shown), Some(decode)) = (itl_shown, self.values.get(Metric::DecodeDuration)) {
            // Of so many tokens; that is a whole number.
            let tokens = (decode / (shown * 1e6)).round();
            self.values.set(Metric::InterTokenLatency, if tokens >= 1.0 { decode / tokens } else { shown * 1e6 });
        }
        let differs = self.values.get(Metric::OslMismatchDiffPct).zip(self.values.get(Metric::OutputSequenceLength));
        if let (Some((percent, osl)), None) = (differs, self.values.get(Metric::RequestedOsl)) {
            self.values.set(Metric::RequestedOsl, (osl / (1.0 + percent / 100.0)).round());
        }
    }
}

/// A tag, looked up while it is read.
struct Tag(Option<Metric>);

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl Visitor<'_> for Of {
            type Value = Tag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the tag of a metric")
            }

            fn visit_str<E>(self, tag: &str) -> Result<Tag, E> {
                Ok(Tag(Metric::of_tag(tag)))
            }
        }
        deserializer.deserialize_str(Of)
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            value: Number,
        }
        let Object { value: Number(one, list) } = Object::deserialize(deserializer)?;
        Ok(Self(one, list))
    }
}

/// A number or a list of them.
struct Number(Option<f64>, Vec<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        #[allow(clippy::cast_precision_loss, reason = "what is written is below 2^53")]
        impl<'de> Visitor<'de> for Of {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a list of numbers")
            }

            fn visit_f64<E>(self, v: f64) -> Result<Number, E> {
                Ok(Number(Some(v), Vec::new()))
            }

            fn visit_u64<E>(self, v: u64) -> Result<Number, E> {
                Ok(Number(Some(v as f64), Vec::new()))
            }

            fn visit_i64<E>(self, v: i64) -> Result<Number, E> {
                Ok(Number(Some(v as f64), Vec::new()))
            }

            fn visit_bool<E>(self, v: bool) -> Result<Number, E> {
                Ok(Number(Some(f64::from(u8::from(v))), Vec::new()))
            }

            fn visit_str<E>(self, _: &str) -> Result<Number, E> {
                Ok(Number(None, Vec::new()))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None, Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
                let mut list = Vec::new();
                while let Some(v) = seq.next_element()? {
                    list.push(v);
                }
                Ok(Number(None, list))
            }
        }
        deserializer.deserialize_any(Of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"metadata":{"session_num":3,"credit_issued_ns":90,"request_start_ns":100,"request_end_ns":900,"benchmark_phase":"profiling",
        "phase_kind":"profiling"},"metrics":{"time_to_first_token":{"value":18.543717,"unit":"ms"},"decode_duration":{"value":40.28964,"unit":"ms"},
        "inter_token_latency":{"value":2.014482,"unit":"ms"},"inter_chunk_latency":{"value":[2.228385,0.0],"unit":"ms"},"future":{"value":{}},
        "http_req_data_received":{"value":1.79296875,"unit":"KB"},"output_sequence_length":{"value":21,"unit":"tokens"},
        "osl_mismatch_diff_pct":{"value":75.0,"unit":"%"}}}"#;

    #[test]
    fn what_is_shown_comes_back() {
        let record = read(LINE).unwrap();
        let row = &record.row;
        assert_eq!((row.credit_ns, row.start_ns, row.end_ns, row.failed, record.warmup), (90, 100, 900, false, false));
        assert_eq!(row.gaps, [2_228_385.0, 0.0]);
        for (metric, want) in [
            (Metric::TimeToFirstToken, 18_543_717.0),
            (Metric::InterTokenLatency, 40_289_640.0 / 20.0),
            (Metric::HttpReqDataReceived, 1836.0),
            (Metric::RequestedOsl, 12.0),
        ] {
            assert_eq!(row.values.get(metric), Some(want), "{metric:?}");
        }
    }

    #[test]
    fn a_failure_says_why() {
        let line = r#"{"metadata":{"request_start_ns":1,"request_end_ns":1,"benchmark_phase":"warmup"},"metrics":{"error_isl":{"value":20,"unit":"tokens"}},
            "error":{"code":400,"type":"Bad Request","message":"This model's maximum context length is 8"}}"#;
        let record = read(line).unwrap();
        assert!(record.row.failed && record.row.overflowed && record.warmup);
        assert_eq!((record.row.credit_ns, record.phase.as_str()), (1, "warmup"));
        assert_eq!(record.row.values.get(Metric::ErrorIsl), Some(20.0));
    }

    #[test]
    fn what_is_no_record_is_said() {
        for bad in ["", "{}", "{\"metadata\":{}}", "[1]"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
