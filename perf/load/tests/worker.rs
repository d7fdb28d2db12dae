//! The worker against the mock server, whose truth is asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use clap::Parser;
use dormouse_perf_load::answer::Endpoint;
use dormouse_perf_load::arrivals::{Pattern, Rate};
use dormouse_perf_load::exchange::{Ask, Failure, Limits, Outcome};
use dormouse_perf_load::script::{Answer, Script, TurnTime};
use dormouse_perf_load::seeds::Seed;
use dormouse_perf_load::target::{Headers, Target, base, join};
use dormouse_perf_load::timing::{Cancel, Load, PhasePlan, SECOND, Stop};
use dormouse_perf_load::worker::{Channels, Command, Control, Done, Ended, Plan, Reuse, Settings, Worker};
use dormouse_perf_mock::{MockServerArgs, Server};
use serde_json::Value;

const MS: u64 = 1_000_000;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: MockServerArgs,
}

fn server(options: &str) -> Server {
    let words = format!("mock --port 0 {options}");
    Server::start(&Line::parse_from(words.split_whitespace()).args).unwrap()
}

fn truth(server: &Server) -> Value {
    serde_json::from_slice(&server.stats(100_000)).unwrap()
}

/// A conversation of so many turns, each of which repeats what was answered.
#[derive(Debug)]
struct Talk(usize);

impl Script for Talk {
    fn id(&self) -> &str {
        "talk"
    }
    fn turns(&self) -> usize {
        self.0
    }
    fn turn(&self, _: usize) -> TurnTime {
        TurnTime::default()
    }
    fn keeps_answers(&self) -> bool {
        self.0 > 1
    }
    fn body(&self, turn: usize, answers: &[Option<Answer>], out: &mut Vec<u8>) {
        let mut messages = Vec::new();
        for at in 0..=turn {
            messages.push(serde_json::json!({"role": "user", "content": "hello"}));
            if let Some(answer) = answers.get(at).and_then(Option::as_ref) {
                messages.push(serde_json::json!({"role": "assistant", "content": answer.text}));
            }
        }
        let body = serde_json::json!({"messages": messages, "model": "m", "stream": true, "max_completion_tokens": 4});
        serde_json::to_writer(out, &body).unwrap();
    }
}

struct Run {
    done: Vec<Done>,
    ended: Ended,
}

impl Run {
    fn good(&self) -> usize {
        self.done.iter().filter(|done| done.answered.outcome == Outcome::Success).count()
    }

    fn classes(&self) -> HashSet<String> {
        let class = |done: &Done| match &done.answered.outcome {
            Outcome::Failed(failure) => Some(failure.class.to_string()),
            _ => None,
        };
        self.done.iter().filter_map(class).collect()
    }
}

fn settings(server: &Server) -> Settings {
    let url = join(&base(&server.address().to_string()).unwrap(), "v1/chat/completions");
    let headers = Headers { session: "X-Correlation-ID".to_owned(), ..Headers::default() };
    Settings {
        targets: vec![Arc::new(Target::new(url, &headers, "POST").unwrap())],
        ask: Ask { endpoint: Endpoint::Chat, streaming: true },
        field: None,
        limits: Limits::default(),
        reuse: Reuse::Pooled,
        connections: None,
        preconnect: true,
        keep_alive: 300 * SECOND,
        timeout: 30 * SECOND,
        idle_timeout: None,
        trust: None,
        record: false,
        spin: Duration::ZERO,
        seed: Seed(1),
        names: 1,
        goes_on: |_: &Failure| true,
    }
}

/// Runs phases to their end; `meanwhile` has the handle.
fn run_with(settings: Settings, phases: Vec<PhasePlan>, turns: usize, meanwhile: impl FnOnce(&Control)) -> Run {
    let (supply, supplied) = sync_channel::<Vec<Arc<dyn Script>>>(64);
    let (done_to, done): (_, Receiver<Vec<Done>>) = sync_channel(1024);
    let (worker, control) = Worker::new(settings, Channels { supply: supplied, done: done_to }).unwrap();
    let feeder = control.clone();
    let feeding = std::thread::spawn(move || {
        while supply.send(vec![Arc::new(Talk(turns)), Arc::new(Talk(turns))]).is_ok() {
            feeder.supplied();
        }
    });
    let running = std::thread::spawn(move || worker.run(&Plan { phases }).unwrap());
    meanwhile(&control);
    let done: Vec<Done> = done.iter().flatten().collect();
    let ended = running.join().unwrap();
    feeding.join().unwrap();
    Run { done, ended }
}

fn run(settings: Settings, phases: Vec<PhasePlan>, turns: usize) -> Run {
    run_with(settings, phases, turns, |_| {})
}

fn closed(concurrency: u32, requests: u64) -> PhasePlan {
    let stop = Stop { requests: Some(requests), ..Stop::default() };
    PhasePlan { concurrency: Some(concurrency), stop, ..PhasePlan::new("profiling", Load::Closed) }
}

