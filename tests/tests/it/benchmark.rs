//! `perf profile` on real engines: the embedded one, and a real vLLM where `DORMOUSE_VLLM` names one. Both serve the model that
//! `dormouse engine make-model` makes, whose answer is known.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_runtime::output::error_line;
use serde_json::{Value, json};

use crate::support::{dormouse, from_root, run, until};

const ANSWER: &str = "tiny: a dormouse sleeps deeply and wakes in an instant.";
/// A start of vLLM takes one to two minutes on two cores.
const START: Duration = Duration::from_secs(900);
const RUN: Duration = Duration::from_secs(300);

/// An engine that ends with the test.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        // SIGTERM first: vLLM has children of its own.
        let pid = i32::try_from(self.0.id()).unwrap();
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        if crate::support::wait_for_exit(&mut self.0, Duration::from_secs(20)).is_none() {
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

fn serve(mut command: Command, port: u16) -> Engine {
    use std::os::unix::process::CommandExt;
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
    let mut engine = Engine(child);
    until("the engine answers", START, || {
        assert!(engine.0.try_wait().unwrap().is_none(), "{command:?} has ended");
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    engine
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn make_model(folder: &Path) -> String {
    let model = folder.join("tiny");
    let made = run(Command::new(dormouse()).args(["engine", "make-model"]).arg(&model).args(["--name", "tiny"]), "", RUN);
    assert_eq!(made.code(), Some(0), "{}", made.all());
    make_countable(&model);
    model.display().to_string()
}

/// Lets the text of the answer lead back to its tokens: as the model is made it does not, so that no prompt ends within the
/// answer. Engine and benchmark read the same folder.
fn make_countable(model: &Path) {
    let path = model.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    // The longer first, where one begins like another.
    let words = "tiny:| dormouse| sleeps| deeply| wakes| instant[.]| in| and| an| a";
    let split = json!({"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": false});
    let mut bytes = tokenizer["pre_tokenizer"].clone();
    bytes["use_regex"] = json!(false);
    tokenizer["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [split, bytes]});
    tokenizer["model"]["ignore_merges"] = json!(true);
    std::fs::write(path, tokenizer.to_string()).unwrap();
}

/// Measures an engine, and looks at what was written.
fn measured(folder: &Path, model: &str, port: u16) {
    let prompts = folder.join("prompts.jsonl");
    std::fs::write(&prompts, "{\"text\":\"Who are you?\"}\n").unwrap();
    // All ten tokens of the answer, and the one that ends it; or seven, and no end: of an end the text shows nothing.
    for (counts, length) in [("--use-server-token-count", "64"), ("--tokenizer", "64"), ("--tokenizer", "7")] {
        let out = folder.join(format!("{counts}-{length}").trim_start_matches('-'));
        let mut command = Command::new(dormouse());
        command.args(["perf", "profile", "-m", model, "--url", &format!("127.0.0.1:{port}"), "--streaming", "--concurrency", "2"]);
        command.args(["--request-count", "8", "--osl", length, "--custom-dataset-type", "single_turn", "--input-file"]).arg(&prompts);
        command.args(["--export-outputs-json", "--no-gpu-telemetry", "--ui", "none", "--wait-for-model-timeout", "600"]);
        command.args(["--wait-for-model-mode", "models", "--artifact-dir"]).arg(&out).arg(counts);
        if counts == "--tokenizer" {
            command.arg(model);
        }
        let said = run(&mut command, "", START);
        // On two cores that the engine takes, the client may well be what is measured, and says so.
        assert!(matches!(said.code(), Some(0 | 5)), "{}", said.all());
        let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(out.join(name)).unwrap()).unwrap() };
        let summary = read("profile_export_aiperf.json");
        let figure = |tag: &str| summary[tag]["avg"].as_f64();
        assert_eq!(figure("request_count"), Some(8.0), "{summary}");
        assert!(figure("time_to_first_token") > Some(0.0) && figure("request_latency") >= figure("time_to_first_token"));
        let (said_by_server, whole) = (figure("usage_completion_tokens").unwrap(), length == "64");
        assert!(if whole { (10.0..=11.0).contains(&said_by_server) } else { said_by_server == 7.0 }, "{summary}");
        if counts == "--use-server-token-count" {
            assert_eq!(figure("output_sequence_length"), Some(said_by_server));
            assert_eq!(figure("input_sequence_length"), figure("usage_prompt_tokens"));
        } else {
            assert_eq!(figure("output_sequence_length"), Some(if whole { 10.0 } else { said_by_server }), "{summary}");
        }
        for answer in read("outputs.json")["data"].as_array().unwrap() {
            let text = answer["response_text"].as_str().unwrap();
            assert!(if whole { text == ANSWER } else { text == "tiny: a dormouse sleeps deeply and wakes" }, "{text:?}");
        }
        let checked = run(Command::new(dormouse()).args(["perf", "analyze", "--check"]).arg(&out), "", RUN);
        assert_eq!(checked.code(), Some(0), "{}", checked.all());
    }
}

#[test]
fn the_embedded_engine_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (model, port) = (make_model(folder.path()), free_port());
    let mut command = Command::new(dormouse());
    command.args(["engine", "embedded", &model, "--host", "127.0.0.1", "--port", &port.to_string()]);
    let _engine = serve(command, port);
    measured(folder.path(), &model, port);
}

#[test]
fn a_real_vllm_is_measured() {
    let Some(vllm) = std::env::var_os("DORMOUSE_VLLM").map(from_root) else {
        error_line("SKIPPED a_real_vllm_is_measured: no real vLLM; DORMOUSE_VLLM=$(tests/vllm/install.sh) brings one");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (model, port) = (make_model(folder.path()), free_port());
    let mut command = Command::new(vllm);
    command.args(["serve", &model, "--host", "127.0.0.1", "--port", &port.to_string(), "--max-model-len", "2048"]);
    // Of this machine's memory: else it takes nearly all.
    command.arg("--gpu-memory-utilization=0.25");
    let _engine = serve(command, port);
    measured(folder.path(), &model, port);
}
