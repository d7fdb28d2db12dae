//! What cannot be meant, or cannot be done: said at once, by name, with the documented exit code.

use std::net::TcpListener;
use std::time::Duration;

use crate::kit::machine::{alone, beside, each, skipped, works};
use crate::kit::{Mock, Profile};

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn usage_is_refused_by_name_before_anything_is_sent() {
    let _beside = beside();
    let server = Mock::start("");
    let table: &[(&str, &[&str])] = &[
        ("--concurency 4", &["--concurency", "--concurrency"]),
        ("--otel-url http://x", &["--otel-url", "not built"]),
        ("--isl 1 --isl 2", &["--isl"]),
        ("--concurrency 0", &["concurrency"]),
        ("--concurrency none", &["--concurrency"]),
        ("--request-rate=-1", &["rate"]),
        ("--request-rate 5 --user-centric-rate 5 --num-users 2", &["--request-rate", "--user-centric-rate"]),
        ("--num-users 2", &["--user-centric-rate"]),
        ("--streaming --concurrency 2 --prefill-concurrency 4", &["prefill"]),
        ("--concurrency 2 --prefill-concurrency 1", &["prefill", "streaming"]),
        ("--benchmark-grace-period 5", &["--benchmark-duration"]),
        ("--request-cancellation-delay 1", &["--request-cancellation-rate"]),
        ("--arrival-pattern sometimes --request-rate 5", &["sometimes"]),
        ("--fixed-schedule --no-fixed-schedule", &["--fixed-schedule", "--no-fixed-schedule"]),
        ("--fixed-schedule", &["schedule"]),
        ("--endpoint-type soap", &["soap"]),
        ("--goodput nonsense:5", &["nonsense"]),
        ("--search concurrency:1..8", &["--slo"]),
        ("--slo ttft:p95<50ms --search concurrency:8..1", &["concurrency:8..1"]),
        ("--system-prompt a --shared-system-prompt-length 5", &["--system-prompt", "--shared-system-prompt-length"]),
        ("--custom-endpoint v1/other", &["v1/other"]),
        ("--config /no/such/file.yaml", &["/no/such/file.yaml"]),
        ("--ui loud", &["loud"]),
        ("--image-source /no/such/folder", &["--image-source", "/no/such/folder"]),
        ("--image-source assets", &["assets", "folder"]),
        ("--image-width-mean 9 --image-height-mean 9 --image-source-sampling shuffle-cycle", &["--image-source-sampling", "noise"]),
        ("--model-selection-strategy weighted", &["weighted", "weight", "configuration file"]),
    ];
    let wrong = each(table, |(options, words)| {
        let run = Profile::of(&server.url).with(options).run();
        let missing: Vec<_> = words.iter().filter(|word| !run.err.contains(**word)).collect();
        let good = run.code == Some(2) && missing.is_empty() && !run.dir.exists() && run.err.lines().count() <= 12;
        let said = format!("{options}: exit {:?}, {missing:?} not said, folder {}: {}", run.code, run.dir.exists(), run.err);
        (!good).then_some(said)
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(server.count("arrived"), 0);
}

#[test]
fn nobody_there_is_known_within_a_second() {
    let _alone = alone();
    let url = nobody();
    let run = Profile::of(&url).first().with("--concurrency 2 --request-count 5").run();
    let run = run.ended(3, &[url.trim_start_matches("http://"), "nothing was sent", "--url"]);
    assert!(run.seconds < 1.0, "{} s", run.seconds);
    assert!(!run.dir.exists(), "a folder for nothing");
    Profile::of("http://no-such-host.invalid:1").with("--request-count 1").run().ended(3, &["no-such-host.invalid"]);
}

#[test]
fn a_server_that_says_nothing_is_no_server() {
    let _beside = beside();
    // It listens, and its queue is taken in by the system: a connection stands, and no answer comes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let run = Profile::of(&url).with("--concurrency 2 --request-count 2 --request-timeout-seconds 0.5").run();
    let run = run.ended(1, &["no request succeeded", "TimeoutError"]);
    assert!(run.seconds < 5.0, "{} s", run.seconds);
    crate::kit::kept_whole(&run.dir);
}

#[test]
fn a_model_that_is_not_there_is_said_with_the_servers_words() {
    let _beside = beside();
    let server = Mock::start("--models other");
    let run = Profile::of(&server.url).with("--endpoint-type chat --streaming --concurrency 2 --request-count 6").run();
    let run = run.ended(1, &["no request succeeded", "404"]);
    assert_eq!((server.count("refused"), run.records("profiling").len()), (6, 6));
    assert!(run.records("profiling").iter().all(|record| record["error"]["code"] == 404));
    assert_eq!(run.figure("error_request_count", "avg"), 6.0);
    crate::kit::kept_whole(&run.dir);
}

#[test]
fn a_tokenizer_that_is_not_there_is_asked_for() {
    let _beside = beside();
    let server = Mock::start("");
    let line = format!("-m my-org/my-model --url {} --ui none --isl 20 --osl 2 --request-count 2", server.url);
    Profile::bare().with(&line).run().ended(2, &["my-org/my-model", "--tokenizer"]);
    Profile::bare().with(&line).with("--tokenizer /no/such/folder").run().ended(2, &["/no/such/folder", "tokenizer.json"]);
    assert_eq!(server.count("arrived"), 0);
}

#[test]
fn a_broken_line_is_named_by_its_number() {
    let _beside = beside();
    let server = Mock::start("");
    let profile = Profile::plain(&server.url);
    let lines = profile.file("prompts.jsonl", "{\"text\": \"one\"}\n\n{\"text\": \"two\"\n{\"text\": \"three\"}\n");
    let profile = profile.with("--custom-dataset-type single_turn --input-file").arg(&lines);
    let run = profile.run().ended(2, &["prompts.jsonl"]);
    assert!(run.err.contains("line 3") || run.err.contains("prompts.jsonl:3"), "{}", run.err);
    Profile::plain(&server.url).with("--input-file /no/such/file.jsonl").run().ended(2, &["/no/such/file.jsonl"]);
    assert_eq!(server.count("arrived"), 0);
}

#[test]
fn a_folder_is_written_by_one_run_at_a_time() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 50");
    let first = Profile::of(&server.url).with("--endpoint-type chat --streaming --concurrency 2 --benchmark-duration 2 --osl 2").start();
    let dir = first.dir.clone();
    while !dir.join("profile_export.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = Profile::of(&server.url).with("--concurrency 2 --request-count 2").into(&dir).run();
    second.ended(2, &[&dir.display().to_string(), "another run", "--artifact-dir"]);
    let first = first.wait().measured();
    assert_eq!(i64::try_from(first.records("profiling").len()).unwrap(), server.count("answered"));
    // And behind it the folder is free.
    Profile::of(&server.url).with("--endpoint-type chat --concurrency 2 --request-count 4 --osl 2").into(&dir).run().measured();
}

#[test]
fn ports_that_cannot_suffice_are_counted_before() {
    let _beside = beside();
    let script = "ip link set lo up && echo '40000 40099' > /proc/sys/net/ipv4/ip_local_port_range && exec \"$@\"";
    let few = ["unshare", "-n", "sh", "-c", script, "sh"];
    if !works(&[&few[..], &["true"]].concat()) {
        skipped("too few ports", "no network of our own can be made here");
        return;
    }
    // Nobody listens in there: what is seen before the load does not need it.
    for options in ["--concurrency 200", "--concurrency 4 --connection-reuse-strategy never --request-count 500"] {
        let server = ["python3", "-c", SERVE, env!("CARGO_BIN_EXE_dormouse")];
        if !works(&["python3", "--version"]) {
            skipped("too few ports", "there is no python3");
            return;
        }
        let words = [&few[..], &server[..]].concat();
        let run = Profile::of("http://127.0.0.1:39999").under(&words).with(options).run();
        run.ended(2, &["ports", "ip_local_port_range"]);
    }
}

/// Listens where the command will look, and becomes the command.
const SERVE: &str = "import os, socket, sys\ns = socket.socket()\ns.bind(('127.0.0.1', 39999))\ns.listen(64)\nos.set_inheritable(s.fileno(), True)\nos.execv(sys.argv[1], sys.argv[1:2] + sys.argv[3:])";

#[test]
fn open_files_that_cannot_suffice_are_counted_before() {
    let _beside = beside();
    let server = Mock::start("");
    let few = ["sh", "-c", "ulimit -n 100; exec \"$@\"", "sh"];
    let run = Profile::of(&server.url).under(&few).with("--concurrency 200").run();
    run.ended(2, &["200", "100", "ulimit -n"]);
    assert_eq!(server.count("arrived"), 0);
}

#[test]
fn limits_of_failures_are_kept() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 20 --error-rate 0.4 --seed 2");
    let load = "--endpoint-type chat --streaming --concurrency 4 --request-count 60 --osl 2";
    Profile::of(&server.url).with(load).with("--max-error-rate 10").run().ended(4, &["of the requests failed", "10 %"]);
    Profile::of(&server.url).with(load).with("--fail-on-error-rate 90").run().measured();
    let load = "--endpoint-type chat --streaming --concurrency 4 --request-count 600 --osl 2 --failed-request-threshold 0.2";
    server.reset();
    let run = Profile::of(&server.url).with(load).run().ended(1, &["--failed-request-threshold"]);
    assert!(server.count("arrived") < 300, "it went on: {}", server.count("arrived"));
    crate::kit::kept_whole(&run.dir);
    Profile::of(&server.url)
        .with("--endpoint-type chat --request-count 5 --osl 2")
        .with("--slo error_rate<0.01%")
        .run()
        .ended(4, &["the objective"]);
}
