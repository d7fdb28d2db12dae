//! Performs one action and says what was answered. No retries, no decisions: the planner has both.
//!
//! Objects are written and read as JSON values, so that nothing that this build does not know gets lost. Every
//! answer of the API server that tells how an object is now comes back as [`Seen`], for the index.

use std::sync::Arc;
use std::time::Duration;

use dormouse_apis::Resource;
use dormouse_apis::fma::LauncherConfig;
use dormouse_planner::action::{Action, Do, EventSpec, Owner, PodRef};
use dormouse_planner::ids::Uid;
use dormouse_planner::memory::{ActionOutcome, FailureClass};
use dormouse_runtime::SharedClock;
use dormouse_runtime::http::Method;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::calls::{CallError, Caller};
use crate::controller::Kind;
use crate::metrics::Metrics;

/// Time for a look at an object after a write whose answer was lost, and for an event.
const ASIDE: Duration = Duration::from_secs(5);
/// Longest text of an event.
const EVENT_MAX: usize = 1_000;

/// What an action brought: an observation for the index, and the outcome for the planner.
#[derive(Debug)]
pub(crate) struct Answer {
    pub seen: Option<Seen>,
    pub outcome: ActionOutcome,
}

/// What the API said about one object.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A Pod as it is now.
    Pod(Value),
    /// No Pod of this UID.
    NoPod(Uid),
    /// A configuration object as it is now.
    Config(Kind, Value),
    /// This configuration object is gone.
    NoConfig(Kind, Value),
}

/// Owner of the clients.
#[derive(Clone)]
pub(crate) struct Executor {
    client: Client,
    caller: Caller,
    metrics: Arc<Metrics>,
    manager: &'static str,
    namespace: String,
    clock: SharedClock,
}

impl From<CallError> for Answer {
    fn from(e: CallError) -> Self {
        failed(e.class, e.text)
    }
}

impl From<ActionOutcome> for Answer {
    fn from(outcome: ActionOutcome) -> Self {
        Self { seen: None, outcome }
    }
}

fn failed(class: FailureClass, error: String) -> Answer {
    ActionOutcome::Failed { class, error }.into()
}

impl Executor {
    pub(crate) fn new(
        client: Client,
        caller: Caller,
        namespace: String,
        manager: &'static str,
        metrics: Arc<Metrics>,
        clock: SharedClock,
    ) -> Self {
        Self { client, caller, metrics, manager, namespace, clock }
    }

    /// Performs `action` within its time.
    pub(crate) async fn perform(&self, action: &Action) -> Answer {
        match tokio::time::timeout(action.timeout, self.attempt(action)).await {
            Ok(answer) => answer,
            Err(_) => self.timed_out(action).await,
        }
    }

    async fn timed_out(&self, action: &Action) -> Answer {
        let seen = match &action.what {
            Do::ReplacePod { pod, .. } | Do::DeletePod { pod, .. } | Do::PatchPod { pod, .. } => {
                tokio::time::timeout(ASIDE, self.look(pod)).await.ok().flatten()
            }
            _ => None,
        };
        let error = format!("no answer within {:?}", action.timeout);
        Answer { seen, outcome: ActionOutcome::Failed { class: FailureClass::Lost, error } }
    }

    async fn attempt(&self, action: &Action) -> Answer {
        self.try_to(action).await.unwrap_or_else(Answer::from)
    }

