//! Events: two groups show the same objects. The core form is the one that is kept.

use dormouse_machinery::field::FieldError;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::values::{At, map, text};
use super::{row, texts};
use crate::object::meta_str;
use crate::registry::{Cx, FieldLabel, Kind, Object, Strategy};

/// How long an event is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// Old events are looked for after so many new ones.
const SWEEP_EVERY: u64 = 256;

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

pub(super) fn rows() -> Vec<Kind> {
    let mut core_fields: Vec<FieldLabel> = super::fields(SELECTABLE);
    core_fields.push(FieldLabel { label: "source".to_owned(), path: "source.component".to_owned() });
    let new_fields = core_fields
        .iter()
        .map(|f| {
            let label = match f.label.strip_prefix("involvedObject") {
                Some(rest) => format!("regarding{rest}"),
                None if f.label == "reportingComponent" => "reportingController".to_owned(),
                None => f.label.clone(),
            };
            FieldLabel { label, path: f.path.clone() }
        })
        .collect();
    let event = |group: &str, modern: bool, fields| Kind {
        short_names: texts(&["ev"]),
        create_on_update: true,
        storage: "events".to_owned(),
        fields,
        ..row(group, "v1", "Event", "events", Events { modern })
    };
    vec![event("", false, core_fields), event("events.k8s.io", true, new_fields)]
}

struct Events {
    /// Whether this is the row of `events.k8s.io`.
    modern: bool,
}

impl Strategy for Events {
    fn default(&self, object: &mut Object) {
        if !self.modern {
            super::values::default(object, "type", "Normal");
        }
        if !object.contains_key("eventTime") {
            object.insert("eventTime".to_owned(), Value::Null);
        }
    }

    fn prepare_create(&self, cx: &Cx<'_>, _: &mut Object) {
        sweep(cx);
    }

    fn validate(&self, _: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
        let member = if self.modern { "regarding" } else { "involvedObject" };
        let regarding = map(object, member).map(|o| text(o, "namespace")).unwrap_or("");
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
        for problem in dormouse_machinery::names::qualified_name(text(object, controller)) {
            if !text(object, controller).is_empty() {
                problems.push(FieldError::invalid("reportingController", text(object, controller), problem));
            }
        }
        required(object, "reportingInstance", Some(128), problems);
        required(object, "action", Some(128), problems);
        required(object, "reason", Some(128), problems);
        super::values::one_of(object, "type", &["Normal", "Warning"], &At::Path(""), problems);
        let note = text(object, if self.modern { "note" } else { "message" });
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
    let value = text(object, key);
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

/// Now and then, removes events that are older than [`KEPT`].
fn sweep(cx: &Cx<'_>) {
    let table = cx.server.store().table("events");
    if cx.dry_run || !table.revision().is_multiple_of(SWEEP_EVERY) {
        return;
    }
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
