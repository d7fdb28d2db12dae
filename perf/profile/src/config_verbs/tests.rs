use std::io::Write as _;
use std::path::Path;

use clap::Parser;
use dormouse_perf_data::{FileFormat, Spec};
use dormouse_perf_report::json::Json;

use super::expand::{self, Form};
use super::validate::{self, Found};
use crate::config::model::Config;
use crate::config::{file, plan, sweep};
use crate::options::ProfileArgs;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: ProfileArgs,
}

fn of_options(words: &str) -> Json {
    let args = Line::parse_from(std::iter::once("perf").chain(words.split_whitespace())).args;
    crate::run::document(&args).unwrap()
}

fn of_file(text: &str) -> Json {
    file::parse(text, |_| None).unwrap()
}

/// All that a run is made of, as text: two documents mean the same when it is the same.
fn meaning(document: &Json) -> Vec<String> {
    let root = Config::read(document).unwrap();
    let variations = sweep::variations(document, &root).unwrap();
    let one = |variation: &sweep::Variation| {
        let config = Config::read(&variation.document).unwrap();
        let endpoint = plan::endpoint(&config).unwrap();
        let streaming = plan::streams(&config, endpoint);
        let models = plan::models(&config).unwrap();
        let spec = plan::data(&config, endpoint, config.random_seed).unwrap();
        // What is left open is the same as what is usually taken.
        let spec = Spec { entries: spec.entries.or(Some(100)), sampling: None, ..spec };
        let data = dormouse_perf_data::open(&Spec { batch: 0, ..Spec::default() }, None).unwrap();
        let mut parts = vec![variation.label.clone(), format!("{:?}", variation.dir), format!("{spec:?}")];
        parts.push(format!("{:?}", plan::phases(&config, &data, streaming).unwrap()));
        parts.push(format!("{:?}", plan::headers(&config, endpoint, streaming).unwrap()));
        parts.push(format!("{:?}", plan::urls(&config, endpoint).unwrap()));
        parts.push(format!("{:?}", plan::payloads(&config, endpoint, models, streaming).unwrap()));
        parts.push(format!("{:?} {:?}", plan::objectives(&config).unwrap(), config.dormouse.slo));
        parts.join("\n")
    };
    let mut all: Vec<String> = variations.iter().map(one).collect();
    all.push(format!("{:?} {:?} {:?}", root.multi_run, root.random_seed, root.no_sweep_table));
    all
}

/// What is printed is read, means the same, and is printed as the same again.
fn comes_back(document: &Json) -> String {
    let yaml = expand::printed(document, Form::Yaml, false).unwrap();
    let json = expand::printed(document, Form::Json, false).unwrap();
    for text in [&yaml, &json] {
        let back = file::parse(text, |_| None).unwrap();
        assert_eq!(meaning(&back), meaning(document), "{text}");
        let again = |document: &Json| -> serde_json::Value {
            serde_json::from_str(&serde_json::to_string(&expand::whole(document).unwrap()).unwrap()).unwrap()
        };
        assert_eq!(again(&back), again(document));
    }
    yaml
}

#[test]
fn options_come_back() {
    let yaml =
        comes_back(&of_options("-m my/model --streaming --concurrency 16 --isl 128 --extra-inputs ignore_eos:true --goodput ttft:100"));
    for part in ["requests: 32", "mean: 128.0", "ignore_eos: true", "timeout: 21600.0", "grace_period: 30.0", "dir: artifacts/my_model"] {
        assert!(yaml.contains(part), "{part} in\n{yaml}");
    }
    for words in [
        "-m m",
        "-m m --request-rate 3 --arrival-smoothness 2 --benchmark-duration 5 --warmup-request-count 4 --warmup-duration 3",
        "-m a b --user-centric-rate 4 --num-users 2 --conversation-turn-mean 3 --use-legacy-max-tokens",
        "-m m --endpoint-type embeddings --prompt-batch-size 3",
        "-m m --endpoint-type cohere_rankings --rankings-passages-mean 3",
        "-m m --image-width-mean 30 --image-height-mean 20 --compat aiperf",
        "-m m --image-source pics --image-source-sampling shuffle-cycle --image-format random --image-width-mean 30",
        "-m m --input-file x.jsonl --custom-dataset-type random_pool --concurrency 3 --url h:1 h:2/v1",
        "-m m --concurrency 1,2 --isl 100,200 --request-count 10,20 --osl 7 --num-profile-runs 2 --random-seed 5",
        "-m m --slo ttft:p95<500ms --search concurrency:1..8 --osl 4 --osl-stddev 2",
        "-m m --request-cancellation-rate 5 --request-cancellation-delay 1",
    ] {
        comes_back(&of_options(words));
    }
}

