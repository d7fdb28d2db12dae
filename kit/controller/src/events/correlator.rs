//! PURE: what becomes of a note, by the rules of client-go's `EventCorrelator`.
//!
//! 1. Notes that differ only in their message are *similar*. The tenth different one within ten minutes of the last, and
//!    those after it, become one event, "(combined from similar events): …", that shows the newest message.
//! 2. A note that was told before, to the letter, raises the count of the event that it made.
//! 3. One source may tell 25 times of one object, and then once in five minutes: what exceeds that is not written.
//!
//! Held: three memories, each of the 4,096 keys used last.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use super::Told;
use crate::recent::Recent;

/// Keys remembered, of each sort.
const REMEMBERED: usize = 4_096;
/// So many different messages are told one by one, less one.
const SIMILAR: usize = 10;
/// Similar notes further apart than this are news again.
const INTERVAL: Duration = Duration::from_secs(600);
/// What one source may tell of one object at once.
const BURST: f64 = 25.0;
/// And how long it takes until it may tell one thing more, in seconds.
const REFILL: f64 = 300.0;
const COMBINED: &str = "(combined from similar events): ";
/// Of the object's name, so that name and time stay within the 253 characters of a name.
const NAME: usize = 230;

/// An event to write.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sighting {
    /// As it is to be.
    pub(super) event: Event,
    /// What to change in the event that is there already; none: it is new.
    pub(super) patch: Option<Value>,
}

/// What was written for a key.
#[derive(Debug, Clone)]
struct Written {
    name: String,
    first: Timestamp,
    count: i32,
}

/// The different messages of similar notes.
#[derive(Debug, Clone, Default)]
struct Similar {
    messages: HashSet<String>,
    last: Timestamp,
}

/// What a source may still tell of an object.
#[derive(Debug, Clone)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

/// The memory of one writer.
#[derive(Debug)]
pub(super) struct Correlator {
    similar: Recent<String, Similar>,
    written: Recent<String, Written>,
    budgets: Recent<String, Bucket>,
    /// The time in the name that was given last, in nanoseconds.
    named: i128,
}

impl Default for Correlator {
    fn default() -> Self {
        Self { similar: Recent::new(REMEMBERED), written: Recent::new(REMEMBERED), budgets: Recent::new(REMEMBERED), named: 0 }
    }
}

