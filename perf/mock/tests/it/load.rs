//! Many at once: the knee is where it was put, the truth is true, the plan is the seed's.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{CHAT, Client, chat, request};
use crate::{server, stats, stats_when};
use dormouse_perf_mock::Server;

/// So many clients, each with so many requests one after another; the times of all requests.
fn closed_loop(server: &Server, clients: usize, requests: usize, tokens: u32) -> Vec<Duration> {
    let address = server.address();
    let run = move || {
        let mut client = Client::new(address);
        (0..requests)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(client.post(CHAT, &chat(true, tokens)).status, 200);
                start.elapsed()
            })
            .collect::<Vec<_>>()
    };
    let threads: Vec<_> = (0..clients).map(|_| thread::spawn(run)).collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn beyond_its_places_requests_wait_twice_as_long() {
    for threads in [1, 2] {
        let server = server(&format!("--max-concurrency 8 --ttft-ms 50 --threads {threads}"));
        closed_loop(&server, 8, 4, 1);
        let free = stats_when(&server, |s| s["requests"]["answered"] == 32);
        server.reset_stats();
        closed_loop(&server, 16, 6, 1);
        let full = stats_when(&server, |s| s["requests"]["answered"] == 96);
        let p50 = |said: &Value| said["last_content_ns"]["p50"].as_f64().unwrap() / 1e6;
        assert!(p50(&free) >= 50.0, "{free}");
        // The first eight come into an empty house; everybody later waits for one whole service first.
        assert!(p50(&full) >= 1.9 * 50.0 && p50(&full) / p50(&free) > 1.7, "{} and {}", p50(&free), p50(&full));
        assert_eq!((full["in_service"]["max"].as_u64(), full["in_flight"]["max"].as_u64()), (Some(8), Some(16)));
        assert_eq!((full["in_service"]["now"].as_i64(), full["in_flight"]["now"].as_i64()), (Some(0), Some(0)));
    }
}

#[test]
fn all_that_are_in_flight_are_counted() {
    let server = server("--ttft-ms 100");
    closed_loop(&server, 20, 3, 1);
    let said = stats_when(&server, |s| s["requests"]["answered"] == 60);
    assert_eq!(said["in_flight"]["max"], 20);
    assert_eq!((said["connections"]["accepted"].as_u64(), said["connections"]["max"].as_u64()), (Some(20), Some(20)));
    // Over the time since the server began, so that only a bound is sure.
    let average = said["in_flight"]["average"].as_f64().unwrap();
    assert!(average > 0.0 && average <= 20.0, "{average}");
}

#[test]
fn beginnings_are_no_more_than_the_rate_allows() {
    let server = server("--service-rate 100");
    let start = Instant::now();
    closed_loop(&server, 5, 8, 1);
    // 40 beginnings, 39 intervals of 10 ms.
    assert!(start.elapsed() >= Duration::from_millis(385), "{:?}", start.elapsed());
}

#[test]
fn the_truth_has_every_request_by_its_times() {
    let server = server("--ttft-ms 20 --itl-ms 5");
    closed_loop(&server, 4, 3, 5);
    let said = stats_when(&server, |s| s["requests"]["answered"] == 12);
    let columns: Vec<_> = said["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    let rows = said["rows"].as_array().unwrap();
    let of = |row: &Value, name: &str| row[columns.iter().position(|c| *c == name).unwrap()].as_u64().unwrap();
    assert_eq!(rows.len(), 12);
    for row in rows {
        // Never early, and late by no more than what it says itself.
        let (first, last, late) = (of(row, "first_content_ns"), of(row, "last_content_ns"), of(row, "lateness_ns"));
        assert!(first >= 20_000_000 && first <= 20_000_000 + late, "{row}");
        assert!(last >= 40_000_000 && last <= 40_000_000 + late, "{row}");
        let (begin, wall) = (said["since_monotonic_ns"].as_u64().unwrap(), said["since_wall_ns"].as_u64().unwrap());
        assert_eq!(of(row, "arrival_monotonic_ns") - begin, of(row, "arrival_wall_ns") - wall);
        assert_eq!((of(row, "tokens"), of(row, "status")), (5, 200));
    }
    assert_eq!((said["first_content_ns"]["count"].as_u64(), said["tokens"].as_u64()), (Some(12), Some(60)));
}

/// What became of each request, by number.
fn fates(options: &str, requests: usize) -> Vec<(u64, Value)> {
    let server = server(options);
    let mut client = Client::new(server.address());
    for _ in 0..requests {
        client.post(CHAT, &chat(true, 2));
    }
    let said = stats_when(&server, |s| s["requests"]["answered"] == requests);
    let rows = said["rows"].as_array().unwrap();
    rows.iter().map(|row| (row[7].as_u64().unwrap(), row[8].clone())).collect()
}

#[test]
fn a_seed_gives_the_same_again() {
    let options = "--error-rate 0.2 --error-status 429 --fault crlf:0.3 --ttft-dist uniform:1,3";
    let (one, again, other) =
        (fates(&format!("--seed 5 {options}"), 40), fates(&format!("--seed 5 {options}"), 40), fates(&format!("--seed 6 {options}"), 40));
    assert_eq!(one, again);
    assert_ne!(one, other);
    let count = |fault: &str| one.iter().filter(|(_, f)| f == fault).count();
    assert!(count("status-429") > 2 && count("crlf") > 2 && count("status-429") + count("crlf") < 40);
}

#[test]
fn a_client_that_leaves_gives_its_place_to_the_next() {
    let server = server("--max-concurrency 1 --ttft-ms 300");
    let mut first = Client::new(server.address());
    first.send(&request(CHAT, "", &chat(true, 1)));
    stats_when(&server, |s| s["in_service"]["now"] == 1);
    let mut waits = Client::new(server.address());
    waits.send(&request(CHAT, "", &chat(true, 1)));
    let mut last = Client::new(server.address());
    stats_when(&server, |s| s["in_flight"]["now"] == 2);
    last.send(&request(CHAT, "", &chat(true, 1)));
    stats_when(&server, |s| s["in_flight"]["now"] == 3);
    // One that is served and one that waits go: the third is served.
    drop(waits);
    drop(first);
    assert_eq!(last.answer().unwrap().status, 200);
    let said = stats(&server);
    assert_eq!((said["requests"]["disconnected"].as_u64(), said["in_service"]["max"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn a_stall_is_in_the_middle() {
    let server = server("--stall-rate 1 --stall-ms 80");
    closed_loop(&server, 1, 1, 4);
    let said = stats_when(&server, |s| s["requests"]["answered"] == 1);
    let row = &said["rows"][0];
    assert!(row[4].as_u64().unwrap() - row[3].as_u64().unwrap() >= 40_000_000 && row[4].as_u64().unwrap() >= 80_000_000, "{row}");
}