#[test]
fn files_come_back() {
    let full = r#"
schemaVersion: "2.0"
variables: {base: 16, isl: 512}
randomSeed: 42
benchmark:
  model: ${MODEL_NAME:my-org/my-model}
  endpoint: {url: "http://localhost:8000", type: chat, streaming: true, timeout: 600, headers: {X-A: "1"}}
  dataset: {type: synthetic, entries: "{{ base * 10 }}", prompts: {isl: {mean: "{{ isl }}", stddev: 50}, osl: 128}}
  phases:
    - {name: warmup, type: concurrency, requests: 32, concurrency: 8, excludeFromResults: true}
    - {name: profiling, type: gamma, rate: 30, smoothness: 1.5, duration: 120, concurrency: 64, rateRamp: 30, gracePeriod: 60}
  slos: {time_to_first_token: 1000, request_latency: 10000}
  artifacts: {dir: ./out, summary: [json], records: [jsonl]}
"#;
    let yaml = comes_back(&of_file(full));
    assert!(yaml.contains("entries: 160") && !yaml.contains("variables"), "{yaml}");
    comes_back(&of_file("benchmark: {model: m, dataset: {prompts: {isl: 9}}, profiling: {concurrency: 3}, warmup: {requests: 2}}"));
    comes_back(&of_file("benchmark: {models: {strategy: weighted, items: [{name: a, weight: 3}, {name: b, weight: 1}]}}"));
    let scenarios = "
benchmark: {model: m, endpoint: {url: h}, dataset: {prompts: {isl: 9}}}
sweep: {type: scenarios, runs: [{name: a, benchmark: {endpoint: {url: g}}}, {name: b, benchmark: {dataset: {prompts: {isl: 7}}}}]}";
    comes_back(&of_file(scenarios));
}

#[test]
fn lengths_come_back() {
    const LENGTHS: [&str; 12] = [
        "7",
        "{value: 7}",
        "{type: fixed, value: 7, min: 2}",
        "{mean: 7, max: 9}",
        "{type: normal, mean: 7, stddev: 2}",
        "{mean: 7, median: 5, min: 1, max: 90}",
        "{mean: 7, median: 7}",
        "{peaks: [{mean: 3, stddev: 1, weight: 60}, {mean: 9, median: 7, max: 20}]}",
        "{peaks: [{distribution: {mean: 3, median: 1}, weight: 2}, {value: 4}, 5]}",
        "{peaks: [{peaks: [2, 3], weight: 0.5}, {points: [{value: 4}]}]}",
        "{points: [{value: 3, weight: 4}, {value: 9}], max: 8}",
        "{stddev: 2}",
    ];
    for length in LENGTHS {
        for rest in ["endpoint: {type: chat}", "endpoint: {type: cohere_rankings}"] {
            let lengths = format!("turns: {length}, turnDelay: {length}, images: {{width: {length}, height: {length}}}");
            let rankings = format!("rankings: {{passages: {length}, passageTokens: {length}, queryTokens: {length}}}");
            let prompts = format!("prompts: {{isl: {length}, osl: {length}}}");
            comes_back(&of_file(&format!("benchmark: {{model: m, {rest}, dataset: {{{lengths}, {rankings}, {prompts}}}}}")));
        }
        let sweep = format!("sweep: {{parameters: {{datasets.main.prompts.isl: [3, {length}]}}}}");
        comes_back(&of_file(&format!("benchmark: {{model: m, datasets: [{{name: main, prompts: {{isl: {length}}}}}]}}\n{sweep}")));
        let base = "benchmark: {model: m, dataset: {prompts: {isl: {mean: 512, stddev: 50}}}}";
        let scenario = format!("{{name: a, benchmark: {{dataset: {{prompts: {{isl: {length}}}}}}}}}");
        comes_back(&of_file(&format!("{base}\nsweep: {{type: scenarios, runs: [{scenario}]}}")));
    }
    let pairs = "[{isl: 128, islStddev: 5, osl: 64, probability: 40}, {isl: {mean: 512, median: 400}, osl: 9, probability: 60}]";
    comes_back(&of_file(&format!("benchmark: {{model: m, dataset: {{prompts: {{sequenceDistribution: {pairs}}}}}}}")));
    // Weights that were not given stand there, and nothing of another kind.
    let yaml =
        comes_back(&of_file("benchmark: {model: m, dataset: {prompts: {isl: {points: [{value: 3}]}, osl: {peaks: [{value: 4}, 5]}}}}"));
    assert!(yaml.contains("- value: 3\n          weight: 1.0\n      osl:\n        peaks:\n"), "{yaml}");
}

