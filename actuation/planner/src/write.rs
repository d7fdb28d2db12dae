//! The objects that the controllers write, computed from the objects that are there.
//!
//! Each function takes the current object and gives the whole next one, for a PUT with the `uid` and `resourceVersion` that it
//! still carries. What differs is only what the function is about. Nothing is derived from "done": a writer that finds its work
//! already in the object gives an equal object, and the planner then writes nothing.

use std::collections::BTreeMap;

use dormouse_apis::names::{annotation, finalizer, label};
use dormouse_names::annotation::LAST_USED;
use dormouse_names::condition::SERVING;
use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};

use crate::ids::{InstanceId, Uid};
use crate::json::{list, list_mut, map_mut, remove};
use crate::state::{Binding, Recorded, Routing, Written};

const LABELS: [&str; 2] = ["metadata", "labels"];
const ANNOTATIONS: [&str; 2] = ["metadata", "annotations"];

/// What a launcher is bound for.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceRecord {
    /// The instance.
    pub instance: InstanceId,
    /// Port of its engine.
    pub port: u16,
    /// Text of the create body.
    pub config: String,
    /// Labels and annotations to apply once it serves.
    pub routing: Routing,
}

/// The bind write on a direct provider.
#[must_use]
pub fn bind_direct(object: &Value, requester: &Binding) -> Value {
    let mut object = object.clone();
    put(&mut object, &ANNOTATIONS, annotation::REQUESTER, &format!("{} {}", requester.uid, requester.name));
    put(&mut object, &LABELS, label::DUAL, &requester.name);
    add_finalizer(&mut object, finalizer::PROVIDER);
    object
}

/// The bind write on a launcher; also makes a launcher that is about to be created born bound.
#[must_use]
pub fn bind_launcher(object: &Value, requester: &Binding, record: &InstanceRecord) -> Value {
    let mut object = bind_direct(object, requester);
    put(&mut object, &ANNOTATIONS, annotation::INSTANCE_ID, record.instance.as_str());
    put(&mut object, &ANNOTATIONS, annotation::SERVER_PORT, &record.port.to_string());
    put(&mut object, &ANNOTATIONS, annotation::VLLM_CONFIG, &record.config);
    put(&mut object, &ANNOTATIONS, annotation::ISC_ROUTING_METADATA, &routing_text(&record.routing));
    // A launcher that is chosen is not stuck (gap `a55`).
    remove(&mut object, &LABELS, label::LAUNCHER_STUCK);
    object
}

/// Text of the annotation `isc-routing-metadata`: members that are empty are left out.
#[must_use]
pub fn routing_text(routing: &Routing) -> String {
    let mut members = Map::new();
    for (key, map) in [("labels", &routing.labels), ("annotations", &routing.annotations)] {
        if !map.is_empty() {
            members.insert(key.to_owned(), json!(map));
        }
    }
    // Labels first, as the peer writes it.
    let text = |key: &str| members.get(key).map(|value| format!("\"{key}\":{value}"));
    format!("{{{}}}", ["labels", "annotations"].iter().filter_map(|key| text(key)).collect::<Vec<_>>().join(","))
}

/// The strategic merge patch of a requester's status that opens or shuts its readiness gate.
#[must_use]
pub fn serving(requester: &Uid, serving: bool, now: Timestamp) -> Value {
    let (status, reason) = if serving { ("True", "Serving") } else { ("False", "NotServing") };
    let moment = now.round(Unit::Second).unwrap_or(now).to_string();
    let condition = json!({"type": SERVING, "status": status, "reason": reason, "message": Value::Null, "lastTransitionTime": moment});
    json!({"metadata": {"uid": requester}, "status": {"conditions": [condition]}})
}

/// The unbind write on a direct provider.
#[must_use]
pub fn unbind_direct(object: &Value, now: Timestamp) -> Value {
    let mut object = unbound(object);
    put(&mut object, &ANNOTATIONS, LAST_USED, &stamp(now));
    object
}

