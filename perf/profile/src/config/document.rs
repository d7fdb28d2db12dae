//! Options become a document. What is not given is not in it, so that a file below it keeps its values; what binds options to
//! each other is checked where both are known to be options (perf contract 1.3).

use dormouse_perf_data::payload::ExtraInputs;
use dormouse_perf_report::json::{Json, Members};
use dormouse_runtime::exit::Failure;

use crate::options::{ProfileArgs, list};

use super::tree::{Object, Value, normal};
use super::{name, one_of, wrong};

/// The name of the data set that options describe.
pub const DATASET: &str = "main";
/// The phase that counts, as options describe it.
pub const PROFILING: &str = "profiling";

/// What the options say: the whole document, with `benchmark` in it.
///
/// # Errors
/// Options that contradict each other, or a value that is none.
pub fn of(args: &ProfileArgs) -> Result<Json, Failure> {
    rules(args)?;
    let mut lists = Lists::default();
    let mut benchmark = Object::new();
    benchmark.put_any("models", models(args)?);
    benchmark.put_any("endpoint", endpoint(args)?);
    let dataset = dataset(args, &mut lists)?;
    if !dataset.0.is_empty() {
        let mut named = Object::new();
        named.put("name", DATASET);
        named.0.extend(dataset.0);
        benchmark.put("datasets", Json::Array(vec![named.json()]));
    }
    let phases = phases(args, &mut lists)?;
    if !phases.is_empty() {
        benchmark.put("phases", Json::Array(phases));
    }
    benchmark.put_any("artifacts", artifacts(args)?);
    benchmark.put_any("slos", goodput(args)?);
    let mut tokenizer = Object::new();
    tokenizer.put_some("name", args.endpoint.tokenizer.clone()).put_some("revision", args.endpoint.tokenizer_revision.clone());
    benchmark.put_any("tokenizer", tokenizer);
    telemetry(args, &mut benchmark)?;
    let mut runtime = Object::new();
    runtime.put_some("ui", args.ui.ui.as_deref().map(|ui| one_of("--ui", ui, &["dashboard", "simple", "none"])).transpose()?);
    runtime.put_some("workers", args.ui.workers_max);
    benchmark.put_any("runtime", runtime);
    let mut root = Object::new();
    root.put_any("benchmark", benchmark);
    root.put_some("random_seed", args.input.random_seed);
    root.put_any("multi_run", multi_run(args));
    root.put_any("sweep", sweep(args, lists)?);
    root.put_some("no_sweep_table", args.repeat.no_sweep_table.then_some(true));
    root.put_any("dormouse", ours(args)?);
    Ok(root.json())
}

/// Options that give several values: the path of the value, and the values.
#[derive(Debug, Default)]
struct Lists(Vec<(String, Vec<Json>)>);

impl Lists {
    /// The value of an option, the first of several; all of them are remembered.
    fn number(&mut self, option: &str, given: Option<&str>, path: &str, whole: bool) -> Result<Option<Value>, Failure> {
        let Some(given) = given else { return Ok(None) };
        let values = list(&[given.to_owned()]).map_err(|why| wrong(format!("{option}: {why}")))?;
        let read = |text: &String| {
            let bad = || wrong(format!("{option}: {text:?} is no {}", if whole { "whole number" } else { "number" }));
            if whole { text.parse::<u64>().map(Json::from).map_err(|_| bad()) } else { number(text).map(Json::float).ok_or_else(bad) }
        };
        let values = values.iter().map(read).collect::<Result<Vec<Json>, Failure>>()?;
        let first = values.first().cloned().ok_or_else(|| wrong(format!("{option}: no value")))?;
        if values.len() > 1 {
            self.0.push((path.to_owned(), values));
        }
        Ok(Some(Value(first)))
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|n: &f64| n.is_finite())
}

