//! `--search` against servers whose knee is known.

use crate::kit::machine::alone;
use crate::kit::{Mock, Profile, Ran};

/// Eight places of 100 ms: the ninth waits.
fn knee(server: &Mock) -> Profile {
    let options = "--endpoint-type chat --streaming --osl 1 --slo ttft:avg<108ms --search concurrency:4..16";
    Profile::of(&server.url).first().with(options)
}

fn answer(run: &Ran) -> (f64, f64, f64) {
    let found = run.json("search_history.json");
    let of = |name: &str| found["answer"][name].as_f64().unwrap_or_else(|| panic!("{found}"));
    (of("level"), of("low"), of("high"))
}

#[test]
fn the_knee_of_concurrency_is_found_twice() {
    let _alone = alone();
    let servers = [(); 2].map(|()| Mock::first("--ttft-ms 100 --max-concurrency 8"));
    // Both wait nearly all the time, and each of them is one thread.
    let running = servers.each_ref().map(|server| knee(server).start());
    let runs = running.map(|running| running.wait().ended(0, &["search: concurrency 8"]));
    for (run, server) in runs.iter().zip(&servers) {
        let (level, low, high) = answer(run);
        assert!((level - 8.0).abs() < 1e-9 && low <= level && level <= high, "{level} ({low}..{high})");
        assert!(run.seconds < 60.0, "{} s", run.seconds);
        assert_eq!(run.json("search_history.json")["holds"], true);
        // Nothing above what was tried was sent.
        assert!(server.stats()["in_flight"]["max"].as_i64().unwrap() <= 16);
        crate::kit::kept_whole(&run.dir);
    }
}

#[test]
fn what_holds_everywhere_is_the_highest() {
    let _alone = alone();
    let server = Mock::first("--ttft-ms 10 --service-rate 200");
    let options = "--endpoint-type chat --streaming --osl 1 --slo ttft:avg<60ms --request-rate 20 --arrival-pattern constant \
                   --search request-rate:20..40";
    let run = Profile::of(&server.url).first().with(options).run().ended(0, &["search: request-rate 40"]);
    assert!((answer(&run).0 - 40.0).abs() < 1e-9);
}

#[test]
fn a_server_that_never_keeps_to_it_is_said_to() {
    let _alone = alone();
    let server = Mock::first("--ttft-ms 120");
    let options = "--endpoint-type chat --streaming --osl 1 --slo ttft:p95<50ms --search concurrency:8..16";
    let run = Profile::of(&server.url).first().with(options).run();
    let run = run.ended(4, &["search: no concurrency from 8 up holds", "the objectives do not hold at the lowest concurrency of 8"]);
    let found = run.json("search_history.json");
    assert!(found["answer"].is_null() && found["holds"] == false, "{found}");
    assert!(run.seconds < 60.0);
}

#[test]
fn the_knee_of_a_rate_is_found_from_idle() {
    let _alone = alone();
    // It answers fifty a second; above that a queue grows, which a lower rate must not inherit.
    let server = Mock::first("--ttft-ms 10 --service-rate 50");
    let options = "--endpoint-type chat --streaming --osl 1 --slo ttft:p95<90ms --arrival-pattern constant \
                   --search request-rate:20..100";
    let run = Profile::of(&server.url).first().with(options).run().ended(0, &["search: request-rate"]);
    let (level, low, high) = answer(&run);
    assert!((47.5..52.5).contains(&level) && low <= level && level <= high, "{level} ({low}..{high})");
    assert!(run.seconds < 90.0, "{} s", run.seconds);
}
