//! Phases: what warms up is apart, and times of a data set are kept to.

use serde_json::Value;

use crate::kit::machine::{alone, beside};
use crate::kit::{Mock, Profile, int};

#[test]
fn what_warms_up_is_in_no_figure() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 20");
    let options =
        "--endpoint-type chat --streaming --concurrency 4 --warmup-request-count 10 --warmup-concurrency 2 --request-count 30 --osl 2";
    let run = Profile::of(&server.url).with(options).run().measured();
    assert_eq!(server.count("answered"), 40);
    let (warm, measured) = (run.records("warmup"), run.records("profiling"));
    assert_eq!((warm.len(), measured.len(), run.figure("request_count", "avg")), (10, 30, 30.0));
    let end = warm.iter().map(|record| int(record, "/metadata/request_end_ns")).max().unwrap();
    let begin = measured.iter().map(|record| int(record, "/metadata/request_start_ns")).min().unwrap();
    assert!(end <= begin, "a measured request left {} ns before the last of the warm-up ended", end - begin);
    let manifest = run.json("phase_manifest.json");
    let of = |phase: usize| {
        let phase = &manifest["phases"][phase];
        (phase["phase_name"].clone(), phase["total_request_count"].clone(), phase["profiling_index"].clone())
    };
    assert_eq!(of(0), ("warmup".into(), 10.into(), Value::Null));
    assert_eq!(of(1), ("profiling".into(), 30.into(), 0.into()));
    assert!(int(&manifest, "/phases/0/end_ns") <= int(&manifest, "/phases/1/start_ns"));
    for (phase, count) in [("warmup", 10.0), ("profiling", 30.0)] {
        let summary = run.json(&format!("phases/{phase}/profile_export_aiperf.json"));
        assert_eq!(summary["request_count"]["avg"], count);
    }
    // Two at a time while it warmed up, by the server's own clock.
    let rows = server.rows();
    let spans = |rows: &[crate::kit::Row]| rows.iter().map(|r| (r.arrival, r.arrival + r.last.unwrap())).collect::<Vec<_>>();
    let most = |rows: &[crate::kit::Row]| crate::kit::server::at_once(&spans(rows), 0, 1).0;
    assert_eq!((most(&rows[..10]), most(&rows[10..])), (2, 4));
    // The data set goes on where the warm-up stopped.
    let sessions = |records: &[Value]| records.iter().map(|r| r["metadata"]["conversation_id"].to_string()).collect::<Vec<_>>();
    assert!(sessions(&warm).contains(&"\"session_000000\"".to_owned()));
    assert!(sessions(&measured).contains(&"\"session_000010\"".to_owned()), "{:?}", sessions(&measured));
}

#[test]
fn a_trace_is_sent_at_its_times() {
    let _alone = alone();
    let server = Mock::first("--ttft-ms 10");
    let times = [1000, 1050, 1050, 1300, 1700, 1900];
    let line = |t: &i64| format!("{{\"timestamp\": {t}, \"input_length\": 20, \"output_length\": 2, \"hash_ids\": [{t}]}}\n");
    let profile = Profile::plain(&server.url).first();
    let trace = profile.file("trace.jsonl", &times.iter().map(line).collect::<String>());
    let options = "--endpoint-type chat --streaming --fixed-schedule --custom-dataset-type mooncake_trace --input-file";
    let run = profile.with(options).arg(trace).run().measured();
    let begin = int(&run.json("phase_manifest.json"), "/phases/0/start_ns");
    let arrived: Vec<i64> = server.rows().iter().map(|row| (row.wall - begin) / 1_000_000).collect();
    assert_eq!(arrived.len(), times.len());
    for (arrived, time) in arrived.iter().zip(times) {
        let off = arrived - (time - 1000);
        assert!((0..40).contains(&off), "{off} ms late: {arrived:?}");
    }
}