#[test]
fn a_closed_loop_keeps_as_many_in_flight_as_it_says() {
    let server = server("--ttft-ms 100 --itl-ms 10");
    let run = run(settings(&server), vec![closed(8, 48)], 1);
    assert_eq!((run.done.len(), run.good()), (48, 48));
    let truth = truth(&server);
    assert_eq!((&truth["requests"]["arrived"], &truth["in_flight"]["max"]), (&48.into(), &8.into()));
    // Connections were there before; what leaves together leaves together.
    let mut starts: Vec<u64> = run.done.iter().map(|done| done.start).collect();
    starts.sort_unstable();
    assert!(starts[7] - starts[0] < 20 * MS, "{starts:?}");
    assert!(run.done.iter().all(|done| done.wire.connect.is_none() && done.wire.writes == 1));
    let credits: HashSet<u64> = run.done.iter().map(|done| done.credit).collect();
    assert_eq!(credits, (0..48).collect());
}

#[test]
fn an_open_loop_follows_its_clock_whatever_the_server_does() {
    let server = server("--ttft-ms 300");
    let stop = Stop { requests: Some(50), ..Stop::default() };
    let load = Load::Open { rate: Rate::constant(100.0).unwrap(), pattern: Pattern::Constant };
    let run = run(settings(&server), vec![PhasePlan { stop, ..PhasePlan::new("profiling", load) }], 1);
    assert_eq!(run.good(), 50);
    let phase = &run.ended.phases[0];
    let mut planned: Vec<u64> = run.done.iter().map(|done| done.intended - phase.start).collect();
    planned.sort_unstable();
    assert!(planned.iter().enumerate().all(|(at, planned)| *planned == (at as u64 + 1) * 10 * MS));
    // How late they were is measured; on a busy machine it may be much, but never early.
    assert!(run.done.iter().all(|done| done.start >= done.due && done.due >= done.intended));
    assert_eq!(phase.overhead.lateness.len(), 50);
    assert!(truth(&server)["in_flight"]["max"].as_u64() >= Some(25));
}

#[test]
fn turns_of_a_session_follow_each_other_with_what_was_answered() {
    let server = server("--ttft-ms 5");
    let stop = Stop { sessions: Some(3), ..Stop::default() };
    let plan = PhasePlan { concurrency: Some(3), stop, ..PhasePlan::new("profiling", Load::Closed) };
    for reuse in [Reuse::Pooled, Reuse::Sticky, Reuse::Never] {
        let run = run(Settings { reuse, ..settings(&server) }, vec![plan.clone()], 4);
        assert_eq!(run.good(), 12, "{reuse:?}");
        let sessions: HashSet<_> = run.done.iter().map(|done| Arc::clone(&done.session)).collect();
        assert_eq!(sessions.len(), 3);
        for done in &run.done {
            assert_eq!(done.before.len(), done.turn);
            assert!(done.before.iter().all(|answer| answer.as_ref().is_some_and(|answer| !answer.text.is_empty())));
        }
        let fresh = run.done.iter().filter(|done| !done.wire.reused).count();
        assert_eq!(fresh, if reuse == Reuse::Never { 12 } else { 3 }, "{reuse:?}");
    }
}

#[test]
fn phases_are_apart() {
    let server = server("--ttft-ms 20");
    let warmup = PhasePlan { warmup: true, name: "warmup".to_owned(), ..closed(2, 4) };
    let run = run(settings(&server), vec![warmup, closed(4, 12)], 1);
    assert_eq!(run.done.iter().map(|done| done.phase).collect::<Vec<_>>(), [vec![0; 4], vec![1; 12]].concat());
    let [first, second] = &run.ended.phases[..] else { panic!("two phases") };
    assert!(first.end <= second.start && first.sent == 4 && second.sent == 12);
}

#[test]
fn what_is_unfinished_at_the_end_is_cut_off_and_told() {
    let server = server("--ttft-ms 10 --fault hang:0.3 --seed 5");
    let stop = Stop { duration: Some(300 * MS), ..Stop::default() };
    let plan = PhasePlan { concurrency: Some(4), stop, grace: Some(200 * MS), ..PhasePlan::new("profiling", Load::Closed) };
    let run = run(settings(&server), vec![plan], 1);
    let censored = run.done.iter().filter(|done| done.censored).count();
    assert_eq!(censored as u64, run.ended.phases[0].censored);
    assert!(censored == 4, "{censored}");
    assert_eq!(run.done.len() as u64, run.ended.phases[0].sent);
}

#[test]
fn a_run_can_be_interrupted_at_any_time() {
    let server = server("--ttft-ms 10000");
    let begin = std::time::Instant::now();
    let run = run_with(settings(&server), vec![closed(3, 10), closed(3, 10)], 1, |control| {
        std::thread::sleep(Duration::from_millis(200));
        control.ask(Command::Cancel);
    });
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(run.ended.cancelled && run.ended.phases.len() == 1 && run.done.len() == 3);
    assert!(run.done.iter().all(|done| done.censored && done.cancelled));
}