/// The unbind write on a launcher. `uses` is when its remaining instances were last in use, the released one included.
#[must_use]
pub fn unbind_launcher(object: &Value, recorded: Option<&Recorded>, uses: &BTreeMap<InstanceId, Timestamp>) -> Value {
    let mut object = unbound(object);
    if let Some(recorded) = recorded {
        take_routing(&mut object, &recorded.routing);
    }
    for key in [
        annotation::INSTANCE_ID,
        annotation::SERVER_PORT,
        annotation::VLLM_CONFIG,
        annotation::ISC_ROUTING_METADATA,
        annotation::OLD_ISC_LABEL_KEYS,
        annotation::OLD_ISC_ANNOTATION_KEYS,
    ] {
        remove(&mut object, &ANNOTATIONS, key);
    }
    if uses.is_empty() {
        remove(&mut object, &ANNOTATIONS, LAST_USED);
    } else {
        let uses: BTreeMap<&str, String> = uses.iter().map(|(id, at)| (id.as_str(), stamp(*at))).collect();
        put(&mut object, &ANNOTATIONS, LAST_USED, &json!(uses).to_string());
    }
    object
}

fn unbound(object: &Value) -> Value {
    let mut object = object.clone();
    put(&mut object, &LABELS, label::SLEEPING, "true");
    remove(&mut object, &LABELS, label::DUAL);
    remove(&mut object, &ANNOTATIONS, annotation::REQUESTER);
    remove_finalizers(&mut object, &[finalizer::PROVIDER, finalizer::OLD_PROVIDER]);
    object
}

/// Time with microseconds, as the annotation `dormouse.dev/last-used` has it.
fn stamp(at: Timestamp) -> String {
    let at = at.round(Unit::Microsecond).unwrap_or(at);
    format!("{at:.6}")
}

/// Labels and annotations of a launcher whose instance is known to be awake.
#[must_use]
pub fn route(object: &Value, routing: &Routing) -> Value {
    let mut object = object.clone();
    put(&mut object, &LABELS, label::SLEEPING, "false");
    for (key, value) in &routing.labels {
        put(&mut object, &LABELS, key, value);
    }
    for (key, value) in &routing.annotations {
        put(&mut object, &ANNOTATIONS, key, value);
    }
    object
}

/// Takes the routing labels and annotations off, before the instance is put to sleep or dies.
#[must_use]
pub fn deroute(object: &Value, routing: &Routing) -> Value {
    let mut object = object.clone();
    take_routing(&mut object, routing);
    object
}

fn take_routing(object: &mut Value, routing: &Routing) {
    for key in routing.labels.keys() {
        remove(object, &LABELS, key);
    }
    for key in routing.annotations.keys() {
        remove(object, &ANNOTATIONS, key);
    }
}

/// Label `sleeping`.
#[must_use]
pub fn sleeping_label(object: &Value, sleeping: bool) -> Value {
    let mut object = object.clone();
    put(&mut object, &LABELS, label::SLEEPING, if sleeping { "true" } else { "false" });
    object
}

/// What the controller writes on a requester; `None` members are taken off.
#[must_use]
pub fn requester(object: &Value, written: &Written, finalizer: bool) -> Value {
    let mut object = object.clone();
    let annotations = [
        (annotation::STATUS, &written.status),
        (annotation::OLD_STATUS, &written.old_status),
        (annotation::ACCELERATORS, &written.accelerators),
    ];
    for (key, value) in annotations {
        put_or_remove(&mut object, &ANNOTATIONS, key, value.as_deref());
    }
    for (key, value) in [(label::DUAL, &written.dual), (label::INSTANCE, &written.instance)] {
        put_or_remove(&mut object, &LABELS, key, value.as_deref());
    }
    if finalizer {
        add_finalizer(&mut object, finalizer::REQUESTER);
    } else {
        remove_finalizers(&mut object, &[finalizer::REQUESTER]);
    }
    object
}

/// Takes the provider finalizer off, under its new and its old name.
#[must_use]
pub fn drop_provider_finalizer(object: &Value) -> Value {
    let mut object = object.clone();
    remove_finalizers(&mut object, &[finalizer::PROVIDER, finalizer::OLD_PROVIDER]);
    object
}

/// JSON merge patch of the label `launcher-stuck`.
#[must_use]
pub fn stuck_patch(uid: &Uid, stuck: bool) -> Value {
    let value = if stuck { Value::from("true") } else { Value::Null };
    json!({"metadata": {"uid": uid, "labels": {label::LAUNCHER_STUCK: value}}})
}

/// A custom resource with another status.
#[must_use]
pub fn config_status(object: &Value, generation: Option<i64>, errors: &[String]) -> Value {
    let mut status = Map::new();
    if let Some(generation) = generation {
        status.insert("observedGeneration".to_owned(), Value::from(generation));
    }
    if !errors.is_empty() {
        status.insert("errors".to_owned(), json!(errors));
    }
    let mut object = object.clone();
    map_mut(&mut object, &[]).insert("status".to_owned(), Value::Object(status));
    object
}

