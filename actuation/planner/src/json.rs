//! Small readers and writers for objects held as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The value under a path of member names.
pub(crate) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// Text under a path.
pub(crate) fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(value, path)?.as_str()
}

/// Text under a path, owned, empty when absent.
pub(crate) fn owned(value: &Value, path: &[&str]) -> String {
    text(value, path).unwrap_or_default().to_owned()
}

/// Array under a path, empty when absent.
pub(crate) fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An annotation of an object.
pub(crate) fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    text(object, &["metadata", "annotations", key])
}

/// A label of an object.
pub(crate) fn label<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    text(object, &["metadata", "labels", key])
}

/// Whether an object carries a finalizer.
pub(crate) fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    list(object, &["metadata", "finalizers"]).iter().any(|have| have.as_str() == Some(finalizer))
}

/// A map of texts under a path; members that are no text are left out.
pub(crate) fn text_map(value: &Value, path: &[&str]) -> BTreeMap<String, String> {
    let Some(Value::Object(map)) = at(value, path) else { return BTreeMap::new() };
    map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// A time under a path.
pub(crate) fn time(value: &Value, path: &[&str]) -> Option<Timestamp> {
    text(value, path)?.parse().ok()
}

/// The map under a path, made where it is missing; anything else that stands there is replaced.
pub(crate) fn map_mut<'v>(value: &'v mut Value, path: &[&str]) -> &'v mut Map<String, Value> {
    let mut value = value;
    for key in path {
        value = object_mut(value).entry((*key).to_owned()).or_insert(Value::Null);
    }
    object_mut(value)
}

fn object_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        // Just made one.
        _ => unreachable!("an object"),
    }
}

/// The list under a path, made where it is missing.
pub(crate) fn list_mut<'v>(value: &'v mut Value, path: &[&str], key: &str) -> &'v mut Vec<Value> {
    let slot = map_mut(value, path).entry(key.to_owned()).or_insert(Value::Null);
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    match slot {
        Value::Array(list) => list,
        // Just made one.
        _ => unreachable!("an array"),
    }
}

/// Takes a member out of the map under a path, and the map itself when it is empty then.
pub(crate) fn remove(value: &mut Value, path: &[&str], key: &str) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut parent = value;
    for name in parents {
        match parent.get_mut(*name) {
            Some(next) => parent = next,
            None => return,
        }
    }
    let Some(Value::Object(map)) = parent.get_mut(*last) else { return };
    map.remove(key);
    if map.is_empty()
        && let Some(parent) = parent.as_object_mut()
    {
        parent.remove(*last);
    }
}
