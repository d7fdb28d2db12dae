//! GET with `watch`: a stream of events.
//!
//! The stream pulls from the table's log ([`dormouse_store::Watcher`]), so that a client that reads slowly
//! holds nothing but its place; when the log has moved past it, it gets one ERROR event and the end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dormouse_store::{Event, EventKind, Expired, Query, Stored, Watcher};
use futures::stream;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::registry::Kind;
use crate::{ApiError, ApiServer, Body};

use super::negotiate::{Accept, Form};
use super::params::ListParams;
use super::select::Selection;
use super::{Call, list, object_from, respond, shown};

/// How often a quiet watch hears that it is still up to date.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts when the client names no time.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2700);
/// Bytes after which a frame is sent although more is known.
const FRAME: usize = 64 << 10;

pub(crate) fn watch(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let params = ListParams::parse(&call.params, &call.info)?;
    let selection = Selection::parse(&call.kind, &params)?.named(&call.info.name).in_namespace(&call.namespace);
    let initial = params.send_initial_events.unwrap_or(matches!(params.resource_version, None | Some(0)));
    let mut start = VecDeque::new();
    let opened = match params.resource_version {
        _ if initial => {
            let filter = |meta: &dormouse_store::Meta| selection.matches(meta);
            let query = Query {
                namespace: (!call.namespace.is_empty()).then_some(call.namespace.as_str()),
                filter: Some(&filter),
                ..Query::default()
            };
            call.table.list_and_watch(&query).map(|(listing, watcher)| {
                start = listing.items.into();
                watcher
            })
        }
        None | Some(0) => call.table.watch(call.table.revision()),
        Some(version) => call.table.watch(version),
    };
    let view = View { kind: Arc::clone(&call.kind), accept: call.accept, server: call.server.clone(), columns: true };
    let deadline = Instant::now() + params.timeout_seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let (watcher, failed) = match opened {
        Ok(watcher) => (Some(watcher), None),
        Err(expired) => (None, Some(expired)),
    };
    let state = Stream {
        view,
        selection,
        initial: start,
        // With the `sendInitialEvents` option the end of the initial state is marked.
        mark_end: params.send_initial_events == Some(true) && params.bookmarks,
        watcher,
        failed,
        bookmarks: params.bookmarks.then(|| Instant::now() + BOOKMARK_EVERY),
        deadline,
        stopping: call.server.stopping().clone(),
        retired: match &call.kind.schema {
            crate::registry::Schema::Structural(version) => version.retired().clone(),
            _ => CancellationToken::new(),
        },
    };
    let frames = stream::unfold(state, |mut state| async move {
        let frame = state.next().await?;
        Some((Ok::<_, Infallible>(frame), state))
    });
    Ok(respond::events(Body::from_stream(frames)))
}

/// How objects are shown to this client.
struct View {
    kind: Arc<Kind>,
    accept: Accept,
    server: ApiServer,
    /// The next table brings its columns.
    columns: bool,
}

struct Stream {
    view: View,
    selection: Selection,
    initial: VecDeque<Arc<Stored>>,
    mark_end: bool,
    watcher: Option<Watcher>,
    failed: Option<Expired>,
    bookmarks: Option<Instant>,
    deadline: Instant,
    stopping: CancellationToken,
    /// The kind is no longer served.
    retired: CancellationToken,
}

impl Stream {
    /// The next bytes for the client; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        if !self.initial.is_empty() {
            while let Some(object) = self.initial.pop_front() {
                self.view.event(&mut out, "ADDED", object.bytes().clone());
                if out.len() >= FRAME {
                    return Some(out.into());
                }
            }
        }
        if std::mem::take(&mut self.mark_end) {
            let revision = self.watcher.as_ref().map_or(0, Watcher::seen);
            self.view.bookmark(&mut out, revision, true);
        }
        if !out.is_empty() {
            return Some(out.into());
        }
        loop {
            let Some(watcher) = self.watcher.as_mut() else {
                // An error is told once, then the stream ends.
                let error = list::expired(&self.failed.take()?, false);
                out.extend_from_slice(format!("{}\n", json!({"type": "ERROR", "object": error.to_value()})).as_bytes());
                return Some(out.into());
            };
            let bookmark_at = self.bookmarks.unwrap_or(self.deadline).min(self.deadline);
            let batch = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                batch = watcher.next() => batch,
                () = self.retired.cancelled() => return None,
                () = sleep_until(bookmark_at) => {
                    let seen = watcher.seen();
                    if Instant::now() >= self.deadline {
                        return None;
                    }
                    self.bookmarks = Some(Instant::now() + BOOKMARK_EVERY);
                    self.view.bookmark(&mut out, seen, false);
                    return Some(out.into());
                }
            };
            match batch {
                Ok(batch) => {
                    for event in &batch.events {
                        self.view.change(&mut out, &self.selection, event);
                    }
                    if !out.is_empty() {
                        return Some(out.into());
                    }
                    // A busy table must not keep a watch alive that selects nothing of it.
                    if Instant::now() >= self.deadline {
                        return None;
                    }
                }
                Err(expired) => {
                    self.watcher = None;
                    self.failed = Some(expired);
                }
            }
        }
    }
}

impl View {
    /// What a commit means to someone who sees only what the selection selects.
    fn change(&mut self, out: &mut Vec<u8>, selection: &Selection, event: &Event) {
        let now = event.kind != EventKind::Deleted && selection.matches(event.object.meta());
        let before = event.previous.as_ref().filter(|p| selection.matches(p.meta()));
        match (before, now) {
            (None, true) => self.event(out, "ADDED", event.object.bytes().clone()),
            (Some(_), true) => self.event(out, "MODIFIED", event.object.bytes().clone()),
            (Some(previous), false) => self.event(out, "DELETED", previous.bytes_at(event.revision())),
            (None, false) => {}
        }
    }

    fn event(&mut self, out: &mut Vec<u8>, kind: &str, stored: Bytes) {
        let object = match self.render(stored) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "an object cannot be shown to a watcher");
                return;
            }
        };
        out.reserve(object.len() + 40);
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        out.extend_from_slice(&object);
        out.extend_from_slice(b"}\n");
    }

    fn render(&mut self, stored: Bytes) -> Result<Bytes, ApiError> {
        let bytes = shown(&self.kind, stored)?;
        Ok(match self.accept.form {
            Form::Object => bytes,
            Form::Metadata(version) => respond::partial(&bytes, version)?.into(),
            Form::Table(version) => {
                let object = Value::Object(object_from(&bytes)?);
                self.table(version, object)
            }
        })
    }

    fn table(&mut self, version: &str, object: Value) -> Bytes {
        let metadata = respond::list_metadata(object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or(""));
        let columns = std::mem::take(&mut self.columns);
        let now: Timestamp = self.server.now();
        crate::table::render(&self.kind, version, &[object], metadata, self.accept.include, columns, now).to_string().into()
    }

    fn bookmark(&mut self, out: &mut Vec<u8>, revision: u64, end_of_initial: bool) {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if end_of_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata});
        let object: Bytes = match self.accept.form {
            Form::Object => object.to_string().into(),
            Form::Metadata(version) => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata})
                    .to_string()
                    .into()
            }
            Form::Table(version) => self.table(version, object),
        };
        out.extend_from_slice(b"{\"type\":\"BOOKMARK\",\"object\":");
        out.extend_from_slice(&object);
        out.extend_from_slice(b"}\n");
    }
}
