//! Typed values become what the rooms behind need: a description of the data, payloads, addresses, phases.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use dormouse_perf_data::lengths::RangeRatio;
use dormouse_perf_data::spec::{
    Corpus, CorpusStyle, FileFormat, ImageFormat, ImageSource, Images, ModelChoice, Rankings, Sampling, Source, Spec,
};
use dormouse_perf_data::{Dataset, EndpointType, ExtraInputs, Payloads};
use dormouse_perf_load::arrivals::{Pattern, Rate};
use dormouse_perf_load::target::{self, Headers};
use dormouse_perf_load::timing::{Cancel, Load, PhasePlan, Planned, Stop};
use dormouse_perf_metrics::Metric;
use dormouse_perf_metrics::summary::Objective;
use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;
use url::Url;

use super::length::{Length, SequenceDistribution};
use super::model::{Config, Model, Phase};
use super::{name, wrong};

/// Nanoseconds of seconds; what is too long saturates.
#[must_use]
pub fn nanoseconds(seconds: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
    let ns = (seconds * 1e9).round() as u64;
    ns
}

/// The kind of endpoint.
///
/// # Errors
/// One that is not known, or not built.
pub fn endpoint(config: &Config) -> Result<EndpointType, Failure> {
    EndpointType::parse(&config.benchmark.endpoint.r#type).map_err(|why| wrong(format!("--endpoint-type: {why}")))
}

/// Whether answers come piece by piece.
#[must_use]
pub fn streams(config: &Config, endpoint: EndpointType) -> bool {
    config.benchmark.endpoint.streaming && endpoint.streams()
}

/// The models' names.
///
/// # Errors
/// When there is none.
pub fn models(config: &Config) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = config.benchmark.models.items.iter().map(|model| model.name.clone()).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(wrong("no model is given: pass its name with --model (or benchmark.model in the file)"));
    }
    Ok(names)
}

/// Where requests go, each with its path.
///
/// # Errors
/// What is no address.
pub fn urls(config: &Config, endpoint: EndpointType) -> Result<Vec<Url>, Failure> {
    let given = &config.benchmark.endpoint;
    if let Some(path) = given.path.as_deref().filter(|path| !path.is_empty() && !path.starts_with('/')) {
        return Err(wrong(format!("--custom-endpoint: {path:?} must begin with /")));
    }
    let sub = given.path.clone().unwrap_or_else(|| endpoint.path().unwrap_or_default().to_owned());
    if given.urls.0.is_empty() {
        return Err(wrong("no address of a server is given: pass --url"));
    }
    let one = |url: &String| Ok(target::join(&target::base(url).map_err(|why| wrong(format!("--url: {why}")))?, &sub));
    given.urls.0.iter().map(one).collect()
}

/// What requests say in their heads.
///
/// # Errors
/// An encoding of bodies that is not built.
pub fn headers(config: &Config, endpoint: EndpointType, streaming: bool) -> Result<Headers, Failure> {
    let given = &config.benchmark.endpoint;
    if let Some(kind) = given.request_content_type.as_deref().filter(|kind| *kind != "application/json") {
        return Err(wrong(format!("--request-content-type {kind} is not built: only application/json is")));
    }
    let agent = concat!("dormouse-perf/", env!("CARGO_PKG_VERSION"));
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        Some((_, old)) => value.clone_into(old),
        None => fields.push((name.to_owned(), value.to_owned())),
    };
    set("User-Agent", agent);
    set("Accept", if streaming { "text/event-stream" } else { "application/json" });
    set("Content-Type", "application/json");
    if let Some(key) = given.api_key.as_deref().filter(|key| !key.is_empty()) {
        if endpoint == EndpointType::Messages {
            set("x-api-key", key);
        } else {
            set("Authorization", &format!("Bearer {key}"));
        }
    }
    if endpoint == EndpointType::Messages {
        set("anthropic-version", "2023-06-01");
    }
    for (name, value) in &given.headers.0 {
        set(name, &text(value));
    }
    let session = given.session_header.clone().unwrap_or_else(|| "X-Correlation-ID".to_owned());
    let environment = |name: &str, default: bool| std::env::var(name).ok().and_then(|v| truth(&v)).unwrap_or(default);
    let affinity = [
        ("X-Session-Affinity", "AIPERF_HTTP_X_SESSION_AFFINITY_FROM_CORRELATION_ID", true),
        ("X-Session-ID", "AIPERF_HTTP_X_SESSION_ID_FROM_CORRELATION_ID", false),
        ("X-SMG-Routing-Key", "AIPERF_HTTP_X_SMG_ROUTING_KEY_FROM_CORRELATION_ID", false),
        ("X-Dynamo-Session-ID", "AIPERF_HTTP_X_DYNAMO_SESSION_ID_FROM_CORRELATION_ID", false),
    ];
    let affinity = affinity.into_iter().filter(|(_, variable, default)| environment(variable, *default));
    Ok(Headers { fields, session, affinity: affinity.map(|(name, _, _)| name.to_owned()).collect() })
}

