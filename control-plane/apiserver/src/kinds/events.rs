//! Events: two groups show the same objects. The core form is the one that is kept.

use std::sync::{Mutex, PoisonError};

use dormouse_machinery::field::FieldError;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::values::{At, map};
use super::{texts, typed, values};
use crate::object::meta_str;
use crate::registry::{Column, Cx, FieldLabel, Kind, Object, Right, Strategy};
use crate::table::read::{at, int, text};
use crate::table::{Compute, age};

/// How long an event is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// Pause after old events were looked for; the next new one after it looks again.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Members that have another name in `events.k8s.io`: (core, new).
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Field selectors, by the name that both groups share the path of.
const SELECTABLE: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "type",
];

/// Events of the core group.
pub(super) fn row() -> Kind {
    Kind {
        rights: const { &[Right::view(&[""]), Right::edit(&[""]), Right::node(&["create", "patch", "update"], &[""])] },
        columns: columns(true),
        ..event("", false, labels())
    }
}

/// The same events as `events.k8s.io` writes them.
pub(super) fn modern_row() -> Kind {
    let renamed = |label: String| match label.strip_prefix("involvedObject") {
        Some(rest) => format!("regarding{rest}"),
        None if label == "reportingComponent" => "reportingController".to_owned(),
        None => label,
    };
    let fields = labels().into_iter().map(|f| FieldLabel { label: renamed(f.label), ..f }).collect();
    Kind {
        rights: const { &[Right::view(&[""]), Right::node(&["create", "patch", "update"], &[""])] },
        columns: columns(false),
        ..event("events.k8s.io", true, fields)
    }
}

fn event(group: &str, modern: bool, fields: Vec<FieldLabel>) -> Kind {
    Kind {
        short_names: texts(&["ev"]),
        create_on_update: true,
        storage: "events".to_owned(),
        fields,
        ..typed(group, "v1", "Event", "events", Events { modern, swept: Mutex::default() })
    }
}

/// Field labels in core's names.
fn labels() -> Vec<FieldLabel> {
    let mut labels = super::fields(SELECTABLE);
    labels.push(FieldLabel { label: "source".to_owned(), path: "source.component".to_owned() });
    labels
}

struct Events {
    /// Whether this is the row of `events.k8s.io`.
    modern: bool,
    /// When old events were last looked for.
    swept: Mutex<Timestamp>,
}

impl Strategy for Events {
    fn default(&self, object: &mut Object) {
        if !self.modern {
            values::default(object, "type", "Normal");
        }
        if !object.contains_key("eventTime") {
            object.insert("eventTime".to_owned(), Value::Null);
        }
    }

    fn prepare_create(&self, cx: &Cx<'_>, _: &mut Object) {
        self.sweep(cx);
    }

    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let member = if self.modern { "regarding" } else { "involvedObject" };
        let regarding = map(object, member).map(|o| values::text(o, "namespace")).unwrap_or("");
        let namespace = meta_str(object, "namespace");
        let fits = if regarding.is_empty() { namespace == "default" } else { regarding == namespace };
        if !fits {
            let path = At::Path("involvedObject.namespace");
            problems.push(FieldError::invalid(path, regarding, "does not match event.namespace"));
        }
        if !self.modern && object.get("eventTime").is_none_or(Value::is_null) {
            return;
        }
        if object.get("eventTime").is_none_or(Value::is_null) {
            problems.push(FieldError::required("eventTime", ""));
        }
        let controller = if self.modern { "reportingController" } else { "reportingComponent" };
        required(object, controller, None, problems);
        for problem in dormouse_machinery::names::qualified_name(values::text(object, controller)) {
            if !values::text(object, controller).is_empty() {
                problems.push(FieldError::invalid("reportingController", values::text(object, controller), problem));
            }
        }
        required(object, "reportingInstance", Some(128), problems);
        required(object, "action", Some(128), problems);
        required(object, "reason", Some(128), problems);
        values::one_of(object, "type", &["Normal", "Warning"], &At::Path(""), problems);
        let note = values::text(object, if self.modern { "note" } else { "message" });
        if note.len() > 1024 {
            problems.push(FieldError::invalid("message", "", "can have at most 1024 characters"));
        }
    }

    fn converts(&self) -> bool {
        self.modern
    }

    fn to_row(&self, object: &mut Object) {
        rename(object, false);
        object.insert("apiVersion".to_owned(), "events.k8s.io/v1".into());
    }

    fn to_storage(&self, object: &mut Object) {
        rename(object, true);
        object.insert("apiVersion".to_owned(), "v1".into());
        if !object.contains_key("involvedObject") {
            object.insert("involvedObject".to_owned(), json!({}));
        }
    }
}

