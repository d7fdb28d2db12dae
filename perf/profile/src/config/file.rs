//! A configuration file (perf contract 1.5): YAML, with values of the environment and expressions over its own variables.

use std::path::Path;

use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;
use minijinja::value::Serde;
use minijinja::{Environment, Value};

use super::tree::snake;
use super::wrong;

/// A file larger than this is none that a person wrote.
const MOST: usize = 4 << 20;

/// An expression that takes more steps is none that a person wrote.
const STEPS: u64 = 10_000;

/// Reads a file into a document.
///
/// # Errors
/// What is wrong with it, with the line where that is known.
pub fn read(path: &Path) -> Result<Json, Failure> {
    let bad = |why: &dyn std::fmt::Display| wrong(format!("{}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|why| bad(&why))?.len();
    if size > MOST as u64 {
        return Err(bad(&format!("it is larger than {MOST} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|why| bad(&why))?;
    parse(&text, |name| std::env::var(name).ok()).map_err(|why| bad(&why))
}

/// Reads a text; `variable` is the environment.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Json, String> {
    let text = substituted(text, variable)?;
    let mut document: Json = serde_saphyr::from_str(&text).map_err(|why| why.to_string())?;
    if document.members().is_empty() {
        return Err("it has no members".to_owned());
    }
    snake(&mut document);
    let variables = Value::from(Serde(document.get("variables").cloned().unwrap_or(Json::Object(Vec::new()))));
    expressions(&mut document, &variables)?;
    shapes(&mut document);
    if document.get("benchmark").is_none() {
        return Err("it has no member \"benchmark\"".to_owned());
    }
    Ok(document)
}

/// `${NAME}` and `${NAME:default}`.
fn substituted(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = from.find('}') else { return Err("a ${ has no }".to_owned()) };
        let inner = &from[2..end];
        let (name, default) = inner.split_once(':').map_or((inner, None), |(name, default)| (name, Some(default)));
        match variable(name).or_else(|| default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => return Err(format!("${{{name}}} is not in the environment and has no default")),
        }
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The template of a body has expressions of its own, which are filled for each request; only one that was written by
/// `config expand`, which keeps them as they are in `{% raw %}`, is an expression here.
fn is_filled_later(name: &str, value: &Json) -> bool {
    name == "template" && value.get("body").and_then(Json::as_str).is_none_or(|body| !body.contains("{% raw %}"))
}

/// Texts with `{{ }}` in them are expressions; one that is nothing else keeps its type.
fn expressions(json: &mut Json, variables: &Value) -> Result<(), String> {
    match json {
        Json::Object(members) => members
            .iter_mut()
            .filter(|(name, value)| name != "variables" && !is_filled_later(name, value))
            .try_for_each(|(_, value)| expressions(value, variables)),
        Json::Array(items) => items.iter_mut().try_for_each(|item| expressions(item, variables)),
        Json::String(text) if text.contains("{{") => {
            let mut environment = Environment::empty();
            environment.set_fuel(Some(STEPS));
            let inner = text.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}")).filter(|text| !text.contains("{{"));
            *json = match inner {
                Some(inner) => {
                    let expression = environment.compile_expression(inner.trim()).map_err(|why| format!("{text:?}: {why}"))?;
                    let value = expression.eval(variables.clone()).map_err(|why| format!("{text:?}: {why}"))?;
                    if value.is_undefined() {
                        return Err(format!("{text:?}: there is no such variable"));
                    }
                    let written = Bounded::of(|out| serde_json::to_writer(out, &value)).map_err(|why| format!("{text:?}: {why}"))?;
                    serde_json::from_str(&written).map_err(|why| why.to_string())?
                }
                None => {
                    Json::String(Bounded::of(|out| render(&environment, text, variables, out)).map_err(|why| format!("{text:?}: {why}"))?)
                }
            };
            Ok(())
        }
        _ => Ok(()),
    }
}

fn render(environment: &Environment<'_>, text: &str, variables: &Value, out: &mut Bounded) -> Result<(), minijinja::Error> {
    environment.template_from_str(text)?.render_captured_to(variables.clone(), out).map(drop)
}

/// What an expression becomes, in memory: a short one can say a gigabyte.
#[derive(Default)]
struct Bounded(Vec<u8>);

impl Bounded {
    fn of<E: Into<anyhow::Error>>(write: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<String, String> {
        let mut out = Self::default();
        write(&mut out).map_err(|why| format!("{:#}", why.into()))?;
        String::from_utf8(out.0).map_err(|why| why.to_string())
    }
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > MOST - self.0.len() {
            return Err(std::io::Error::other(format!("it says more than {MOST} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Shorter forms become the one that is used: a model's name, a single phase, warm-up and profiling apart, unnamed kinds.
fn shapes(document: &mut Json) {
    let Json::Object(root) = document else { return };
    let Some((_, Json::Object(benchmark))) = root.iter_mut().find(|(name, _)| name == "benchmark") else { return };
    for (name, value) in benchmark.iter_mut() {
        match (name.as_str(), &*value) {
            ("model" | "models", Json::String(model)) => {
                let item = Json::Object(vec![("name".to_owned(), Json::String(model.clone()))]);
                *value = Json::Object(vec![("items".to_owned(), Json::Array(vec![item]))]);
                *name = "models".to_owned();
            }
            ("models", Json::Array(items)) => {
                let named = |item: &Json| match item {
                    Json::String(name) => Json::Object(vec![("name".to_owned(), Json::String(name.clone()))]),
                    other => other.clone(),
                };
                *value = Json::Object(vec![("items".to_owned(), Json::Array(items.iter().map(named).collect()))]);
            }
            ("phases", Json::Object(_)) => {
                let mut phase = value.clone();
                put_first(&mut phase, "name", "profiling");
                *value = Json::Array(vec![phase]);
            }
            _ => {}
        }
    }
    let mut apart = Vec::new();
    for kind in ["warmup", "profiling"] {
        if let Some(at) = benchmark.iter().position(|(name, _)| name == kind) {
            let (_, mut phase) = benchmark.remove(at);
            put_first(&mut phase, "kind", kind);
            put_first(&mut phase, "name", kind);
            apart.push(phase);
        }
    }
    if !apart.is_empty() {
        benchmark.push(("phases".to_owned(), Json::Array(apart)));
    }
}

fn put_first(object: &mut Json, name: &str, value: &str) {
    if let Json::Object(members) = object
        && !members.iter().any(|(n, _)| n == name)
    {
        members.insert(0, (name.to_owned(), Json::from(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const FILE: &str = r#"
schemaVersion: "2.0"
variables: {base: 16, isl: 512}
randomSeed: 42
benchmark:
  model: ${MODEL_NAME:my-org/my-model}
  endpoint: {url: "http://localhost:8000", type: chat, streaming: true, timeout: 600}
  dataset: {type: synthetic, entries: "{{ base * 10 }}", prompts: {isl: {mean: "{{ isl }}", stddev: 50}, osl: 128}}
  phases:
    - {name: warmup, type: concurrency, requests: 32, concurrency: 8, excludeFromResults: true}
    - {name: profiling, type: gamma, rate: 30, smoothness: 1.5, duration: 120, concurrency: 64, rateRamp: 30, gracePeriod: 60}
  slos: {time_to_first_token: 1000, request_latency: 10000}
  artifacts: {dir: ./out, summary: [json], records: [jsonl]}
"#;

    /// The example of the contract.
    #[test]
    fn a_file_is_read_with_its_variables() {
        let config = Config::read(&parse(FILE, |_| None).unwrap()).unwrap();
        let benchmark = &config.benchmark;
        assert_eq!(benchmark.models.items[0].name, "my-org/my-model");
        assert_eq!((benchmark.datasets[0].entries, benchmark.datasets[0].prompts.isl.as_ref().unwrap().mean), (Some(160), Some(512.0)));
        assert_eq!(benchmark.phases[1].rate_ramp, Some(30.0));
        assert!(benchmark.phases[0].exclude_from_results && config.random_seed == Some(42));
        let named = parse(FILE, |name| (name == "MODEL_NAME").then(|| "m".to_owned())).unwrap();
        assert_eq!(Config::read(&named).unwrap().benchmark.models.items[0].name, "m");
    }

    #[test]
    fn short_forms_mean_the_same() {
        let config = |text: &str| Config::read(&parse(text, |_| None).unwrap()).unwrap().benchmark.phases;
        let one = config("benchmark: {model: m, phases: {type: concurrency, concurrency: 3}}");
        assert_eq!((one[0].name.as_str(), one[0].concurrency), ("profiling", Some(3)));
        let apart = config("benchmark: {model: m, profiling: {type: concurrency}, warmup: {requests: 2}}");
        assert_eq!(apart.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["warmup", "profiling"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| parse(text, |_| None).unwrap_err();
        assert!(error("benchmark: {model: ${NONE}}").contains("NONE"));
        assert!(error("a: [1").to_lowercase().contains("line"), "{}", error("a: [1"));
        assert!(error("x: 1").contains("benchmark"));
        assert!(error("variables: {a: 1}\nbenchmark: {model: \"{{ b }}\"}").contains('b'));
        assert!(error("").contains("no members"));
        let long = "x".repeat(9000);
        for (much, why) in [("{{ 'x' * 9999999 }}", "fuel"), ("{{ [l] * 9999999 }}", "4194304"), ("a {{ [l] * 9999999 }}", "4194304")] {
            let said = error(&format!("variables: {{l: {long}}}\nbenchmark: {{model: \"{much}\"}}"));
            assert!(said.contains(why), "{}", &said[..said.len().min(500)]);
        }
    }
}
