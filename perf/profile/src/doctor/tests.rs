use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;

use clap::Parser;
use dormouse_perf_mock::{MockServerArgs, Server};
use dormouse_perf_report::json::Json;

use super::*;

const TOKENIZER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/tokenizer");

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: DoctorArgs,
}

#[derive(Debug, Parser)]
struct MockLine {
    #[command(flatten)]
    args: MockServerArgs,
}

fn mock(words: &str) -> Server {
    let words = ["mock", "--port", "0"].into_iter().chain(words.split_whitespace());
    Server::start(&MockLine::parse_from(words).args).unwrap()
}

fn doctor(address: SocketAddr, words: &str) -> Report {
    doctor_of(&format!("--url http://{address} --tokenizer {TOKENIZER} --isl 20 {words}"))
}

fn doctor_of(words: &str) -> Report {
    examine(&Line::parse_from(std::iter::once("doctor").chain(words.split_whitespace())).args)
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    let found = report.checks.iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("no check is called {name}:\n{}", report.table()))
}

fn state(report: &Report, name: &str) -> State {
    check(report, name).state
}

#[test]
fn the_table_of_options_is_consistent() {
    use clap::CommandFactory as _;
    Line::command().debug_assert();
}

#[test]
fn a_good_server_is_good() {
    let server = mock("--ttft-ms 2 --itl-ms 1");
    let report = doctor(server.address(), "-m mock-model --streaming --osl 8 --extra-inputs ignore_eos:true top_p:0.5 --concurrency 4");
    let table = report.table();
    assert_eq!(report.code(), 0, "{table}");
    for name in [
        "configuration",
        "tokenizer",
        "data set",
        "address",
        "models",
        "health",
        "metrics",
        "request",
        "content",
        "end",
        "usage",
        "limit",
        "smallest body",
        "field max_completion_tokens",
        "field ignore_eos",
        "field top_p",
        "field stream_options",
        "open files",
    ] {
        assert_eq!(state(&report, name), State::Ok, "{name}:\n{table}");
    }
    assert!(check(&report, "usage").seen.contains("include_usage is kept to"), "{table}");
    assert!(check(&report, "end").seen.contains("[DONE]"), "{table}");
    assert!(check(&report, "limit").seen.contains("8 tokens of at most 8"), "{table}");
    // The request, the smallest body with its limit, three fields.
    assert_eq!(report.posted, 5, "{table}");
    let json = report.json();
    assert_eq!(json.get("exit_code").and_then(Json::as_f64), Some(0.0));
    assert!(matches!(json.get("checks"), Some(Json::Array(checks)) if checks.len() == report.checks.len()));
}

#[test]
fn nothing_is_posted_where_that_is_asked() {
    let server = mock("");
    let report = doctor(server.address(), "-m mock-model --no-requests");
    assert_eq!((report.code(), report.posted), (0, 0), "{}", report.table());
    assert_eq!((state(&report, "request"), state(&report, "fields")), (State::Skipped, State::Skipped));
    let stats: Json = serde_json::from_slice(&server.stats(0)).unwrap();
    assert!(!serde_json::to_string(&stats).unwrap().contains("\"requests\":1"));
}

#[test]
fn a_model_that_is_not_there() {
    let server = mock("--models others");
    let report = doctor(server.address(), "-m mine --streaming");
    let table = report.table();
    assert_eq!(report.code(), 1, "{table}");
    assert_eq!(
        (state(&report, "models"), state(&report, "request"), state(&report, "fields")),
        (State::Warning, State::Failed, State::Skipped)
    );
    assert!(check(&report, "models").advice.as_deref().is_some_and(|advice| advice.contains("--model others")), "{table}");
    assert!(check(&report, "request").seen.starts_with("404"), "{table}");
}

#[test]
fn a_server_that_is_not_there() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = doctor(nobody, "-m m");
    assert_eq!((report.code(), state(&report, "address"), report.posted), (3, State::Failed, 0), "{}", report.table());
    assert_eq!(state(&report, "tokenizer"), State::Ok);
    let report = doctor_of(&format!("--url http://no-such-host.invalid:1 -m m --tokenizer {TOKENIZER}"));
    assert_eq!((report.code(), state(&report, "address")), (3, State::Failed), "{}", report.table());
}

#[test]
fn what_cannot_be_followed_is_said_and_the_rest_looked_at() {
    let server = mock("");
    let report = doctor(server.address(), "-m m --request-rate 0 --slo nonsense");
    let table = report.table();
    assert_eq!((report.code(), state(&report, "configuration"), state(&report, "address")), (2, State::Failed, State::Ok), "{table}");
    assert!(check(&report, "configuration").seen.contains("nonsense") && check(&report, "configuration").seen.contains("rate"), "{table}");
    let report = doctor_of(&format!("--url http://{} -m m --tokenizer /nowhere", server.address()));
    assert_eq!((report.code(), state(&report, "tokenizer")), (2, State::Failed), "{}", report.table());
    // The fields are looked at with a short text.
    assert_eq!(state(&report, "smallest body"), State::Ok, "{}", report.table());
    let report = doctor_of("-m m --config /nowhere.yaml");
    assert_eq!((report.code(), state(&report, "configuration")), (2, State::Failed));
}