/// Yes or no, as people write it.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| serde_json::to_string(value).unwrap_or_default(), str::to_owned)
}

/// How payloads are made.
///
/// # Errors
/// Templates that are none, inputs that contradict the endpoint.
pub fn payloads(config: &Config, endpoint: EndpointType, models: Vec<String>, streaming: bool) -> Result<Payloads, Failure> {
    let given = &config.benchmark.endpoint;
    let mut members = given.extra.0.clone();
    if endpoint == EndpointType::Template {
        let body = given.template.body.as_deref();
        let body = body.ok_or_else(|| wrong("--endpoint-type template needs a template: --extra-inputs payload_template:FILE_OR_TEXT"))?;
        members.push(("payload_template".to_owned(), Json::from(body)));
        members.extend(given.template.response_field.as_deref().map(|field| ("response_field".to_owned(), Json::from(field))));
    }
    let items = if members.is_empty() { Vec::new() } else { vec![serde_json::to_string(&Json::Object(members)).map_err(wrong)?] };
    let extra = ExtraInputs::parse(&items).map_err(|why| wrong(format!("--extra-inputs: {why}")))?;
    let stores = given.extra.0.iter().any(|(name, value)| name == "store" && *value == Json::Bool(true));
    if endpoint == EndpointType::Responses && stores && !given.use_server_token_count {
        return Err(wrong("responses with store:true hold the conversation at the server: token counts need --use-server-token-count"));
    }
    let mut payloads = Payloads::new(endpoint, models, extra).map_err(wrong)?;
    payloads.streaming = streaming;
    payloads.legacy_max_tokens = given.use_legacy_max_tokens;
    payloads.server_counts = given.use_server_token_count;
    payloads.per_chunk_usage = given.per_chunk_usage;
    payloads.parts = std::env::var("AIPERF_ENDPOINT_FORCE_CONTENT_PARTS").ok().and_then(|v| truth(&v)).unwrap_or(false);
    Ok(payloads)
}

/// The length of that name; a number where none is given, or no mean.
fn length(what: &str, given: Option<&Length>, usual: f64) -> Result<dormouse_perf_data::Length, Failure> {
    let length = given.map(|length| length.resolve(Some(usual)).map_err(|why| wrong(format!("{what}: {why}"))));
    length.unwrap_or(Ok(dormouse_perf_data::Length::of(usual)))
}

/// How many turns conversations have.
fn turns(dataset: &super::model::Dataset) -> Result<dormouse_perf_data::Length, Failure> {
    length("turns", dataset.turns.as_ref(), 1.0)
}

