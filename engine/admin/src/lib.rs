//! How launcher and controllers talk to an engine: whether it lives, sleeps, serves; make it sleep and wake.
//!
//! A [`Driver`] knows one kind of engine; [`driver`] chooses by name. Its calls are single HTTP requests with a time-out of
//! their own each. [`put_to_sleep`] and [`wake_up`] are the procedures over them: an answer of 200 proves nothing, so both
//! look afterwards, and a time-out is not a failure but *unknown* until looked at.

mod error;
mod http;
mod metrics;
mod procedure;
mod vllm;

use futures::future::BoxFuture;

pub use error::AdminError;
pub use http::{Timeouts, base_url};
pub use metrics::EngineMetrics;
pub use procedure::{put_to_sleep, wake_up};
pub use vllm::Vllm;

/// What an engine says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nobody listens yet (or any more: whoever owns the process knows).
    Starting,
    /// It answers; also while asleep.
    Ready,
    /// It answers that it is broken.
    Dead,
}

/// What to do with requests that run when sleep is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SleepMode {
    /// Whatever the engine does by itself.
    #[default]
    Default,
    /// End them.
    Abort,
    /// Let them end.
    Wait,
    /// Keep them for after the wake.
    Keep,
}

/// Which parts to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeTag {
    /// The weights.
    Weights,
    /// The cache of keys and values.
    KvCache,
}

/// A model that an engine serves.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct ServedModel {
    /// Name in requests.
    pub id: String,
    /// Longest prompt and answer together, in tokens.
    #[serde(default)]
    pub max_model_len: Option<u64>,
}

/// Result of a call.
pub type Called<'a, T> = BoxFuture<'a, Result<T, AdminError>>;

/// One engine at one address.
pub trait Driver: Send + Sync + std::fmt::Debug {
    /// The adapter's name.
    fn name(&self) -> &'static str;
    /// Whether it lives; right while asleep, too.
    fn health(&self) -> Called<'_, Health>;
    /// Whether it sleeps.
    fn is_sleeping(&self) -> Called<'_, bool>;
    /// Puts it to sleep: 1 keeps the weights in host memory, 2 drops them.
    fn sleep(&self, level: u8, mode: SleepMode) -> Called<'_, ()>;
    /// Wakes these parts; all of them when none are named.
    fn wake(&self, tags: &[WakeTag]) -> Called<'_, ()>;
    /// Loads weights whose contents a sleep has lost, between waking them and waking the cache.
    fn restore_weights(&self) -> Called<'_, ()>;
    /// Drops cached prompts only.
    fn release_cache(&self) -> Called<'_, ()>;
    /// What it serves.
    fn models(&self) -> Called<'_, Vec<ServedModel>>;
    /// Its version.
    fn version(&self) -> Called<'_, String>;
    /// The figures that matter here.
    fn metrics(&self) -> Called<'_, EngineMetrics>;
}

/// Names that [`driver`] knows.
pub const ADAPTERS: [&str; 2] = ["vllm", "dormouse"];

/// The driver called `adapter` for the engine at `base` (`http://host:port`). Engines of ours speak vLLM's routes.
///
/// # Errors
/// An adapter or an address that is none.
pub fn driver(adapter: &str, base: &str, client: reqwest::Client, timeouts: Timeouts) -> Result<Box<dyn Driver>, AdminError> {
    let Some(name) = ADAPTERS.into_iter().find(|name| *name == adapter) else {
        return Err(AdminError::Adapter { name: adapter.to_owned(), known: ADAPTERS.join(", ") });
    };
    Ok(Box::new(Vllm::named(name, base, client, timeouts)?))
}
