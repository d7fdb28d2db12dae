//! Each type of endpoint, streamed and whole.

use crate::kit::machine::{beside, cases};
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

/// A file of one pixel of this shade.
fn picture(black: bool) -> Vec<u8> {
    let head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\nIDAT\x78\x9c\x63";
    let shade: &[u8] = if black { b"\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71" } else { b"\xf8\x0f\0\x01\x01\x01\0\xb1\x38\xf6\x14" };
    [&head[..], shade, b"\0\0\0\0IEND\xae\x42\x60\x82"].concat()
}

#[test]
fn pictures_of_a_folder_go_to_weighted_models() {
    let _beside = beside();
    let server = Mock::start("");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), picture(true)).unwrap();
    std::fs::write(folder.path().join("b.PNG"), picture(false)).unwrap();
    let tokenizer = cases().join("tokenizer").display().to_string();
    let run = Profile::bare();
    let text = format!(
        "benchmark:\n  models: {{strategy: weighted, items: [{{name: a, weight: 0}}, {{name: b, weight: 3}}]}}\n  \
         endpoint: {{url: \"{}\"}}\n  tokenizer: {{name: {tokenizer}}}\n  \
         dataset: {{prompts: {{isl: 8}}, images: {{source: {}, sourceSampling: sequential-cycle, format: jpeg, width: 9, height: 6}}}}\n",
        server.url,
        folder.path().display(),
    );
    let config = run.file("run.yaml", &text);
    let run = run.with("--request-count 4 --no-gpu-telemetry --no-server-metrics --config").arg(config).run().measured();
    assert_eq!(server.count("answered"), 4);
    let sent = run.json("inputs.json");
    let each: Vec<_> = sent["data"].as_array().unwrap().iter().map(|session| &session["payloads"][0]).collect();
    assert!(each.len() == 4 && each.iter().all(|payload| payload["model"] == "b"), "{each:#?}");
    let images: Vec<_> = each.iter().map(|payload| payload["messages"][0]["content"][1]["image_url"]["url"].as_str().unwrap()).collect();
    assert!(images.iter().all(|image| image.starts_with("data:image/jpeg;base64,/9j/")), "{images:?}");
    assert_eq!(images[..2], images[2..]);
    assert_ne!(images[0], images[1]);
}
