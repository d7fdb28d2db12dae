//! What a kind of engine can be asked for, and how the requests travel.

use std::time::Duration;

use dormouse_runtime::http::{self, Answer, Client, Failure, Method};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::admin::{SleepMode, SleepState, WakeTag};
use crate::error::EngineError;
use crate::vllm::Vllm;

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

/// Result of an operation.
pub type Called<'a, T> = BoxFuture<'a, Result<T, EngineError>>;

/// One engine at one address. Every operation is one request.
pub trait Driver: Send + Sync {
    /// Whether it lives; right while asleep, too.
    fn health(&self) -> Called<'_, Health>;
    /// Whether it sleeps.
    fn is_sleeping(&self) -> Called<'_, bool>;
    /// Puts it to sleep: 1 keeps the weights in host memory, 2 drops them. Without a mode the engine has its own way with
    /// requests that run.
    fn sleep(&self, level: u8, mode: Option<SleepMode>) -> Called<'_, ()>;
    /// Wakes these parts; all of them when none are named.
    fn wake(&self, tags: &[WakeTag]) -> Called<'_, ()>;
    /// Loads weights whose contents a sleep has lost, between waking them and waking the cache.
    fn restore_weights(&self) -> Called<'_, ()>;
    /// Drops cached prompts only.
    fn release_cache(&self) -> Called<'_, ()>;
    /// What it says of the accelerator's memory; `None` when it says nothing.
    fn memory(&self) -> Called<'_, Option<SleepState>>;
}

/// The engine where nothing else is said.
pub const DEFAULT_ADAPTER: &str = "vllm";

/// The driver for engines called `adapter` (annotation `dormouse.dev/engine` of an instance) at `base` (`http://host:port`);
/// `None` for an engine that cannot be asked. Engines of ours speak vLLM's routes.
pub fn driver<'t>(adapter: &str, base: &str, transport: impl Transport + 't) -> Option<Box<dyn Driver + 't>> {
    match adapter {
        "vllm" => Some(Box::new(Vllm::new(base, transport))),
        _ => None,
    }
}

/// What a request is about: it decides how long an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `health`.
    Health,
    /// `is_sleeping`.
    IsSleeping,
    /// `sleep`.
    Sleep,
    /// `wake`, and what belongs to it.
    Wake,
    /// Everything else.
    Query,
}

/// A request of a driver.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What it is about.
    pub operation: Operation,
    /// How it is asked.
    pub method: &'a Method,
    /// What is asked.
    pub url: &'a str,
    /// With what.
    pub body: Option<&'a Value>,
}

/// How the requests of a driver travel. Whoever sends gives each its time, and may count it.
pub trait Transport: Send + Sync {
    /// Sends one request and reads its answer.
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Answer, Failure>>;
}

/// How long each kind of call may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `health`.
    pub health: Duration,
    /// `is_sleeping`.
    pub is_sleeping: Duration,
    /// `sleep`; of the procedure the confirmation included.
    pub sleep: Duration,
    /// `wake`; of the procedure the confirmation included.
    pub wake: Duration,
    /// Everything else.
    pub query: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            health: Duration::from_secs(2),
            is_sleeping: Duration::from_secs(5),
            sleep: Duration::from_secs(60),
            wake: Duration::from_secs(60),
            query: Duration::from_secs(10),
        }
    }
}

/// Sends with a client, each call within its own time.
#[derive(Clone, Debug)]
pub struct Direct {
    /// The client.
    pub client: Client,
    /// The times.
    pub timeouts: Timeouts,
}

impl Transport for Direct {
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        let limit = match call.operation {
            Operation::Health => self.timeouts.health,
            Operation::IsSleeping => self.timeouts.is_sleeping,
            Operation::Sleep => self.timeouts.sleep,
            Operation::Wake => self.timeouts.wake,
            Operation::Query => self.timeouts.query,
        };
        http::call(&self.client, call.method.clone(), call.url, call.body, Some(limit)).boxed()
    }
}