/// What options may not be given together, beyond what the parser knows.
fn rules(args: &ProfileArgs) -> Result<(), Failure> {
    let load = &args.load;
    let need = |holds: bool, words: &str| if holds { Ok(()) } else { Err(wrong(words)) };
    need(
        load.benchmark_grace_period.is_none() || load.benchmark_duration.is_some() || args.input.config.is_some(),
        "--benchmark-grace-period needs --benchmark-duration",
    )?;
    let rate = load.request_rate.is_some() || load.request_rate_series.is_some() || args.input.config.is_some();
    need(load.request_rate_ramp_duration.is_none() || rate, "--request-rate-ramp-duration needs --request-rate")?;
    if let (Some(_), Some(pattern)) = (load.arrival_smoothness, &load.arrival_pattern) {
        need(name(pattern) == "gamma", "--arrival-smoothness is of gamma alone: --arrival-pattern says otherwise")?;
    }
    if args.schedule.fixed_schedule {
        let other = load.request_rate.is_some() || load.user_centric_rate.is_some() || load.arrival_smoothness.is_some();
        need(!other, "--fixed-schedule has its own times: it takes no rate and no users")?;
    }
    if let (Some(start), Some(end)) = (args.schedule.fixed_schedule_start_offset, args.schedule.fixed_schedule_end_offset) {
        need(start <= end, "--fixed-schedule-start-offset is behind --fixed-schedule-end-offset")?;
    }
    if load.user_centric_rate.is_some() {
        let turns = args.prompt.conversation_turn_mean.as_deref().and_then(number).unwrap_or(1.0);
        need(turns >= 2.0, "--user-centric-rate needs sessions of two turns or more: --conversation-turn-mean 2")?;
        let users = list(&load.num_users.iter().cloned().collect::<Vec<_>>()).map_err(|why| wrong(format!("--num-users: {why}")))?;
        let users = users.iter().filter_map(|n| n.parse::<u64>().ok()).max().unwrap_or(1);
        for (option, given) in [("--conversation-num", &args.prompt.conversation_num), ("--request-count", &load.request_count)] {
            let enough = given.as_deref().and_then(|n| n.parse::<u64>().ok()).is_none_or(|n| n >= users);
            need(enough, &format!("{option} is less than --num-users: not every user would have a turn"))?;
        }
    }
    if args.input.input_file.is_some() || args.input.public_dataset.is_some() {
        let made = made_only(args);
        need(made.is_empty(), &format!("{} describe text that is made, and --input-file brings its own", made.join(", ")))?;
    }
    need(args.input.custom_dataset_type.is_none() || args.input.input_file.is_some(), "--custom-dataset-type needs --input-file")?;
    need(
        args.input.public_dataset.is_none() || args.input.custom_dataset_type.is_none(),
        "--public-dataset and --custom-dataset-type exclude each other",
    )?;
    if let Some(name) = &args.input.public_dataset {
        let known = super::name(name) == "sharegpt";
        need(known, &format!("--public-dataset {name} is not built here: pass a local file with --input-file"))?;
        need(args.input.input_file.is_some(), "--public-dataset sharegpt is taken from a local copy: pass it with --input-file")?;
    }
    need(args.ui.extra_verbose || args.ui.verbose < 3, "--verbose can be given twice at most")?;
    if args.endpoint.per_chunk_usage {
        need(
            args.endpoint.use_server_token_count && args.endpoint.streaming,
            "--per-chunk-usage needs --use-server-token-count and --streaming",
        )?;
    }
    need(args.endpoint.transport.as_deref().is_none_or(|name| super::name(name) == "http"), "--transport: http is the only one there is")?;
    values(args)?;
    let waits = args.endpoint.wait_for_model_timeout.is_some_and(|s| s > 0.0) || args.input.config.is_some();
    need(args.endpoint.wait_for_model_mode.is_none() || waits, "--wait-for-model-mode needs --wait-for-model-timeout above 0")?;
    need(args.endpoint.wait_for_model_interval.is_none() || waits, "--wait-for-model-interval needs --wait-for-model-timeout above 0")
}

