//! A real vLLM in the place of the simulator: `DORMOUSE_VLLM` names its command (`tests/vllm/install.sh` installs one for
//! CPUs). It serves the model that `dormouse engine make-model` makes, whose answer is known.

use std::time::Duration;

use dormouse_runtime::output::error_line;
use serde_json::Value;

use crate::kubectl::printed::{can_paste, lines, pasted};
use crate::support::{Kubectl, Up, condition, from_root, run, until};

/// A start takes one to two minutes on two cores.
const START: Duration = Duration::from_secs(900);
/// What a plane does by itself.
const SOON: Duration = Duration::from_secs(60);
const ANSWER: &str = "a dormouse sleeps deeply and wakes in an instant.";

/// `PATH` with the folder of `DORMOUSE_VLLM` first. `None`, loudly, where there is none.
fn path() -> Option<String> {
    let Some(command) = std::env::var_os("DORMOUSE_VLLM").map(from_root) else {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        error_line(&format!("SKIPPED {test}: no real vLLM; DORMOUSE_VLLM=$(tests/vllm/install.sh) brings one"));
        return None;
    };
    assert!(command.is_file(), "DORMOUSE_VLLM is {}, which is no file", command.display());
    assert_eq!(command.file_name().and_then(|n| n.to_str()), Some("vllm"), "DORMOUSE_VLLM is {}, which is no vllm", command.display());
    let folder = command.parent().unwrap().display().to_string();
    Some(format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()))
}

/// Both flows: cold, asleep, hot, and the same answer each time.
#[test]
fn the_demo_plays_every_path_with_a_real_engine() {
    let Some(path) = path() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Up::command(folder.path());
    demo.args(["demo", "--engine", "host", "--iterations", "4", "--output", "json"]).env("PATH", path).env("TMPDIR", folder.path());
    let said = run(&mut demo, "", 4 * START);
    assert_eq!(said.code(), Some(0), "{}", said.all());
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["problems"], serde_json::json!([]));
    let paths = report["paths"].as_array().unwrap();
    let names: Vec<&str> = paths.iter().map(|p| p["path"].as_str().unwrap()).collect();
    let all = ["cold-plain", "cold", "warm", "hot", "hot-gated", "swap", "swap-gated", "direct-cold", "direct-hot"];
    assert_eq!(names, all);
    for path in paths {
        for answer in path["answers"].as_array().unwrap() {
            assert!(answer.as_str().unwrap().ends_with(ANSWER), "{path}");
        }
        let median = |what: &str| path[what]["p50"].as_f64().unwrap();
        let engine = median("engine_seconds");
        assert!(engine > 0.0 && engine <= median("t_actuation_seconds"), "the engine's share was seen: {path}");
    }
    error_line(&format!("a real vLLM: {}", said.out));
}

/// What `up` prints can be typed with a real engine too, which no device ledger knows of.
#[test]
fn the_lines_that_up_prints_return_tokens_of_a_real_engine() {
    let Some(path) = path() else { return };
    let Some(kubectl) = Kubectl::find().filter(|_| can_paste()) else { return };
    let up = Up::start_with(&["--engine", "host"], &[("PATH", &path)]);
    let k = kubectl.on(&up).patient(START);
    let printed = up.stdout();
    let lines = lines(&printed);
    let cold = pasted(&k, &lines);
    assert_eq!(cold["choices"][0]["text"], format!("tiny: {ANSWER}"), "{cold}");

    let provider = || up.api().pods("model=tiny").into_iter().next().expect("the provider stays");
    let name = crate::support::name_of(&provider());
    let told = |verb: &str| run(Up::command(up.folder()).args([verb, "--name", up.name()]), "", SOON).out;
    for verb in ["status", "devices"] {
        let told = told(verb);
        assert!(told.contains(&name) && told.contains("unknown"), "`{verb}` shows the engine:\n{told}");
    }
    k.ok("scale rs/embedded --replicas=0");
    until("the engine sleeps", SOON, || up.sleeping(&provider()).filter(|asleep| *asleep));
    until("`devices` shows that it sleeps", SOON, || told("devices").contains("asleep").then_some(()));
    k.ok("scale rs/embedded --replicas=1");
    until("it is served again", SOON, || up.api().pods("app=embedded").iter().any(|p| condition(p, "Ready")).then_some(()));
    let [.., curl] = lines[..] else { panic!("no lines") };
    let hot: Value = serde_json::from_str(&k.shell(curl, &[])).unwrap();
    assert_eq!(hot["choices"], cold["choices"], "the same answer after its sleep");
    up.end();
}
