//! `perf config expand`: the whole configuration, every default in it, in a form that `--config` reads and that means the same.
//!
//! What was given is laid over what would have been taken. A default that hangs on what is not known here, such as whether the lines
//! of a data set have times, is left out; so is what is drawn.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::{Out, error_line};

use crate::about::{REDACTED, is_secret};
use crate::config::model::{Config, Dataset, Phase};
use crate::config::tree::{Object, length, normal, replaces, set};
use crate::config::{document, file, name, plan, sweep, wrong};
use crate::options::ProfileArgs;
use crate::run::{document as document_of, seeded};

/// What stands for a key of the API: it is taken from the environment again.
const KEY: &str = "${OPENAI_API_KEY:<redacted>}";

/// Options of `perf config expand`.
#[derive(Clone, Debug, Args)]
pub struct ExpandArgs {
    /// Configuration file, as --config; options win over it
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// As what it is printed
    #[arg(long, value_enum, default_value_t = Form::Yaml)]
    pub output: Form,
    /// One document for each combination of swept values, as it is run
    #[arg(long)]
    pub variations: bool,
    /// What is laid over it
    #[command(flatten)]
    pub profile: ProfileArgs,
}

/// As what a document is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people, and for --config.
    Yaml,
    /// For programs, and for --config too.
    Json,
}

/// Prints it.
///
/// # Errors
/// What is wrong with the file or the options.
pub fn run(args: &ExpandArgs) -> anyhow::Result<()> {
    let mut profile = args.profile.clone();
    if args.file.is_some() {
        profile.input.config.clone_from(&args.file);
    }
    let document = document_of(&profile)?;
    Out.text(&printed(&document, args.output, args.variations)?)?;
    Ok(())
}

/// A document, or all that its sweep makes of it, as text.
///
/// # Errors
/// What is wrong with it.
pub fn printed(document: &Json, form: Form, variations: bool) -> anyhow::Result<String> {
    if !variations {
        let whole = whole(document)?;
        return match form {
            Form::Yaml => yaml(&whole),
            Form::Json => Ok(serde_json::to_string_pretty(&written(&whole))? + "\n"),
        };
    }
    let all = each(document)?;
    match form {
        Form::Yaml => {
            let one = |(label, document): &(String, Json)| {
                let label: String = label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                Ok(format!("# {label}\n{}", yaml(document)?))
            };
            Ok(all.iter().map(one).collect::<anyhow::Result<Vec<String>>>()?.join("---\n"))
        }
        Form::Json => {
            let one = |(label, document): &(String, Json)| {
                let mut object = Object::new();
                object.put("label", label.as_str()).put("configuration", written(document));
                object.json()
            };
            Ok(serde_json::to_string_pretty(&Json::Array(all.iter().map(one).collect()))? + "\n")
        }
    }
}

/// Each combination of a document with its seed, whole, with its label.
///
/// # Errors
/// What is wrong with it.
pub fn each(document: &Json) -> Result<Vec<(String, Json)>, Failure> {
    let mut config = Config::read(document)?;
    let variations = sweep::variations(document, &config)?;
    let several = variations.len() > 1 || variations.iter().any(|variation| variation.dir.is_some()) || config.multi_run.num_runs > 1;
    if several && config.random_seed.is_none() && config.multi_run.set_consistent_seed {
        config.random_seed = Some(42);
    }
    let base = folder(&config);
    let one = |variation: &sweep::Variation| {
        // Trials have seeds of their own where they are to differ.
        let mut document = match (config.multi_run.vary_seed_per_trial, config.random_seed) {
            (false, _) => seeded(&variation.document, variation, 0, &config),
            (true, seed) => {
                let mut document = variation.document.clone();
                seed.into_iter().for_each(|seed| _ = set(&mut document, "random_seed", Json::from(seed)));
                document
            }
        };
        if let Json::Object(members) = &mut document {
            members.retain(|(name, _)| name != "sweep");
        }
        if let (Some(base), Some(dir)) = (&base, &variation.dir) {
            set(&mut document, "benchmark.artifacts.dir", Json::String(format!("{base}/{dir}")));
        }
        Ok((variation.label.clone(), whole(&document)?))
    };
    variations.iter().map(one).collect()
}

/// A document with every default that is known.
///
/// # Errors
/// What is wrong with it.
pub fn whole(given: &Json) -> Result<Json, Failure> {
    let config = Config::read(given)?;
    sweep::variations(given, &config)?;
    let mut whole = root(&config)?;
    let mut given = given.clone();
    if let Json::Object(members) = &mut given {
        // They are used up.
        members.retain(|(name, _)| name != "variables");
        if let Some((_, Json::Object(benchmark))) = members.iter_mut().find(|(name, _)| name == "benchmark") {
            one_form(benchmark);
        }
        of_scenarios(members);
    }
    lay(&mut whole, given);
    redact(&mut whole);
    Ok(whole)
}