/// Numbers that must lie within bounds, and deviations that need the mean that they are of.
fn values(args: &ProfileArgs) -> Result<(), Failure> {
    let within = |option: &str, given: Option<f64>, fine: fn(f64) -> bool, words: &str| match given.filter(|value| !fine(*value)) {
        Some(value) => Err(wrong(format!("{option} {value}: it must be {words}"))),
        None => Ok(()),
    };
    let positive: fn(f64) -> bool = |n| n > 0.0;
    let share: fn(f64) -> bool = |n| n > 0.0 && n < 1.0;
    within("--confidence-level", args.repeat.confidence_level, share, "between 0 and 1")?;
    within("--failed-request-threshold", args.load.failed_request_threshold, |n| (0.0..=1.0).contains(&n), "from 0 to 1")?;
    within("--stats-interval", args.ui.stats_interval, |n| (0.0..=1000.0).contains(&n), "from 0 to 1000")?;
    within("--slice-duration", args.output.slice_duration, positive, "above 0")?;
    within("--request-timeout-seconds", args.endpoint.request_timeout_seconds, positive, "above 0")?;
    within("--max-error-rate", args.ours.max_error_rate, |n| (0.0..=100.0).contains(&n), "from 0 to 100")?;
    for (option, given) in [("--isl", &args.prompt.isl), ("--osl", &args.prompt.osl)] {
        for value in list(&given.iter().cloned().collect::<Vec<_>>()).map_err(|why| wrong(format!("{option}: {why}")))? {
            within(option, number(&value), |n| n >= 1.0, "at least 1")?;
        }
    }
    let (image, ranking, prompt) = (&args.image, &args.ranking, &args.prompt);
    for (option, given, mean) in [
        ("--image-width-stddev", image.image_width_stddev.is_some(), image.image_width_mean.is_some()),
        ("--image-height-stddev", image.image_height_stddev.is_some(), image.image_height_mean.is_some()),
        ("--rankings-passages-stddev", ranking.rankings_passages_stddev.is_some(), ranking.rankings_passages_mean.is_some()),
        (
            "--rankings-passages-prompt-token-stddev",
            ranking.rankings_passages_prompt_token_stddev.is_some(),
            ranking.rankings_passages_prompt_token_mean.is_some(),
        ),
        (
            "--rankings-query-prompt-token-stddev",
            ranking.rankings_query_prompt_token_stddev.is_some(),
            ranking.rankings_query_prompt_token_mean.is_some(),
        ),
        (
            "--conversation-turn-delay-stddev",
            prompt.conversation_turn_delay_stddev.is_some_and(|s| s > 0.0),
            prompt.conversation_turn_delay_mean.is_some(),
        ),
    ] {
        if given && !mean && args.input.config.is_none() {
            return Err(wrong(format!("{option} needs {}: a deviation is one of a mean", option.replace("stddev", "mean"))));
        }
    }
    Ok(())
}

/// Options that describe text that is made.
fn made_only(args: &ProfileArgs) -> Vec<&'static str> {
    let prompt = &args.prompt;
    [
        ("--isl", prompt.isl.is_some()),
        ("--isl-stddev", prompt.isl_stddev.is_some()),
        ("--seq-dist", prompt.seq_dist.is_some()),
        ("--random-range-ratio", prompt.random_range_ratio.is_some()),
        ("--prompt-prefix-pool-size", prompt.prompt_prefix_pool_size.is_some()),
        ("--prompt-prefix-length", prompt.prompt_prefix_length.is_some()),
        ("--shared-system-prompt-length", prompt.shared_system_prompt_length.is_some()),
        ("--user-context-prompt-length", prompt.user_context_prompt_length.is_some()),
        ("--conversation-turn-mean", prompt.conversation_turn_mean.is_some()),
        ("--conversation-turn-stddev", prompt.conversation_turn_stddev.is_some()),
        ("--conversation-turn-delay-mean", prompt.conversation_turn_delay_mean.is_some()),
        ("--image-width-mean", args.image.image_width_mean.is_some()),
        ("--image-height-mean", args.image.image_height_mean.is_some()),
        ("--image-source", args.image.image_source.is_some()),
        ("--image-source-sampling", args.image.image_source_sampling.is_some()),
        ("--rankings-passages-mean", args.ranking.rankings_passages_mean.is_some()),
    ]
    .into_iter()
    .filter(|(_, given)| *given)
    .map(|(option, _)| option)
    .collect()
}

fn models(args: &ProfileArgs) -> Result<Object, Failure> {
    let mut models = Object::new();
    if let Some(strategy) = &args.endpoint.model_selection_strategy {
        models.put("strategy", one_of("--model-selection-strategy", strategy, &["round_robin", "random", "weighted"])?);
    }
    let names = list(&args.endpoint.models).map_err(|why| wrong(format!("--model-names: {why}")))?;
    if !names.is_empty() {
        let items = names.into_iter().map(|name| Json::Object(vec![("name".to_owned(), Json::String(name))])).collect();
        models.put("items", Json::Array(items));
    }
    Ok(models)
}