#[test]
fn means_of_any_length_are_swept() {
    let document = of_file(
        "benchmark: {model: m, datasets: [{name: main, prompts: {isl: {mean: 512, median: 40, max: 900}}}]}
sweep: {parameters: {datasets.main.prompts.isl.mean: [64, 128]}}",
    );
    comes_back(&document);
    for ((_, one), mean) in expand::each(&document).unwrap().iter().zip([64.0, 128.0]) {
        let spec = plan::data(&Config::read(one).unwrap(), dormouse_perf_data::EndpointType::default(), None).unwrap();
        assert_eq!(spec.isl, dormouse_perf_data::Length::log_normal(mean, 40.0).unwrap().within(None, Some(900.0)).unwrap());
    }
    // Options lie over a file, whatever its lengths are.
    let file = written("benchmark: {model: m, dataset: {prompts: {isl: {peaks: [3, 4]}, osl: {mean: 9, median: 4}}}}");
    let document = of_options(&format!("--config {} --isl 20 --osl 30 --osl-stddev 2", file.path().display()));
    let config = Config::read(&document).unwrap();
    let spec = plan::data(&config, plan::endpoint(&config).unwrap(), None).unwrap();
    assert_eq!((spec.isl, spec.osl), (dormouse_perf_data::Length::of(20.0), dormouse_perf_data::Length::normal(30.0, 2.0).ok()));
}

#[test]
fn what_looks_like_an_expression_is_none() {
    let template = r#"{"model": {{ model|tojson }}, "t": "${HOME} {{ text }} endraw"}"#;
    let mut document = of_options("-m m --endpoint-type template");
    crate::config::tree::set(&mut document, "benchmark.endpoint.template", Json::Object(vec![("body".to_owned(), Json::from(template))]));
    let yaml = comes_back(&document);
    let back = file::parse(&yaml, |_| None).unwrap();
    assert_eq!(Config::read(&back).unwrap().benchmark.endpoint.template.body.as_deref(), Some(template), "{yaml}");
}

#[test]
fn secrets_stay_at_home() {
    let document = of_options("-m m --api-key sk-secret -H Authorization:sk-other -H X-A:b --url http://u:sk-third@h:1");
    for form in [Form::Yaml, Form::Json] {
        let text = expand::printed(&document, form, false).unwrap();
        assert!(!text.contains("sk-") && text.contains("<redacted>") && text.contains("OPENAI_API_KEY"), "{text}");
        let key = |name: &str| (name == "OPENAI_API_KEY").then(|| "123".to_owned());
        let back = Config::read(&file::parse(&text, key).unwrap()).unwrap();
        assert_eq!(back.benchmark.endpoint.api_key.as_deref(), Some("123"));
    }
}

#[test]
fn each_combination_is_a_document() {
    let document = of_options("-m m --concurrency 1,8 --random-seed 5");
    let all = expand::each(&document).unwrap();
    let labels: Vec<&str> = all.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["phases.profiling.concurrency=1", "phases.profiling.concurrency=8"]);
    for ((_, one), (concurrency, requests, seed, dir)) in all.iter().zip([(1, 10, 5, "concurrency_1"), (8, 16, 6, "concurrency_8")]) {
        let config = Config::read(one).unwrap();
        let phase = &config.benchmark.phases[0];
        assert_eq!((phase.concurrency, phase.requests, config.random_seed), (Some(concurrency), Some(requests), Some(seed)));
        assert!(config.sweep.is_none() && config.benchmark.artifacts.dir.as_deref().is_some_and(|d| d.ends_with(dir)));
    }
    let yaml = expand::printed(&document, Form::Yaml, true).unwrap();
    assert_eq!(yaml.split("---\n").map(|one| meaning(&of_file(one)).len()).collect::<Vec<_>>(), [2, 2]);
    let json: Json = serde_json::from_str(&expand::printed(&document, Form::Json, true).unwrap()).unwrap();
    assert!(matches!(json, Json::Array(all) if all.len() == 2));
}

