//! HTTP calls to stubs, launchers and engines: bounded, counted, logged, and with failures classed by what they
//! prove (actuation 3.12).

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_controller::Fence;
use dormouse_engine_client::{Call, Driver, EngineError, Transport, Vllm, put_to_sleep, wake_up};
use dormouse_names::header::RELAYS_UNREADY;
use dormouse_planner::action::{Action, Do};
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

/// What an engine slept at that is to be woken: the planner puts none to sleep at another level.
const SLEPT_AT: u8 = 1;

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
        let (EngineError::Call(failure) | EngineError::Unsupported { failure, .. }) = error;
        failure.into()
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

    /// `/sleep`, and whether the engine then says that it sleeps: a 200 alone proves nothing.
    pub(crate) async fn sleep(&self, action: &Action, base_url: &str, level: u8) -> Result<bool, CallError> {
        Ok(put_to_sleep(&self.engine(action, base_url), level).await?)
    }

    /// `/wake_up`, then asks until the engine says that it is awake; the action's time-out ends that.
    pub(crate) async fn wake(&self, action: &Action, base_url: &str) -> Result<(), CallError> {
        Ok(wake_up(&self.engine(action, base_url), SLEPT_AT).await?)
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

    /// One call, counted and logged. It takes no longer than the lease that allows it.
    pub(crate) async fn call(&self, action: &Action, method: Method, url: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let limit = self.fence.ask().map_err(|fenced| {
            let cause = Cause::Unreachable(fenced.to_string());
            Failure { method: method.clone(), url: url.to_owned(), cause }
        })?;
        // A stub that will hear from us may wait for it at its end.
        let header = matches!(action.what, Do::Relay { ready: true, .. }).then_some((RELAYS_UNREADY, "true"));
        let (start, begun) = (self.clock.now(), Instant::now());
        let result = http::call(&self.http, http::Request { body, limit, header, ..http::Request::new(method.clone(), url) }).await;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dormouse_apiserver::{ApiServer, Options};
    use dormouse_controller::JsonClient;
    use dormouse_controller::lease::{Campaign, Ended, Leader, Timing};
    use dormouse_planner::action::{ActionKey, Do, Log, Owner, PodRef, Subject, Target, Verb};
    use dormouse_planner::ids::Uid;
    use dormouse_runtime::monotonic::BootClock;
    use dormouse_runtime::{CancellationToken, clock};
    use prometheus_client::registry::Registry;

    use super::*;

    fn read() -> Action {
        let requester = PodRef { namespace: "ns".into(), name: "r".into(), uid: Uid("u".into()), rv: "1".into() };
        Action {
            key: ActionKey { target: Target::Stub(requester.uid.clone()), verb: Verb::ReadGpuMemory, detail: String::new() },
            owner: Owner::DualPods,
            what: Do::ReadGpuMemory { requester, url: String::new() },
            container: None,
            timeout: Duration::from_secs(20),
            subject: Subject::default(),
            log: Log::default(),
            event: None,
        }
    }

    /// Somebody listens and says nothing.
    #[tokio::test]
    async fn a_call_ends_with_the_lease_that_allows_it() {
        dormouse_runtime::tls::install_provider();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let s = Duration::from_secs;
        let campaign = Campaign {
            namespace: "default".into(),
            name: "l".into(),
            identity: "a".into(),
            timing: Timing { duration: s(1), renew_deadline: s(1) / 2, retry: s(1) / 10 },
            clock: clock::system(),
            // It stands still: the lease is held for as long as the test takes.
            boot: BootClock::new(Duration::default),
        };
        let api = JsonClient::from(ApiServer::new(Options::default()).client());
        let work = |Leader { fence, .. }| async move {
            let http = http::client(http::Timeouts { total: None, ..http::Timeouts::default() }).unwrap();
            let metrics = Arc::new(Metrics::new(&mut Registry::default()));
            let caller = Caller::new(http, metrics, "ns".into(), clock::system(), fence);
            let failure = tokio::time::timeout(s(20), caller.call(&read(), Method::GET, &url, None)).await.unwrap().unwrap_err();
            assert!(failure.is_unknown(), "{failure}");
        };
        assert_eq!(campaign.run(&api, CancellationToken::new(), work).await, Ended::Released);
    }
}