/// The folder of all that is run.
fn folder(config: &Config) -> Option<String> {
    let given = config.benchmark.artifacts.dir.clone();
    given.or_else(|| Some(format!("artifacts/{}", plan::folder(config, &plan::models(config).ok()?, plan::endpoint(config).ok()?))))
}

/// The same of what is a scenario's own, so that it is laid over its like.
fn of_scenarios(root: &mut [(String, Json)]) {
    let Some((_, Json::Object(sweep))) = root.iter_mut().find(|(name, _)| name == "sweep") else { return };
    let Some((_, Json::Array(runs))) = sweep.iter_mut().find(|(name, _)| name == "runs") else { return };
    for run in runs {
        let Json::Object(members) = run else { continue };
        if let Some((_, Json::Object(benchmark))) = members.iter_mut().find(|(name, _)| name == "benchmark") {
            one_form(benchmark);
        }
    }
}

/// Names that mean the same become the one, and a data set has a name.
fn one_form(benchmark: &mut Vec<(String, Json)>) {
    let take = |members: &mut Vec<(String, Json)>, name: &str| {
        members.iter().position(|(n, _)| n == name).map(|at| members.remove(at).1).filter(|value| *value != Json::Null)
    };
    if let Some(one) = take(benchmark, "dataset") {
        let mut all = match take(benchmark, "datasets") {
            Some(Json::Array(all)) => all,
            _ => Vec::new(),
        };
        all.push(one);
        if let [Json::Object(only)] = &mut all[..]
            && !only.iter().any(|(name, _)| name == "name")
        {
            only.insert(0, ("name".to_owned(), Json::from(document::DATASET)));
        }
        benchmark.push(("datasets".to_owned(), Json::Array(all)));
    }
    if let Some((_, Json::Object(endpoint))) = benchmark.iter_mut().find(|(name, _)| name == "endpoint") {
        for (name, value) in endpoint {
            if name == "url" || name == "urls" {
                "urls".clone_into(name);
                if let Json::String(_) = value {
                    *value = Json::Array(vec![value.clone()]);
                }
            }
        }
    }
}

/// Lays what was given over defaults: a number over a mean is that mean, items of lists are taken one by one.
fn lay(under: &mut Json, over: Json) {
    match (under, over) {
        (under, over) if replaces(under, &over) => *under = over,
        (under @ Json::Object(_), over @ Json::Number(_)) if under.get("mean").is_some() => {
            *under = normal(over.as_f64().unwrap_or_default(), Some(0.0));
        }
        (Json::Object(under), Json::Object(over)) => {
            for (name, value) in over {
                match under.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, old)) => lay(old, value),
                    None => under.push((name, value)),
                }
            }
        }
        (Json::Array(under), Json::Array(over)) if under.len() == over.len() && over.iter().all(|item| matches!(item, Json::Object(_))) => {
            under.iter_mut().zip(over).for_each(|(under, over)| lay(under, over));
        }
        (under, over) => *under = over,
    }
}

fn root(config: &Config) -> Result<Json, Failure> {
    let runs = crate::config::model::MultiRun::default();
    let mut multi_run = Object::new();
    multi_run.put("num_runs", runs.num_runs).put("cooldown_seconds", runs.cooldown_seconds).put("confidence_level", runs.confidence_level);
    multi_run.put("set_consistent_seed", runs.set_consistent_seed);
    multi_run.put("disable_warmup_after_first", runs.disable_warmup_after_first).put("vary_seed_per_trial", runs.vary_seed_per_trial);
    let mut root = Object::new();
    root.put("schema_version", "2.0");
    root.put("benchmark", benchmark(config)?);
    root.put("multi_run", multi_run.json());
    if let Some(sweep) = &config.sweep {
        let mut object = Object::new();
        object.put("type", "grid").put("cooldown_seconds", sweep.cooldown_seconds).put("same_seed", sweep.same_seed);
        object.put("mode", "repeated");
        root.put("sweep", object.json());
    }
    root.put("no_sweep_table", false);
    let peer = config.dormouse.as_the_peer();
    let mut ours = Object::new();
    ours.put("preconnect", !peer).put("pace", "sleep").put("rate_catchup", if peer { "drop" } else { "keep" });
    ours.put("on_turn_error", "continue").put("console_style", "dormouse").put("calibrate", false).put("slo", Vec::new());
    root.put("dormouse", ours.json());
    Ok(root.json())
}

/// Nothing of it is changed before it is run: what hangs on something else can be said.
fn is_alone(config: &Config) -> bool {
    config.dormouse.search.is_none() && config.sweep.as_ref().is_none_or(|sweep| sweep.parameters.0.is_empty() && sweep.runs.is_empty())
}

