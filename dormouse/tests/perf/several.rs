//! The same several times, and one run for each value of a list: where the files lie, and what they have in common.

use serde_json::Value;

use crate::kit::command::json;
use crate::kit::files::names;
use crate::kit::machine::beside;
use crate::kit::{Mock, Profile, Ran, text};

/// Files of each run.
const EACH: [&str; 7] = [
    ".aiperf_results_ready.json",
    "inputs.json",
    "profile_export.jsonl",
    "profile_export_aiperf.csv",
    "profile_export_aiperf.json",
    "profile_export_console.txt",
    "run_config.json",
];

fn has(run: &Ran, wanted: &[String]) {
    let there = names(&run.dir);
    for name in wanted {
        assert!(there.contains(name), "{name} is not there: {there:#?}");
    }
}

fn of_each(dirs: &[&str]) -> Vec<String> {
    dirs.iter().flat_map(|dir| EACH.iter().map(move |name| format!("{dir}/{name}"))).collect()
}

fn seed(run: &Ran, dir: &str) -> Value {
    json(&run.dir.join(dir).join("profile_export_aiperf.json"))["run_info"]["random_seed"].clone()
}

/// What was sent, as it stands in `inputs.json`.
fn inputs(run: &Ran, dir: &str) -> Value {
    json(&run.dir.join(dir).join("inputs.json"))["data"].clone()
}

const LOAD: &str = "--endpoint-type chat --streaming --osl 4";

#[test]
fn three_runs_say_how_far_they_spread() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 15 --itl-ms 1");
    let options = "--concurrency 4 --request-count 20 --num-profile-runs 3 --warmup-request-count 4";
    let run = Profile::of(&server.url).with(LOAD).with(options).run().measured();
    // Only the first one warms up.
    assert_eq!(server.count("answered"), 64);
    let dirs = ["profile_runs/run_0001", "profile_runs/run_0002", "profile_runs/run_0003"];
    let mut wanted = of_each(&dirs);
    wanted.extend(["json", "csv"].map(|ending| format!("aggregate/profile_export_aiperf_aggregate.{ending}")));
    has(&run, &wanted);
    for dir in dirs {
        assert_eq!(seed(&run, dir), 7, "{dir}");
        assert_eq!(inputs(&run, dir), inputs(&run, dirs[0]), "{dir}");
    }
    let all = run.json("aggregate/profile_export_aiperf_aggregate.json");
    let about = &all["metadata"];
    assert_eq!((&about["num_profile_runs"], &about["num_successful_runs"]), (&3.into(), &3.into()));
    assert_eq!(about["run_labels"], serde_json::json!(["run_0001", "run_0002", "run_0003"]));
    // The mean of means is theirs.
    let figure = |dir: &str| json(&run.dir.join(dir).join("profile_export_aiperf.json"))["time_to_first_token"]["avg"].as_f64().unwrap();
    let mean = dirs.iter().map(|dir| figure(dir)).sum::<f64>() / 3.0;
    let said = all["metrics"]["time_to_first_token_avg"]["mean"].as_f64().unwrap();
    assert!((said - mean).abs() < 1e-9, "{said} and {mean}");
    assert!(all["metrics"]["time_to_first_token_avg"]["ci_high"].as_f64().unwrap() >= said);
    let ids = dirs.map(|dir| text(&json(&run.dir.join(dir).join("profile_export_aiperf.json")), "/benchmark_id").to_owned());
    assert!(ids.iter().all(|id| id.len() == 32) && ids[0] != ids[1]);
}

#[test]
fn each_value_of_a_list_has_a_run() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 30 --itl-ms 1");
    let run = Profile::of(&server.url).with(LOAD).with("--concurrency 1,2,4 --request-count 12").run().measured();
    assert_eq!((server.count("answered"), &server.stats()["in_flight"]["max"]), (36, &4.into()));
    let dirs = ["concurrency_1", "concurrency_2", "concurrency_4"];
    let mut wanted = of_each(&dirs);
    for ending in ["json", "csv"] {
        wanted.extend(dirs.map(|dir| format!("aggregate/{dir}/profile_export_aiperf_aggregate.{ending}")));
        wanted.push(format!("sweep_aggregate/profile_export_aiperf_sweep.{ending}"));
    }
    has(&run, &wanted);
    assert_eq!(dirs.map(|dir| seed(&run, dir)), [7, 8, 9].map(Value::from));
    let info = |dir: &str| json(&run.dir.join(dir).join("profile_export_aiperf.json"))["run_info"].clone();
    assert_eq!(text(&info("concurrency_2"), "/variation_label"), "phases.profiling.concurrency=2");
    assert_eq!(info("concurrency_4")["variation_index"], 2);
    assert_eq!(info("concurrency_1")["sweep_id"], info("concurrency_4")["sweep_id"]);
    let sweep = run.json("sweep_aggregate/profile_export_aiperf_sweep.json");
    assert!(sweep.is_object() && sweep.to_string().contains("concurrency"));
    let single = run.json("aggregate/concurrency_2/profile_export_aiperf_aggregate.json");
    assert_eq!(single["metadata"]["single_run"], true);
}

#[test]
fn one_seed_may_be_that_of_all() {
    let _beside = beside();
    let server = Mock::start("");
    let options = "--concurrency 1,2 --request-count 6 --parameter-sweep-same-seed";
    let run = Profile::of(&server.url).with(LOAD).with(options).run().measured();
    assert_eq!(["concurrency_1", "concurrency_2"].map(|dir| seed(&run, dir)), [7, 7].map(Value::from));
    assert_eq!(inputs(&run, "concurrency_1"), inputs(&run, "concurrency_2"));
}

#[test]
fn lists_and_repeats_go_together() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 5");
    let options = "--concurrency 1,2 --request-count 6 --num-profile-runs 2";
    let run = Profile::of(&server.url).with(LOAD).with(options).run().measured();
    let dirs: Vec<String> = ["trial_0001", "trial_0002"]
        .iter()
        .flat_map(|trial| ["concurrency_1", "concurrency_2"].map(|value| format!("profile_runs/{trial}/{value}")))
        .collect();
    let mut wanted = of_each(&dirs.iter().map(String::as_str).collect::<Vec<_>>());
    for value in ["concurrency_1", "concurrency_2"] {
        wanted.push(format!("aggregate/{value}/profile_export_aiperf_aggregate.json"));
    }
    wanted.push("aggregate/sweep_aggregate/profile_export_aiperf_sweep.json".to_owned());
    has(&run, &wanted);
    let cell = run.json("aggregate/concurrency_1/profile_export_aiperf_aggregate.json");
    assert_eq!(cell["metadata"]["num_successful_runs"], 2);
    assert!(cell["metadata"].get("single_run").is_none());
}
