//! Performs one action and says what was answered. No retries, no decisions: the planner has both.
//!
//! Objects are written and read as JSON values, so that nothing that this build does not know gets lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_planner::action::{Action, Do, EventSpec, PodRef};
use dormouse_planner::ids::{GpuUuid, InstanceId, Uid};
use dormouse_planner::memory::{FailureClass, InstanceReport, Outcome};
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::metrics::Metrics;

/// Longest answer that is read of a call that succeeded.
const BODY_MAX: usize = 8 << 20;
/// Longest part of the answer to a failed call that is kept.
const ERROR_BODY_MAX: usize = 512;

/// What an action brought: an observation for the index, and the outcome for the planner.
#[derive(Debug)]
pub(crate) struct Answer {
    pub seen: Option<Seen>,
    pub outcome: Outcome,
}

/// What the API said about one object.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A Pod as it is now.
    Pod(Value),
    /// No Pod of this UID.
    NoPod(Uid),
}

/// Owner of clients and of the event recorder.
#[derive(Clone)]
pub(crate) struct Executor {
    client: Client,
    http: reqwest::Client,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    manager: &'static str,
    namespace: String,
}

/// Why an HTTP call to a stub, launcher or engine did not succeed.
struct CallError {
    status: Option<u16>,
    class: FailureClass,
    text: String,
}

impl From<CallError> for Answer {
    fn from(e: CallError) -> Self {
        Self { seen: None, outcome: Outcome::Failed { class: e.class, error: e.text } }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { seen: None, outcome }
    }
}

impl Executor {
    pub(crate) fn new(client: Client, namespace: String, manager: &'static str, metrics: Arc<Metrics>) -> reqwest::Result<Self> {
        let http = dormouse_runtime::http::client(dormouse_runtime::http::Timeouts { total: None, ..Default::default() })?;
        let recorder = Recorder::new(client.clone(), Reporter { controller: manager.into(), instance: None });
        Ok(Self { client, http, metrics, recorder, manager, namespace })
    }

    /// Performs `action` within its time.
    pub(crate) async fn perform(&self, action: &Action) -> Answer {
        let answer = match tokio::time::timeout(action.timeout, self.attempt(action)).await {
            Ok(answer) => answer,
            Err(_) => self.timed_out(action).await,
        };
        if let (Some(event), Outcome::Done | Outcome::Object(_)) = (&action.event, &answer.outcome) {
            self.event(event).await;
        }
        answer
    }

    async fn timed_out(&self, action: &Action) -> Answer {
        let error = format!("no answer within {:?}", action.timeout);
        let seen = match &action.what {
            Do::ReplacePod { pod, .. } | Do::DeletePod { pod, .. } | Do::PatchPod { pod, .. } => {
                tokio::time::timeout(Duration::from_secs(5), self.look(pod)).await.ok().flatten()
            }
            _ => None,
        };
        Answer { seen, outcome: Outcome::Failed { class: FailureClass::Lost, error } }
    }