fn put(object: &mut Value, path: &[&str], key: &str, value: &str) {
    map_mut(object, path).insert(key.to_owned(), Value::from(value));
}

fn put_or_remove(object: &mut Value, path: &[&str], key: &str, value: Option<&str>) {
    match value {
        Some(value) => put(object, path, key, value),
        None => remove(object, path, key),
    }
}

fn add_finalizer(object: &mut Value, finalizer: &str) {
    if !list(object, &["metadata", "finalizers"]).iter().any(|have| have.as_str() == Some(finalizer)) {
        list_mut(object, &["metadata"], "finalizers").push(Value::from(finalizer));
    }
}

fn remove_finalizers(object: &mut Value, finalizers: &[&str]) {
    if list(object, &["metadata", "finalizers"]).is_empty() {
        return;
    }
    let have = list_mut(object, &["metadata"], "finalizers");
    have.retain(|have| !have.as_str().is_some_and(|have| finalizers.contains(&have)));
    if have.is_empty() {
        map_mut(object, &["metadata"]).remove("finalizers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Binding {
        Binding { uid: Uid::from("u"), name: "req".to_owned() }
    }

    fn record() -> InstanceRecord {
        InstanceRecord {
            instance: InstanceId::from("Ixi"),
            port: 8005,
            config: "{}".to_owned(),
            routing: Routing { labels: [("a".to_owned(), "1".to_owned())].into(), annotations: [("b".to_owned(), "2".to_owned())].into() },
        }
    }

    fn recorded() -> Recorded {
        Recorded {
            instance: InstanceId::from("Ixi"),
            port: 8005,
            config: json!({}),
            gpus: Vec::new(),
            isc: None,
            routing: record().routing,
            applied: crate::state::Applied::Full,
        }
    }

    #[test]
    fn bind_and_unbind_are_inverse_but_for_the_marks() {
        let before = json!({"metadata": {"name": "l", "labels": {"x": "y", label::SLEEPING: "true"}, "finalizers": ["other"]}});
        let bound = bind_launcher(&before, &binding(), &record());
        assert_eq!(bound["metadata"]["annotations"][annotation::REQUESTER], "u req");
        assert_eq!(bound["metadata"]["annotations"][annotation::ISC_ROUTING_METADATA], r#"{"labels":{"a":"1"},"annotations":{"b":"2"}}"#);
        assert_eq!(bound["metadata"]["finalizers"], json!(["other", finalizer::PROVIDER]));
        let routed = route(&bound, &record().routing);
        assert_eq!(routed["metadata"]["labels"]["a"], "1");
        let uses = [(InstanceId::from("Ixi"), Timestamp::UNIX_EPOCH)].into();
        let after = unbind_launcher(&routed, Some(&recorded()), &uses);
        assert_eq!(after["metadata"]["annotations"], json!({LAST_USED: r#"{"Ixi":"1970-01-01T00:00:00.000000Z"}"#}));
        let none = unbind_launcher(&routed, Some(&recorded()), &BTreeMap::new());
        assert_eq!(none, before);
    }

    #[test]
    fn binding_twice_is_binding_once() {
        let bound = bind_launcher(&json!({}), &binding(), &record());
        assert_eq!(bind_launcher(&bound, &binding(), &record()), bound);
        assert_eq!(bound["metadata"]["finalizers"], json!([finalizer::PROVIDER]));
    }

    #[test]
    fn both_provider_finalizers_go() {
        let object = json!({"metadata": {"finalizers": [finalizer::OLD_PROVIDER, "x", finalizer::PROVIDER]}});
        assert_eq!(drop_provider_finalizer(&object), json!({"metadata": {"finalizers": ["x"]}}));
    }

    #[test]
    fn requester_writes_are_exact() {
        let written = Written { status: Some("s".to_owned()), dual: Some("d".to_owned()), ..Written::default() };
        let before = json!({"metadata": {"labels": {label::INSTANCE: "old", "k": "v"}}});
        let after = requester(&before, &written, true);
        assert_eq!(
            after,
            json!({"metadata": {
                "labels": {"k": "v", label::DUAL: "d"}, "annotations": {annotation::STATUS: "s"}, "finalizers": [finalizer::REQUESTER],
            }})
        );
        assert_eq!(requester(&after, &Written::default(), false), json!({"metadata": {"labels": {"k": "v"}}}));
    }

    #[test]
    fn empty_routing_is_an_empty_object() {
        assert_eq!(routing_text(&Routing::default()), "{}");
    }
}
