//! Closed loop: as many sessions as were asked for, all the time and never more; and how it ends.

use crate::kit::machine::{alone, beside};
use crate::kit::server::at_once;
use crate::kit::{Mock, Profile, Row, int, text};

const MS: i64 = 1_000_000;

/// From a request's arrival to its last content.
fn spans(rows: &[Row]) -> Vec<(i64, i64)> {
    rows.iter().map(|row| (row.arrival, row.arrival + row.last.unwrap_or(0))).collect()
}

#[test]
fn all_places_are_taken_all_the_time() {
    let _alone = alone();
    let server = Mock::first("--ttft-ms 250 --itl-ms 5");
    let run = Profile::of(&server.url).first().with("--endpoint-type chat --streaming --concurrency 16 --request-count 160 --osl 6").run();
    let run = run.measured();
    let stats = server.stats();
    assert_eq!(stats["in_flight"]["max"], 16);
    assert_eq!(stats["requests"]["answered"], 160);
    let rows = server.rows();
    // From when all are there to when the last one comes.
    let (_, average) = at_once(&spans(&rows), rows[15].arrival, rows[159].arrival);
    assert!(average >= 0.99 * 16.0, "{average} of 16 on average");
    assert_eq!(run.figure("request_count", "avg"), 160.0);
    assert_eq!(run.records("profiling").len(), 160);
    // The client's figure of what the server did is the server's.
    let truth = rows.iter().filter_map(|row| row.first).sum::<i64>() / 160;
    #[allow(clippy::cast_precision_loss, reason = "milliseconds")]
    let (said, truth) = (run.figure("time_to_first_token", "avg"), truth as f64 * 1e-6);
    assert!(said >= truth - 0.1 && said < truth + 10.0, "{said} ms, and {truth} ms at the server");
}

#[test]
fn no_more_than_a_few_are_before_their_first_token() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 60 --itl-ms 15");
    let options = "--endpoint-type chat --streaming --concurrency 8 --prefill-concurrency 2 --request-count 32 --osl 20";
    Profile::of(&server.url).with(options).run().measured();
    let rows = server.rows();
    let (from, to) = (rows[0].arrival, rows[31].arrival);
    let prefill: Vec<_> = rows.iter().map(|row| (row.arrival, row.arrival + row.first.unwrap())).collect();
    assert_eq!(at_once(&prefill, from, to).0, 2);
    // And with the others that are further more than two, never more than all.
    let most = at_once(&spans(&rows), from, to).0;
    assert!((4..=8).contains(&most), "{most} at a time");
}

#[test]
fn what_is_under_way_at_the_end_of_the_time_has_its_grace() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 400");
    let options = "--endpoint-type chat --streaming --concurrency 3 --benchmark-duration 1 --benchmark-grace-period 5 --osl 2";
    let run = Profile::of(&server.url).with(options).run().measured();
    // At 0, 0.4 and 0.8 s.
    assert_eq!((server.count("answered"), server.count("disconnected")), (9, 0));
    assert_eq!(run.records("profiling").len(), 9);
    assert!(run.summary().get("censored_count").is_none_or(|count| count["avg"] == 0.0));
    let manifest = run.json("phase_manifest.json");
    let begin = int(&manifest, "/phases/0/start_ns");
    assert!(server.rows().iter().all(|row| row.wall - begin < 1_050 * MS), "something was sent behind the end");
}

#[test]
fn without_grace_it_is_cut_and_said_to_be() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 400");
    let options = "--endpoint-type chat --streaming --concurrency 3 --benchmark-duration 1 --benchmark-grace-period 0 --osl 2";
    let run = Profile::of(&server.url).with(options).run().measured();
    assert!(run.seconds < 3.0, "{} s", run.seconds);
    assert_eq!((server.count("arrived"), server.count("disconnected")), (9, 3));
    let records = run.records("profiling");
    let cut = records.iter().filter(|record| record["censored"] == true).count();
    assert_eq!((records.len(), cut), (9, 3));
    assert_eq!((run.figure("censored_count", "avg"), run.figure("request_count", "avg")), (3.0, 6.0));
    let summary = run.summary();
    assert_eq!(text(&summary, "/benchmark_duration/unit"), "sec");
    let duration = run.figure("benchmark_duration", "avg");
    // From the first request to the last answer; the phase itself lasts as long as it was told to.
    assert!((0.8..0.95).contains(&duration), "{duration} s");
    let manifest = run.json("phase_manifest.json");
    let phase = int(&manifest, "/phases/0/end_ns") - int(&manifest, "/phases/0/start_ns");
    assert!((1_000 * MS..1_200 * MS).contains(&phase), "{phase} ns");
}

#[test]
fn requests_that_are_given_up_are_seen_by_both() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 150 --itl-ms 1");
    let options = "--endpoint-type chat --streaming --concurrency 4 --request-count 40 --osl 4 \
                   --request-cancellation-rate 50 --request-cancellation-delay 0.05";
    let run = Profile::of(&server.url).with(options).run().measured();
    let records = run.records("profiling");
    let given_up: Vec<_> = records.iter().filter(|record| record["metadata"]["was_cancelled"] == true).collect();
    assert!((10..=30).contains(&given_up.len()), "{} of 40", given_up.len());
    for record in &given_up {
        assert_eq!((int(record, "/error/code"), text(record, "/error/type")), (499, "RequestCancellationError"));
        let lived = int(record, "/metadata/cancellation_time_ns") - int(record, "/metadata/request_start_ns");
        assert!((45 * MS..110 * MS).contains(&lived), "given up after {lived} ns");
    }
    let count = i64::try_from(given_up.len()).unwrap();
    assert_eq!((server.count("disconnected"), server.count("answered")), (count, 40 - count));
    assert_eq!(server.rows().iter().filter(|row| row.disconnected).count(), given_up.len());
    // The same seed gives up the same ones.
    let again = Profile::of(&server.url).with(options).run().measured();
    let sessions = |records: &[serde_json::Value]| {
        let given_up = records.iter().filter(|record| record["metadata"]["was_cancelled"] == true);
        let mut all: Vec<_> = given_up.map(|record| int(record, "/metadata/session_num")).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(sessions(&records), sessions(&again.records("profiling")));
}
