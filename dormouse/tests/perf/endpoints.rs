//! Each type of endpoint, streamed and whole.

use crate::kit::machine::beside;
use crate::kit::{Mock, Profile};

const MS: i64 = 1_000_000;

fn measured(kind: &str, streaming: bool) {
    let server = Mock::start("--ttft-ms 60 --itl-ms 4 --output-tokens 11");
    let options = format!("--endpoint-type {kind} --concurrency 3 --request-count 12 --osl 11 --use-server-token-count");
    let run = Profile::of(&server.url).with(&options).with(if streaming { "--streaming" } else { "" }).run().measured();
    let rows = server.rows();
    assert_eq!((rows.len(), server.count("refused")), (12, 0), "{kind}");
    assert!(rows.iter().all(|row| row.status == 200 && !row.disconnected), "{kind}");
    let records = run.records("profiling");
    assert!(records.len() == 12 && records.iter().all(|record| record.get("error").is_none_or(serde_json::Value::is_null)), "{kind}");
    let summary = run.summary();
    assert_eq!(summary["request_count"]["avg"], 12.0, "{kind}");
    // The summary's mean is the server's, and what a network on one machine takes.
    let near = |tag: &str, within: i64, truth: &dyn Fn(&crate::kit::Row) -> i64| {
        let truth = rows.iter().map(truth).sum::<i64>() / 12;
        #[allow(clippy::cast_possible_truncation, reason = "nanoseconds")]
        let said = (summary[tag]["avg"].as_f64().unwrap_or_else(|| panic!("{kind} has no {tag}")) * 1e6) as i64;
        assert!((-MS..within).contains(&(said - truth)), "{kind}: {tag} is {said} ns, and {truth} at the server");
    };
    near("request_latency", 20 * MS, &|row| row.last.unwrap());
    let tokens = kind != "embeddings";
    if streaming && tokens {
        near("time_to_first_token", 20 * MS, &|row| row.first.unwrap());
        near("inter_token_latency", 3 * MS, &|row| (row.last.unwrap() - row.first.unwrap()) / 10);
    } else {
        assert!(summary.get("time_to_first_token").is_none(), "{kind} is not streamed and has a first token");
    }
    if tokens {
        assert_eq!(summary["output_sequence_length"]["avg"], 11.0, "{kind}");
        assert!(rows.iter().all(|row| row.tokens == 11));
    }
}

#[test]
fn chat() {
    let _beside = beside();
    measured("chat", true);
    measured("chat", false);
}

#[test]
fn completions() {
    let _beside = beside();
    measured("completions", true);
    measured("completions", false);
}

#[test]
fn responses() {
    let _beside = beside();
    measured("responses", true);
    measured("responses", false);
}

#[test]
fn messages() {
    let _beside = beside();
    measured("messages", true);
    measured("messages", false);
}

#[test]
fn embeddings() {
    let _beside = beside();
    measured("embeddings", true);
    measured("embeddings", false);
}

#[test]
fn a_placeholder_is_counted_with_the_vocabulary_that_is_built_in() {
    let server = Mock::start("--output-tokens 7");
    let profile = Profile::bare().with(&format!("-m mock-model --url {}", server.url));
    let run = profile.with("--streaming --request-count 3 --isl 50 --osl 7 --ui none").run().measured();
    let summary = run.summary();
    assert_eq!(
        (summary["input_sequence_length"]["avg"].as_f64(), summary["output_sequence_length"]["avg"].as_f64()),
        (Some(50.0), Some(7.0))
    );
}