fn required(object: &Object, key: &str, limit: Option<usize>, problems: &mut Vec<FieldError>) {
    let value = values::text(object, key);
    let field = if key == "reportingComponent" { "reportingController" } else { key };
    if value.is_empty() {
        problems.push(FieldError::required(field, ""));
    } else if let Some(limit) = limit.filter(|l| value.len() > *l) {
        problems.push(FieldError::invalid(field, "", format!("can have at most {limit} characters")));
    }
}

fn rename(object: &mut Object, to_core: bool) {
    for (core, modern) in RENAMED {
        let (from, to) = if to_core { (modern, core) } else { (core, modern) };
        if let Some(value) = object.remove(*from) {
            object.insert((*to).to_owned(), value);
        }
    }
}

impl Events {
    /// Now and then, removes events that are older than [`KEPT`].
    fn sweep(&self, cx: &Cx<'_>) {
        if cx.dry_run || !self.is_time(cx.now) {
            return;
        }
        let table = cx.server.store().table("events");
        let Ok(oldest) = cx.now.checked_sub(KEPT) else { return };
        let Ok(listing) = table.list(&dormouse_store::Query::default()) else { return };
        for stored in listing.items {
            let Ok(object) = crate::object::parse(&stored) else { continue };
            let newest = ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/metadata/creationTimestamp"];
            let object = Value::Object(object);
            let last = newest.iter().filter_map(|p| object.pointer(p)?.as_str()?.parse::<Timestamp>().ok()).max();
            if last.is_some_and(|t| t < oldest) {
                let key = dormouse_store::key(&stored.meta().namespace, &stored.meta().name);
                // Somebody who writes it now keeps it.
                let _ = table.commit(&key, dormouse_store::Change::Delete(stored.revision()));
            }
        }
    }

    /// Whether the pause is over; the next one begins then.
    fn is_time(&self, now: Timestamp) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let due = now.duration_since(*swept) >= SWEEP_EVERY;
        if due {
            *swept = now;
        }
        due
    }
}

/// The two groups of events name the same things differently.
struct Members {
    object: &'static str,
    message: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
    source: &'static str,
}

/// Columns of an event, in core's names or in those of `events.k8s.io`.
fn columns(core: bool) -> Vec<Column> {
    // Cells are plain functions, so that each column exists once per group.
    macro_rules! pick {
        ($f:ident) => {
            if core { (|o, now| $f(o, &CORE, now)) as Compute } else { (|o, now| $f(o, &EVENTS, now)) as Compute }
        };
    }
    vec![
        Column::string("Last Seen", "When it was last seen.", pick!(last)),
        Column::string("Type", "Type of this event (Normal, Warning), new types could be added in the future", |o, _| {
            text(o, &["type"]).into()
        }),
        Column::string("Reason", "Why it happened, in one word.", |o, _| text(o, &["reason"]).into()),
        Column::string("Object", "The object that it is about.", pick!(object)),
        Column::wide("Subobject", "The part of the object.", pick!(part)),
        Column::wide("Source", "Who reports it.", pick!(source)),
        Column::string("Message", "What happened.", pick!(message)),
        Column::wide("First Seen", "When it was first seen.", pick!(first)),
        Column::wide("Count", "How often it was seen.", pick!(count)),
        Column { priority: 1, ..Column::name() },
    ]
}