    async fn try_to(&self, action: &Action) -> Result<Answer, CallError> {
        let caller = &self.caller;
        let outcome = match &action.what {
            Do::ReadGpus { url, old_url, .. } => ActionOutcome::Gpus(caller.gpus(action, url, old_url).await?),
            Do::ReadGpuMemory { url, .. } => ActionOutcome::GpuMemory(caller.get(action, url).await?),
            Do::ListInstances { url, .. } => ActionOutcome::Instances(caller.instances(action, url).await?),
            Do::ReadSleep { base_url, .. } => ActionOutcome::Sleeping(caller.is_sleeping(action, base_url).await?),
            Do::Sleep { base_url, level, .. } => ActionOutcome::Sleeping(caller.sleep(action, base_url, *level).await?),
            Do::Wake { base_url, .. } => ActionOutcome::Sleeping(caller.wake(action, base_url).await?),
            Do::CreateInstance { url, body, .. } => {
                caller.call(action, Method::PUT, url, Some(body)).await?;
                ActionOutcome::Done
            }
            Do::DeleteInstance { url, .. } => match caller.call(action, Method::DELETE, url, None).await {
                Err(e) if e.status() == Some(404) => ActionOutcome::Gone,
                result => result.map(|_| ActionOutcome::Done)?,
            },
            Do::Relay { url, .. } => {
                caller.post(action, url).await?;
                ActionOutcome::Done
            }
            Do::CreatePod { object, lc, .. } => return Ok(self.create_pod(action, object, lc.as_deref()).await),
            Do::ReplacePod { pod, object } => {
                let path = self.write_path(action, &pod_path(pod));
                let result = self.api("PUT", &path, "application/json", Some(object)).await;
                return Ok(self.written(pod, result).await);
            }
            Do::PatchPod { pod, patch } => {
                let path = self.write_path(action, &pod_path(pod));
                let result = self.api("PATCH", &path, "application/merge-patch+json", Some(patch)).await;
                return Ok(self.written(pod, result).await);
            }
            Do::DeletePod { pod, .. } => {
                let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background",
                    "preconditions": {"uid": pod.uid.as_str(), "resourceVersion": pod.rv}});
                let result = self.api("DELETE", &pod_path(pod), "application/json", Some(&body)).await;
                return Ok(self.written(pod, result).await);
            }
            Do::SetConfigStatus { plural, namespace, name, object } => {
                let path = format!("/apis/{}/namespaces/{namespace}/{plural}/{name}", LauncherConfig::api_version(&()));
                return Ok(self.set_status(action, &path, plural, object).await);
            }
        };
        Ok(outcome.into())
    }

    async fn create_pod(&self, action: &Action, object: &Value, lc: Option<&str>) -> Answer {
        let path = self.write_path(action, &format!("/api/v1/namespaces/{}/pods", self.namespace));
        let begun = Instant::now();
        let result = self.api("POST", &path, "application/json", Some(object)).await;
        if let Some(lc) = lc {
            self.metrics.launcher_create(&self.namespace, lc, result.is_ok(), begun.elapsed().as_secs_f64());
        }
        match result {
            Ok(object) => Answer { seen: Some(Seen::Pod(object.clone())), outcome: ActionOutcome::Object(object) },
            Err(error) => {
                let class = match api_class(&error) {
                    ApiClass::Failed(class) => class,
                    // A namespace that is not there (yet), a name that is taken: refused as it stands, another time it may pass.
                    ApiClass::Gone | ApiClass::Conflict => FailureClass::Transient,
                };
                failed(class, message(&error))
            }
        }
    }

    /// What came of a write to an existing Pod.
    async fn written(&self, pod: &PodRef, result: Result<Value, kube::Error>) -> Answer {
        let error = match result {
            Ok(object) if object["kind"] == "Status" => return ActionOutcome::Done.into(),
            Ok(object) => {
                let seen = if ended(&object) { Seen::NoPod(pod.uid.clone()) } else { Seen::Pod(object.clone()) };
                return Answer { seen: Some(seen), outcome: ActionOutcome::Object(object) };
            }
            Err(error) => error,
        };
        let text = message(&error);
        match api_class(&error) {
            ApiClass::Gone => Answer { seen: Some(Seen::NoPod(pod.uid.clone())), outcome: ActionOutcome::Gone },
            ApiClass::Conflict => match self.look(pod).await {
                Some(Seen::NoPod(uid)) => Answer { seen: Some(Seen::NoPod(uid)), outcome: ActionOutcome::Gone },
                Some(Seen::Pod(object)) if object["metadata"]["resourceVersion"] != pod.rv.as_str() => {
                    Answer { seen: Some(Seen::Pod(object)), outcome: ActionOutcome::Conflict }
                }
                // Nothing newer is known, so the same would be planned again at once: this needs the pause of a failure.
                _ => failed(FailureClass::Transient, text),
            },
            ApiClass::Failed(class) => {
                // The patch of a Pod that has another UID by now is refused as a change of the UID.
                let foreign = matches!(&error, kube::Error::Api(status) if status.code == 422);
                let seen = if class == FailureClass::Lost || foreign { self.look(pod).await } else { None };
                if foreign && matches!(seen, Some(Seen::NoPod(_))) {
                    return Answer { seen, outcome: ActionOutcome::Gone };
                }
                Answer { seen, outcome: ActionOutcome::Failed { class, error: text } }
            }
        }
    }

    /// The Pod as it is now; `None` when the API does not say.
    async fn look(&self, pod: &PodRef) -> Option<Seen> {
        match self.api("GET", &pod_path(pod), "", None).await {
            Ok(object) if object["metadata"]["uid"] == pod.uid.as_str() => Some(Seen::Pod(object)),
            Ok(_) => Some(Seen::NoPod(pod.uid.clone())),
            Err(error) => matches!(api_class(&error), ApiClass::Gone).then(|| Seen::NoPod(pod.uid.clone())),
        }
    }

    async fn set_status(&self, action: &Action, path: &str, plural: &str, object: &Value) -> Answer {
        let kind = if plural == LauncherConfig::plural(&()) { Kind::Lc } else { Kind::Lpp };
        let status = self.write_path(action, &format!("{path}/status"));
        let error = match self.api("PUT", &status, "application/json", Some(object)).await {
            Ok(object) => return Answer { seen: Some(Seen::Config(kind, object.clone())), outcome: ActionOutcome::Object(object) },
            Err(error) => error,
        };
        match api_class(&error) {
            ApiClass::Gone => Answer { seen: Some(Seen::NoConfig(kind, object.clone())), outcome: ActionOutcome::Gone },
            ApiClass::Conflict => match self.api("GET", path, "", None).await {
                Ok(newer) if newer["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] => {
                    Answer { seen: Some(Seen::Config(kind, newer)), outcome: ActionOutcome::Conflict }
                }
                _ => failed(FailureClass::Transient, message(&error)),
            },
            ApiClass::Failed(class) => failed(class, message(&error)),
        }
    }

    /// A path with the field manager of whoever owns the action.
    fn write_path(&self, action: &Action, path: &str) -> String {
        let manager = if action.owner == Owner::Each { self.manager } else { action.owner.manager() };
        format!("{path}?fieldManager={manager}")
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

    /// Sends the event of an action that succeeded, as the peer's recorder does; best effort.
    pub(crate) async fn event(&self, event: &EventSpec) {
        let at = self.clock.now();
        let now = format!("{at:.0}");
        let pod = &event.pod;
        let mut text = event.message.clone();
        text.truncate(text.floor_char_boundary(EVENT_MAX));
        let object = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": event_name(&pod.name, at), "namespace": pod.namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name,
                "uid": pod.uid, "resourceVersion": pod.rv},
            "type": "Warning", "reason": event.reason, "message": text, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": self.manager}, "reportingComponent": self.manager,
        });
        let path = format!("/api/v1/namespaces/{}/events?fieldManager={}", pod.namespace, self.manager);
        match tokio::time::timeout(ASIDE, self.api("POST", &path, "application/json", Some(&object))).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot record an event"),
            Err(_) => tracing::warn!("cannot record an event in time"),
        }
    }
}