fn endpoint(args: &ProfileArgs) -> Result<Object, Failure> {
    let given = &args.endpoint;
    let mut endpoint = Object::new();
    let urls = list(&given.url).map_err(|why| wrong(format!("--url: {why}")))?;
    let urls: Vec<String> = urls.into_iter().map(|url| if url.contains("://") { url } else { format!("http://{url}") }).collect();
    if !urls.is_empty() {
        endpoint.put("urls", urls);
    }
    endpoint.put_some("url_strategy", given.url_strategy.as_deref().map(|s| one_of("--url-strategy", s, &["round_robin"])).transpose()?);
    endpoint.put_some("type", given.endpoint_type.as_deref().map(name));
    endpoint.put_some("path", given.custom_endpoint.clone());
    endpoint.put_some("api_key", given.api_key.clone());
    endpoint.put_some("timeout", given.request_timeout_seconds);
    endpoint.put_some("streaming", given.streaming.then_some(true));
    endpoint.put_some("connection_reuse", given.connection_reuse_strategy.as_deref().map(name));
    endpoint.put_some("use_legacy_max_tokens", given.use_legacy_max_tokens.then_some(true));
    endpoint.put_some("use_server_token_count", given.use_server_token_count.then_some(true));
    endpoint.put_some("per_chunk_usage", given.per_chunk_usage.then_some(true));
    endpoint.put_some("session_header", given.session_header.clone());
    endpoint.put_some("request_content_type", given.request_content_type.clone());
    let headers = pairs("--header", &args.input.header)?;
    if !headers.is_empty() {
        endpoint.put("headers", Json::Object(headers));
    }
    let mut extra = extra(&args.input.extra_inputs)?;
    // Two of them describe the template and are no fields of the body.
    let mut template = Object::new();
    for (key, to) in [("payload_template", "body"), ("response_field", "response_field")] {
        if let Some(at) = extra.iter().position(|(name, _)| name == key) {
            template.put(to, extra.remove(at).1);
        }
    }
    if !extra.is_empty() {
        endpoint.put("extra", Json::Object(extra));
    }
    endpoint.put_any("template", template);
    endpoint.put_some("wait_for_model_timeout", given.wait_for_model_timeout);
    endpoint.put_some("wait_for_model_interval", given.wait_for_model_interval);
    endpoint.put_some("wait_for_model_mode", given.wait_for_model_mode.as_deref().map(name));
    Ok(endpoint)
}

fn extra(items: &[String]) -> Result<Members, Failure> {
    let bad = |why: String| wrong(format!("--extra-inputs: {why}"));
    let extra = ExtraInputs::parse(items).map_err(bad)?;
    let read = |(name, value): (&str, &str)| Ok((name.to_owned(), serde_json::from_str(value).map_err(|why| bad(why.to_string()))?));
    extra.members().iter().map(read).collect()
}

/// `Name:Value`, several of them, or a JSON object.
fn pairs(option: &str, items: &[String]) -> Result<Members, Failure> {
    let mut all = Members::new();
    for item in items {
        if item.trim_start().starts_with('{') {
            let object: Json = serde_json::from_str(item).map_err(|why| wrong(format!("{option}: {item} is no JSON object: {why}")))?;
            for (name, value) in object.members() {
                let text = value.as_str().map_or_else(|| serde_json::to_string(value).unwrap_or_default(), str::to_owned);
                all.push((name.clone(), Json::String(text)));
            }
            continue;
        }
        let (name, value) = item.split_once(':').ok_or_else(|| wrong(format!("{option}: {item:?} is not like Name:Value")))?;
        all.push((name.trim().to_owned(), Json::from(value.trim())));
    }
    Ok(all)
}

