//! The sidecar of a launcher Pod: makes the Pod object change when the set of (instance, status) pairs changes, so that
//! controllers that watch Pods wake up.
//!
//! The published value is a digest nobody interprets. A launcher of ours is followed by its watch stream, and an event
//! reaches the Pod within milliseconds; the peer's is polled every two seconds, as the peer's notifier does.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Parser;
use dormouse_apis::names::{self, annotation};
use dormouse_runtime::http::Method;
use dormouse_runtime::{CancellationToken, http, net};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// The further annotation with `--publish-revision`.
pub const REVISION_ANNOTATION: &str = "dual-pods.llm-d.ai/vllm-instance-revision";

const POLL: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A stream that lasts so long shows that the launcher works.
const LASTED: Duration = Duration::from_secs(1);
const AFTER_ERROR: Duration = Duration::from_secs(5);
const LIST_TIMEOUT: Duration = Duration::from_secs(5);
const BETWEEN_PATCHES: Duration = Duration::from_millis(500);
const HEARTBEAT_SECONDS: u64 = 10;
const MAX_LINE: usize = 4 << 20;

/// Reflects the state of a launcher's instances into an annotation of its Pod.
///
/// Example (in a Pod): POD_NAME=launcher-x NAMESPACE=default dormouse launcher notify
#[derive(Debug, Clone, Parser)]
#[command(name = "launcher_pod_notifier", verbatim_doc_comment)]
pub struct Args {
    /// Name of the Pod.
    #[arg(long, env = "POD_NAME", default_value = "", hide_default_value = true)]
    pub pod_name: String,
    /// Namespace of the Pod.
    #[arg(long, env = "NAMESPACE", default_value = "", hide_default_value = true)]
    pub namespace: String,
    /// Where the launcher listens; in a Pod of the embedded plane a loopback address means the Pod's own.
    #[arg(long, env = "LAUNCHER_BASE_URL", default_value = "http://127.0.0.1:8001")]
    pub launcher_base_url: String,
    /// Also publish `<epoch>:<revision>`.
    #[arg(long)]
    pub publish_revision: bool,
}

/// Why the notifier does not run. Exit status 1, like the peer's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable is missing or empty.
    #[error("{0} must be set and not empty")]
    Missing(&'static str),
    /// No way to reach the API server.
    #[error("{0}")]
    NoClient(String),
    /// No HTTP client.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// Runs until `shutdown`.
///
/// # Errors
/// When a variable is missing or there are no credentials. Everything later is retried for ever.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    for (value, name) in [(&args.pod_name, "POD_NAME"), (&args.namespace, "NAMESPACE")] {
        if value.is_empty() {
            return Err(Error::Missing(name).into());
        }
    }
    let client = dormouse_controller::Credentials::default().client().await.map_err(|e| Error::NoClient(e.to_string()))?;
    Ok(run_with(client, args, shutdown).await?)
}

/// As [`run`], with a client.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn run_with(client: kube::Client, args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let base = net::map_url(args.launcher_base_url.trim_end_matches('/'));
    let notifier = Notifier {
        pods: Api::namespaced(client, &args.namespace),
        pod: args.pod_name,
        list_url: format!("{base}{}", names::path::INSTANCES),
        lists: http::client(http::Timeouts { total: Some(LIST_TIMEOUT), ..http::Timeouts::default() })?,
        streams: http::client(http::Timeouts { total: None, ..http::Timeouts::default() })?,
        publish_revision: args.publish_revision,
        published: None,
        last_patch: None,
        last_complaint: None,
    };
    tokio::select! {
        () = notifier.forever() => {}
        () = shutdown.cancelled() => {}
    }
    Ok(())
}

/// Waits, the next time for longer.
async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(AFTER_ERROR);
}

struct Notifier {
    pods: Api<Pod>,
    pod: String,
    list_url: String,
    lists: reqwest::Client,
    streams: reqwest::Client,
    publish_revision: bool,
    /// What this process has published last.
    published: Option<(String, Option<String>)>,
    last_patch: Option<Instant>,
    last_complaint: Option<Instant>,
}

/// What a launcher has: instance ID to status, ended by where that is in its history (for ours).
#[derive(Debug, Default, Clone, PartialEq)]
struct Seen {
    pairs: Vec<(String, String)>,
    revision: u64,
    epoch: Option<String>,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("launcher: {0}")]
    Launcher(String),
    #[error("Pod: {0}")]
    Pod(#[from] kube::Error),
    #[error("the container {} of the Pod is not ready", names::SERVER_CONTAINER)]
    NotReady,
}

impl Notifier {
    async fn forever(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut was_ready = false;
        loop {
            let begun = Instant::now();
            match self.round(&mut was_ready).await {
                // The peer's launcher: nothing to wait for but time.
                Ok(Followed::NotPossible) => tokio::time::sleep(POLL).await,
                Ok(Followed::ToTheEnd) if begun.elapsed() >= LASTED => pause = FIRST_PAUSE,
                // A launcher that is going ends each stream at once.
                Ok(Followed::ToTheEnd) => wait(&mut pause).await,
                Err(error) => {
                    self.complain(&error);
                    wait(&mut pause).await;
                }
            }
        }
    }

