//! A document as typed values. A member that is not known is an error that names it.

use std::collections::BTreeMap;

use dormouse_perf_report::json::{Json, Members};
use dormouse_runtime::exit::Failure;
use serde::Deserialize;

use super::length::{Length, SequenceDistribution};
use super::wrong;

/// A whole document.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub schema_version: Option<Json>,
    pub benchmark: Benchmark,
    pub random_seed: Option<u64>,
    pub multi_run: MultiRun,
    pub sweep: Option<Sweep>,
    pub variables: Option<Json>,
    pub no_sweep_table: bool,
    pub dormouse: Ours,
}

impl Config {
    /// Reads a document.
    ///
    /// # Errors
    /// A member that is not known, a value that is none; where it stands is said.
    pub fn read(document: &Json) -> Result<Self, Failure> {
        let text = serde_json::to_string(document).map_err(wrong)?;
        let mut config: Self = serde_json::from_str(&text).map_err(|why| wrong(without_place(&why.to_string())))?;
        let benchmark = &mut config.benchmark;
        benchmark.datasets.extend(benchmark.dataset.take());
        for (asked, what) in [
            (benchmark.artifacts.auto_plot || benchmark.artifacts.plot_required, "artifacts.auto_plot"),
            (benchmark.network_latency.enabled, "network_latency"),
        ] {
            if asked {
                return Err(wrong(format!("{what} is not built here")));
            }
        }
        if config.dormouse.log_level.is_none() {
            config.dormouse.log_level = benchmark.logging.level.as_deref().map(super::name);
        }
        Ok(config)
    }
}

/// Positions are those of a text that nobody has seen.
fn without_place(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

/// What one benchmark is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Benchmark {
    pub models: Models,
    pub endpoint: Endpoint,
    pub dataset: Option<Dataset>,
    pub datasets: Vec<Dataset>,
    pub phases: Vec<Phase>,
    pub artifacts: Artifacts,
    pub slos: BTreeMap<String, f64>,
    pub tokenizer: Tokenizer,
    pub gpu_telemetry: Scrape,
    pub server_metrics: Scrape,
    pub network_latency: Switch,
    pub otel: Empty,
    pub mlflow: Empty,
    pub wandb: Empty,
    pub runtime: Runtime,
    pub logging: Logging,
}

/// Sections of the peer that are not built: they may stand there as long as nothing is asked for in them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    pub strategy: Option<String>,
    pub items: Vec<Model>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    pub name: String,
    pub weight: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    #[serde(alias = "url")]
    pub urls: OneOrMany,
    pub url_strategy: Option<String>,
    pub r#type: String,
    pub path: Option<String>,
    pub api_key: Option<String>,
    pub timeout: f64,
    pub streaming: bool,
    pub transport: Option<String>,
    pub connection_reuse: String,
    pub use_legacy_max_tokens: bool,
    pub use_server_token_count: bool,
    pub per_chunk_usage: bool,
    pub template: TemplateConfig,
    pub headers: Object,
    pub extra: Object,
    pub request_content_type: Option<String>,
    pub session_header: Option<String>,
    pub wait_for_model_timeout: f64,
    pub wait_for_model_interval: f64,
    pub wait_for_model_mode: String,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            urls: OneOrMany(vec!["http://localhost:8000".to_owned()]),
            url_strategy: None,
            r#type: "chat".to_owned(),
            path: None,
            api_key: None,
            timeout: 21_600.0,
            streaming: false,
            transport: None,
            connection_reuse: "pooled".to_owned(),
            use_legacy_max_tokens: false,
            use_server_token_count: false,
            per_chunk_usage: false,
            template: TemplateConfig::default(),
            headers: Object::default(),
            extra: Object::default(),
            request_content_type: None,
            session_header: None,
            wait_for_model_timeout: 0.0,
            wait_for_model_interval: 5.0,
            wait_for_model_mode: "inference".to_owned(),
        }
    }
}

/// An object whose members are the user's own.
#[derive(Clone, Debug, Default)]
pub struct Object(pub Members);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::Object(members) => Ok(Self(members)),
            other => Err(serde::de::Error::custom(format!("{} is no object", serde_json::to_string(&other).unwrap_or_default()))),
        }
    }
}

