//! HTTP calls to stubs, launchers and engines: bounded, counted, logged, and with failures classed by what they
//! prove (actuation 3.12).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_controller::Fence;
use dormouse_engine_client::{Call, Driver, EngineError, Transport, Vllm};
use dormouse_planner::action::Action;
use dormouse_planner::ids::{GpuUuid, InstanceId};
use dormouse_planner::memory::{FailureClass, InstanceReport};
use dormouse_runtime::SharedClock;
use dormouse_runtime::http::{self, Answer, Cause, Failure, Method};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// Shortest and longest pause between two looks at an engine that was told to wake.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// Why a call did not succeed.
#[derive(Debug)]
pub(crate) struct CallError {
    pub status: Option<u16>,
    pub class: FailureClass,
    pub text: String,
}

impl From<Failure> for CallError {
    /// The sentences are the peer's.
    fn from(failure: Failure) -> Self {
        let status = failure.status();
        let Failure { method, url, cause } = failure;
        let (class, text) = match cause {
            Cause::Unreachable(why) => (FailureClass::Transient, format!("failed to do HTTP {method} {url:?}: {why}")),
            Cause::Unanswered(why) => (FailureClass::Lost, format!("failed to do HTTP {method} {url:?}: {why}")),
            Cause::Refused { status, text, .. } => {
                let class = if matches!(status, 400..=499) && status != 429 { FailureClass::Refused } else { FailureClass::Transient };
                let returned = format!("HTTP {method} {url:?} returned unexpected status {status}");
                (class, format!("{returned}; bodyReadErr=<nil>; responseBody={text}"))
            }
            Cause::TooLarge(max) => (FailureClass::Transient, format!("response to {method} {url:?} is larger than {max} bytes")),
            Cause::Malformed(why) => (FailureClass::Transient, format!("failed to decode response to {method} {url:?}: {why}")),
        };
        Self { status, class, text }
    }
}

impl From<EngineError> for CallError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Call(failure) | EngineError::Unsupported { failure, .. } => failure.into(),
            EngineError::NotReached { .. } => Self { status: None, class: FailureClass::Transient, text: error.to_string() },
        }
    }
}

/// The client.
#[derive(Clone)]
pub(crate) struct Caller {
    http: http::Client,
    metrics: Arc<Metrics>,
    namespace: String,
    clock: SharedClock,
    fence: Fence,
}

impl Caller {
    /// `http` has no time-out for whole calls: actions have one. The fence is asked before each.
    pub(crate) fn new(http: http::Client, metrics: Arc<Metrics>, namespace: String, clock: SharedClock, fence: Fence) -> Self {
        Self { http, metrics, namespace, clock, fence }
    }

    /// The GPUs of a stub, from the older path where the present one is unknown.
    pub(crate) async fn gpus(&self, action: &Action, url: &str, old_url: &str) -> Result<Vec<GpuUuid>, CallError> {
        // An empty list of a Go program is `null`.
        match self.get::<Option<Vec<GpuUuid>>>(action, url).await {
            Err(e) if e.status == Some(404) => match self.get::<Option<Vec<GpuUuid>>>(action, old_url).await {
                Ok(gpus) => Ok(gpus.unwrap_or_default()),
                Err(_) => Err(e),
            },
            result => result.map(Option::unwrap_or_default),
        }
    }

    /// The instances of a launcher, in its order.
    pub(crate) async fn instances(&self, action: &Action, url: &str) -> Result<Vec<InstanceReport>, CallError> {
        let list = self.get::<WireList>(action, url).await?;
        Ok(list.instances.into_iter().map(InstanceReport::from).collect())
    }

    /// `/sleep`, and what the engine then says: a 200 alone proves nothing.
    pub(crate) async fn sleep(&self, action: &Action, base_url: &str, level: u8) -> Result<bool, CallError> {
        let engine = self.engine(action, base_url);
        engine.sleep(level, None).await?;
        Ok(engine.is_sleeping().await?)
    }

    /// `/wake_up`, then asks until the engine says that it is awake; the action's time-out ends that.
    pub(crate) async fn wake(&self, action: &Action, base_url: &str) -> Result<bool, CallError> {
        let engine = self.engine(action, base_url);
        engine.wake(&[]).await?;
        let begun = Instant::now();
        while engine.is_sleeping().await? {
            tokio::time::sleep((begun.elapsed() / 20).clamp(LOOKS.0, LOOKS.1)).await;
        }
        Ok(false)
    }

    /// `/is_sleeping`.
    pub(crate) async fn is_sleeping(&self, action: &Action, base_url: &str) -> Result<bool, CallError> {
        Ok(self.engine(action, base_url).is_sleeping().await?)
    }

    fn engine<'a>(&'a self, action: &'a Action, base_url: &str) -> Vllm<Carrier<'a>> {
        Vllm::new(base_url, Carrier { caller: self, action })
    }

    pub(crate) async fn post(&self, action: &Action, url: &str) -> Result<(), CallError> {
        Ok(self.call(action, Method::POST, url, None).await.map(drop)?)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, action: &Action, url: &str) -> Result<T, CallError> {
        Ok(self.call(action, Method::GET, url, None).await?.json()?)
    }

    /// One call, counted and logged.
    pub(crate) async fn call(&self, action: &Action, method: Method, url: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        if let Err(fenced) = self.fence.ask() {
            return Err(Failure { method, url: url.to_owned(), cause: Cause::Unreachable(fenced.to_string()) });
        }
        let (start, begun) = (self.clock.now(), Instant::now());
        let result = http::call(&self.http, method.clone(), url, body, None).await;
        let status = result.as_ref().map_or_else(|e| e.status().unwrap_or(0), |answer| answer.status);
        let purpose = action.purpose().unwrap_or_default();
        let took = begun.elapsed().as_secs_f64();
        let (method, isc) = (method.as_str(), action.subject.isc.as_deref().unwrap_or_default());
        self.metrics.http(purpose, method, &self.namespace, isc, status, took);
        let err = result.as_ref().err().map(|failure| CallError::from(failure.clone()).text);
        tracing::debug!(purpose, method, url, httpCallStartTime = %start, latencySecs = took, statusCode = status, err, "HTTP call done");
        result
    }
}

/// Carries what a driver asks of an engine as calls of an action, whose time bounds them.
struct Carrier<'a> {
    caller: &'a Caller,
    action: &'a Action,
}

impl Transport for Carrier<'_> {
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.caller.call(self.action, call.method.clone(), call.url, call.body).boxed()
    }
}

/// A launcher's list.
#[derive(Debug, Deserialize)]
struct WireList {
    instances: Vec<WireInstance>,
}

/// An instance on the wire.
#[derive(Debug, Deserialize)]
pub(crate) struct WireInstance {
    pub instance_id: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub exit_code: Option<i64>,
    #[serde(default)]
    pub options: String,
    #[serde(default)]
    pub gpu_uuids: Option<Vec<GpuUuid>>,
    #[serde(default)]
    pub env_vars: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl From<WireInstance> for InstanceReport {
    fn from(w: WireInstance) -> Self {
        Self {
            id: InstanceId(w.instance_id),
            stopped: w.status == "stopped",
            exit_code: w.exit_code,
            options: w.options,
            gpus: w.gpu_uuids,
            env: w.env_vars.unwrap_or_default(),
            annotations: w.annotations.unwrap_or_default(),
        }
    }
}
