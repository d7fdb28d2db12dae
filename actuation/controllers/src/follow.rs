//! Watch streams of launchers of ours: what happens to an instance is known when it happens.
//!
//! A launcher of ours marks every reply with an epoch header. One that does not is a peer's: it is left to
//! lists, which its notifier's annotation triggers. A stream that ends is opened again while the launcher
//! runs the same container.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_names::header::EPOCH;
use dormouse_planner::ids::{InstanceId, Uid};
use dormouse_planner::memory::InstanceEvent;
use dormouse_runtime::http;
use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::calls::WireInstance;

/// Longest line of a stream.
const LINE_MAX: usize = 4 << 20;
/// Pause between attempts: a twentieth of the time that it has failed for, within these bounds, so that a
/// launcher is followed at most so much later than it could be.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A stream that lasts so long shows that its launcher works.
const LASTED: Duration = Duration::from_secs(1);
/// Seconds between the marks that a launcher of ours sends while nothing happens, and the silence after which
/// its stream counts as dead.
const HEARTBEAT_S: u64 = 10;
const SILENCE: Duration = Duration::from_secs(35);

/// News of a launcher, and which start of it they are about.
#[derive(Debug)]
pub(crate) struct Report {
    pub launcher: Uid,
    pub container: String,
    pub news: News,
}

/// What a stream tells.
#[derive(Debug)]
pub(crate) enum News {
    /// Its stream is open (`true`) or has ended.
    Open(bool),
    /// An event of the stream.
    Event(InstanceEvent),
}

/// Where a launcher is, and which start of it: another one is another launcher to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub base_url: String,
    pub container: String,
}

/// The streams under way.
pub(crate) struct Follower {
    client: http::Client,
    tasks: BTreeMap<Uid, (Place, JoinHandle<()>)>,
    news: mpsc::Sender<Report>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tasks.values().for_each(|(_, task)| task.abort());
    }
}

impl Follower {
    /// `news` is bounded: a launcher that talks faster than we plan waits.
    pub(crate) fn new(client: http::Client, news: mpsc::Sender<Report>) -> Self {
        Self { client, tasks: BTreeMap::new(), news }
    }

    /// Follow exactly these launchers.
    pub(crate) fn set(&mut self, wanted: &BTreeMap<Uid, Place>) {
        self.tasks.retain(|uid, (place, task)| {
            let keep = wanted.get(uid) == Some(place);
            if !keep {
                task.abort();
            }
            keep
        });
        for (uid, place) in wanted {
            if !self.tasks.contains_key(uid) {
                let task = tokio::spawn(follow(self.client.clone(), uid.clone(), place.clone(), self.news.clone()));
                self.tasks.insert(uid.clone(), (place.clone(), task));
            }
        }
    }
}

/// Who is told about one start of one launcher.
struct Line {
    launcher: Uid,
    container: String,
    news: mpsc::Sender<Report>,
}

impl Line {
    /// False: nobody listens any more.
    async fn tell(&self, news: News) -> bool {
        self.news.send(Report { launcher: self.launcher.clone(), container: self.container.clone(), news }).await.is_ok()
    }
}

async fn follow(client: http::Client, launcher: Uid, place: Place, news: mpsc::Sender<Report>) {
    let url = format!("{}{}/watch?heartbeat={HEARTBEAT_S}", place.base_url, dormouse_apis::names::path::INSTANCES);
    let line = Line { launcher, container: place.container, news };
    let mut failing = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(10), client.get(&url).send()).await {
            Ok(Ok(response)) if response.status().is_success() => {
                if !response.headers().contains_key(EPOCH) {
                    return;
                }
                if !line.tell(News::Open(true)).await {
                    return;
                }
                let opened = Instant::now();
                read(response, &line).await;
                if !line.tell(News::Open(false)).await {
                    return;
                }
                // One that ends at once (a launcher that is going, a line that cannot be read) proves nothing.
                if opened.elapsed() >= LASTED {
                    failing = Instant::now();
                }
            }
            // A peer's launcher, or something else on that port.
            Ok(Ok(response)) if response.status().is_client_error() && !response.headers().contains_key(EPOCH) => return,
            _ => {}
        }
        tokio::time::sleep((failing.elapsed() / 20).clamp(FIRST_PAUSE, LONGEST_PAUSE)).await;
    }
}

/// Reads lines until the stream ends, falls silent, or cannot be understood.
async fn read(response: reqwest::Response, line: &Line) {
    let mut lines = http::lines(response, LINE_MAX);
    while let Ok(Some(text)) = tokio::time::timeout(SILENCE, lines.next()).await {
        let event = match text.map_err(|e| e.to_string()).and_then(|text| event(&text).map_err(|e| e.to_string())) {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, launcher = line.launcher.as_str(), "a launcher's watch stream cannot be read on");
                return;
            }
        };
        if let Some(event) = event
            && !line.tell(News::Event(event)).await
        {
            return;
        }
    }
}

fn event(line: &str) -> Result<Option<InstanceEvent>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(rename = "type")]
        type_: String,
        object: serde_json::Value,
    }
    let wire: Wire = serde_json::from_str(line)?;
    let instance = |object| serde_json::from_value::<WireInstance>(object);
    Ok(match wire.type_.as_str() {
        "CREATED" => Some(InstanceEvent::Created(instance(wire.object)?.into())),
        "STOPPED" => Some(InstanceEvent::Stopped(instance(wire.object)?.into())),
        "DELETED" => Some(InstanceEvent::Deleted(InstanceId(instance(wire.object)?.instance_id))),
        // Types of later versions are no reason to stop following.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_types_are_read_and_others_passed_over() {
        let created =
            event(r#"{"type":"CREATED","object":{"status":"running","instance_id":"a","revision":1,"options":"--port 1"}}"#).unwrap();
        assert!(matches!(created, Some(InstanceEvent::Created(r)) if r.id.as_str() == "a" && !r.stopped));
        // The type counts, whatever the status says.
        let stopped = event(r#"{"type":"STOPPED","object":{"status":"running","instance_id":"a","exit_code":null}}"#).unwrap();
        assert!(matches!(stopped, Some(InstanceEvent::Stopped(_))));
        assert!(matches!(event(r#"{"type":"DELETED","object":{"instance_id":"a"}}"#).unwrap(), Some(InstanceEvent::Deleted(_))));
        assert!(event(r#"{"type":"BOOKMARK","object":{"revision":7}}"#).unwrap().is_none());
        assert!(event("{").is_err());
    }
}
