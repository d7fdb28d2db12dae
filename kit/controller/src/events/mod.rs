//! Events of the API, told behind the back of whoever records them.
//!
//! [`Recorder::record`] never waits: a note goes into a bounded queue, and what does not fit is counted and dropped. One
//! task per recorder asks the [`correlator`] (pure, client-go's rules) what is to be written and writes it, each call bounded. Nothing
//! depends on an event: what the API does not take is counted, logged for who looks, and forgotten.

mod correlator;

use std::sync::Arc;
use std::time::Duration;

use dormouse_runtime::SharedClock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use serde_json::Value;
use tokio::sync::mpsc;

use self::correlator::{Correlator, Sighting};
use crate::metrics::EventCounts;
use crate::{At, CallError, JsonClient, Patch, not_found};

/// Notes that may wait.
const QUEUE: usize = 1_024;
/// Longest time of a write.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest text of an event.
const MESSAGE: usize = 1_000;

/// Who tells: what `kubectl describe` shows in the column *From*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The program or the part of it.
    pub component: String,
    /// The node it speaks for, if it does.
    pub host: Option<String>,
}

/// What there is to tell of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    warning: bool,
    reason: String,
    message: String,
    action: Option<String>,
}

impl Note {
    /// Something ordinary.
    pub fn normal(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(false, reason, message)
    }

    /// Something to look at.
    pub fn warning(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(true, reason, message)
    }

    /// Either.
    pub fn new(warning: bool, reason: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE));
        Self { warning, reason: reason.into(), message, action: None }
    }

    /// What was done, or failed, for machines.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = Some(action.into());
        self
    }
}

/// A note on its way.
#[derive(Debug, Clone)]
struct Told {
    source: Arc<Source>,
    about: ObjectReference,
    note: Note,
    at: Timestamp,
}

/// Where events go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Told>,
    source: Arc<Source>,
    clock: SharedClock,
    counts: EventCounts,
}

impl Recorder {
    /// Starts the writer; it ends when the last clone of the recorder goes.
    #[must_use]
    pub fn start(client: JsonClient, source: Source, clock: SharedClock, counts: EventCounts) -> Self {
        let (queue, told) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(client.timeout(TIMEOUT), told, counts.clone()));
        Self { queue, source: Arc::new(source), clock, counts }
    }

    /// Another teller that shares the queue and the writer.
    #[must_use]
    pub fn of(&self, component: &str) -> Self {
        let source = Source { component: component.to_owned(), host: self.source.host.clone() };
        Self { source: Arc::new(source), ..self.clone() }
    }

    /// Tells of an object. Never waits, never fails.
    pub fn record(&self, about: &ObjectReference, note: Note) {
        let told = Told { source: Arc::clone(&self.source), about: about.clone(), note, at: self.clock.now() };
        if let Err(error) = self.queue.try_send(told) {
            self.counts.dropped.inc();
            let note = error.into_inner().note;
            tracing::debug!(reason = note.reason, message = note.message, "an event was dropped");
        }
    }
}

async fn write_all(client: JsonClient, mut queue: mpsc::Receiver<Told>, counts: EventCounts) {
    let mut correlator = Correlator::default();
    while let Some(told) = queue.recv().await {
        let Some(sighting) = correlator.correlate(&told) else {
            counts.filtered.inc();
            continue;
        };
        match write(&client, &sighting).await {
            Ok(()) => {
                counts.written.inc();
            }
            Err(error) => {
                // A namespace that is going away takes no events.
                counts.failed.inc();
                tracing::debug!(%error, reason = told.note.reason, about = told.about.name, "an event was not written");
            }
        }
    }
}

async fn write(client: &JsonClient, sighting: &Sighting) -> Result<(), CallError> {
    let events = At::all::<Event>(sighting.event.metadata.namespace.as_deref());
    if let Some(patch) = &sighting.patch {
        let name = sighting.event.metadata.name.as_deref().unwrap_or_default();
        match client.patch::<Value>(&events.clone().named(name), &Patch::Merge(patch)).await {
            // It was counted on one that has expired: it is made again, with its count.
            Err(error) if not_found(&error) => {}
            result => return result.map(drop),
        }
    }
    client.create::<Value>(&events, &sighting.event).await.map(drop)
}