/// What the data are.
///
/// # Errors
/// A name or a value that is none.
pub fn data(config: &Config, endpoint: EndpointType, seed: Option<u64>) -> Result<Spec, Failure> {
    let benchmark = &config.benchmark;
    let default = super::model::Dataset::default();
    let dataset = match &benchmark.datasets[..] {
        [] => &default,
        [one] => one,
        _ => return Err(wrong("several datasets in one benchmark are not built: give one")),
    };
    let prompts = &dataset.prompts;
    // A deviation alone limits nothing.
    let osl = prompts.osl.as_ref().filter(|osl| !osl.is_open());
    let bad = |what: &'static str| move |why: String| wrong(format!("{what}: {why}"));
    let source = match dataset.r#type.as_deref().map(name).as_deref() {
        None | Some("synthetic") if dataset.path.is_none() => Source::Synthetic,
        None | Some("file") => {
            let path = dataset.path.clone().ok_or_else(|| wrong("a data set of type file needs a path: --input-file"))?;
            let format = dataset.format.as_deref().map(FileFormat::parse).transpose().map_err(bad("--custom-dataset-type"))?;
            Source::File { path: path.into(), format }
        }
        Some(other) => return Err(wrong(format!("data sets of type {other:?} are not built: synthetic and file are"))),
    };
    let choose = |what: &str, given: &str, known: &[&str]| super::one_of(what, given, known);
    let sampling = dataset.sampling.as_deref().map(|s| choose("sampling", s, &["sequential", "random", "shuffle"])).transpose()?;
    let corpus = prompts.corpus.as_deref().map(|c| choose("--prompt-corpus", c, &["sonnet", "random", "coding"])).transpose()?;
    let style = prompts.random_corpus_style.as_deref().map(|s| choose("--random-corpus-style", s, &["vllm", "sglang"])).transpose()?;
    let strategy =
        benchmark.models.strategy.as_deref().map(|s| choose("strategy", s, &["round_robin", "random", "weighted"])).transpose()?;
    if dataset.system_prompt.is_some() && !endpoint.takes_system() {
        return Err(wrong(format!("--system-prompt: {} has no system message", endpoint.name())));
    }
    Ok(Spec {
        source,
        entries: entries(config, dataset),
        sampling: sampling.map(|s| match s.as_str() {
            "random" => Sampling::Random,
            "shuffle" => Sampling::Shuffle,
            _ => Sampling::Sequential,
        }),
        seed: dataset.random_seed.or(seed),
        isl: length("prompts.isl", prompts.isl.as_ref(), 550.0)?,
        osl: osl.map(|osl| osl.resolve(None).map_err(bad("prompts.osl"))).transpose()?,
        seq_dist: prompts.sequence_distribution.as_ref().map(SequenceDistribution::resolve).transpose().map_err(bad("--seq-dist"))?,
        range_ratio: prompts
            .random_range_ratio
            .as_ref()
            .map(|r| RangeRatio::parse(&r.0))
            .transpose()
            .map_err(bad("--random-range-ratio"))?,
        corpus: match corpus.as_deref() {
            Some("coding") => return Err(wrong("--prompt-corpus coding is not built here: sonnet and random are")),
            Some("random") => Corpus::Random,
            _ => Corpus::Sonnet,
        },
        style: if style.as_deref() == Some("sglang") { CorpusStyle::Sglang } else { CorpusStyle::Vllm },
        batch: prompts.batch_size.unwrap_or(1),
        prefix_pool: dataset.prefix_prompts.pool_size.unwrap_or(0),
        prefix_length: dataset.prefix_prompts.length.unwrap_or(0),
        shared_system_length: dataset.prefix_prompts.shared_system_length,
        user_context_length: dataset.prefix_prompts.user_context_length,
        system_prompt: dataset.system_prompt.clone(),
        turns: turns(dataset)?,
        delay: length("turn_delay", dataset.turn_delay.as_ref(), 0.0)?,
        delay_ratio: dataset.turn_delay_ratio.unwrap_or(1.0),
        ignore_trace_delays: dataset.ignore_trace_delays,
        images: images(dataset)?,
        rankings: if endpoint.ranks() { Some(rankings(&dataset.rankings)?) } else { None },
        models: benchmark.models.items.len().max(1),
        model_choice: match strategy.as_deref() {
            Some("random") => ModelChoice::Random,
            Some("weighted") => ModelChoice::Weighted(weights(&benchmark.models.items)?),
            _ => ModelChoice::RoundRobin,
        },
        start_offset_ms: benchmark.phases.iter().find_map(|phase| phase.start_offset),
        end_offset_ms: benchmark.phases.iter().find_map(|phase| phase.end_offset),
        block_size: prompts.block_size,
        speedup: dataset.synthesis.speedup_ratio.unwrap_or(1.0),
        max_isl: dataset.synthesis.max_isl,
        max_osl: dataset.synthesis.max_osl,
    })
}

