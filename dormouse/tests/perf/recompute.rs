//! What `perf analyze` makes of the records of a run is what the run wrote, to the last bit.

use std::path::Path;

use serde_json::{Map, Value};

use crate::kit::machine::{self, beside};
use crate::kit::{Mock, Profile, Ran, dormouse};

/// The figures of a summary.
fn figures(summary: &Value) -> Map<String, Value> {
    let all = summary.as_object().unwrap().iter().filter(|(_, value)| value.get("unit").is_some());
    all.map(|(tag, value)| (tag.clone(), value.clone())).collect()
}

fn comes_out_again(run: &Ran) {
    let dir = run.dir.to_str().unwrap();
    let (code, said) = dormouse(&["analyze", dir, "--check"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("as phase_manifest.json has it"), "{said}");
    // And not only within what the peer's arithmetic would leave open.
    let (code, said) = dormouse(&["analyze", dir, "--output", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let (again, written) = (figures(&serde_json::from_str(&said).unwrap()), figures(&run.summary()));
    assert!(written.len() > 20, "{} figures", written.len());
    for (tag, value) in &written {
        assert_eq!(again.get(tag), Some(value), "{tag}");
    }
    assert_eq!(again.len(), written.len());
}

#[test]
fn of_a_plain_run() {
    let _beside = beside();
    let server = Mock::start("--ttft-dist lognormal:20,0.5 --itl-dist exp:2");
    let options = "--endpoint-type chat --streaming --concurrency 6 --request-count 120 --osl 12 --goodput time_to_first_token:24";
    comes_out_again(&Profile::of(&server.url).with(options).run().measured());
}

#[test]
fn of_a_run_with_warm_up_and_errors() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 10 --itl-ms 1 --error-rate 0.2 --fault error-after-content:0.1 --seed 3");
    let options = "--endpoint-type chat --streaming --request-rate 80 --request-count 80 --warmup-request-count 8 --osl 8";
    let run = Profile::of(&server.url).with(options).run().measured();
    assert!(run.figure("error_request_count", "avg") > 5.0);
    comes_out_again(&run);
}

#[test]
fn of_a_run_that_was_cut_and_cancelled() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 90 --itl-ms 1");
    let options = "--endpoint-type chat --streaming --concurrency 5 --benchmark-duration 0.7 --benchmark-grace-period 0 --osl 4 \
                   --request-cancellation-rate 20 --request-cancellation-delay 0.02";
    comes_out_again(&Profile::of(&server.url).with(options).run().measured());
}

#[test]
fn of_whole_answers() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 20");
    comes_out_again(
        &Profile::of(&server.url).with("--endpoint-type completions --concurrency 3 --request-count 30 --osl 8").run().measured(),
    );
}

/// Phases as a file has them.
fn document(url: &str, tokenizer: &Path) -> String {
    format!(
        "randomSeed: 7\n\
         benchmark:\n\
         \x20 model: m\n\
         \x20 tokenizer: {{name: {}}}\n\
         \x20 endpoint: {{url: \"{url}\", type: chat, streaming: true}}\n\
         \x20 dataset: {{type: synthetic, entries: 50, prompts: {{isl: 20, osl: 4}}}}\n\
         \x20 gpuTelemetry: {{enabled: false}}\n\
         \x20 serverMetrics: {{enabled: false}}\n\
         \x20 phases:\n\
         \x20   - {{name: warm, kind: warmup, type: concurrency, requests: 6, concurrency: 2}}\n\
         \x20   - {{name: few, type: concurrency, requests: 20, concurrency: 2}}\n\
         \x20   - {{name: steady, type: constant, rate: 50, requests: 25}}\n\
         \x20   - {{name: many, type: concurrency, requests: 40, concurrency: 8}}\n",
        tokenizer.display()
    )
}

#[test]
fn of_several_phases_from_a_file() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 15 --itl-ms 1");
    let profile = Profile::bare();
    let config = profile.file("load.yaml", &document(&server.url, &machine::cases().join("tokenizer")));
    let run = profile.arg("--config").arg(config).with("--ui none").run().measured();
    assert_eq!((server.count("answered"), run.figure("request_count", "avg")), (91, 85.0));
    let manifest = run.json("phase_manifest.json");
    let names: Vec<_> = manifest["phases"].as_array().unwrap().iter().map(|phase| phase["phase_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["warm", "few", "steady", "many"]);
    for (name, count) in [("warm", 6.0), ("few", 20.0), ("steady", 25.0), ("many", 40.0)] {
        let summary = run.json(&format!("phases/{name}/profile_export_aiperf.json"));
        assert_eq!(summary["request_count"]["avg"], count, "{name}");
    }
    comes_out_again(&run);
}