fn dataset(args: &ProfileArgs, lists: &mut Lists) -> Result<Object, Failure> {
    let (input, prompt) = (&args.input, &args.prompt);
    let mut dataset = Object::new();
    if let Some(path) = &input.input_file {
        dataset.put("type", "file").put("path", path.display().to_string());
        let format = input.custom_dataset_type.as_deref().or(input.public_dataset.as_deref()).map(name);
        dataset.put_some("format", format);
    }
    dataset.put_some("entries", prompt.num_dataset_entries);
    let sampling = input.dataset_sampling_strategy.as_deref();
    dataset.put_some(
        "sampling",
        sampling.map(|s| one_of("--dataset-sampling-strategy", s, &["sequential", "random", "shuffle"])).transpose()?,
    );
    let at = |path: &str| format!("datasets.{DATASET}.{path}");
    let mut prompts = Object::new();
    for (option, mean, deviation, length) in
        [("--isl", &prompt.isl, &prompt.isl_stddev, "isl"), ("--osl", &prompt.osl, &prompt.osl_stddev, "osl")]
    {
        let mean = lists.number(option, mean.as_deref(), &at(&format!("prompts.{length}.mean")), false)?;
        let stddev = lists.number(&format!("{option}-stddev"), deviation.as_deref(), &at(&format!("prompts.{length}.stddev")), false)?;
        let mut object = Object::new();
        object.put_some("mean", mean).put_some("stddev", stddev);
        prompts.put_any(length, object);
    }
    prompts.put_some("block_size", prompt.isl_block_size);
    prompts.put_some("batch_size", prompt.prompt_batch_size);
    prompts.put_some("corpus", prompt.prompt_corpus.as_deref().map(name));
    prompts.put_some("sequence_distribution", prompt.seq_dist.clone());
    prompts.put_some("random_range_ratio", prompt.random_range_ratio.clone());
    prompts.put_some("random_corpus_style", prompt.random_corpus_style.as_deref().map(name));
    dataset.put_any("prompts", prompts);
    let mut prefix = Object::new();
    prefix.put_some("pool_size", prompt.prompt_prefix_pool_size).put_some("length", prompt.prompt_prefix_length);
    prefix.put_some("shared_system_length", prompt.shared_system_prompt_length);
    prefix.put_some("user_context_length", prompt.user_context_prompt_length);
    dataset.put_any("prefix_prompts", prefix);
    let system = match (&prompt.system_prompt, &prompt.system_prompt_file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(file)) => {
            Some(std::fs::read_to_string(file).map_err(|why| wrong(format!("--system-prompt-file {}: {why}", file.display())))?)
        }
        (None, None) => None,
    };
    dataset.put_some("system_prompt", system);
    let turns = lists.number("--conversation-turn-mean", prompt.conversation_turn_mean.as_deref(), &at("turns.mean"), false)?;
    let mut object = Object::new();
    object.put_some("mean", turns).put_some("stddev", prompt.conversation_turn_stddev);
    dataset.put_any("turns", object);
    if let Some(mean) = prompt.conversation_turn_delay_mean {
        dataset.put("turn_delay", normal(mean, Some(prompt.conversation_turn_delay_stddev.unwrap_or(0.0))));
    }
    dataset.put_some("turn_delay_ratio", prompt.conversation_turn_delay_ratio);
    dataset.put_any("images", images(args));
    dataset.put_any("rankings", rankings(args));
    let mut synthesis = Object::new();
    synthesis.put_some("speedup_ratio", input.synthesis_speedup_ratio);
    synthesis.put_some("max_isl", input.synthesis_max_isl).put_some("max_osl", input.synthesis_max_osl);
    dataset.put_any("synthesis", synthesis);
    dataset.put_some("ignore_trace_delays", input.ignore_trace_delays.then_some(true));
    Ok(dataset)
}

fn images(args: &ProfileArgs) -> Object {
    let image = &args.image;
    let mut images = Object::new();
    for (side, mean, deviation) in
        [("width", image.image_width_mean, image.image_width_stddev), ("height", image.image_height_mean, image.image_height_stddev)]
    {
        if let Some(mean) = mean {
            images.put(side, normal(mean, deviation));
        }
    }
    images.put_some("batch_size", image.image_batch_size);
    images.put_some("format", image.image_format.as_deref().map(name));
    images.put_some("source", image.image_source.clone());
    images.put_some("source_sampling", image.image_source_sampling.clone());
    images
}

fn rankings(args: &ProfileArgs) -> Object {
    let ranking = &args.ranking;
    let mut rankings = Object::new();
    for (what, mean, deviation) in [
        ("passages", ranking.rankings_passages_mean, ranking.rankings_passages_stddev),
        ("passage_tokens", ranking.rankings_passages_prompt_token_mean, ranking.rankings_passages_prompt_token_stddev),
        ("query_tokens", ranking.rankings_query_prompt_token_mean, ranking.rankings_query_prompt_token_stddev),
    ] {
        if let Some(mean) = mean {
            rankings.put(what, normal(mean, deviation));
        }
    }
    rankings
}

