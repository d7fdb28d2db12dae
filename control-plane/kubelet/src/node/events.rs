//! Events of the API about Pods and the node, written behind the back of whoever records them.
//!
//! Held: what was written lately, so that a repeat raises a count instead of making a new object, at most once a second per
//! event. Bounded: what does not fit the queue is counted and dropped, never waited for.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dormouse_runtime::clock::SharedClock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use tokio::sync::mpsc;

/// Events that may wait.
const QUEUE: usize = 1024;
/// Events remembered for counting.
const REMEMBERED: usize = 512;
/// Least time between two writes of one event.
const REPEAT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    object: String,
    field: Option<String>,
    warning: bool,
    reason: String,
    message: String,
}

#[derive(Debug)]
struct Note {
    key: Key,
    about: ObjectReference,
}

/// Where events go.
#[derive(Clone, Debug)]
pub(super) struct Recorder(mpsc::Sender<Note>);

impl Recorder {
    /// Starts the writer; it ends when the last recorder goes.
    pub(super) fn start(client: kube::Client, node: String, clock: SharedClock) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(client, node, clock, queue));
        Self(sender)
    }

    /// Records an event about `about`.
    pub(super) fn record(&self, about: &ObjectReference, warning: bool, reason: &str, message: &str) {
        let key = Key {
            object: about.uid.clone().unwrap_or_default(),
            field: about.field_path.clone(),
            warning,
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        if self.0.try_send(Note { key, about: about.clone() }).is_err() {
            tracing::debug!(reason, message, "an event was dropped");
        }
    }
}

struct Written {
    name: String,
    count: i32,
    at: Timestamp,
}

async fn write_all(client: kube::Client, node: String, clock: SharedClock, mut queue: mpsc::Receiver<Note>) {
    let mut written: HashMap<Key, Written> = HashMap::new();
    let mut order: VecDeque<Key> = VecDeque::new();
    let mut serial = 0_u32;
    while let Some(note) = queue.recv().await {
        let now = clock.now();
        let namespace = note.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        if let Some(old) = written.get_mut(&note.key) {
            old.count = old.count.saturating_add(1);
            if Duration::try_from(now.duration_since(old.at)).is_ok_and(|d| d < REPEAT) {
                continue;
            }
            old.at = now;
            let patch = serde_json::json!({"count": old.count, "lastTimestamp": seconds(now)});
            match api.patch(&old.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => continue,
                Err(error) if dormouse_controller::not_found(&error) => {
                    written.remove(&note.key);
                }
                Err(error) => {
                    tracing::debug!(%error, "an event was not written");
                    continue;
                }
            }
        }
        serial = serial.wrapping_add(1);
        // As client-go names them: the object and a time; the serial keeps two of one instant apart.
        let name = format!("{}.{:x}{serial:04x}", note.about.name.as_deref().unwrap_or("unknown"), now.as_microsecond());
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace), ..ObjectMeta::default() },
            type_: Some(if note.key.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(note.key.reason.clone()),
            message: Some(note.key.message.clone()),
            involved_object: note.about,
            source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(node.clone()) }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(node.clone()),
            first_timestamp: Some(seconds(now)),
            last_timestamp: Some(seconds(now)),
            count: Some(1),
            ..Event::default()
        };
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            // A namespace that is going away takes no events; nothing depends on one.
            tracing::debug!(%error, "an event was not written");
            continue;
        }
        order.push_back(note.key.clone());
        written.insert(note.key, Written { name, count: 1, at: now });
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            written.remove(&oldest);
        }
    }
}

fn seconds(t: Timestamp) -> Time {
    Time(Timestamp::from_second(t.as_second()).unwrap_or(t))
}