/// How many conversations the data set has (perf contract 1.3).
fn entries(config: &Config, dataset: &super::model::Dataset) -> Option<usize> {
    let profiling = config.benchmark.phases.iter().filter(|phase| !is_warmup(phase));
    let from_phases = || {
        let asked = profiling
            .clone()
            .filter_map(|phase| phase.sessions)
            .max()
            .or_else(|| profiling.clone().filter_map(|phase| phase.requests).max());
        asked.and_then(|n| usize::try_from(n).ok())
    };
    let made = dataset.path.is_none();
    dataset.entries.or_else(|| if made { from_phases() } else { None })
}

/// How often each model is asked, of all of them.
fn weights(models: &[Model]) -> Result<Vec<f64>, Failure> {
    let one = |model: &Model| match model.weight {
        Some(weight) if weight.is_finite() && weight >= 0.0 => Ok(weight),
        Some(weight) => Err(wrong(format!("models: the weight of {:?} is {weight}: it must be 0 or above", model.name))),
        None => Err(wrong(format!(
            "--model-selection-strategy weighted: {:?} has no weight; weights come from a configuration file: models.items, name and weight",
            model.name
        ))),
    };
    let weights: Vec<f64> = models.iter().map(one).collect::<Result<_, _>>()?;
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 || !sum.is_finite() {
        return Err(wrong(format!("models: the weights come to {sum} together: it must be above 0, and a number")));
    }
    Ok(weights)
}

/// What images show, by its name or its folder.
pub(crate) fn image_source(images: &super::model::Images) -> Result<ImageSource, Failure> {
    let sampling = match images.source_sampling.as_deref().map(|given| (given, name(given))) {
        None => Sampling::Random,
        Some((given, sampling)) => match sampling.as_str() {
            "random_with_replacement" => Sampling::Random,
            "shuffle_cycle" => Sampling::Shuffle,
            "sequential_cycle" => Sampling::Sequential,
            _ => {
                let known = "random-with-replacement, shuffle-cycle, sequential-cycle";
                return Err(wrong(format!("--image-source-sampling: {given:?} is none of {known}")));
            }
        },
    };
    match images.source.as_deref().map(|given| (given, name(given))) {
        Some((given, source)) if source != "noise" => match source.as_str() {
            "assets" => {
                Err(wrong("--image-source assets is not built here: AIPerf's own pictures are not at hand; pass a folder of pictures"))
            }
            "" => Err(wrong("--image-source: it is empty; give noise, or a folder of pictures")),
            _ => Ok(ImageSource::Folder { path: given.into(), sampling }),
        },
        _ if sampling != Sampling::Random => Err(wrong(
            "--image-source-sampling: noise has no pictures to take in turn; pass a folder with --image-source, or random-with-replacement",
        )),
        _ => Ok(ImageSource::Noise),
    }
}

/// A side of images where nothing is said of it: noise is made on demand only, a folder that is named is meant to be used.
pub(crate) fn usual_side(source: &ImageSource) -> f64 {
    if *source == ImageSource::Noise { 0.0 } else { 512.0 }
}

