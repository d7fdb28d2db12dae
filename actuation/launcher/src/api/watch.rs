//! The stream of events: one JSON object per line.
//!
//! A watcher is a cursor into the manager's event log, woken by a revision counter. It is pulled by its connection, so a
//! slow reader costs no memory; one that falls out of the log gets a clean end and must list again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use dormouse_runtime::CancellationToken;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::replies::{detail, problems};
use super::validate::{Problem, Query};
use crate::manager::Manager;

/// Events handed to a connection at once.
const BATCH: usize = 64;

struct Watcher {
    manager: Arc<Manager>,
    revisions: watch::Receiver<u64>,
    cursor: u64,
    pending: VecDeque<Bytes>,
    heartbeat: Option<Duration>,
    end: CancellationToken,
    _permit: super::Stream,
}

/// Answers a watch request.
pub(crate) fn watch(manager: &Arc<Manager>, query: &Query, end: &CancellationToken, permit: Option<super::Stream>) -> Response {
    let (since, heartbeat) = match parameters(query) {
        Ok(parameters) => parameters,
        Err(problem) => return problems(vec![problem]),
    };
    let Some(permit) = permit else { return detail(StatusCode::SERVICE_UNAVAILABLE, "Too many streams are open") };
    // Before the log is read: an event in between is then seen by the first look at the counter.
    let revisions = manager.revisions();
    let (pending, cursor) = match since {
        None => {
            let (lines, revision) = manager.snapshot_lines();
            (lines.into(), revision)
        }
        Some(since) => {
            let other_launcher = query.get("epoch").is_some_and(|e| e != manager.epoch());
            let start = u64::try_from(since).ok().filter(|_| !other_launcher);
            let oldest = match start.map_or_else(|| manager.events_after(u64::MAX, 0), |s| manager.events_after(s, 0)) {
                Ok(_) => None,
                Err(gone) => Some(gone.oldest),
            };
            match (start, oldest) {
                (Some(start), None) => (VecDeque::new(), start),
                (_, oldest) => {
                    let oldest = oldest.unwrap_or(0);
                    let text = format!("Requested revision {since} is no longer available. Oldest available: {oldest}.");
                    return detail(StatusCode::GONE, &text);
                }
            }
        }
    };
    let watcher = Watcher { manager: Arc::clone(manager), revisions, cursor, pending, heartbeat, end: end.clone(), _permit: permit };
    let stream = futures::stream::unfold(watcher, |mut w| async move {
        let lines = w.next().await?;
        Some((Ok::<_, Infallible>(lines), w))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Body::from_stream(stream)).into_response()
}

type Parameters = (Option<i128>, Option<Duration>);

fn parameters(query: &Query) -> Result<Parameters, Problem> {
    let since = query.int("since")?;
    let heartbeat = query.int("heartbeat")?.map(|s| Duration::from_secs(u64::try_from(s.clamp(1, 3600)).unwrap_or(1)));
    Ok((since, heartbeat))
}

impl Watcher {
    /// The next lines; none at the end of the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(lines) = self.take_pending() {
                return Some(lines);
            }
            self.revisions.borrow_and_update();
            let (lines, cursor) = self.manager.events_after(self.cursor, BATCH).ok()?;
            if !lines.is_empty() {
                self.cursor = cursor;
                self.pending.extend(lines);
                continue;
            }
            let beat = self.heartbeat;
            let beat = async { tokio::time::sleep(beat.unwrap_or(Duration::MAX)).await };
            tokio::select! {
                () = self.end.cancelled() => return None,
                changed = self.revisions.changed() => changed.ok()?,
                () = beat, if self.heartbeat.is_some() => {
                    return Some(Bytes::from(format!("{{\"type\":\"BOOKMARK\",\"object\":{{\"revision\":{}}}}}\n", self.cursor)));
                }
            }
        }
    }

    fn take_pending(&mut self) -> Option<Bytes> {
        if self.pending.len() <= 1 {
            return self.pending.pop_front();
        }
        let mut batch = BytesMut::new();
        for line in self.pending.drain(..self.pending.len().min(BATCH)) {
            batch.extend_from_slice(&line);
        }
        Some(batch.freeze())
    }
}

/// One open stream: a place among those allowed, and a count. Both end when it is dropped.
pub(crate) struct Open {
    pub(crate) gauge: prometheus_client::metrics::gauge::Gauge,
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