fn phases(args: &ProfileArgs, lists: &mut Lists) -> Result<Vec<Json>, Failure> {
    let profiling = profiling(args, lists)?;
    let mut phases = Vec::new();
    let warmup = &args.warmup;
    // Nought is no warm-up, as older versions had it.
    let count = warmup.warmup_request_count.filter(|n| *n > 0);
    if count.is_some() || warmup.warmup_duration.is_some() || warmup.num_warmup_sessions.is_some() {
        let mut phase = Object::new();
        phase.put("name", "warmup").put("kind", "warmup");
        let as_profiling = |name: &str| profiling.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let kind = match &warmup.warmup_arrival_pattern {
            Some(pattern) => Some(Json::String(one_of("--warmup-arrival-pattern", pattern, &["constant", "poisson", "gamma"])?)),
            None if warmup.warmup_request_rate.is_some() && args.load.request_rate.is_none() => Some(Json::from("poisson")),
            None => as_profiling("type"),
        };
        phase.put_some("type", kind);
        phase.put("exclude_from_results", true);
        phase.put_some("requests", count).put_some("duration", warmup.warmup_duration).put_some("sessions", warmup.num_warmup_sessions);
        let or = |given: Option<Value>, name: &str| given.or_else(|| as_profiling(name).map(Value));
        phase.put_some("concurrency", or(warmup.warmup_concurrency.map(Value::from), "concurrency"));
        phase.put_some("concurrency_ramp", or(warmup.warmup_concurrency_ramp_duration.map(Value::from), "concurrency_ramp"));
        phase.put_some("prefill_concurrency", or(warmup.warmup_prefill_concurrency.map(Value::from), "prefill_concurrency"));
        phase.put_some("prefill_ramp", or(warmup.warmup_prefill_concurrency_ramp_duration.map(Value::from), "prefill_ramp"));
        phase.put_some(
            "grace_period",
            warmup.warmup_grace_period.as_deref().map(|text| seconds("--warmup-grace-period", text)).transpose()?,
        );
        phase.put_some("rate", or(warmup.warmup_request_rate.map(Value::from), "rate"));
        phase.put_some("rate_ramp", or(warmup.warmup_request_rate_ramp_duration.map(Value::from), "rate_ramp"));
        phase.put_some("smoothness", as_profiling("smoothness"));
        phases.push(phase.json());
    } else if warmup.warmup_grace_period.is_some() {
        return Err(wrong("--warmup-grace-period needs --warmup-duration"));
    }
    // A file may describe phases of other names: nothing is added to them unless something is asked for.
    if profiling.0.len() > 2 || args.input.config.is_none() {
        phases.push(profiling.json());
    }
    Ok(phases)
}

/// Seconds, or `inf`, which stands in documents as text.
fn seconds(option: &str, text: &str) -> Result<Value, Failure> {
    if text.trim().eq_ignore_ascii_case("inf") {
        return Ok(Value::from("inf"));
    }
    number(text)
        .filter(|s| *s >= 0.0)
        .map(Value::from)
        .ok_or_else(|| wrong(format!("{option}: {text:?} is no number of seconds and not inf")))
}

/// Whether the rate is what is searched: then it is given by that.
fn searches_rate(args: &ProfileArgs) -> bool {
    let what = args.ours.search.as_deref().and_then(|search| search.split(':').next()).unwrap_or_default();
    matches!(name(what).as_str(), "request_rate" | "rate")
}

