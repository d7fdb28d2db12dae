//! Everything that can be wrong with an answer, through the command: each failure has its class, nothing hangs, and whoever shares
//! a connection with a failed request is unharmed.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kit::machine::{beside, each};
use crate::kit::{Mock, Profile};

/// What becomes of the requests that have a fault.
#[derive(Clone, Copy, PartialEq)]
enum Becomes {
    /// Errors of this type.
    Error(&'static str),
    /// The same, but for those on a connection that was idle before: they are sent once more.
    ErrorOrAgain(&'static str),
    /// Whole answers.
    Good,
    /// Answers that lack something.
    Short,
}
use Becomes::{Error, ErrorOrAgain, Good, Short};

const FAULTS: [(&str, Becomes); 42] = [
    ("status-429", Error("Too Many Requests")),
    ("status-500", Error("Internal Server Error")),
    ("redirect-307", Good),
    ("redirect-302", Error("")),
    ("reset-before-headers", ErrorOrAgain("ClientOSError")),
    ("reset-mid-stream", Error("ClientPayloadError")),
    ("close-before-headers", ErrorOrAgain("ServerDisconnectedError")),
    ("close-mid-stream", Error("ClientPayloadError")),
    ("truncated", Short),
    ("error-before-content", Error("SSEResponseError")),
    ("error-after-content", Error("SSEResponseError")),
    ("undecodable-json", Short),
    ("empty-answer", Error("InvalidInferenceResultError")),
    ("slow-loris", Error("TimeoutError")),
    ("one-byte-writes", Good),
    ("one-byte-chunks", Good),
    ("big-chunks", Good),
    ("wrong-content-type", Good),
    ("no-content-type", Good),
    ("crlf", Good),
    ("cr", Good),
    ("mixed-line-ends", Good),
    ("bom", Good),
    ("comments", Good),
    ("multi-line-data", Good),
    ("split-unicode", Good),
    ("gzip", Good),
    ("deflate", Good),
    ("unknown-coding", Error("ContentEncodingError")),
    ("continue-first", Good),
    ("early-hints", Good),
    ("early-answer", Good),
    ("http10", Good),
    ("connection-close", Good),
    ("close-after-answer", Good),
    ("trailers", Good),
    ("chunk-extensions", Good),
    ("hang", Error("TimeoutError")),
    ("hang-mid-stream", Error("TimeoutError")),
    ("usage-float", Good),
    ("usage-negative", Good),
    ("usage-huge", Good),
];

const REQUESTS: usize = 24;

fn class(record: &Value) -> Option<&str> {
    record.get("error").filter(|error| !error.is_null()).map(|error| error["type"].as_str().unwrap())
}

/// What is wrong with how this fault came out.
fn judged(fault: &str, becomes: Becomes) -> Vec<String> {
    let server = Mock::start(&format!("--ttft-ms 5 --itl-ms 1 --loris-ms 20 --seed 5 --fault {fault}:0.3"));
    let options = "--endpoint-type chat --streaming --concurrency 4 --osl 8 --request-timeout-seconds 1.5 --use-server-token-count";
    let run = Profile::of(&server.url).with(options).with(&format!("--request-count {REQUESTS}")).run().measured();
    let mut wrong = Vec::new();
    let mut not = |so: bool, what: String| {
        if !so {
            wrong.push(format!("{fault}: {what}"));
        }
    };
    let faults = usize::try_from(server.stats()["faults"][fault].as_u64().unwrap_or(0)).unwrap();
    not(faults >= 3, format!("only {faults} requests had it"));
    let records = run.records("profiling");
    not(records.len() == REQUESTS, format!("{} records", records.len()));
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    records.iter().filter_map(class).for_each(|class| *classes.entry(class).or_default() += 1);
    let failed: usize = classes.values().sum();
    let again = run.summary()["reconnected_count"]["avg"].as_f64().unwrap_or(0.0);
    match becomes {
        Error(wanted) => {
            not(failed == faults, format!("{failed} of {faults} failed"));
            not(wanted.is_empty() || classes.keys().all(|class| *class == wanted), format!("{classes:?}"));
        }
        ErrorOrAgain(wanted) => {
            #[allow(clippy::cast_precision_loss, reason = "some requests")]
            let seen = failed as f64 + again;
            #[allow(clippy::cast_precision_loss, reason = "some requests")]
            let faults = faults as f64;
            not((seen - faults).abs() < 1e-9, format!("{failed} failed and {again} were sent again, of {faults}"));
            not(classes.keys().all(|class| *class == wanted), format!("{classes:?}"));
        }
        Good | Short => not(failed == 0, format!("{classes:?}")),
    }
    // Eight tokens of the server's, in events one by one: who had no fault has them all.
    let whole = |record: &&Value| {
        let gaps = record["metrics"]["inter_chunk_latency"]["value"].as_array().map_or(0, Vec::len);
        class(record).is_none() && gaps == 7
    };
    let unharmed = records.iter().filter(whole).count();
    not(unharmed >= REQUESTS - faults, format!("{unharmed} whole answers, and {faults} faults"));
    not(becomes != Short || unharmed == REQUESTS - faults, format!("{unharmed} whole answers, though {faults} lack something"));
    not(run.seconds < 20.0, format!("it took {} s", run.seconds));
    wrong
}

#[test]
fn each_fault_has_its_class_and_harms_nobody_else() {
    let _beside = beside();
    let wrong = each(&FAULTS, |(fault, becomes)| judged(fault, *becomes)).concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