#[test]
fn requests_are_given_up_when_they_should_be() {
    let server = server("--ttft-ms 100");
    let plan = PhasePlan { cancel: Some(Cancel { percent: 50.0, delay: 20 * MS }), ..closed(4, 40) };
    let given_up = run(settings(&server), vec![plan], 1);
    let cancelled = given_up.done.iter().filter(|done| done.cancelled).count();
    assert!((8..=32).contains(&cancelled) && given_up.good() == 40 - cancelled, "{cancelled}");
    assert_eq!(given_up.classes(), HashSet::from(["RequestCancellationError".to_owned()]));
    let late = run(Settings { timeout: 30 * MS, ..settings(&server) }, vec![closed(2, 4)], 1);
    assert_eq!((late.good(), late.classes()), (0, HashSet::from(["TimeoutError".to_owned()])));
}

#[test]
fn levels_change_while_it_runs() {
    let server = server("--ttft-ms 20");
    let stop = Stop { duration: Some(2 * SECOND), ..Stop::default() };
    let plan = PhasePlan { concurrency: Some(1), stop, ..PhasePlan::new("profiling", Load::Closed) };
    run_with(settings(&server), vec![plan], 1, |control| {
        std::thread::sleep(Duration::from_millis(300));
        control.ask(Command::Concurrency(6));
        std::thread::sleep(Duration::from_millis(300));
        control.ask(Command::Concurrency(2));
        std::thread::sleep(Duration::from_millis(300));
        control.ask(Command::Finish);
    });
    assert_eq!(truth(&server)["in_flight"]["max"], 6);
}

/// Each fault has its class, none keeps another request from its answer, and none makes it hang.
#[test]
fn each_fault_has_its_class_and_harms_no_other_request() {
    const GOOD: &str = "good";
    for (fault, want) in [
        ("status-503", "Service Unavailable"),
        ("status-429", "Too Many Requests"),
        ("redirect-302", "Found"),
        ("redirect-307", GOOD),
        ("redirect-308", GOOD),
        ("reset-before-headers", "ClientOSError"),
        ("reset-mid-stream", "ClientPayloadError"),
        ("close-before-headers", "ServerDisconnectedError"),
        ("close-mid-stream", "ClientPayloadError"),
        ("truncated", GOOD),
        ("error-before-content", "SSEResponseError"),
        ("error-after-content", "SSEResponseError"),
        ("undecodable-json", GOOD),
        ("empty-answer", "InvalidInferenceResultError"),
        ("one-byte-writes", GOOD),
        ("one-byte-chunks", GOOD),
        ("big-chunks", GOOD),
        ("wrong-content-type", GOOD),
        ("no-content-type", GOOD),
        ("crlf", GOOD),
        ("cr", GOOD),
        ("mixed-line-ends", GOOD),
        ("bom", GOOD),
        ("comments", GOOD),
        ("multi-line-data", GOOD),
        ("split-unicode", GOOD),
        ("gzip", GOOD),
        ("deflate", GOOD),
        ("unknown-coding", "ContentEncodingError"),
        ("continue-first", GOOD),
        ("early-hints", GOOD),
        ("early-answer", GOOD),
        ("http10", GOOD),
        ("connection-close", GOOD),
        ("close-after-answer", GOOD),
        ("trailers", GOOD),
        ("chunk-extensions", GOOD),
        ("hang", "TimeoutError"),
        ("hang-mid-stream", "TimeoutError"),
        ("usage-huge", GOOD),
    ] {
        let server = server(&format!("--ttft-ms 1 --fault {fault}:0.5 --seed 3"));
        let settings = Settings { timeout: 1_500 * MS, reuse: Reuse::Pooled, ..settings(&server) };
        let run = run(settings, vec![closed(4, 16)], 1);
        assert_eq!(run.done.len(), 16, "{fault}");
        if want == GOOD {
            assert_eq!((run.good(), run.classes()), (16, HashSet::new()), "{fault}");
        } else {
            assert_eq!(run.classes(), HashSet::from([want.to_owned()]), "{fault}");
            // A request that was not answered on a connection that had served before was sent once more, and that one may do well.
            assert!((1..16).contains(&run.good()), "{fault}: {}", run.good());
        }
        let again = run.done.iter().filter(|done| done.reconnected).count();
        let may = matches!(fault, "reset-before-headers" | "close-before-headers" | "close-after-answer");
        assert!(may || again == 0, "{fault}: {again} were sent again");
    }
}

/// Perf contract 8.23: what dies on an idle connection is sent once more, on a fresh one, and its clock goes on.
#[test]
fn what_an_idle_connection_swallowed_is_sent_again_once() {
    let server = server("--ttft-ms 20 --idle-timeout-s 0.05");
    let stop = Stop { requests: Some(6), ..Stop::default() };
    let load = Load::Open { rate: Rate::constant(8.0).unwrap(), pattern: Pattern::Constant };
    let run = run(settings(&server), vec![PhasePlan { stop, ..PhasePlan::new("profiling", load) }], 1);
    assert_eq!((run.done.len(), run.good()), (6, 6));
}