#[test]
fn a_server_that_fails_by_itself() {
    let server = mock("--fault status-503");
    let report = doctor(server.address(), "-m mock-model");
    assert_eq!(
        (report.code(), state(&report, "request"), state(&report, "fields")),
        (1, State::Failed, State::Skipped),
        "{}",
        report.table()
    );
    let server = mock("--fault truncated --usage none");
    let report = doctor(server.address(), "-m mock-model --streaming");
    assert_eq!((report.code(), state(&report, "end"), state(&report, "usage")), (0, State::Warning, State::Warning), "{}", report.table());
}

/// Answers 400 to a body that `refuses` names, else with a whole answer.
fn picky(refuses: fn(&serde_json::Value) -> Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |mut socket: TcpStream| {
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        let body = loop {
            let n = socket.read(&mut buffer).ok().filter(|n| *n > 0)?;
            got.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&got).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                break if head.starts_with("POST") { body.to_owned() } else { String::new() };
            }
        };
        let (status, answer) = match serde_json::from_str(&body) {
            Err(_) => ("404 Not Found", "{\"error\":{\"message\":\"no\"}}".to_owned()),
            Ok(json) => match refuses(&json) {
                Some(why) => ("400 Bad Request", format!("{{\"error\":{{\"message\":\"{why}\",\"code\":400}}}}")),
                None => {
                    let usage = "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}";
                    let choices =
                        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"yes\"},\"finish_reason\":\"stop\"}]";
                    ("200 OK", format!("{{{choices},{usage}}}"))
                }
            },
        };
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
        socket.write_all((head + &answer).as_bytes()).ok()
    };
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let _ = serve(socket);
        }
    });
    address
}

#[test]
fn a_field_that_is_refused_is_found_with_what_to_pass_instead() {
    let address = picky(|body| {
        if body.get("max_completion_tokens").is_some() {
            return Some("max_completion_tokens is not known");
        }
        body.get("ignore_eos").map(|_| "Unsupported parameter(s): ignore_eos")
    });
    let report = doctor(address, "-m m --osl 5 --extra-inputs ignore_eos:true temperature:0.5");
    let table = report.table();
    assert_eq!(report.code(), 1, "{table}");
    assert_eq!(state(&report, "models"), State::Skipped, "{table}");
    let failed = ["request", "field max_completion_tokens", "field ignore_eos"];
    assert!(report.checks.iter().filter(|c| c.state == State::Failed).map(|c| c.name.as_str()).eq(failed), "{table}");
    assert_eq!(state(&report, "field temperature"), State::Ok, "{table}");
    let advice = |name: &str| check(&report, name).advice.clone().unwrap_or_default();
    assert!(advice("field max_completion_tokens").contains("--use-legacy-max-tokens"), "{table}");
    assert!(check(&report, "field ignore_eos").seen.contains("Unsupported parameter(s)"), "{table}");
    assert!(advice("field ignore_eos").contains(r#"{"nvext":{"ignore_eos":true}}"#), "{table}");
    assert!(report.posted <= 8, "{table}");
}

#[test]
fn a_stream_that_is_refused_is_found() {
    let address = picky(|body| body.get("stream").filter(|stream| **stream == true).map(|_| "no streams"));
    let report = doctor(address, "-m m --streaming");
    assert!(check(&report, "smallest body").advice.as_deref().is_some_and(|a| a.contains("leave --streaming out")), "{}", report.table());
}

#[test]
fn no_more_than_a_few_requests_are_posted() {
    static ASKED: Mutex<u32> = Mutex::new(0);
    let address = picky(|_| {
        *ASKED.lock().unwrap() += 1;
        None
    });
    let fields: String = (0..40).map(|n| format!(" f{n}:1")).collect();
    let report = doctor(address, &format!("-m m --extra-inputs{fields}"));
    assert_eq!((*ASKED.lock().unwrap(), report.posted), (21, 21), "{}", report.table());
    assert_eq!(state(&report, "field f39"), State::Warning);
}

#[test]
fn other_endpoints_have_other_bodies() {
    let server = mock("");
    for (kind, words) in [("completions", "--osl 4"), ("embeddings", ""), ("responses", "--osl 20"), ("messages", "--streaming")] {
        let report = doctor(server.address(), &format!("-m mock-model --endpoint-type {kind} {words}"));
        assert_eq!((report.code(), state(&report, "smallest body")), (0, State::Ok), "{kind}\n{}", report.table());
    }
}