fn profiling(args: &ProfileArgs, lists: &mut Lists) -> Result<Object, Failure> {
    let load = &args.load;
    let at = |path: &str| format!("phases.{PROFILING}.{path}");
    let mut phase = Object::new();
    phase.put("name", PROFILING).put("kind", "profiling");
    let pattern = load.arrival_pattern.as_deref().map(|p| one_of("--arrival-pattern", p, &["constant", "poisson", "gamma"])).transpose()?;
    let offsets = args.schedule.fixed_schedule_start_offset.is_some() || args.schedule.fixed_schedule_end_offset.is_some();
    let kind = if args.schedule.fixed_schedule || offsets {
        Some("fixed_schedule".to_owned())
    } else if load.user_centric_rate.is_some() {
        Some("user_centric".to_owned())
    } else if load.request_rate.is_some() || load.request_rate_series.is_some() || searches_rate(args) {
        Some(pattern.unwrap_or_else(|| if load.arrival_smoothness.is_some() { "gamma" } else { "poisson" }.to_owned()))
    } else if args.input.config.is_some() {
        // The file says what kind it is.
        pattern
    } else {
        Some("concurrency".to_owned())
    };
    phase.put_some("type", kind);
    phase.put_some("requests", lists.number("--request-count", load.request_count.as_deref(), &at("requests"), true)?);
    phase.put_some("duration", lists.number("--benchmark-duration", load.benchmark_duration.as_deref(), &at("duration"), false)?);
    phase.put_some("sessions", lists.number("--conversation-num", args.prompt.conversation_num.as_deref(), &at("sessions"), true)?);
    phase.put_some("concurrency", lists.number("--concurrency", load.concurrency.as_deref(), &at("concurrency"), true)?);
    phase.put_some("concurrency_ramp", load.concurrency_ramp_duration);
    let prefill = load.prefill_concurrency.as_deref();
    phase.put_some("prefill_concurrency", lists.number("--prefill-concurrency", prefill, &at("prefill_concurrency"), true)?);
    phase.put_some("prefill_ramp", load.prefill_concurrency_ramp_duration);
    phase.put_some(
        "grace_period",
        load.benchmark_grace_period.as_deref().map(|text| seconds("--benchmark-grace-period", text)).transpose()?,
    );
    if let Some(rate) = load.request_cancellation_rate {
        let mut cancellation = Object::new();
        cancellation.put("rate", rate).put_some("delay", load.request_cancellation_delay);
        phase.put_any("cancellation", cancellation);
    }
    phase.put_some("failed_request_threshold", load.failed_request_threshold);
    phase.put_some("rate", lists.number("--request-rate", load.request_rate.as_deref(), &at("rate"), false)?);
    phase.put_some("rate_ramp", load.request_rate_ramp_duration);
    if let Some(file) = &load.request_rate_series {
        phase.put("rate_series", series(file)?);
    }
    phase.put_some("smoothness", load.arrival_smoothness);
    if let Some(rate) = load.user_centric_rate {
        phase.put("rate", rate);
        phase.put_some("users", lists.number("--num-users", load.num_users.as_deref(), &at("users"), true)?);
    }
    let schedule = &args.schedule;
    phase.put_some("auto_offset", schedule.fixed_schedule_auto_offset.then_some(true));
    phase.put_some("start_offset", schedule.fixed_schedule_start_offset).put_some("end_offset", schedule.fixed_schedule_end_offset);
    phase.put_some("no_fixed_schedule", schedule.no_fixed_schedule.then_some(true));
    Ok(phase)
}