    /// One list, and, for a launcher of ours, its stream to the end.
    async fn round(&mut self, was_ready: &mut bool) -> Result<Followed, RoundError> {
        let seen = match self.list().await {
            Ok(seen) => seen,
            Err(error) => {
                // Before the launcher has ever been ready its silence is no news.
                if !*was_ready && !self.is_ready().await? {
                    return Err(RoundError::NotReady);
                }
                return Err(error);
            }
        };
        let Some(epoch) = seen.epoch.clone() else {
            if !*was_ready {
                *was_ready = self.is_ready().await?;
            }
            if !*was_ready {
                return Err(RoundError::NotReady);
            }
            self.publish(&seen).await?;
            return Ok(Followed::NotPossible);
        };
        *was_ready = true;
        self.publish(&seen).await?;
        self.follow(seen, &epoch).await?;
        Ok(Followed::ToTheEnd)
    }

    async fn is_ready(&self) -> Result<bool, kube::Error> {
        let pod = self.pods.get(&self.pod).await?;
        let statuses = pod.status.and_then(|s| s.container_statuses).unwrap_or_default();
        Ok(statuses.iter().any(|s| s.name == names::SERVER_CONTAINER && s.ready))
    }

    async fn list(&self) -> Result<Seen, RoundError> {
        let failed = |e: &dyn std::fmt::Display| RoundError::Launcher(e.to_string());
        let response = http::open(&self.lists, http::Request::new(Method::GET, &self.list_url)).await.map_err(|e| failed(&e))?;
        let epoch = response.header(crate::api::EPOCH.as_str()).map(str::to_owned);
        let body: Value = response.whole().await.and_then(|answer| answer.json()).map_err(|e| failed(&e))?;
        let mut seen = listed(&body).map_err(|e| failed(&e))?;
        seen.epoch = epoch;
        Ok(seen)
    }

    /// Publishes every change until the stream ends.
    async fn follow(&mut self, mut seen: Seen, epoch: &str) -> Result<(), RoundError> {
        let failed = |e: &dyn std::fmt::Display| RoundError::Launcher(e.to_string());
        let url = format!("{}/watch?since={}&epoch={epoch}&heartbeat={HEARTBEAT_SECONDS}", self.list_url, seen.revision);
        let connect = tokio::time::timeout(LIST_TIMEOUT, self.streams.get(url).send());
        let response = connect.await.map_err(|e| failed(&e))?.and_then(reqwest::Response::error_for_status).map_err(|e| failed(&e))?;
        let mut lines = http::lines(response, MAX_LINE);
        let mut pairs: BTreeMap<String, String> = seen.pairs.drain(..).collect();
        // A launcher that says nothing, not even that nothing happened, is gone.
        let silence = Duration::from_secs(3 * HEARTBEAT_SECONDS);
        let mut heard = Instant::now();
        let mut unpublished = false;
        loop {
            // Bursts are merged: events are read while the time between two patches passes.
            let due = self.last_patch.map_or_else(Instant::now, |last| last + BETWEEN_PATCHES);
            tokio::select! {
                line = lines.next() => {
                    heard = Instant::now();
                    match line {
                        Some(Ok(line)) => unpublished |= apply(&mut pairs, &mut seen.revision, &line).map_err(|e| failed(&e))?,
                        Some(Err(error)) => return Err(failed(&error)),
                        None => return Ok(()),
                    }
                }
                () = tokio::time::sleep_until(due), if unpublished => {
                    let now = Seen { pairs: pairs.clone().into_iter().collect(), revision: seen.revision, epoch: Some(epoch.to_owned()) };
                    self.publish(&now).await?;
                    unpublished = false;
                }
                () = tokio::time::sleep_until(heard + silence) => return Err(failed(&"the watch stream is silent")),
            }
        }
    }