/// A text, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::One(one) => vec![one],
            Either::Many(many) => many,
        }))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateConfig {
    pub body: Option<String>,
    pub response_field: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dataset {
    pub name: Option<String>,
    pub r#type: Option<String>,
    pub entries: Option<usize>,
    pub random_seed: Option<u64>,
    pub sampling: Option<String>,
    pub prompts: Prompts,
    pub prefix_prompts: PrefixPrompts,
    pub system_prompt: Option<String>,
    pub turns: Option<Length>,
    pub turn_delay: Option<Length>,
    pub turn_delay_ratio: Option<f64>,
    pub images: Images,
    pub rankings: Rankings,
    pub path: Option<String>,
    pub format: Option<String>,
    pub synthesis: Synthesis,
    pub ignore_trace_delays: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    pub isl: Option<Length>,
    pub osl: Option<Length>,
    pub block_size: Option<u64>,
    pub batch_size: Option<usize>,
    pub corpus: Option<String>,
    pub sequence_distribution: Option<SequenceDistribution>,
    pub random_range_ratio: Option<Scalar>,
    pub random_corpus_style: Option<String>,
}

/// A number, or text.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Json::deserialize(deserializer)? {
            Json::String(text) => Self(text),
            other => Self(serde_json::to_string(&other).map_err(serde::de::Error::custom)?),
        })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrefixPrompts {
    pub pool_size: Option<usize>,
    pub length: Option<u64>,
    pub shared_system_length: Option<u64>,
    pub user_context_length: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Images {
    pub width: Option<Length>,
    pub height: Option<Length>,
    pub batch_size: Option<usize>,
    pub format: Option<String>,
    pub source: Option<String>,
    pub source_sampling: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rankings {
    pub passages: Option<Length>,
    pub passage_tokens: Option<Length>,
    pub query_tokens: Option<Length>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Synthesis {
    pub speedup_ratio: Option<f64>,
    pub max_isl: Option<u64>,
    pub max_osl: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phase {
    pub name: String,
    pub kind: Option<String>,
    pub r#type: Option<String>,
    pub exclude_from_results: bool,
    pub requests: Option<u64>,
    pub duration: Option<f64>,
    pub sessions: Option<u64>,
    pub concurrency: Option<u32>,
    pub concurrency_ramp: Option<f64>,
    pub prefill_concurrency: Option<u32>,
    pub prefill_ramp: Option<f64>,
    pub grace_period: Option<Seconds>,
    pub cancellation: Option<Cancellation>,
    pub failed_request_threshold: Option<f64>,
    pub rate: Option<f64>,
    pub rate_ramp: Option<f64>,
    pub rate_series: Option<Vec<RatePoint>>,
    pub smoothness: Option<f64>,
    pub users: Option<u32>,
    pub auto_offset: Option<bool>,
    pub start_offset: Option<f64>,
    pub end_offset: Option<f64>,
    pub no_fixed_schedule: bool,
}

/// Seconds, or without end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(pub Option<f64>);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::String(text) if text.eq_ignore_ascii_case("inf") => Ok(Self(None)),
            Json::Number(number) => Ok(Self(number.as_f64())),
            _ => Err(serde::de::Error::custom("a period is a number of seconds, or inf")),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cancellation {
    pub rate: f64,
    pub delay: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatePoint {
    pub time_s: f64,
    pub qps: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Artifacts {
    pub dir: Option<String>,
    pub prefix: Option<String>,
    pub summary: Option<Vec<String>>,
    pub records: Option<Vec<String>>,
    pub raw: bool,
    pub slice_duration: Option<f64>,
    pub trace: bool,
    pub show_trace_timing: bool,
    pub export_outputs_json: bool,
    pub auto_plot: bool,
    pub plot_required: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokenizer {
    pub name: Option<String>,
    pub revision: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scrape {
    pub enabled: Option<bool>,
    pub urls: Vec<String>,
    pub formats: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switch {
    pub enabled: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    pub ui: Option<String>,
    pub workers: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    pub level: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultiRun {
    pub num_runs: u32,
    pub cooldown_seconds: f64,
    pub confidence_level: f64,
    pub set_consistent_seed: bool,
    pub disable_warmup_after_first: bool,
    pub vary_seed_per_trial: bool,
}

impl Default for MultiRun {
    fn default() -> Self {
        Self {
            num_runs: 1,
            cooldown_seconds: 0.0,
            confidence_level: 0.95,
            set_consistent_seed: true,
            disable_warmup_after_first: true,
            vary_seed_per_trial: false,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    pub r#type: Option<String>,
    pub parameters: Object,
    pub runs: Vec<Scenario>,
    pub mode: Option<String>,
    pub cooldown_seconds: f64,
    pub same_seed: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    pub benchmark: Json,
}

/// What the peer has not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ours {
    pub compat: Option<String>,
    pub max_error_rate: Option<f64>,
    pub request_concurrency: Option<u32>,
    pub preconnect: Option<bool>,
    pub idle_timeout: Option<f64>,
    pub pace: Option<String>,
    pub rate_catchup: Option<String>,
    pub on_turn_error: Option<String>,
    pub console_style: Option<String>,
    pub calibrate: bool,
    pub slo: Vec<String>,
    pub search: Option<String>,
    pub max_runtime: Option<f64>,
    pub log_level: Option<String>,
    pub stats_interval: Option<f64>,
}

impl Ours {
    /// Whether the peer's behaviour is wanted where ours is another.
    #[must_use]
    pub fn as_the_peer(&self) -> bool {
        self.compat.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        Config::read(&serde_json::from_str(text).unwrap()).map_err(|why| why.to_string())
    }

    #[test]
    fn what_is_not_known_is_named() {
        let error = read(r#"{"benchmark":{"endpoint":{"urlz":"x"}}}"#).unwrap_err();
        assert!(error.contains("urlz") && error.contains("url"), "{error}");
        let error = read(r#"{"benchmark":{"otel":{"url":"x"}}}"#).unwrap_err();
        assert!(error.contains("url"), "{error}");
    }

    #[test]
    fn lengths_and_periods_have_two_forms() {
        let config =
            read(r#"{"benchmark":{"dataset":{"prompts":{"isl":{"mean":3,"stddev":1},"osl":5}},"phases":[{"grace_period":"inf"}]}}"#)
                .unwrap();
        let dataset = &config.benchmark.datasets[0];
        assert_eq!(dataset.prompts.isl, Some(Length { mean: Some(3.0), stddev: Some(1.0), ..Length::default() }));
        assert_eq!(dataset.prompts.osl, Some(Length { mean: Some(5.0), ..Length::default() }));
        assert_eq!(config.benchmark.phases[0].grace_period, Some(Seconds(None)));
    }
}
