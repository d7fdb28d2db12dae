//! The client of controllers: requests on objects as JSON, each fenced, bounded and counted.
//!
//! Objects are read and written as `serde_json::Value`, or as any type that serde reads: what this build does not know
//! survives only in the first. There are no retries here: who calls plans again.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use futures::future::BoxFuture;
use kube::api::{DeleteParams, ListParams, ObjectList};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fence::{Fence, Fenced};
use crate::metrics::CallCounts;

/// Longest time of a call, unless the caller says otherwise: what the peers' clients use.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was not begun.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// No answer came in time; it may have been done.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The API refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// Where in the API: a collection, an object of it, a subresource of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At(String);

impl At {
    /// A collection of a kind that is known here; no namespace: of a cluster-scoped kind, or of all namespaces.
    #[must_use]
    pub fn all<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Self {
        Self(K::url_path(&(), namespace))
    }

    /// An object of a kind that is known here.
    #[must_use]
    pub fn one<K: Resource<DynamicType = ()>>(namespace: Option<&str>, name: &str) -> Self {
        Self::all::<K>(namespace).named(name)
    }

    /// An object of this collection.
    #[must_use]
    pub fn named(self, name: impl Display) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    /// A subresource of this object.
    #[must_use]
    pub fn subresource(self, subresource: &str) -> Self {
        self.named(subresource)
    }
}

/// A change of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch<T> {
    /// Server-side apply; it takes over fields of others.
    Apply(T),
    /// Steps of RFC 6902.
    Json(T),
    /// RFC 7396.
    Merge(T),
    /// Kubernetes' own merge, which knows the keys of lists.
    Strategic(T),
}

/// The client. Cheap to clone; what is set on a clone holds for that clone.
#[derive(Clone)]
pub struct JsonClient {
    client: Client,
    manager: Option<Cow<'static, str>>,
    timeout: Duration,
    fence: Fence,
    counts: CallCounts,
}

impl From<Client> for JsonClient {
    fn from(client: Client) -> Self {
        Self { client, manager: None, timeout: TIMEOUT, fence: Fence::none(), counts: CallCounts::default() }
    }
}

impl JsonClient {
    /// Writes under this field manager. Without one the server names the manager after the program.
    #[must_use]
    pub fn manager(mut self, manager: impl Into<Cow<'static, str>>) -> Self {
        self.manager = Some(manager.into());
        self
    }

    /// Bounds each call.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks this fence before each call.
    #[must_use]
    pub fn fence(mut self, fence: Fence) -> Self {
        self.fence = fence;
        self
    }

    /// Counts calls here.
    #[must_use]
    pub fn counted(mut self, counts: CallCounts) -> Self {
        self.counts = counts;
        self
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`CallError`], as for every call here.
    pub async fn get<T: DeserializeOwned>(&self, at: &At) -> Result<T, CallError> {
        self.send(http::Request::get(&at.0), Vec::new()).await
    }

