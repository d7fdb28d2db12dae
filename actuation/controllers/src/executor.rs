//! Performs one action and says what was answered. No retries, no decisions: the planner has both.
//!
//! Objects are written and read as JSON values, so that nothing that this build does not know gets lost. Every
//! answer of the API server that tells how an object is now comes back as [`Seen`], for the index.

use std::sync::Arc;
use std::time::Duration;

use dormouse_apis::Resource;
use dormouse_apis::fma::{LauncherConfig, LauncherPopulationPolicy};
use dormouse_controller::{ApiError, At, CallError as ApiCallError, JsonClient, Patch};
use dormouse_planner::action::{Action, Do, Owner, PodRef};
use dormouse_planner::ids::Uid;
use dormouse_planner::memory::{ActionOutcome, FailureClass};
use dormouse_runtime::http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use serde_json::Value;
use tokio::time::Instant;

use crate::calls::{CallError, Caller};
use crate::metrics::Metrics;
use crate::world::Watched;

/// Time for a look at an object after a write whose answer was lost.
const ASIDE: Duration = Duration::from_secs(5);

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
    Config(Watched, Value),
    /// This configuration object is gone.
    NoConfig(Watched, Value),
}

/// Owner of the clients.
#[derive(Clone)]
pub(crate) struct Executor {
    client: JsonClient,
    caller: Caller,
    metrics: Arc<Metrics>,
    namespace: String,
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
    /// The client writes under the name of this program; both clients ask the fence.
    pub(crate) fn new(client: JsonClient, caller: Caller, namespace: String, metrics: Arc<Metrics>) -> Self {
        Self { client, caller, metrics, namespace }
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
            Do::ReplacePod { pod, .. } | Do::DeletePod { pod, .. } | Do::PatchPod { pod, .. } | Do::PatchPodStatus { pod, .. } => {
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
            Do::Wake { base_url, .. } => {
                caller.wake(action, base_url).await?;
                ActionOutcome::Sleeping(false)
            }
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
                let result = self.writer(action).replace(&place(pod), object).await;
                return Ok(self.written(pod, result).await);
            }
            Do::PatchPod { pod, patch } => {
                let result = self.writer(action).patch(&place(pod), &Patch::Merge(patch)).await;
                return Ok(self.written(pod, result).await);
            }
            Do::PatchPodStatus { pod, patch } => {
                let result = self.writer(action).patch(&place(pod).subresource("status"), &Patch::Strategic(patch)).await;
                return Ok(self.written(pod, result).await);
            }
            Do::DeletePod { pod, .. } => {
                let this = Preconditions { uid: Some(pod.uid.as_str().to_owned()), resource_version: Some(pod.rv.clone()) };
                let result = self.client.delete(&place(pod), &DeleteParams::background().preconditions(this)).await;
                return Ok(self.written(pod, result).await);
            }
            Do::SetConfigStatus { plural, namespace, name, object } => {
                let (watched, at) = if *plural == LauncherConfig::plural(&()) {
                    (Watched::LauncherConfigs, At::one::<LauncherConfig>(Some(namespace), name))
                } else {
                    (Watched::PopulationPolicies, At::one::<LauncherPopulationPolicy>(Some(namespace), name))
                };
                return Ok(self.set_status(action, watched, at, object).await);
            }
        };
        Ok(outcome.into())
    }

    async fn create_pod(&self, action: &Action, object: &Value, lc: Option<&str>) -> Answer {
        let begun = Instant::now();
        let result = self.writer(action).create::<Value>(&At::all::<Pod>(Some(&self.namespace)), object).await;
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
    async fn written(&self, pod: &PodRef, result: Result<Value, ApiCallError>) -> Answer {
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
                let foreign = error.status().is_some_and(|status| status.code == 422);
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
        match self.client.get::<Value>(&place(pod)).await {
            Ok(object) if object["metadata"]["uid"] == pod.uid.as_str() => Some(Seen::Pod(object)),
            Ok(_) => Some(Seen::NoPod(pod.uid.clone())),
            Err(error) => matches!(api_class(&error), ApiClass::Gone).then(|| Seen::NoPod(pod.uid.clone())),
        }
    }

    async fn set_status(&self, action: &Action, watched: Watched, at: At, object: &Value) -> Answer {
        let error = match self.writer(action).replace::<Value>(&at.clone().subresource("status"), object).await {
            Ok(object) => return Answer { seen: Some(Seen::Config(watched, object.clone())), outcome: ActionOutcome::Object(object) },
            Err(error) => error,
        };
        match api_class(&error) {
            ApiClass::Gone => Answer { seen: Some(Seen::NoConfig(watched, object.clone())), outcome: ActionOutcome::Gone },
            ApiClass::Conflict => match self.client.get::<Value>(&at).await {
                Ok(newer) if newer["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] => {
                    Answer { seen: Some(Seen::Config(watched, newer)), outcome: ActionOutcome::Conflict }
                }
                _ => failed(FailureClass::Transient, message(&error)),
            },
            ApiClass::Failed(class) => failed(class, message(&error)),
        }
    }

    /// The client under the name of whoever owns the action.
    fn writer(&self, action: &Action) -> JsonClient {
        let client = self.client.clone();
        if action.owner == Owner::Each { client } else { client.manager(action.owner.manager()) }
    }
}

fn place(pod: &PodRef) -> At {
    At::one::<Pod>(Some(&pod.namespace), &pod.name)
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

fn api_class(error: &ApiCallError) -> ApiClass {
    let Some(status) = error.status() else {
        // What was not begun was not done; of everything else nothing is known.
        let fenced = matches!(error, ApiCallError::Fenced(_));
        return ApiClass::Failed(if fenced { FailureClass::Transient } else { FailureClass::Lost });
    };
    match status.code {
        _ if status.is_not_found() => ApiClass::Gone,
        410 => ApiClass::Gone,
        409 => ApiClass::Conflict,
        // The server gave up waiting for the write; it may have been done.
        _ if status.code == 504 || status.reason == "Timeout" => ApiClass::Failed(FailureClass::Lost),
        429 | 500.. => ApiClass::Failed(FailureClass::Transient),
        _ => ApiClass::Failed(FailureClass::Refused),
    }
}

/// The API server's own words where there are some.
fn message(error: &ApiCallError) -> String {
    error.status().map_or_else(|| error.to_string(), |status| status.message.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