/// As the usual recorder names events: the object's name, and the time in hexadecimal. A generated name cannot end in a dot.
fn event_name(about: &str, at: Timestamp) -> String {
    // Together within the 253 characters that a name may have.
    let about = &about[..about.floor_char_boundary(230)];
    format!("{}.{:x}", about.trim_end_matches(['.', '-']), at.as_nanosecond())
}

fn pod_path(pod: &PodRef) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name)
}

/// Whether an answer shows a Pod in its last form: the write that took its last finalizer, or a deletion
/// without grace, ended it.
fn ended(pod: &Value) -> bool {
    let meta = &pod["metadata"];
    let held = meta["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    !meta["deletionTimestamp"].is_null() && meta["deletionGracePeriodSeconds"].as_i64() == Some(0) && !held
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
        // The server gave up waiting for the write; it may have been done.
        kube::Error::Api(status) if status.code == 504 || status.reason == "Timeout" => ApiClass::Failed(FailureClass::Lost),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_form_of_a_pod_is_recognised() {
        let pod = |meta: Value| json!({"metadata": meta});
        let at = "2026-01-01T00:00:00Z";
        assert!(!ended(&pod(json!({}))));
        assert!(!ended(&pod(json!({"deletionTimestamp": at, "deletionGracePeriodSeconds": 30}))));
        assert!(!ended(&pod(json!({"deletionTimestamp": at, "deletionGracePeriodSeconds": 0, "finalizers": ["a"]}))));
        assert!(ended(&pod(json!({"deletionTimestamp": at, "deletionGracePeriodSeconds": 0}))));
    }
}