    async fn publish(&mut self, seen: &Seen) -> Result<(), RoundError> {
        let value = signature(&seen.pairs);
        let position = seen.epoch.as_ref().filter(|_| self.publish_revision).map(|epoch| format!("{epoch}:{}", seen.revision));
        if self.published.as_ref() == Some(&(value.clone(), position.clone())) {
            return Ok(());
        }
        // Also when lists follow each other because streams end at once.
        if let Some(last) = self.last_patch {
            tokio::time::sleep_until(last + BETWEEN_PATCHES).await;
        }
        self.last_patch = Some(Instant::now());
        let mut annotations = json!({annotation::VLLM_INSTANCE_SIGNATURE: value});
        if let Some(position) = &position {
            annotations[REVISION_ANNOTATION] = json!(position);
        }
        let patch = json!({"metadata": {"annotations": annotations}});
        self.pods.patch_metadata(&self.pod, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        tracing::info!(pod = %self.pod, signature = %value, instances = seen.pairs.len(), "Published the signature of the instances");
        self.published = Some((value, position));
        Ok(())
    }

    /// A lasting trouble is logged once a minute.
    fn complain(&mut self, error: &RoundError) {
        let lasting = matches!(error, RoundError::Pod(kube::Error::Api(status)) if matches!(status.code, 403 | 404))
            || matches!(error, RoundError::NotReady);
        if !lasting || self.last_complaint.is_none_or(|at| at.elapsed() >= Duration::from_secs(60)) {
            tracing::warn!(%error, "cannot reflect the launcher's state; trying again");
        }
        if lasting {
            self.last_complaint = Some(Instant::now());
        }
    }
}

enum Followed {
    /// The launcher has no stream of ours.
    NotPossible,
    /// The stream has ended: list again.
    ToTheEnd,
}

/// The pairs of a list reply; anything else than an object with an array of objects is an error.
fn listed(body: &Value) -> Result<Seen, String> {
    let body = body.as_object().ok_or("the list is no JSON object")?;
    let empty = Vec::new();
    let instances = match body.get("instances") {
        None => &empty,
        Some(instances) => instances.as_array().ok_or("instances is no array")?,
    };
    let text = |o: &serde_json::Map<String, Value>, k: &str| o.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut pairs = Vec::with_capacity(instances.len());
    for instance in instances {
        let instance = instance.as_object().ok_or("an instance is no object")?;
        pairs.push((text(instance, "instance_id"), text(instance, "status")));
    }
    Ok(Seen { pairs, revision: body.get("revision").and_then(Value::as_u64).unwrap_or(0), epoch: None })
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    instance_id: String,
    revision: u64,
}

/// Applies one line of the stream; whether a pair changed. Types nobody knows are skipped.
fn apply(pairs: &mut BTreeMap<String, String>, revision: &mut u64, line: &str) -> Result<bool, String> {
    let event: Event = serde_json::from_str(line).map_err(|e| format!("cannot read event {line:?}: {e}"))?;
    *revision = event.object.revision;
    let id = event.object.instance_id;
    Ok(match event.r#type.as_str() {
        "CREATED" => pairs.insert(id, "running".to_owned()).as_deref() != Some("running"),
        // The type is authoritative, whatever the object's status says.
        "STOPPED" => pairs.insert(id, "stopped".to_owned()).as_deref() != Some("stopped"),
        "DELETED" => pairs.remove(&id).is_some(),
        _ => false,
    })
}

/// Lower-case hex SHA-256 of the compact JSON array of `[id, status]` arrays, sorted, in ASCII.
#[must_use]
pub fn signature(pairs: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = pairs.iter().collect();
    // UTF-8 sorts by code point.
    sorted.sort();
    let items: Vec<String> = sorted.iter().map(|(id, status)| format!("[{},{}]", ascii(id), ascii(status))).collect();
    Sha256::digest(format!("[{}]", items.join(","))).iter().map(|b| format!("{b:02x}")).collect()
}

/// A JSON string with everything beyond ASCII escaped as UTF-16, the way Python writes it.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in Value::from(text).to_string().chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0_u16; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn sha(text: &str) -> String {
        Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_signature() {
        assert_eq!(signature(&[]), "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945");
        let two = signature(&pairs(&[("b", "stopped"), ("a", "running")]));
        assert_eq!(two, sha(r#"[["a","running"],["b","stopped"]]"#));
        assert_eq!(two, signature(&pairs(&[("a", "running"), ("b", "stopped")])), "order does not matter");
        assert_ne!(two, signature(&pairs(&[("a", "running"), ("b", "running")])));
        assert_eq!(signature(&pairs(&[("é\u{1f600}\"", "")])), sha(r#"[["\u00e9\ud83d\ude00\"",""]]"#));
    }

    #[test]
    fn lists_and_events() {
        let body = json!({"revision": 7, "instances": [{"instance_id": "a", "status": "running"}, {}]});
        let seen = listed(&body).unwrap();
        assert_eq!((seen.pairs, seen.revision), (pairs(&[("a", "running"), ("", "")]), 7));
        for bad in [json!([]), json!({"instances": {}}), json!({"instances": [1]})] {
            assert!(listed(&bad).is_err(), "{bad}");
        }
        assert!(listed(&json!({})).unwrap().pairs.is_empty());

        let (mut map, mut revision) = (BTreeMap::new(), 0);
        let event = |kind: &str, id: &str, r: u64| {
            format!(r#"{{"type":"{kind}","object":{{"instance_id":"{id}","status":"running","revision":{r}}}}}"#)
        };
        assert_eq!(apply(&mut map, &mut revision, &event("CREATED", "a", 1)), Ok(true));
        assert_eq!(apply(&mut map, &mut revision, &event("CREATED", "a", 1)), Ok(false), "snapshot and live part may overlap");
        assert_eq!(apply(&mut map, &mut revision, &event("STOPPED", "a", 2)), Ok(true));
        assert_eq!(map["a"], "stopped");
        assert_eq!(apply(&mut map, &mut revision, r#"{"type":"BOOKMARK","object":{"revision":9}}"#), Ok(false));
        assert_eq!(revision, 9);
        assert_eq!(apply(&mut map, &mut revision, &event("DELETED", "a", 10)), Ok(true));
        assert!(apply(&mut map, &mut revision, "x").is_err());
    }
}