fn rankings(given: &super::model::Rankings) -> Result<Rankings, Failure> {
    Ok(Rankings {
        passages: length("rankings.passages", given.passages.as_ref(), 1.0)?,
        passage: length("rankings.passage_tokens", given.passage_tokens.as_ref(), 550.0)?,
        query: length("rankings.query_tokens", given.query_tokens.as_ref(), 550.0)?,
    })
}

fn images(dataset: &super::model::Dataset) -> Result<Option<Images>, Failure> {
    let images = &dataset.images;
    let source = image_source(images)?;
    let format = match images.format.as_deref().map(name).as_deref() {
        None | Some("png") => ImageFormat::Png,
        Some("jpeg") => ImageFormat::Jpeg,
        Some("random") => ImageFormat::Random,
        Some(other) => return Err(wrong(format!("--image-format: {other:?} is none of png, jpeg, random"))),
    };
    let usual = usual_side(&source);
    let width = length("images.width", images.width.as_ref(), usual)?;
    let height = length("images.height", images.height.as_ref(), usual)?;
    let made = width.mean() > 0.0 && height.mean() > 0.0;
    Ok(made.then(|| Images { width, height, batch: images.batch_size.unwrap_or(1), format, source }))
}

/// Whether a phase warms up only.
#[must_use]
pub fn is_warmup(phase: &Phase) -> bool {
    phase.kind.as_deref() == Some("warmup") || phase.exclude_from_results || (phase.kind.is_none() && phase.name == "warmup")
}

/// The phases, now that the data are known: a trace with times is replayed by them.
///
/// # Errors
/// What contradicts itself, or lacks what it needs.
pub fn phases(config: &Config, data: &Dataset, streaming: bool) -> Result<Vec<PhasePlan>, Failure> {
    let given = &config.benchmark.phases;
    let default = [Phase { name: super::document::PROFILING.to_owned(), ..Phase::default() }];
    let given = if given.is_empty() { &default[..] } else { &given[..] };
    let mut names = std::collections::HashSet::new();
    if let Some(twice) = given.iter().find(|phase| !names.insert(&phase.name)) {
        return Err(wrong(format!("two phases are called {:?}", twice.name)));
    }
    if given.iter().all(is_warmup) {
        return Err(wrong("there is no phase that is measured: all of them warm up"));
    }
    given.iter().map(|phase| one(config, phase, data, streaming)).collect()
}

