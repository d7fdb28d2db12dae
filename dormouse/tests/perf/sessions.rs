//! Conversations of several turns: what is sent with each, and the pace of those who send them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kit::machine::{alone, beside};
use crate::kit::{Mock, Profile, int, text};

/// Records or raw lines by session, in the order of turns.
fn by_session(lines: Vec<Value>) -> BTreeMap<String, Vec<Value>> {
    let mut sessions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in lines {
        sessions.entry(text(&line, "/metadata/x_correlation_id").to_owned()).or_default().push(line);
    }
    sessions.values_mut().for_each(|turns| turns.sort_by_key(|turn| int(turn, "/metadata/turn_index")));
    sessions
}

#[test]
fn each_turn_has_the_whole_history() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 10 --itl-ms 1");
    let options = "--endpoint-type chat --streaming --concurrency 3 --num-conversations 6 --conversation-turn-mean 4 --osl 5 \
                   --conversation-turn-delay-mean 30 --export-level raw --export-outputs-json";
    let run = Profile::of(&server.url).with(options).run().measured();
    assert_eq!(server.count("answered"), 24);
    let outputs = run.json("outputs.json");
    let answers: BTreeMap<String, String> = outputs["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(one, "/x_request_id").to_owned(), text(one, "/response_text").to_owned()))
        .collect();
    let sessions = by_session(run.lines("profile_export_raw.jsonl"));
    assert_eq!(sessions.len(), 6);
    for turns in sessions.values() {
        assert_eq!(turns.len(), 4);
        let messages = |turn: &Value| turn["payload"]["messages"].as_array().unwrap().clone();
        for (k, turn) in turns.iter().enumerate() {
            let sent = messages(turn);
            assert_eq!(sent.len(), 2 * k + 1, "turn {k}");
            if k > 0 {
                let before = messages(&turns[k - 1]);
                assert_eq!(sent[..before.len()], before[..], "turn {k} begins otherwise than the one before");
                let said = &sent[before.len()];
                assert_eq!(said["role"], "assistant");
                assert_eq!(said["content"].as_str().unwrap(), answers[text(&turns[k - 1], "/metadata/x_request_id")]);
            }
        }
    }
    for turns in by_session(run.records("profiling")).values() {
        // The server read more each time; the client thought for 30 ms.
        for pair in turns.windows(2) {
            let read = |turn: &Value| turn["metrics"]["usage_prompt_tokens"]["value"].as_f64().unwrap();
            assert!(read(&pair[1]) > read(&pair[0]));
            let pause = int(&pair[1], "/metadata/request_start_ns") - int(&pair[0], "/metadata/request_end_ns");
            assert!((29_000_000..200_000_000).contains(&pause), "{pause} ns to think");
        }
    }
}

#[test]
fn each_user_keeps_a_pace() {
    let _alone = alone();
    let server = Mock::first("--ttft-ms 20");
    let options = "--endpoint-type chat --streaming --user-centric-rate 20 --num-users 4 --conversation-turn-mean 6 \
                   --num-conversations 40 --request-count 60 --osl 2";
    let run = Profile::of(&server.url).first().with(options).run().measured();
    assert_eq!(server.count("answered"), 60);
    // Four users at 20 a second: each sends every 200 ms.
    let mut turns = 0;
    for sent in by_session(run.records("profiling")).values() {
        for pair in sent.windows(2) {
            let gap = int(&pair[1], "/metadata/request_start_ns") - int(&pair[0], "/metadata/request_start_ns");
            assert!((190_000_000..240_000_000).contains(&gap), "a user's gap is {gap} ns");
            turns += 1;
        }
    }
    assert!(turns >= 30, "{turns} gaps");
    let rows = server.rows();
    let seconds = (rows[59].arrival - rows[0].arrival) / 1_000_000;
    // A session has a turn more than its life has gaps (perf contract 2.6): 24 a second.
    assert!((2_300..2_800).contains(&seconds), "60 requests at 24 a second took {seconds} ms");
}