/// A series of rates from its file: a list of points, or an object with `points` and nothing else.
fn series(file: &std::path::Path) -> Result<Json, Failure> {
    let bad = |why: String| wrong(format!("--request-rate-series {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|why| bad(why.to_string()))?;
    let json: Json = serde_json::from_str(&text).map_err(|why| bad(why.to_string()))?;
    match json {
        Json::Object(members) => match &members[..] {
            [(name, points)] if name == "points" => Ok(points.clone()),
            _ => Err(bad("it may have nothing but \"points\"".to_owned())),
        },
        points => Ok(points),
    }
}

fn artifacts(args: &ProfileArgs) -> Result<Object, Failure> {
    let output = &args.output;
    let mut artifacts = Object::new();
    artifacts.put_some("dir", output.output_artifact_dir.as_ref().map(|dir| dir.display().to_string()));
    artifacts.put_some("prefix", output.profile_export_prefix.clone());
    if let Some(level) = &output.export_level {
        let level = one_of("--export-level", level, &["summary", "records", "raw"])?;
        artifacts.put("records", if level == "summary" { Vec::new() } else { vec!["jsonl".to_owned()] });
        artifacts.put("raw", level == "raw");
    }
    artifacts.put_some("slice_duration", output.slice_duration);
    artifacts.put_some("trace", output.export_http_trace.then_some(true));
    artifacts.put_some("show_trace_timing", output.show_trace_timing.then_some(true));
    artifacts.put_some("export_outputs_json", output.export_outputs_json.then_some(true));
    Ok(artifacts)
}

fn goodput(args: &ProfileArgs) -> Result<Object, Failure> {
    let mut slos = Object::new();
    for part in args.input.goodput.as_deref().unwrap_or_default().split_whitespace() {
        let bad = || wrong(format!("--goodput: {part:?} is not like time_to_first_token:100"));
        let (tag, limit) = part.split_once(':').ok_or_else(bad)?;
        slos.put(tag, number(limit).ok_or_else(bad)?);
    }
    Ok(slos)
}

fn telemetry(args: &ProfileArgs, benchmark: &mut Object) -> Result<(), Failure> {
    let given = &args.telemetry;
    let mut gpu = Object::new();
    gpu.put_some("enabled", given.no_gpu_telemetry.then_some(false));
    if let Some(items) = &given.gpu_telemetry {
        for unbuilt in ["pynvml", "amdsmi", "dashboard"] {
            if items.iter().any(|item| name(item) == unbuilt) {
                return Err(wrong(format!("--gpu-telemetry {unbuilt} is not built here: DCGM exporters are read, by their addresses")));
            }
        }
        gpu.put("enabled", true).put("urls", list(items).map_err(|why| wrong(format!("--gpu-telemetry: {why}")))?);
    }
    benchmark.put_any("gpu_telemetry", gpu);
    let mut server = Object::new();
    server.put_some("enabled", given.no_server_metrics.then_some(false));
    if let Some(items) = &given.server_metrics {
        server.put("enabled", true).put("urls", list(items).map_err(|why| wrong(format!("--server-metrics: {why}")))?);
    }
    if !given.server_metrics_formats.is_empty() {
        let formats = list(&given.server_metrics_formats).map_err(|why| wrong(format!("--server-metrics-formats: {why}")))?;
        let formats = formats.iter().map(|format| one_of("--server-metrics-formats", format, &["json", "csv", "jsonl"]));
        server.put("formats", formats.collect::<Result<Vec<_>, _>>()?);
    }
    benchmark.put_any("server_metrics", server);
    Ok(())
}

fn multi_run(args: &ProfileArgs) -> Object {
    let given = &args.repeat;
    let mut runs = Object::new();
    runs.put_some("num_runs", given.num_profile_runs);
    runs.put_some("cooldown_seconds", given.profile_run_cooldown_seconds);
    runs.put_some("confidence_level", given.confidence_level);
    runs.put_some("set_consistent_seed", given.no_set_consistent_seed.then_some(false));
    runs.put_some("disable_warmup_after_first", given.no_profile_run_disable_warmup_after_first.then_some(false));
    runs.put_some("vary_seed_per_trial", given.vary_seed_per_trial.then_some(true));
    runs
}

fn sweep(args: &ProfileArgs, lists: Lists) -> Result<Object, Failure> {
    let given = &args.repeat;
    let mut sweep = Object::new();
    if !lists.0.is_empty() {
        let kind = given.sweep_type.as_deref().map_or(Ok("grid".to_owned()), |t| one_of("--sweep-type", t, &["grid", "zip"]))?;
        sweep.put("type", kind);
        let parameters: Members = lists.0.into_iter().map(|(path, values)| (path, Json::Array(values))).collect();
        sweep.put("parameters", Json::Object(parameters));
    }
    let mode = given.parameter_sweep_mode.as_deref();
    sweep.put_some("mode", mode.map(|m| one_of("--parameter-sweep-mode", m, &["repeated", "independent"])).transpose()?);
    sweep.put_some("cooldown_seconds", given.parameter_sweep_cooldown_seconds);
    sweep.put_some("same_seed", given.parameter_sweep_same_seed.then_some(true));
    Ok(sweep)
}

fn ours(args: &ProfileArgs) -> Result<Object, Failure> {
    let given = &args.ours;
    let mut ours = Object::new();
    ours.put_some("compat", given.compat.clone());
    ours.put_some("max_error_rate", given.max_error_rate);
    ours.put_some("request_concurrency", given.request_concurrency);
    ours.put_some("preconnect", given.no_preconnect.then_some(false));
    ours.put_some("idle_timeout", given.idle_timeout);
    ours.put_some("pace", given.pace.clone());
    ours.put_some("rate_catchup", given.rate_catchup.clone());
    ours.put_some("on_turn_error", given.on_turn_error.clone());
    ours.put_some("console_style", given.console_style.clone());
    ours.put_some("calibrate", given.calibrate.then_some(true));
    ours.put_some("search", given.search.clone());
    ours.put_some("max_runtime", given.max_runtime);
    if !given.slo.is_empty() {
        ours.put("slo", given.slo.clone());
    }
    if let Some(level) = &args.ui.log_level {
        const LEVELS: [&str; 8] = ["trace", "debug", "info", "notice", "warning", "success", "error", "critical"];
        ours.put("log_level", one_of("--log-level", level, &LEVELS)?);
    } else if args.ui.verbose > 0 || args.ui.extra_verbose {
        ours.put("log_level", if args.ui.verbose > 1 || args.ui.extra_verbose { "trace" } else { "debug" });
    }
    ours.put_some("stats_interval", args.ui.stats_interval);
    Ok(ours)
}
