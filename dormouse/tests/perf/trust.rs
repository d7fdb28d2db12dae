//! The verdict: a client that is starved says so; a server that is starved is what was measured.

use std::time::{Duration, Instant};

use nix::sched::sched_getaffinity;
use nix::unistd::Pid;

use crate::kit::machine::{Hogs, alone, before_others, say, skipped, works};
use crate::kit::{Mock, Profile, Ran};

const SERVER: &str = "--ttft-ms 20 --itl-ms 2";

/// Two cores, or the reason why there are none.
fn cores(what: &str) -> Option<(String, String)> {
    let set = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let mut mine = (0..nix::sched::CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false));
    match (mine.next(), mine.next()) {
        (Some(a), Some(b)) if works(&["taskset", "-c", &a.to_string(), "true"]) => Some((a.to_string(), b.to_string())),
        _ => {
            skipped(what, "it needs taskset and two cores");
            None
        }
    }
}

fn words(first: Vec<String>, then: &[&str]) -> Vec<String> {
    first.into_iter().chain(then.iter().map(|word| (*word).to_owned())).collect()
}

/// What the files say beside the exit code.
fn verdict(run: &Ran) -> (String, Vec<String>) {
    let summary = run.summary();
    let reasons = summary["verdict_reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap().to_owned());
    (summary["verdict"].as_str().unwrap().to_owned(), reasons.collect())
}

/// A client that is the least of all on a core, of which two loops take what there is as soon as the load has begun.
fn starved(one: &str, server: &Mock, options: &str) -> Ran {
    server.reset();
    let load = "--endpoint-type chat --streaming --request-rate 100 --arrival-pattern constant --request-count 150 --osl 8";
    let running = Profile::of(&server.url).under(&["nice", "-n", "19", "taskset", "-c", one]).with(load).with(options).start();
    let limit = Instant::now() + Duration::from_secs(20);
    while server.arrived() == 0 {
        assert!(Instant::now() < limit, "nothing is sent");
        std::thread::sleep(Duration::from_millis(5));
    }
    let hogs = Hogs::on(one, 2);
    std::thread::sleep(Duration::from_millis(1300));
    drop(hogs);
    running.wait()
}

#[test]
fn a_starved_client_does_not_blame_the_server() {
    let Some((one, other)) = cores("a starved client") else { return };
    let _alone = alone();
    let server = Mock::under(&["taskset", "-c", &other], SERVER);
    let run = starved(&one, &server, "").ended(5, &["client-bound", "the client was what was measured"]);
    let (verdict, reasons) = verdict(&run);
    assert!(verdict == "client-bound" && !reasons.is_empty(), "{verdict}: {reasons:?}");
    let summary = run.summary();
    let kept = summary["generator"]["kept_from_running_share"].as_f64().unwrap();
    assert!(kept > 0.0, "{}", summary["generator"]);
    assert_eq!(run.records("profiling").len(), 150);
    crate::kit::kept_whole(&run.dir);
    // As the peer has it, an exit code says nothing of that.
    starved(&one, &server, "--compat aiperf").ended(0, &["client-bound"]);
}

#[test]
fn a_starved_server_is_what_was_measured() {
    let Some((one, other)) = cores("a starved server") else { return };
    let _alone = alone();
    let server = Mock::under(&["nice", "-n", "15", "taskset", "-c", &one], SERVER);
    let _hogs = Hogs::on(&one, 2);
    let client = words(before_others(), &["taskset", "-c", &other]);
    let load = "--endpoint-type chat --streaming --request-rate 20 --arrival-pattern constant --request-count 40 --osl 4";
    let mut said = Vec::new();
    for _ in 0..3 {
        let run = Profile::of(&server.url).under(&client).with(load).run().measured();
        let (verdict, reasons) = verdict(&run);
        // It is slow, and by its own clock too.
        let slow = run.figure("time_to_first_token", "p99");
        assert!(slow > 25.0, "the server was not starved: {slow} ms");
        if verdict == "certified" {
            assert_eq!(run.code, Some(0));
            return;
        }
        // The core of the client is everybody's: a busy one is found out, which is right.
        say(&format!("a starved server: client-bound, run again: {}", reasons.join("; ")));
        said.push(reasons);
    }
    panic!("never certified: {said:?}");
}
