//! HTTP calls to stubs, launchers and engines: bounded, counted, logged, and with failures classed by what they
//! prove (actuation 3.12).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_planner::action::Action;
use dormouse_planner::ids::{GpuUuid, InstanceId};
use dormouse_planner::memory::{FailureClass, InstanceReport};
use dormouse_runtime::SharedClock;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// Longest answer that is read of a call that succeeded.
const BODY_MAX: usize = 8 << 20;
/// Longest part of the answer to a failed call that is kept.
const ERROR_BODY_MAX: usize = 512;
/// Shortest and longest pause between two looks at an engine that was told to wake.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// Why a call did not succeed.
#[derive(Debug)]
pub(crate) struct CallError {
    pub status: Option<u16>,
    pub class: FailureClass,
    pub text: String,
}

/// The client.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    metrics: Arc<Metrics>,
    namespace: String,
    clock: SharedClock,
}

impl Caller {
    /// `http` has no time-out for whole calls: actions have one.
    pub(crate) fn new(http: reqwest::Client, metrics: Arc<Metrics>, namespace: String, clock: SharedClock) -> Self {
        Self { http, metrics, namespace, clock }
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
        let query = if level == 1 { String::new() } else { format!("?level={level}") };
        self.post(action, &format!("{base_url}/sleep{query}")).await?;
        self.is_sleeping(action, base_url).await
    }

    /// `/wake_up`, then asks until the engine says that it is awake; the action's time-out ends that.
    pub(crate) async fn wake(&self, action: &Action, base_url: &str) -> Result<bool, CallError> {
        self.post(action, &format!("{base_url}/wake_up")).await?;
        let begun = Instant::now();
        while self.is_sleeping(action, base_url).await? {
            tokio::time::sleep((begun.elapsed() / 20).clamp(LOOKS.0, LOOKS.1)).await;
        }
        Ok(false)
    }

    pub(crate) async fn is_sleeping(&self, action: &Action, base_url: &str) -> Result<bool, CallError> {
        #[derive(Deserialize)]
        struct Wire {
            is_sleeping: bool,
        }
        Ok(self.get::<Wire>(action, &format!("{base_url}/is_sleeping")).await?.is_sleeping)
    }

    pub(crate) async fn post(&self, action: &Action, url: &str) -> Result<(), CallError> {
        self.call(action, "POST", url, None).await.map(drop)
    }

    pub(crate) async fn get<T: for<'de> Deserialize<'de>>(&self, action: &Action, url: &str) -> Result<T, CallError> {
        let body = self.call(action, "GET", url, None).await?;
        serde_json::from_slice(&body).map_err(|e| CallError {
            status: None,
            class: FailureClass::Transient,
            text: format!("failed to decode response to GET {url:?}: {e}"),
        })
    }

    /// One call, counted and logged.
    pub(crate) async fn call(&self, action: &Action, method: &'static str, url: &str, body: Option<&Value>) -> Result<Vec<u8>, CallError> {
        let (start, begun) = (self.clock.now(), Instant::now());
        let result = self.send(method, url, body).await;
        let status = match &result {
            Ok((status, _)) => *status,
            Err(e) => e.status.unwrap_or(0),
        };
        let purpose = action.purpose().unwrap_or_default();
        let took = begun.elapsed().as_secs_f64();
        self.metrics.http(purpose, method, &self.namespace, action.subject.isc.as_deref().unwrap_or_default(), status, took);
        let err = result.as_ref().err().map(|e| e.text.as_str());
        tracing::debug!(purpose, method, url, httpCallStartTime = %start, latencySecs = took, statusCode = status, err, "HTTP call done");
        result.map(|(_, body)| body)
    }

    async fn send(&self, method: &str, url: &str, body: Option<&Value>) -> Result<(u16, Vec<u8>), CallError> {
        let failed = |e: &reqwest::Error| CallError {
            status: None,
            // Nobody listens: it was not done. Anything later may have been.
            class: if e.is_connect() || e.is_builder() { FailureClass::Transient } else { FailureClass::Lost },
            text: format!("failed to do HTTP {method} {url:?}: {}", chain(e)),
        };
        let verb = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or(reqwest::Method::GET);
        let mut request = self.http.request(verb, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if method == "GET" {
            request = request.header("accept", "application/json");
        }
        let mut response = request.send().await.map_err(|e| failed(&e))?;
        let status = response.status();
        let max = if status.is_success() { BODY_MAX } else { ERROR_BODY_MAX };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e))? {
            if bytes.len() + chunk.len() > max {
                if status.is_success() {
                    return Err(CallError {
                        status: None,
                        class: FailureClass::Transient,
                        text: format!("response to {method} {url:?} is larger than {max} bytes"),
                    });
                }
                bytes.extend_from_slice(&chunk[..max - bytes.len()]);
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok((status.as_u16(), bytes));
        }
        let class = if status.is_client_error() && status.as_u16() != 429 { FailureClass::Refused } else { FailureClass::Transient };
        let text = format!(
            "HTTP {method} {url:?} returned unexpected status {}; bodyReadErr=<nil>; responseBody={}",
            status.as_u16(),
            String::from_utf8_lossy(&bytes)
        );
        Err(CallError { status: Some(status.as_u16()), class, text })
    }
}

/// An error with its causes: reqwest says the interesting part in the last one.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(&format!(": {e}"));
        cause = e.source();
    }
    text
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
