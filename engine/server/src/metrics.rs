//! vLLM's metric names, as far as autoscalers, routers and dashboards of an engine look at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use dormouse_engine_client::admin::SleepState;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::job::Finish;

type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FinishLabel {
    model_name: String,
    engine: &'static str,
    finished_reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    model_name: String,
    engine: &'static str,
    sleep_state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    model_name: String,
    engine: &'static str,
    operation: &'static str,
}

/// The figures of one engine.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    model: String,
    pub(crate) running: Gauge<i64, AtomicI64>,
    pub(crate) waiting: Gauge<i64, AtomicI64>,
    /// Share of the cache in use, 0 to 1.
    pub(crate) cache: Gauge<f64, AtomicU64>,
    prompt_tokens: Counter,
    generation_tokens: Counter,
    success: Family<FinishLabel, Counter>,
    sleep_state: Family<StateLabel, Gauge>,
    operations: Family<OperationLabel, Histogram, fn() -> Histogram>,
    first_token: Histogram,
    inter_token: Histogram,
    whole: Histogram,
}

fn seconds() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

const ENGINE: &str = "0";

impl Metrics {
    pub(crate) fn new(model: &str) -> Self {
        let short = || Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]);
        let mut metrics = Self {
            registry: Arc::default(),
            model: model.to_owned(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            cache: Gauge::default(),
            prompt_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            success: Family::default(),
            sleep_state: Family::default(),
            operations: Family::new_with_constructor(seconds),
            first_token: seconds(),
            inter_token: short(),
            whole: seconds(),
        };
        let mut root = Registry::default();
        let labels: Labels = vec![("model_name", model.to_owned()), ("engine", ENGINE.to_owned())];
        let own = root.sub_registry_with_labels(labels.into_iter().map(|(k, v)| (k.into(), v.into())));
        own.register("vllm:num_requests_running", "Requests being computed", metrics.running.clone());
        own.register("vllm:num_requests_waiting", "Requests waiting to be computed", metrics.waiting.clone());
        own.register("vllm:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1", metrics.cache.clone());
        own.register("vllm:prompt_tokens", "Prompt tokens taken", metrics.prompt_tokens.clone());
        own.register("vllm:generation_tokens", "Tokens produced", metrics.generation_tokens.clone());
        own.register("vllm:time_to_first_token_seconds", "From request to first token", metrics.first_token.clone());
        own.register("vllm:inter_token_latency_seconds", "From token to token", metrics.inter_token.clone());
        own.register("vllm:e2e_request_latency_seconds", "From request to last token", metrics.whole.clone());
        root.register("vllm:request_success", "Requests answered, by reason of their end", metrics.success.clone());
        root.register("vllm:engine_sleep_state", "1 for the state the engine is in", metrics.sleep_state.clone());
        root.register("vllm:sleep_mode_operation_duration_seconds", "Time of sleep and wake operations", metrics.operations.clone());
        metrics.registry = Arc::new(root);
        metrics.sleeping(None);
        metrics
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// `None` is awake; level 0 keeps everything and counts as awake, as in vLLM.
    pub(crate) fn sleeping(&self, level: Option<u8>) {
        let now = usize::from(level.unwrap_or(0).min(2));
        for (k, state) in SleepState::ALL.iter().enumerate() {
            let label = StateLabel { model_name: self.model.clone(), engine: ENGINE, sleep_state: state.as_str() };
            self.sleep_state.get_or_create(&label).set(i64::from(k == now));
        }
    }

    pub(crate) fn operation(&self, operation: &'static str, took: Duration) {
        let label = OperationLabel { model_name: self.model.clone(), engine: ENGINE, operation };
        self.operations.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(crate) fn prompt(&self, tokens: usize) {
        self.prompt_tokens.inc_by(tokens as u64);
    }

    /// `tokens` more tokens, after this long; the first ones of an answer count as its beginning.
    pub(crate) fn produced(&self, tokens: usize, first: bool, after: Duration) {
        self.generation_tokens.inc_by(tokens as u64);
        if first {
            self.first_token.observe(after.as_secs_f64());
        } else if tokens > 0 {
            #[allow(clippy::cast_precision_loss)] // a handful of tokens
            self.inter_token.observe(after.as_secs_f64() / tokens as f64);
        }
    }

    pub(crate) fn finished(&self, finish: Finish, after: Duration) {
        let label = FinishLabel { model_name: self.model.clone(), engine: ENGINE, finished_reason: finish.as_str() };
        self.success.get_or_create(&label).inc();
        self.whole.observe(after.as_secs_f64());
    }
}
