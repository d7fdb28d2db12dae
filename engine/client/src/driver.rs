//! What a kind of engine can be asked for, and how the requests travel.

use dormouse_runtime::http::{self, Answer, Client, Failure, Method};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::admin::{SleepMode, WakeTag};
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

/// A request of a driver.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
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

/// With a client, within its own time-outs.
impl Transport for Client {
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        http::call(self, http::Request { body: call.body, ..http::Request::new(call.method.clone(), call.url) }).boxed()
    }
}