fn written(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What is wrong with a text as a configuration file, without the name of the file.
fn wrong_with(text: &str) -> Vec<String> {
    let file = written(text);
    let name = file.path().display().to_string();
    match validate::configuration(file.path()) {
        Found::Good(what) => panic!("good: {what}"),
        Found::Wrong(lines) => lines.into_iter().map(|line| line.strip_prefix(&name).unwrap_or(&line).to_owned()).collect(),
    }
}

#[test]
fn each_fault_has_its_line_and_member() {
    let found = wrong_with(
        "benchmark:\n  model: m\n  endpoint:\n    urlz: x\n    timeout: soon\n    type: chatter\n  phases:\n    - name: profiling\n      type: poisson\n      concurrency: 0\n",
    );
    assert_eq!(found.len(), 4, "{found:#?}");
    for (line, start) in found.iter().zip([
        ":4: benchmark.endpoint.urlz: unknown field `urlz`",
        ":5: benchmark.endpoint.timeout: invalid type",
        ":6: benchmark.endpoint.type: --endpoint-type: no endpoint type chatter",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn short_forms_have_lines_too() {
    let found = wrong_with("benchmark:\n  model: m\n  dataset: {prompts: {corpus: bible}}\n  profiling:\n    type: constant\n");
    assert!(found[0].starts_with(":3: benchmark.dataset.prompts.corpus: "), "{found:?}");
    assert!(found[1].starts_with(":5: benchmark.phases[0].type: ") && found[1].contains("needs a rate"), "{found:?}");
    let found = wrong_with("benchmark:\n  model: m\n  dataset:\n    turns: 1\n    prompts:\n      isl: {mean: 3, median: 4}\n");
    assert!(found[0].starts_with(":6: benchmark.dataset.prompts.isl.mean: prompts.isl: median must be"), "{found:?}");
    let found = wrong_with("# nothing\nbenchmark:\n  endpoint: {type: chat}\n");
    assert!(found[0].starts_with(": no model is given"), "{found:?}");
}

#[test]
fn what_is_no_yaml_and_what_is_not_there() {
    let found = wrong_with("benchmark: {model: m\nx: [\n");
    assert!(found.len() == 1 && found[0].contains("line 2"), "{found:?}");
    let Found::Wrong(found) = validate::configuration(Path::new("/nowhere.yaml")) else { panic!("good") };
    assert!(found[0].contains("/nowhere.yaml"));
    let found = wrong_with("benchmark: {model: m, dataset: {path: /nowhere.jsonl}}");
    assert!(found[0].contains("/nowhere.jsonl"), "{found:?}");
}

#[test]
fn combinations_are_looked_at() {
    let found = wrong_with("benchmark:\n  model: m\nsweep:\n  parameters:\n    phases.profiling.rate: [1]\n");
    assert!(found[0].starts_with(":5: sweep.parameters.phases.profiling.rate[0]: "), "{found:?}");
    let file = written("benchmark:\n  model: m\n  profiling: {concurrency: 1}\nsweep: {parameters: {concurrency: [1, 2]}}\n");
    assert_eq!(
        validate::configuration(file.path()),
        Found::Good("chat; phases profiling; text that is made up; 2 combinations".to_owned())
    );
}

#[test]
fn every_line_of_a_trace_is_looked_at() {
    let good = r#"{"input_length": 600, "output_length": 5, "hash_ids": [1, 2], "timestamp": 0}"#;
    let trace = written(&format!(
        "{good}\n{{\"input_length\": 5\n{good}\n\n{{\"output_length\": 3}}\n{{\"input_length\": 5, \"hash_ids\": [1, 2]}}\n"
    ));
    let Found::Wrong(found) = validate::dataset(trace.path(), Some(FileFormat::MooncakeTrace), None) else { panic!("good") };
    let numbers: Vec<&str> = found.iter().map(|line| line.rsplit_once(".tmp").map_or(line.as_str(), |(_, rest)| rest)).collect();
    assert_eq!(found.len(), 3, "{numbers:?}");
    for (line, number) in found.iter().zip([2, 5, 6]) {
        assert!(line.starts_with(&format!("{}:{number}: ", trace.path().display())), "{line}");
    }
    let trace = written(&format!("{good}\n"));
    assert_eq!(validate::dataset(trace.path(), Some(FileFormat::MooncakeTrace), None), Found::Good("1 lines".to_owned()));
    let rows = written("{\"text\": \"a\"}\n{\"text\": \"b\", \"session_id\": \"s\"}\n");
    assert_eq!(validate::dataset(rows.path(), None, None), Found::Good("single_turn: 2 conversations, 2 turns".to_owned()));
}