/// Parts of a key, which cannot run into each other.
fn key(parts: &[Option<&str>]) -> String {
    parts.iter().map(|p| p.unwrap_or_default()).collect::<Vec<_>>().join("\0")
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

impl Correlator {
    /// What to write for a note; none: nothing, its source has told too much of its object.
    pub(super) fn correlate(&mut self, told: &Told) -> Option<Sighting> {
        let (about, note, now) = (&told.about, &told.note, told.at);
        let source = [Some(told.source.component.as_str()), told.source.host.as_deref()];
        let object = [&about.kind, &about.namespace, &about.name, &about.uid, &about.api_version].map(Option::as_deref);
        let subject = key(&[&source[..], &object[..]].concat());
        let type_ = if note.warning { "Warning" } else { "Normal" };
        let alike = key(&[Some(&subject), Some(type_), Some(&note.reason)]);

        let combined = self.combined(&alike, &note.message, now);
        let message = if combined { format!("{COMBINED}{}", note.message) } else { note.message.clone() };
        let exact = if combined { alike } else { key(&[Some(&alike), about.field_path.as_deref(), Some(&note.message)]) };

        let known = self.written.get(&exact).cloned();
        let written = match &known {
            Some(old) => Written { count: old.count.saturating_add(1), ..old.clone() },
            None => Written { name: self.name(about.name.as_deref(), now), first: now, count: 1 },
        };
        self.written.insert(exact, written.clone());
        if !self.may_tell(&subject, now) {
            return None;
        }
        let patch = known.map(|_| json!({"count": written.count, "lastTimestamp": seconds(now), "message": message}));
        let event = Event {
            metadata: ObjectMeta {
                name: Some(written.name),
                namespace: Some(about.namespace.clone().unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            type_: Some(type_.to_owned()),
            reason: Some(note.reason.clone()),
            message: Some(message),
            action: note.action.clone(),
            involved_object: about.clone(),
            source: Some(EventSource { component: Some(told.source.component.clone()), host: told.source.host.clone() }),
            reporting_component: Some(told.source.component.clone()),
            reporting_instance: told.source.host.clone(),
            first_timestamp: Some(seconds(written.first)),
            last_timestamp: Some(seconds(now)),
            count: Some(written.count),
            ..Event::default()
        };
        Some(Sighting { event, patch })
    }

    /// Whether so many similar notes have come lately that they are told as one.
    fn combined(&mut self, alike: &str, message: &str, now: Timestamp) -> bool {
        let mut similar = self.similar.remove(alike).filter(|s| elapsed(s.last, now) <= INTERVAL).unwrap_or_default();
        similar.last = now;
        let full = similar.messages.len() + 1 >= SIMILAR;
        let combined = full && !similar.messages.contains(message);
        if !combined {
            similar.messages.insert(message.to_owned());
        }
        self.similar.insert(alike.to_owned(), similar);
        combined
    }

    /// As client-go names events: the object's name, and a time that no other name of this writer has.
    fn name(&mut self, about: Option<&str>, now: Timestamp) -> String {
        self.named = now.as_nanosecond().max(self.named + 1);
        let about = about.unwrap_or("unknown");
        let about = &about[..about.floor_char_boundary(NAME)];
        format!("{}.{:x}", about.trim_end_matches(['.', '-']), self.named)
    }

    fn may_tell(&mut self, subject: &str, now: Timestamp) -> bool {
        let mut bucket = self.budgets.remove(subject).unwrap_or(Bucket { tokens: BURST, at: now });
        bucket.tokens = (bucket.tokens + elapsed(bucket.at, now).as_secs_f64() / REFILL).min(BURST);
        bucket.at = bucket.at.max(now);
        let may = bucket.tokens >= 1.0;
        if may {
            bucket.tokens -= 1.0;
        }
        self.budgets.insert(subject.to_owned(), bucket);
        may
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::super::{Note, Source};
    use super::*;

    fn told(note: Note, at: i64) -> Told {
        let source = Arc::new(Source { component: "kubelet".into(), host: Some("n1".into()) });
        let about = ObjectReference {
            kind: Some("Pod".into()),
            namespace: Some("ns".into()),
            name: Some("p.-".into()),
            uid: Some("u".into()),
            ..ObjectReference::default()
        };
        Told { source, about, note, at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(at) }
    }

    fn tell(c: &mut Correlator, note: Note, at: i64) -> Option<Sighting> {
        c.correlate(&told(note, at))
    }

    #[test]
    fn a_new_event_has_all_that_describe_and_get_show() {
        let mut c = Correlator::default();
        let s = tell(&mut c, Note::warning("Failed", "x".repeat(2_000)).action("Starting"), 7).unwrap();
        let e = s.event;
        assert_eq!((s.patch, e.type_.as_deref(), e.reason.as_deref(), e.count), (None, Some("Warning"), Some("Failed"), Some(1)));
        assert_eq!((e.metadata.name.as_deref(), e.metadata.namespace.as_deref()), (Some("p.1a13b8600"), Some("ns")));
        assert_eq!(e.source.unwrap(), EventSource { component: Some("kubelet".into()), host: Some("n1".into()) });
        assert_eq!((e.reporting_component.as_deref(), e.reporting_instance.as_deref()), (Some("kubelet"), Some("n1")));
        assert_eq!((e.message.unwrap().len(), e.action.as_deref()), (1_000, Some("Starting")));
        assert_eq!(e.first_timestamp, e.last_timestamp);
    }

    #[test]
    fn an_exact_repeat_is_counted_and_another_note_is_another_event() {
        let mut c = Correlator::default();
        let first = tell(&mut c, Note::normal("Pulled", "a"), 0).unwrap().event;
        let other = tell(&mut c, Note::normal("Pulled", "b"), 0).unwrap();
        assert!(other.patch.is_none() && other.event.metadata.name != first.metadata.name);
        let again = tell(&mut c, Note::normal("Pulled", "a"), 9).unwrap();
        assert_eq!(again.patch, Some(json!({"count": 2, "lastTimestamp": "1970-01-01T00:00:09Z", "message": "a"})));
        assert_eq!((again.event.metadata.name, again.event.first_timestamp), (first.metadata.name, first.first_timestamp));
    }

    #[test]
    fn the_tenth_similar_note_within_ten_minutes_is_combined() {
        let mut c = Correlator::default();
        for i in 0..9 {
            let s = tell(&mut c, Note::normal("Created", format!("pod {i}")), i).unwrap();
            assert!(s.patch.is_none());
        }
        let tenth = tell(&mut c, Note::normal("Created", "pod 9"), 9).unwrap();
        assert_eq!((tenth.event.message.as_deref(), tenth.patch), (Some("(combined from similar events): pod 9"), None));
        let next = tell(&mut c, Note::normal("Created", "pod 10"), 10).unwrap();
        assert_eq!(next.event.metadata.name, tenth.event.metadata.name);
        assert_eq!(next.patch.unwrap()["message"], "(combined from similar events): pod 10");
        assert!(tell(&mut c, Note::normal("Deleted", "pod 0"), 11).unwrap().patch.is_none(), "another reason is not similar");
        let late = tell(&mut c, Note::normal("Created", "pod 11"), 611).unwrap();
        assert_eq!((late.event.message.as_deref(), late.patch), (Some("pod 11"), None));
    }

    #[test]
    fn a_source_that_tells_too_much_of_an_object_is_not_heard() {
        let mut c = Correlator::default();
        let heard = (0..40).filter(|_| tell(&mut c, Note::warning("BackOff", "m"), 0).is_some()).count();
        assert_eq!(heard, 25);
        let later = tell(&mut c, Note::warning("BackOff", "m"), 301).unwrap();
        assert_eq!(later.patch.unwrap()["count"], 41, "what was not written was counted");
        assert!(tell(&mut c, Note::warning("BackOff", "m"), 302).is_none());
    }
}
