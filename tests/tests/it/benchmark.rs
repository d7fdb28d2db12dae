//! `perf profile` on real engines: the embedded one, and a real vLLM where `DORMOUSE_VLLM` names one. Both serve the model that
//! `dormouse engine make-model` makes, whose answer is known.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_runtime::output::error_line;
use serde_json::Value;

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
    model.display().to_string()
}

/// Measures an engine, and looks at what was written.
fn measured(folder: &Path, model: &str, port: u16) {
    let prompts = folder.join("prompts.jsonl");
    std::fs::write(&prompts, "{\"text\":\"Who are you?\"}\n").unwrap();
    for counts in ["--use-server-token-count", "--tokenizer"] {
        let out = folder.join(counts.trim_start_matches('-'));
        let mut command = Command::new(dormouse());
        command.args(["perf", "profile", "-m", model, "--url", &format!("127.0.0.1:{port}"), "--streaming", "--concurrency", "2"]);
        command.args(["--request-count", "8", "--osl", "64", "--custom-dataset-type", "single_turn", "--input-file"]).arg(&prompts);
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
        assert!(figure("usage_completion_tokens") >= Some(8.0), "{summary}");
        if counts == "--use-server-token-count" {
            assert_eq!(figure("output_sequence_length"), figure("usage_completion_tokens"));
            assert_eq!(figure("input_sequence_length"), figure("usage_prompt_tokens"));
        } else {
            // The words of this model are tokens that no text leads back to: what is counted here is the text.
            assert!(figure("output_sequence_length") >= figure("usage_completion_tokens"));
        }
        for answer in read("outputs.json")["data"].as_array().unwrap() {
            assert_eq!(answer["response_text"], ANSWER);
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