    /// Reads an object that may not be there.
    #[allow(clippy::missing_errors_doc, reason = "said once, above")]
    pub async fn get_opt<T: DeserializeOwned>(&self, at: &At) -> Result<Option<T>, CallError> {
        match self.get(at).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if crate::not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists a collection.
    #[allow(clippy::missing_errors_doc, reason = "said once, above")]
    pub async fn list<T: Clone + DeserializeOwned>(&self, at: &At, which: &ListParams) -> Result<ObjectList<T>, CallError> {
        let request = kube::core::Request::new(&at.0).list(which).map_err(kube::Error::BuildRequest)?;
        self.perform(request).await
    }

    /// Makes an object in a collection, or does what a subresource such as `binding` does.
    #[allow(clippy::missing_errors_doc, reason = "said once, above")]
    pub async fn create<T: DeserializeOwned>(&self, at: &At, object: &impl Serialize) -> Result<T, CallError> {
        self.write(http::Request::post(self.managed(at, "")), "application/json", object).await
    }

    /// Replaces an object, in the version that `metadata.resourceVersion` says, if it does.
    #[allow(clippy::missing_errors_doc, reason = "said once, above")]
    pub async fn replace<T: DeserializeOwned>(&self, at: &At, object: &impl Serialize) -> Result<T, CallError> {
        self.write(http::Request::put(self.managed(at, "")), "application/json", object).await
    }

    /// Patches an object. A UID and a version in its metadata are preconditions.
    #[allow(clippy::missing_errors_doc, reason = "said once, above")]
    pub async fn patch<T: DeserializeOwned>(&self, at: &At, patch: &Patch<impl Serialize>) -> Result<T, CallError> {
        let (content, parameter, body) = match patch {
            Patch::Apply(object) => ("application/apply-patch+yaml", "force=true", object),
            Patch::Json(steps) => ("application/json-patch+json", "", steps),
            Patch::Merge(change) => ("application/merge-patch+json", "", change),
            Patch::Strategic(change) => ("application/strategic-merge-patch+json", "", change),
        };
        self.write(http::Request::patch(self.managed(at, parameter)), content, body).await
    }

    /// Deletes an object, under the preconditions given. The answer is the object as it is now, or a `Status` when it is gone.
    #[allow(clippy::missing_errors_doc, reason = "said once, above")]
    pub async fn delete(&self, at: &At, how: &DeleteParams) -> Result<Value, CallError> {
        self.write(http::Request::delete(&at.0), "application/json", how).await
    }

    /// The path of a write, with the manager's name.
    fn managed(&self, at: &At, parameter: &str) -> String {
        let manager = self.manager.as_ref().map(|m| format!("fieldManager={m}"));
        let query: Vec<&str> = manager.as_deref().into_iter().chain([parameter]).filter(|p| !p.is_empty()).collect();
        if query.is_empty() { at.0.clone() } else { format!("{}?{}", at.0, query.join("&")) }
    }

    async fn write<T: DeserializeOwned>(
        &self,
        request: http::request::Builder,
        content: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        self.send(request.header(http::header::CONTENT_TYPE, content), body).await
    }

    async fn send<T: DeserializeOwned>(&self, request: http::request::Builder, body: Vec<u8>) -> Result<T, CallError> {
        self.perform(request.body(body).map_err(kube::Error::HttpError)?).await
    }

    async fn perform<T: DeserializeOwned>(&self, request: http::Request<Vec<u8>>) -> Result<T, CallError> {
        let answer = self.ask(request).await?;
        Ok(serde_json::from_str(&answer).map_err(kube::Error::SerdeError)?)
    }

    /// The call itself, of no type: in a box, so that it is compiled here and not once for each type and caller.
    fn ask(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<String, CallError>> {
        Box::pin(async move {
            let bound = self.fence.ask().inspect_err(|_| {
                self.counts.fenced.inc();
            })?;
            let timeout = bound.map_or(self.timeout, |bound| bound.min(self.timeout));
            match tokio::time::timeout(timeout, self.client.request_text(request)).await {
                Ok(answer) => Ok(answer?),
                Err(_) => {
                    self.counts.timed_out.inc();
                    Err(CallError::TimedOut(timeout))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::{Node, Pod};
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::metrics::Metrics;

    /// A server that notes method, path and type of content, and says what it was told to.
    fn noting() -> (JsonClient, Arc<Mutex<Vec<String>>>) {
        dormouse_runtime::tls::install_provider();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let answer = move |request: http::Request<Body>| {
            let content = request.headers().get("content-type").map_or("", |v| v.to_str().unwrap());
            noted.lock().unwrap().push(format!("{} {} {content}", request.method(), request.uri()));
            let slow = request.uri().path().ends_with("slow");
            async move {
                if slow {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(http::Response::new(Body::from(b"{\"items\": [], \"metadata\": {}}".to_vec())))
            }
        };
        (JsonClient::from(Client::new(tower::service_fn(answer), "ns")), seen)
    }

    #[tokio::test]
    async fn each_verb_has_its_method_path_and_type() {
        let (plain, seen) = noting();
        let client = plain.clone().manager("m");
        let (pods, pod) = (At::all::<Pod>(Some("ns")), At::one::<Pod>(Some("ns"), "p"));
        let _: Value = client.get(&At::one::<Node>(None, "n")).await.unwrap();
        let _: ObjectList<Pod> = client.list(&pods, &ListParams::default().labels("a=b")).await.unwrap();
        let _: Value = client.create(&pods, &json!({})).await.unwrap();
        let _: Value = plain.create(&pod.clone().subresource("binding"), &json!({})).await.unwrap();
        let _: Value = client.replace(&pod.clone().subresource("status"), &json!({})).await.unwrap();
        let _: Value = client.patch(&pod, &Patch::Apply(json!({}))).await.unwrap();
        let _: Value = client.patch(&pod, &Patch::Merge(json!({}))).await.unwrap();
        client.delete(&pod, &DeleteParams::background()).await.unwrap();
        assert_eq!(
            *seen.lock().unwrap(),
            [
                "GET /api/v1/nodes/n ",
                "GET /api/v1/namespaces/ns/pods?&labelSelector=a%3Db ",
                "POST /api/v1/namespaces/ns/pods?fieldManager=m application/json",
                "POST /api/v1/namespaces/ns/pods/p/binding application/json",
                "PUT /api/v1/namespaces/ns/pods/p/status?fieldManager=m application/json",
                "PATCH /api/v1/namespaces/ns/pods/p?fieldManager=m&force=true application/apply-patch+yaml",
                "PATCH /api/v1/namespaces/ns/pods/p?fieldManager=m application/merge-patch+json",
                "DELETE /api/v1/namespaces/ns/pods/p application/json",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_and_a_fenced_one_does_not_begin() {
        let (client, seen) = noting();
        let metrics = Metrics::default();
        let client = client.timeout(Duration::from_secs(3)).counted(metrics.calls("c"));
        let slow = At::one::<Pod>(Some("ns"), "slow");
        assert!(matches!(client.get::<Value>(&slow).await, Err(CallError::TimedOut(_))));
        let clock = dormouse_runtime::monotonic::BootClock::new(|| Duration::from_secs(1));
        let fence = Fence::shut(clock, Duration::from_millis(5));
        let fenced = client.fence(fence.clone());
        assert!(matches!(fenced.get::<Value>(&slow).await, Err(CallError::Fenced(_))));
        assert_eq!(seen.lock().unwrap().len(), 1);
        fence.open(Some(Duration::from_millis(1_010)));
        assert!(matches!(fenced.get::<Value>(&slow).await, Err(CallError::TimedOut(t)) if t == Duration::from_millis(15)));
        let counts = metrics.calls("c");
        assert_eq!((counts.timed_out.get(), counts.fenced.get()), (2, 1));
    }
}