const CORE: Members = Members {
    object: "involvedObject",
    message: "message",
    first: "firstTimestamp",
    last: "lastTimestamp",
    count: "count",
    source: "source",
};
const EVENTS: Members = Members {
    object: "regarding",
    message: "note",
    first: "deprecatedFirstTimestamp",
    last: "deprecatedLastTimestamp",
    count: "deprecatedCount",
    source: "deprecatedSource",
};

fn first(event: &Value, fields: &Members, now: Timestamp) -> Value {
    let first = at(event, &[fields.first]);
    age::since(if first.is_null() { at(event, &["eventTime"]) } else { first }, now).into()
}

fn last(event: &Value, fields: &Members, now: Timestamp) -> Value {
    let series = at(event, &["series", "lastObservedTime"]);
    let last = at(event, &[fields.last]);
    match (series.is_null(), last.is_null()) {
        (false, _) => age::since(series, now).into(),
        (true, false) => age::since(last, now).into(),
        (true, true) => first(event, fields, now),
    }
}

fn object(event: &Value, fields: &Members, _now: Timestamp) -> Value {
    let kind = text(event, &[fields.object, "kind"]).to_lowercase();
    match text(event, &[fields.object, "name"]) {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

fn part(event: &Value, fields: &Members, _now: Timestamp) -> Value {
    text(event, &[fields.object, "fieldPath"]).into()
}

fn source(event: &Value, fields: &Members, _now: Timestamp) -> Value {
    let either = |a: &'static str, fallbacks: [&'static str; 2]| {
        let own = text(event, &[fields.source, a]).to_owned();
        fallbacks.iter().fold(own, |found, key| if found.is_empty() { text(event, &[key]).to_owned() } else { found })
    };
    let component = either("component", ["reportingComponent", "reportingController"]);
    let instance = either("host", ["reportingInstance", "reportingInstance"]);
    if instance.is_empty() { component.into() } else { format!("{component}, {instance}").into() }
}

fn message(event: &Value, fields: &Members, _now: Timestamp) -> Value {
    text(event, &[fields.message]).trim().into()
}

fn count(event: &Value, fields: &Members, _now: Timestamp) -> Value {
    let series = at(event, &["series"]);
    if !series.is_null() {
        return int(series, &["count"]).into();
    }
    int(event, &[fields.count]).max(1).into()
}

#[cfg(test)]
mod tests {
    use super::super::shows;
    use super::*;

    #[test]
    fn cells_of_both_groups() {
        let core = json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "message": " no such image\n",
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"}, "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "2026-01-01T00:50:00Z", "lastTimestamp": "2026-01-01T00:59:00Z", "count": 4});
        let expected = |last: &str, first: &str, count: i64| {
            vec![
                ("Last Seen", json!(last)),
                ("Type", json!("Warning")),
                ("Reason", json!("Failed")),
                ("Object", json!("pod/p")),
                ("Subobject", json!("spec.containers{c}")),
                ("Source", json!("kubelet, n")),
                ("Message", json!("no such image")),
                ("First Seen", json!(first)),
                ("Count", json!(count)),
                ("Name", json!("e")),
            ]
        };
        shows(&row(), &core, &expected("60s", "10m", 4));
        let new = json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "note": "no such image", "reportingController": "kubelet",
            "regarding": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"}, "reportingInstance": "n", "eventTime": "2026-01-01T00:50:00.000000Z"});
        shows(&modern_row(), &new, &expected("10m", "10m", 1));
        let mut series = new;
        series["series"] = json!({"count": 7, "lastObservedTime": "2026-01-01T00:59:30.000000Z"});
        shows(&modern_row(), &series, &expected("30s", "10m", 7));
    }
}