fn one(config: &Config, phase: &Phase, data: &Dataset, streaming: bool) -> Result<PhasePlan, Failure> {
    let ours = &config.dormouse;
    let warmup = is_warmup(phase);
    let bad = |why: String| wrong(format!("phase {:?}: {why}", phase.name));
    let mut kind =
        phase.r#type.as_deref().map_or_else(|| if phase.rate.is_some() { "poisson".to_owned() } else { "concurrency".to_owned() }, name);
    let replay = data.format().is_trace() && data.has_timestamps() && !phase.no_fixed_schedule && !warmup;
    if replay && kind != "fixed_schedule" {
        if phase.rate.is_some() || phase.users.is_some() || phase.smoothness.is_some() {
            return Err(bad("the data set is a trace with times, and a rate is asked for: --no-fixed-schedule takes the rate".to_owned()));
        }
        "fixed_schedule".clone_into(&mut kind);
    }
    let rate = || -> Result<Rate, Failure> {
        if let Some(points) = &phase.rate_series {
            if points.len() < 2 {
                return Err(bad("a series of rates needs at least two points".to_owned()));
            }
            return Rate::series(points.iter().map(|p| (p.time_s, p.qps)).collect()).map_err(|why| bad(why.to_string()));
        }
        let rate = phase.rate.ok_or_else(|| bad(format!("{kind} needs a rate")))?;
        let ramp = phase.rate_ramp.unwrap_or(0.0);
        if rate <= 0.0 || !rate.is_finite() {
            return Err(bad(format!("a rate must be above 0, and it is {rate}")));
        }
        Rate::ramp(rate, ramp).map_err(|why| bad(why.to_string()))
    };
    let load = match kind.as_str() {
        "concurrency" => Load::Closed,
        "constant" => Load::Open { rate: rate()?, pattern: Pattern::Constant },
        "poisson" => Load::Open { rate: rate()?, pattern: Pattern::Poisson },
        "gamma" => Load::Open { rate: rate()?, pattern: Pattern::Gamma(above("smoothness", phase.smoothness.unwrap_or(1.0))?) },
        "user_centric" => Load::Users {
            users: phase.users.filter(|users| *users > 0).ok_or_else(|| bad("user_centric needs users".to_owned()))?,
            rate: above("rate", phase.rate.unwrap_or(0.0))?,
            turns: config.benchmark.datasets.first().map_or(Ok(1.0), |dataset| turns(dataset).map(|turns| turns.mean()))?,
        },
        "fixed_schedule" => Load::Schedule(schedule(data, phase).map_err(bad)?),
        other => return Err(bad(format!("type {other:?} is none of concurrency, constant, poisson, gamma, user_centric, fixed_schedule"))),
    };
    let concurrency = phase.concurrency.or_else(|| matches!(load, Load::Closed).then_some(1));
    if concurrency == Some(0) || phase.requests == Some(0) || phase.sessions == Some(0) {
        return Err(bad("concurrency, requests and sessions are at least 1".to_owned()));
    }
    if let Some(prefill) = phase.prefill_concurrency {
        if !streaming {
            return Err(bad("--prefill-concurrency needs --streaming: without it nobody sees the first token".to_owned()));
        }
        if prefill == 0 || concurrency.is_some_and(|all| prefill > all) {
            return Err(bad(format!("prefill concurrency {prefill} is not between 1 and the concurrency")));
        }
    }
    let mut stop = Stop { requests: phase.requests, sessions: phase.sessions, duration: None };
    if let Some(seconds) = phase.duration {
        stop.duration = Some(nanoseconds(above("duration", seconds)?));
    }
    if stop == Stop::default() && !matches!(load, Load::Schedule(_)) {
        stop.requests = Some(usual_requests(concurrency, ours.as_the_peer()));
    }
    let ramp = |what: &str, seconds: Option<f64>| seconds.map(|s| above(what, s).map(nanoseconds)).transpose();
    Ok(PhasePlan {
        name: phase.name.clone(),
        warmup,
        load,
        concurrency,
        prefill: phase.prefill_concurrency,
        in_flight: ours.request_concurrency,
        concurrency_ramp: ramp("concurrency ramp", phase.concurrency_ramp)?,
        prefill_ramp: ramp("prefill ramp", phase.prefill_ramp)?,
        stop,
        grace: match phase.grace_period {
            Some(period) => period.0.map(nanoseconds),
            None if warmup => None,
            None => Some(nanoseconds(30.0)),
        },
        cancel: match phase.cancellation {
            Some(cancel) if !(cancel.rate > 0.0 && cancel.rate <= 100.0) || cancel.delay < 0.0 => {
                return Err(bad(format!("a share of {} % to be cancelled after {} s cannot be", cancel.rate, cancel.delay)));
            }
            cancel => cancel.map(|cancel| Cancel { percent: cancel.rate, delay: nanoseconds(cancel.delay) }),
        },
        drop_late: (ours.as_the_peer() || ours.rate_catchup.as_deref() == Some("drop")).then_some(10_000_000),
    })
}

/// How many requests a phase has that says nothing of its end (perf contract 10.6).
#[must_use]
pub fn usual_requests(concurrency: Option<u32>, as_the_peer: bool) -> u64 {
    let places = u64::from(concurrency.unwrap_or(1));
    if as_the_peer { 10 } else { places.saturating_mul(2).max(10) }
}

