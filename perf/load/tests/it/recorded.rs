//! What the peer recorded, read again: the same stamps count, the same counts are told, the same requests failed.
//!
//! `profile_export_raw.jsonl` has each event with the stamp at which it came, `profile_export.jsonl` what the peer made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dormouse_perf_load::answer::{Count, Endpoint};
use dormouse_perf_load::exchange::{Answered, Ask, Exchange, Limits, Outcome};
use serde_json::Value;

/// The recorded runs, if there are any.
fn runs() -> Vec<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let folders = std::env::var_os("DORMOUSE_GOLDEN").map(PathBuf::from).into_iter().chain([ours]);
    let found = folders.map(|folder| {
        let entries = std::fs::read_dir(folder.join("perf")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut runs: Vec<_> = entries.filter(|run| run.join("profile_export_raw.jsonl").exists()).collect();
        runs.sort();
        runs
    });
    found.into_iter().find(|runs| !runs.is_empty()).unwrap_or_default()
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The answer as it came, event by event.
fn replay(raw: &Value, endpoint: Endpoint) -> Answered {
    let responses = raw["responses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let streaming = responses.iter().any(|response| response.get("packets").is_some());
    let mut exchange = Exchange::new(Ask { endpoint, streaming }, Limits::default());
    let status = raw["status"].as_u64().unwrap_or(200);
    let media_type = if streaming { "text/event-stream" } else { "application/json" };
    exchange.read(0, format!("HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\n\r\n").as_bytes());
    let mut last = 0;
    for response in responses {
        last = response["perf_ns"].as_u64().unwrap();
        let mut bytes = String::new();
        match response["packets"].as_array() {
            Some(packets) => {
                packets.iter().for_each(|p| bytes += &format!("{}: {}\n", p["name"].as_str().unwrap(), p["value"].as_str().unwrap()));
                bytes += "\n";
            }
            None => bytes += response["text"].as_str().unwrap(),
        }
        exchange.read(last, bytes.as_bytes());
    }
    exchange.end(last);
    exchange.take()
}

#[test]
fn recorded_answers_are_read_as_the_peer_read_them() {
    let runs = runs();
    if runs.is_empty() {
        println!("SKIPPED: there are no recordings of the peer, and DORMOUSE_GOLDEN names none");
        return;
    }
    let mut compared = BTreeMap::<&str, usize>::new();
    for run in runs {
        let raw = lines(&run.join("profile_export_raw.jsonl"));
        let records: BTreeMap<String, Value> =
            lines(&run.join("profile_export.jsonl")).into_iter().map(|r| (r["metadata"]["x_request_id"].to_string(), r)).collect();
        for raw in raw {
            let record = &records[&raw["metadata"]["x_request_id"].to_string()];
            let endpoint = if raw["payload"].get("prompt").is_some() { Endpoint::Completions } else { Endpoint::Chat };
            let answered = replay(&raw, endpoint);
            let place = format!("{} of {}", raw["metadata"]["x_request_id"], run.display());
            if !record["error"].is_null() {
                // Errors of status and cancelled requests have no events: what was told of them is the driver's.
                assert_ne!(answered.outcome, Outcome::Success, "{place}");
                *compared.entry("errors").or_default() += 1;
                continue;
            }
            assert_eq!(answered.outcome, Outcome::Success, "{place}");
            let start = raw["start_perf_ns"].as_u64().unwrap();
            // Milliseconds of the peer are nanoseconds times 1e-6.
            #[allow(clippy::cast_precision_loss, reason = "requests are short")]
            let since = |from: u64, to: u64| (to - from) as f64 * 1e-6;
            let metric = |name: &str| record["metrics"].get(name).map(|metric| &metric["value"]);
            let times: Vec<u64> = answered.pieces.iter().map(|piece| piece.at()).collect();
            let streamed = answered.streamed;
            let first_output = answered.pieces.iter().find(|piece| piece.kind().is_output()).map(|piece| piece.at());
            for (name, ours) in [
                ("request_latency", times.last().map(|last| since(start, *last))),
                ("time_to_first_token", times.first().filter(|_| streamed).map(|first| since(start, *first))),
                ("time_to_second_token", times.get(1).map(|second| since(times[0], *second))),
                ("time_to_first_output_token", first_output.filter(|_| streamed).map(|first| since(start, first))),
            ] {
                let Some(theirs) = metric(name) else {
                    assert!(ours.is_none() || name == "time_to_first_output_token", "{name} in {place}");
                    continue;
                };
                let (ours, theirs) = (ours.unwrap(), theirs.as_f64().unwrap());
                assert!((ours - theirs).abs() <= f64::EPSILON * theirs * 4.0, "{name}: {ours}, not {theirs}, in {place}");
                *compared.entry(name).or_default() += 1;
            }
            if let Some(gaps) = metric("inter_chunk_latency") {
                let ours: Vec<f64> = times.windows(2).map(|pair| since(pair[0], pair[1])).collect();
                let theirs: Vec<f64> = gaps.as_array().unwrap().iter().map(|gap| gap.as_f64().unwrap()).collect();
                assert_eq!(ours.len(), theirs.len(), "{place}");
                assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-9), "{ours:?}, not {theirs:?}, in {place}");
                *compared.entry("inter_chunk_latency").or_default() += 1;
            }
            let usage = answered.usage.unwrap_or_default();
            for (name, ours) in [
                ("usage_prompt_tokens", usage.prompt),
                ("usage_completion_tokens", usage.completion),
                ("usage_total_tokens", usage.total),
                ("usage_reasoning_tokens", usage.reasoning),
                ("usage_prompt_cache_read_tokens", usage.cache_read),
            ] {
                let theirs = metric(name).and_then(Value::as_u64);
                assert_eq!(ours.map(Count::get), theirs, "{name} in {place}");
                *compared.entry(name).or_default() += usize::from(theirs.is_some());
            }
        }
    }
    println!("compared: {compared:?}");
    assert!(compared.values().sum::<usize>() > 0);
}