    async fn attempt(&self, action: &Action) -> Answer {
        match &action.what {
            Do::ReadGpus { url, old_url, .. } => match self.get::<Vec<GpuUuid>>(action, url).await {
                Err(e) if e.status == Some(404) => match self.get(action, old_url).await {
                    Ok(gpus) => Outcome::Gpus(gpus).into(),
                    Err(_) => e.into(),
                },
                Err(e) => e.into(),
                Ok(gpus) => Outcome::Gpus(gpus).into(),
            },
            Do::ReadGpuMemory { url, .. } => match self.get::<BTreeMap<GpuUuid, u64>>(action, url).await {
                Ok(usage) => Outcome::GpuMemory(usage).into(),
                Err(e) => e.into(),
            },
            Do::ListInstances { url, .. } => match self.get::<WireList>(action, url).await {
                Ok(list) => Outcome::Instances(list.instances.into_iter().map(InstanceReport::from).collect()).into(),
                Err(e) => e.into(),
            },
            Do::ReadSleep { base_url, .. } => match self.is_sleeping(action, base_url).await {
                Ok(asleep) => Outcome::Sleeping(asleep).into(),
                Err(e) => e.into(),
            },
            Do::Sleep { base_url, level, .. } => {
                let query = if *level == 1 { String::new() } else { format!("?level={level}") };
                match self.post(action, &format!("{base_url}/sleep{query}")).await {
                    Err(e) => e.into(),
                    Ok(()) => match self.is_sleeping(action, base_url).await {
                        Ok(asleep) => Outcome::Sleeping(asleep).into(),
                        Err(e) => e.into(),
                    },
                }
            }
            Do::Wake { base_url, .. } => self.wake(action, base_url).await,
            Do::CreateInstance { url, body, .. } => match self.call(action, "PUT", url, Some(body)).await {
                Ok(_) => Outcome::Done.into(),
                Err(e) => e.into(),
            },
            Do::DeleteInstance { url, .. } => match self.call(action, "DELETE", url, None).await {
                Ok(_) => Outcome::Done.into(),
                Err(e) if e.status == Some(404) => Outcome::Gone.into(),
                Err(e) => e.into(),
            },
            Do::Relay { url, .. } => match self.post(action, url).await {
                Ok(()) => Outcome::Done.into(),
                Err(e) => e.into(),
            },
            Do::CreatePod { object, lc, .. } => self.create_pod(object, lc.as_deref()).await,
            Do::ReplacePod { pod, object } => {
                let result = self
                    .api("PUT", &format!("{}?fieldManager={}", self.pod_path(pod), self.manager), "application/json", Some(object))
                    .await;
                self.written(pod, result).await
            }
            Do::PatchPod { pod, patch } => {
                let path = format!("{}?fieldManager={}", self.pod_path(pod), self.manager);
                let result = self.api("PATCH", &path, "application/merge-patch+json", Some(patch)).await;
                self.written(pod, result).await
            }
            Do::DeletePod { pod, .. } => {
                let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background",
                    "preconditions": {"uid": pod.uid.as_str(), "resourceVersion": pod.rv}});
                let result = self.api("DELETE", &self.pod_path(pod), "application/json", Some(&body)).await;
                self.written(pod, result).await
            }
            Do::SetConfigStatus { plural, namespace, name, object } => {
                let path = format!(
                    "/apis/{}/namespaces/{namespace}/{plural}/{name}/status?fieldManager={}",
                    dormouse_apis::fma::API_VERSION,
                    self.manager
                );
                match self.api("PUT", &path, "application/json", Some(object)).await {
                    Ok(object) => Outcome::Object(object).into(),
                    Err(error) => match api_class(&error) {
                        ApiClass::Gone => Outcome::Gone.into(),
                        ApiClass::Conflict => Outcome::Conflict.into(),
                        ApiClass::Failed(class) => Outcome::Failed { class, error: message(&error) }.into(),
                    },
                }
            }
        }
    }

    /// `/wake_up`, then asks until the engine says that it is awake: a 200 alone proves nothing.
    async fn wake(&self, action: &Action, base_url: &str) -> Answer {
        if let Err(e) = self.post(action, &format!("{base_url}/wake_up")).await {
            return e.into();
        }
        let mut pause = Duration::from_millis(2);
        loop {
            match self.is_sleeping(action, base_url).await {
                Ok(false) => return Outcome::Sleeping(false).into(),
                Ok(true) => {}
                Err(e) => return e.into(),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn is_sleeping(&self, action: &Action, base_url: &str) -> Result<bool, CallError> {
        #[derive(Deserialize)]
        struct Wire {
            is_sleeping: bool,
        }
        Ok(self.get::<Wire>(action, &format!("{base_url}/is_sleeping")).await?.is_sleeping)
    }

    async fn post(&self, action: &Action, url: &str) -> Result<(), CallError> {
        self.call(action, "POST", url, None).await.map(drop)
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, action: &Action, url: &str) -> Result<T, CallError> {
        let body = self.call(action, "GET", url, None).await?;
        serde_json::from_slice(&body).map_err(|e| CallError {
            status: None,
            class: FailureClass::Transient,
            text: format!("failed to decode response to GET {url:?}: {e}"),
        })
    }

    /// One HTTP call, counted and logged.
    async fn call(&self, action: &Action, method: &'static str, url: &str, body: Option<&Value>) -> Result<Vec<u8>, CallError> {
        let begun = Instant::now();
        let result = self.send(method, url, body).await;
        let status = match &result {
            Ok((status, _)) => *status,
            Err(e) => e.status.unwrap_or(0),
        };
        let purpose = action.purpose().unwrap_or_default();
        let took = begun.elapsed().as_secs_f64();
        self.metrics.http(purpose, method, &self.namespace, action.subject.isc.as_deref().unwrap_or_default(), status, took);
        let err = result.as_ref().err().map(|e| e.text.as_str());
        tracing::debug!(purpose, method, url, latencySecs = took, statusCode = status, err, "HTTP call done");
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
            "HTTP {method} {url:?} returned unexpected status {}; responseBody={}",
            status.as_u16(),
            String::from_utf8_lossy(&bytes)
        );
        Err(CallError { status: Some(status.as_u16()), class, text })
    }

    async fn create_pod(&self, object: &Value, lc: Option<&str>) -> Answer {
        let path = format!("/api/v1/namespaces/{}/pods?fieldManager={}", self.namespace, self.manager);
        let begun = Instant::now();
        let result = self.api("POST", &path, "application/json", Some(object)).await;
        if let Some(lc) = lc {
            self.metrics.launcher_create(&self.namespace, lc, result.is_ok(), begun.elapsed().as_secs_f64());
        }
        match result {
            Ok(object) => Answer { seen: Some(Seen::Pod(object.clone())), outcome: Outcome::Object(object) },
            Err(error) => {
                let class = match api_class(&error) {
                    ApiClass::Failed(class) => class,
                    // A namespace that is not there (yet), a name that is taken: refused as it stands, another time it may pass.
                    ApiClass::Gone | ApiClass::Conflict => FailureClass::Transient,
                };
                Outcome::Failed { class, error: message(&error) }.into()
            }
        }
    }

    /// What came of a write to an existing Pod.
    async fn written(&self, pod: &PodRef, result: Result<Value, kube::Error>) -> Answer {
        match result {
            Ok(object) if object["kind"] == "Status" => Answer { seen: None, outcome: Outcome::Done },
            Ok(object) => Answer { seen: Some(Seen::Pod(object.clone())), outcome: Outcome::Object(object) },
            Err(error) => match api_class(&error) {
                ApiClass::Gone => Answer { seen: Some(Seen::NoPod(pod.uid.clone())), outcome: Outcome::Gone },
                ApiClass::Conflict => match self.look(pod).await {
                    Some(Seen::NoPod(uid)) => Answer { seen: Some(Seen::NoPod(uid)), outcome: Outcome::Gone },
                    seen => Answer { seen, outcome: Outcome::Conflict },
                },
                ApiClass::Failed(class) => {
                    let seen = if class == FailureClass::Lost { self.look(pod).await } else { None };
                    Answer { seen, outcome: Outcome::Failed { class, error: message(&error) } }
                }
            },
        }
    }

    /// The Pod as it is now; `None` when the API does not say.
    async fn look(&self, pod: &PodRef) -> Option<Seen> {
        match self.api("GET", &self.pod_path(pod), "", None).await {
            Ok(object) if object["metadata"]["uid"] == pod.uid.as_str() => Some(Seen::Pod(object)),
            Ok(_) => Some(Seen::NoPod(pod.uid.clone())),
            Err(error) => matches!(api_class(&error), ApiClass::Gone).then(|| Seen::NoPod(pod.uid.clone())),
        }
    }

    fn pod_path(&self, pod: &PodRef) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name)
    }

    async fn api(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> Result<Value, kube::Error> {
        let mut request = http::Request::builder().method(method).uri(path);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let body = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        let request = request.body(body).map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }

    async fn event(&self, event: &EventSpec) {
        let about = k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(event.pod.name.clone()),
            namespace: Some(event.pod.namespace.clone()),
            uid: Some(event.pod.uid.as_str().to_owned()),
            resource_version: Some(event.pod.rv.clone()),
            ..Default::default()
        };
        let mut note = event.message.clone();
        note.truncate(note.floor_char_boundary(1_000));
        let body =
            Event { type_: EventType::Warning, reason: event.reason.into(), note: Some(note), action: "Reconcile".into(), secondary: None };
        if let Err(error) = self.recorder.publish(&body, &about).await {
            tracing::debug!(%error, "cannot record an event");
        }
    }
}

enum ApiClass {
    Gone,
    Conflict,
    Failed(FailureClass),
}

fn api_class(error: &kube::Error) -> ApiClass {
    match error {
        kube::Error::Api(status) if status.is_not_found() || status.code == 410 => ApiClass::Gone,
        kube::Error::Api(status) if status.code == 409 => ApiClass::Conflict,
        kube::Error::Api(status) if status.code == 429 || status.code >= 500 => ApiClass::Failed(FailureClass::Transient),
        kube::Error::Api(_) => ApiClass::Failed(FailureClass::Refused),
        _ => ApiClass::Failed(FailureClass::Lost),
    }
}

/// The API server's own words where there are some.
fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
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
pub(crate) struct WireList {
    #[serde(default)]
    pub instances: Vec<WireInstance>,
}

/// An instance on the wire.
#[derive(Debug, Deserialize)]
pub(crate) struct WireInstance {
    pub instance_id: String,
    #[serde(default)]
    pub status: String,
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
            options: w.options,
            gpus: w.gpu_uuids,
            env: w.env_vars.unwrap_or_default(),
            annotations: w.annotations.unwrap_or_default(),
        }
    }
}
