//! `perf profile --demo`: the mock server, five seconds of load on it, and what may be believed of this machine.

use std::io::Write as _;

use clap::Parser as _;
use dormouse_perf_mock::{MockServerArgs, Server};
use dormouse_perf_report::json::Json;
use dormouse_runtime::output::{Out, error_line};

use crate::config::tree::{Object, overlay};
use crate::options::ProfileArgs;
use crate::signals::Signals;

/// The server's times in milliseconds.
const TTFT_MS: u32 = 20;
const ITL_MS: u32 = 5;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: MockServerArgs,
}

/// Runs it to its end.
///
/// # Errors
/// As [`crate::run::run`].
pub(crate) fn run(args: &ProfileArgs, signals: &Signals) -> anyhow::Result<()> {
    let words = ["mock", "--port", "0", "--ttft-ms", &TTFT_MS.to_string(), "--itl-ms", &ITL_MS.to_string()].map(str::to_owned);
    let server = Server::start(&Line::parse_from(words).args)?;
    error_line(&format!("a mock server answers at http://{}: first token after {TTFT_MS} ms, then one each {ITL_MS} ms", server.address()));
    // Text of its own, and the server's counts: no tokenizer is needed.
    let mut prompts = tempfile::NamedTempFile::new()?;
    for n in 0..100 {
        writeln!(prompts, "{{\"text\":\"Say something about the number {n}.\"}}")?;
    }
    let mut document = defaults(&server, &prompts.path().display().to_string());
    overlay(&mut document, crate::run::document(args)?);
    let ended = crate::run::run_document(document, signals);
    let truth: Json = serde_json::from_slice(&server.stats(0))?;
    let figure = |name: &str, what: &str| truth.get(name).and_then(|t| t.get(what)).and_then(Json::as_f64).unwrap_or(0.0) * 1e-6;
    Out.line(&format!(
        "the server's own truth: first content after {:.2} ms (mean) and {:.2} ms (p99), last after {:.2} ms (mean)",
        figure("first_content_ns", "mean"),
        figure("first_content_ns", "p99"),
        figure("last_content_ns", "mean"),
    ))?;
    ended
}

fn defaults(server: &Server, prompts: &str) -> Json {
    let mut endpoint = Object::new();
    endpoint.put("urls", vec![format!("http://{}", server.address())]).put("type", "chat").put("streaming", true);
    endpoint.put("use_server_token_count", true);
    let mut model = Object::new();
    model.put("name", "mock-model");
    let mut models = Object::new();
    models.put("items", Json::Array(vec![model.json()]));
    let mut dataset = Object::new();
    dataset.put("name", crate::config::document::DATASET).put("type", "file").put("path", prompts).put("format", "single_turn");
    let mut osl = Object::new();
    osl.put("mean", 16_u64);
    let mut lengths = Object::new();
    lengths.put_any("osl", osl);
    dataset.put_any("prompts", lengths);
    let mut phase = Object::new();
    phase.put("name", "profiling").put("kind", "profiling").put("type", "concurrency").put("duration", 5.0).put("concurrency", 16_u64);
    let mut off = Object::new();
    off.put("enabled", false);
    let mut benchmark = Object::new();
    benchmark.put_any("models", models).put_any("endpoint", endpoint).put("datasets", Json::Array(vec![dataset.json()]));
    benchmark.put("phases", Json::Array(vec![phase.json()]));
    benchmark.put_any("gpu_telemetry", off);
    let mut root = Object::new();
    root.put_any("benchmark", benchmark).put("random_seed", 1_u64);
    root.json()
}
