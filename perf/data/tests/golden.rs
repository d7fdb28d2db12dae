//! The peer's own payloads, as its runs recorded them: the same conversations give the same bytes.
//!
//! Runs are those of this repository, or of the folder that `DORMOUSE_GOLDEN` names; where one has an `inputs.json`, that is
//! compared as well.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::PathBuf;

use dormouse_perf_data::json::{Members, compact};
use dormouse_perf_data::{Answer, Conversation, EndpointType, ExtraInputs, Payloads, Turn};
use serde_json::Value;

fn runs() -> Vec<PathBuf> {
    let folder = std::env::var("DORMOUSE_GOLDEN")
        .map_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/perf").into(), PathBuf::from);
    let mut runs: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    runs.sort();
    runs
}

/// The conversation and the answers that a payload was made of, and how it was made.
fn unmade(payload: &str) -> (Payloads, Conversation, Vec<Option<Answer>>) {
    let value: Value = serde_json::from_str(payload).unwrap();
    let endpoint = match () {
        () if value.get("messages").is_some() => EndpointType::Chat,
        () if value.get("prompt").is_some() => EndpointType::Completions,
        () => EndpointType::Embeddings,
    };
    let model = value["model"].as_str().unwrap().to_owned();
    let mut payloads = Payloads::new(endpoint, vec![model], ExtraInputs::default()).unwrap();
    payloads.streaming = value["stream"].as_bool().unwrap_or(false);
    let max_tokens = value.get("max_completion_tokens").or_else(|| value.get("max_tokens")).and_then(Value::as_u64);
    let (mut turns, mut answers) = (Vec::new(), Vec::new());
    let mut say = |text: &str| turns.push(Turn { max_tokens, ..Turn::saying(text) });
    match endpoint {
        EndpointType::Chat => {
            for message in value["messages"].as_array().unwrap() {
                let text = message["content"].as_str().unwrap();
                if message["role"] == "user" {
                    say(text);
                    answers.push(None);
                } else {
                    *answers.last_mut().unwrap() = Some(Answer { text: text.to_owned(), ..Answer::default() });
                }
            }
        }
        EndpointType::Completions => say(value["prompt"].as_str().unwrap()),
        _ => say(value["input"][0].as_str().unwrap()),
    }
    (payloads, Conversation { id: "s".to_owned(), turns, ..Conversation::default() }, answers)
}

fn again(payload: &str) -> String {
    let (payloads, conversation, answers) = unmade(payload);
    let prepared = payloads.prepare(&conversation).unwrap();
    let mut out = Vec::new();
    prepared.body(conversation.turns.len() - 1, &answers, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn payloads_are_those_of_the_peer() {
    let mut compared = 0;
    for run in runs() {
        let Ok(lines) = fs::read_to_string(run.join("profile_export_raw.jsonl")) else { continue };
        for line in lines.lines() {
            let record = Members::parse(line).unwrap();
            let payload = record.get("payload").unwrap();
            assert_eq!(again(payload), payload, "{}", run.display());
            compared += 1;
        }
    }
    assert!(compared >= 200, "{compared}");
}

#[test]
fn inputs_are_those_of_the_peer() {
    for run in runs() {
        let Ok(text) = fs::read_to_string(run.join("inputs.json")) else { continue };
        let file: Value = serde_json::from_str(&text).unwrap();
        // The order of members is lost in a tree: they are found again in the text of the file.
        let text = compact(&text).unwrap();
        for session in file["data"].as_array().unwrap() {
            for payload in session["payloads"].as_array().unwrap() {
                let said = again(&payload.to_string());
                assert!(text.contains(&said), "{}: {said}", run.display());
            }
        }
    }
}