fn above(what: &str, value: f64) -> Result<f64, Failure> {
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err(wrong(format!("{what} must be above 0, and it is {value}"))) }
}

/// When conversations begin, in the order in which they are to be supplied ([`schedule_order`]).
fn schedule(data: &Dataset, phase: &Phase) -> Result<Arc<[Planned]>, String> {
    let order = schedule_order(data)?;
    let zero = zero(phase, &order);
    let at = |ms: f64| nanoseconds(((ms - zero) * 1e-3).max(0.0));
    Ok(order.iter().map(|(ms, _)| Planned { at: at(*ms), ..Planned::default() }).collect())
}

/// The moment, in the data set's milliseconds, that is the beginning of its phase.
fn zero(phase: &Phase, order: &[(f64, usize)]) -> f64 {
    let earliest = order.first().map_or(0.0, |(ms, _)| *ms);
    match (phase.start_offset, phase.auto_offset) {
        (Some(start), _) => start,
        (None, Some(false)) => 0.0,
        (None, _) => earliest,
    }
}

/// The same for whoever has the configuration: what later turns' times are counted from.
///
/// # Errors
/// As [`schedule_order`].
pub fn schedule_zero(config: &Config, data: &Dataset) -> Result<f64, String> {
    let order = schedule_order(data)?;
    let default = Phase::default();
    Ok(zero(config.benchmark.phases.iter().find(|phase| !is_warmup(phase)).unwrap_or(&default), &order))
}

/// Conversations by the time of their first turn, in the data set's milliseconds; those of one time in the order of the file.
///
/// # Errors
/// Conversations without a time.
pub fn schedule_order(data: &Dataset) -> Result<Vec<(f64, usize)>, String> {
    let mut order = Vec::with_capacity(data.len());
    for k in 0..data.len() {
        let conversation = data.conversation(k);
        let at = conversation.turns.first().and_then(|turn| turn.timestamp_ms);
        order
            .push((at.ok_or_else(|| format!("a fixed schedule needs a time for each conversation, and {} has none", conversation.id))?, k));
    }
    order.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(order)
}

/// What good requests keep to.
///
/// # Errors
/// A metric that is not known.
pub fn objectives(config: &Config) -> Result<Vec<Objective>, Failure> {
    let one = |(tag, limit): (&String, &f64)| {
        let metric = Metric::of(tag).ok_or_else(|| wrong(format!("--goodput: no metric is called {tag:?}")))?;
        Ok(Objective { metric, limit: metric.entry().unit.base(*limit) })
    };
    config.benchmark.slos.iter().map(one).collect()
}

/// The folder's own name (perf contract 6.1).
#[must_use]
pub fn folder(config: &Config, models: &[String], endpoint: EndpointType) -> String {
    let phases = &config.benchmark.phases;
    let phase = phases.iter().find(|phase| !is_warmup(phase));
    let model: String = models.first().map(|name| name.replace('/', "_")).unwrap_or_default();
    let several = if models.len() > 1 { "_multi" } else { "" };
    let kind = phase.and_then(|phase| phase.r#type.as_deref()).unwrap_or("concurrency");
    let stimulus = match (kind, phase) {
        ("fixed_schedule", _) => "fixed_schedule".to_owned(),
        ("user_centric", Some(phase)) => format!("user_centric-users{}-qps{:?}", phase.users.unwrap_or(0), phase.rate.unwrap_or(0.0)),
        (_, Some(Phase { rate: Some(rate), concurrency, .. })) => {
            let places = concurrency.map(|n| format!("concurrency{n}-")).unwrap_or_default();
            format!("{places}request_rate{rate:?}")
        }
        (_, phase) => format!("concurrency{}", phase.and_then(|phase| phase.concurrency).unwrap_or(1)),
    };
    format!("{model}{several}-openai-{}-{stimulus}", endpoint.name())
}