fn benchmark(config: &Config) -> Result<Json, Failure> {
    let given = &config.benchmark;
    let endpoint = plan::endpoint(config)?;
    let alone = is_alone(config);
    let mut out = Object::new();
    let mut models = Object::new();
    models.put("strategy", "round_robin").put("items", Json::Array(vec![Json::Object(Vec::new()); given.models.items.len()]));
    out.put("models", models.json());
    let mut server = Object::new();
    let usual = crate::config::model::Endpoint::default();
    server.put("urls", usual.urls.0).put("url_strategy", "round_robin").put("type", usual.r#type);
    server.put_some("path", endpoint.path().filter(|_| alone));
    server.put("timeout", usual.timeout).put("streaming", false).put("connection_reuse", usual.connection_reuse);
    server.put("use_legacy_max_tokens", false).put("use_server_token_count", false).put("per_chunk_usage", false);
    server.put("headers", Json::Object(Vec::new())).put("extra", Json::Object(Vec::new()));
    server.put("request_content_type", "application/json").put("session_header", "X-Correlation-ID");
    server.put("wait_for_model_timeout", usual.wait_for_model_timeout).put("wait_for_model_interval", usual.wait_for_model_interval);
    server.put("wait_for_model_mode", usual.wait_for_model_mode);
    out.put("endpoint", server.json());
    let spec = plan::data(config, endpoint, config.random_seed)?;
    let usual = [Dataset::default()];
    let sets = if given.datasets.is_empty() { &usual[..] } else { &given.datasets[..] };
    let made = sets.iter().all(|set| set.path.is_none());
    out.put("datasets", Json::Array(sets.iter().map(|set| dataset(set, &spec, alone)).collect()));
    let usual = [Phase { name: document::PROFILING.to_owned(), ..Phase::default() }];
    let phases = if given.phases.is_empty() { &usual[..] } else { &given.phases[..] };
    let trace = sets.iter().any(|set| set.path.is_some() && set.format.as_deref().is_none_or(|f| name(f) == "mooncake_trace"));
    out.put("phases", Json::Array(phases.iter().map(|one| phase(one, config, trace, alone)).collect()));
    let mut artifacts = Object::new();
    artifacts.put_some("dir", folder(config));
    if let Ok(models) = plan::models(config)
        && alone
        && made
        && given.tokenizer.name.is_none()
        && let Some(name) = models.first().filter(|name| !crate::system_controller::is_placeholder(name))
    {
        let mut tokenizer = Object::new();
        tokenizer.put("name", name.as_str());
        out.put("tokenizer", tokenizer.json());
    }
    artifacts.put("records", vec!["jsonl".to_owned()]).put("raw", false).put("trace", false).put("show_trace_timing", false);
    artifacts.put("export_outputs_json", false);
    out.put("artifacts", artifacts.json());
    let mut telemetry = Object::new();
    telemetry.put("enabled", true).put("urls", Vec::new());
    out.put("gpu_telemetry", telemetry.json());
    let mut metrics = Object::new();
    metrics.put("enabled", true).put("urls", Vec::new()).put("formats", vec!["json".to_owned(), "csv".to_owned()]);
    out.put("server_metrics", metrics.json());
    Ok(out.json())
}

fn dataset(given: &Dataset, spec: &dormouse_perf_data::Spec, alone: bool) -> Json {
    let mut out = Object::new();
    let made = given.path.is_none();
    out.put("name", document::DATASET).put("type", if made { "synthetic" } else { "file" });
    if made {
        if alone {
            out.put("entries", spec.entries.unwrap_or(dormouse_perf_data::dataset::ENTRIES) as u64);
        }
        out.put("sampling", "sequential");
        let mut prompts = Object::new();
        prompts.put("isl", length(&spec.isl)).put_some("osl", spec.osl.as_ref().map(length));
        prompts.put("batch_size", spec.batch as u64).put("corpus", "sonnet").put("random_corpus_style", "vllm");
        out.put("prompts", prompts.json());
        let mut prefix = Object::new();
        prefix.put("pool_size", 0_u64).put("length", 0_u64);
        out.put("prefix_prompts", prefix.json());
        out.put("turns", length(&spec.turns));
        out.put("turn_delay", length(&spec.delay));
        if let Some(rankings) = &spec.rankings {
            let mut object = Object::new();
            object.put("passages", length(&rankings.passages)).put("passage_tokens", length(&rankings.passage));
            object.put("query_tokens", length(&rankings.query));
            out.put("rankings", object.json());
        } else {
            let mut images = Object::new();
            let side = plan::image_source(&given.images).map_or(0.0, |source| plan::usual_side(&source));
            images.put("width", normal(side, Some(0.0))).put("height", normal(side, Some(0.0)));
            images.put("batch_size", 1_u64).put("format", "png").put("source", "noise").put("source_sampling", "random-with-replacement");
            out.put("images", images.json());
        }
    } else {
        match given.format.as_deref().map(name).as_deref() {
            None => {}
            Some("random_pool") => _ = out.put("sampling", "shuffle"),
            Some(_) => _ = out.put("sampling", "sequential"),
        }
        let mut synthesis = Object::new();
        synthesis.put("speedup_ratio", 1.0);
        out.put("synthesis", synthesis.json());
    }
    out.put("turn_delay_ratio", 1.0).put("ignore_trace_delays", false);
    out.json()
}

/// What a phase would be. With `trace` the data set may have times of its own, which decide over how it is replayed; where it is not
/// `alone`, its limits may be changed before it is run.
fn phase(given: &Phase, config: &Config, trace: bool, alone: bool) -> Json {
    let warmup = plan::is_warmup(given);
    let replayed = trace && !given.no_fixed_schedule && !warmup;
    let kind = given.r#type.as_deref().map_or(if given.rate.is_some() { "poisson".to_owned() } else { "concurrency".to_owned() }, name);
    let mut out = Object::new();
    out.put("name", document::PROFILING).put("kind", if warmup { "warmup" } else { "profiling" });
    if alone && !replayed {
        out.put("type", kind.as_str());
    }
    out.put("exclude_from_results", false);
    let closed = alone && kind == "concurrency" && !replayed;
    let places = given.concurrency.or(closed.then_some(1));
    let ends = given.requests.is_some() || given.sessions.is_some() || given.duration.is_some();
    if alone && !ends && !replayed && kind != "fixed_schedule" {
        out.put("requests", plan::usual_requests(places, config.dormouse.as_the_peer()));
    }
    if closed {
        out.put("concurrency", 1_u64);
    }
    if warmup {
        out.put("grace_period", "inf");
    } else {
        out.put("grace_period", 30.0);
    }
    match kind.as_str() {
        "gamma" => _ = out.put("smoothness", 1.0),
        "fixed_schedule" if given.start_offset.is_none() => _ = out.put("auto_offset", true),
        _ => {}
    }
    if given.cancellation.is_some() {
        let mut object = Object::new();
        object.put("delay", 0.0);
        out.put("cancellation", object.json());
    }
    out.put("no_fixed_schedule", false);
    out.json()
}

/// Takes secrets out.
fn redact(whole: &mut Json) {
    let Json::Object(root) = whole else { return };
    let Some((_, Json::Object(benchmark))) = root.iter_mut().find(|(name, _)| name == "benchmark") else { return };
    let Some((_, Json::Object(endpoint))) = benchmark.iter_mut().find(|(name, _)| name == "endpoint") else { return };
    for (name, value) in endpoint {
        match (name.as_str(), value) {
            ("api_key", value @ Json::String(_)) => *value = Json::from(KEY),
            ("headers" | "extra", Json::Object(members)) => {
                for (_, value) in members.iter_mut().filter(|(name, _)| is_secret(name)) {
                    *value = Json::from(REDACTED);
                }
            }
            ("urls", Json::Array(urls)) => urls.iter_mut().for_each(without_password),
            _ => {}
        }
    }
}

/// What stands before the host of an address is never sent, and may be a secret.
fn without_password(url: &mut Json) {
    if let Some(Ok(mut parsed)) = url.as_str().map(url::Url::parse)
        && parsed.password().is_some()
        && parsed.set_password(None).is_ok()
    {
        *url = Json::String(parsed.into());
    }
}

/// As it has to stand in a file so that it is read as it is: `${` and `{{` of the values themselves mean nothing there.
fn written(json: &Json) -> Json {
    match json {
        Json::Object(members) => Json::Object(members.iter().map(|(name, value)| (name.clone(), written(value))).collect()),
        Json::Array(items) => Json::Array(items.iter().map(written).collect()),
        Json::String(text) if text != KEY && (text.contains("{{") || text.contains("${")) => {
            let text = text.replace("endraw", "{% endraw %}{{ 'endraw' }}{% raw %}");
            let text = text.replace("${", "{% endraw %}{{ '$' }}{% raw %}{");
            Json::String(format!("{{% raw %}}{text}{{% endraw %}}"))
        }
        other => other.clone(),
    }
}

/// As YAML. That it is read as the same is looked at, not believed.
fn yaml(whole: &Json) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(&written(whole))?;
    // The key that comes in its place is text, whatever it looks like.
    let text = text.replace(&format!(": {KEY}\n"), &format!(": \"{KEY}\"\n"));
    let back = file::parse(&text, |name| (name == "OPENAI_API_KEY").then(|| KEY.to_owned())).map_err(wrong)?;
    if back != *whole {
        error_line("warning: something in this configuration cannot be written so that it is read as the same; JSON may do: --output json");
    }
    Ok(text)
}
