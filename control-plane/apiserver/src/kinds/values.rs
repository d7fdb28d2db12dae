//! Small tools for defaults and validation of JSON objects.

use dormouse_machinery::field::{FieldError, Path};
use dormouse_machinery::names;
use serde_json::{Map, Value};

use crate::registry::Object;
pub(super) use crate::validate::At;

/// Sets a member when it is absent or null.
pub(super) fn default(object: &mut Object, key: &str, value: impl Into<Value>) {
    if object.get(key).is_none_or(Value::is_null) {
        object.insert(key.to_owned(), value.into());
    }
}

/// A member as a map, when it is one.
pub(super) fn map<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key).and_then(Value::as_object)
}

/// A member as a map that can be changed, when it is one.
pub(super) fn map_mut<'a>(object: &'a mut Object, key: &str) -> Option<&'a mut Object> {
    object.get_mut(key).and_then(Value::as_object_mut)
}

/// A member as a map, made when it is absent or something else.
pub(super) fn map_entry<'a>(object: &'a mut Object, key: &str) -> &'a mut Object {
    if !object.get(key).is_some_and(Value::is_object) {
        object.insert(key.to_owned(), Value::Object(Map::new()));
    }
    match object.get_mut(key) {
        Some(Value::Object(map)) => map,
        // Made just above.
        _ => unreachable!(),
    }
}

/// A member as a list that can be changed, made when it is absent or something else.
pub(super) fn list_entry<'a>(object: &'a mut Object, key: &str) -> &'a mut Vec<Value> {
    if !object.get(key).is_some_and(Value::is_array) {
        object.insert(key.to_owned(), Value::Array(Vec::new()));
    }
    match object.get_mut(key) {
        Some(Value::Array(list)) => list,
        // Made just above.
        _ => unreachable!(),
    }
}

/// The maps in a list; empty when there is no list.
pub(super) fn maps<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
    list(object, key).iter().filter_map(Value::as_object)
}

/// The maps in a list, to be changed.
pub(super) fn maps_mut<'a>(object: &'a mut Object, key: &str) -> impl Iterator<Item = &'a mut Object> + use<'a> {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// A member as a list; empty when it is none.
pub(super) fn list<'a>(object: &'a Object, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A member as text; empty when it is none.
pub(super) fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or("")
}

/// A member as an integer.
pub(super) fn int(object: &Object, key: &str) -> Option<i64> {
    object.get(key).and_then(Value::as_i64)
}

/// Reports a negative number.
pub(super) fn not_negative(object: &Object, key: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if let Some(n) = int(object, key).filter(|n| *n < 0) {
        problems.push(FieldError::invalid(path.child(key), n, "must be greater than or equal to 0"));
    }
}

/// Reports a number that is not positive.
pub(super) fn positive(object: &Object, key: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if let Some(n) = int(object, key).filter(|n| *n <= 0) {
        problems.push(FieldError::invalid(path.child(key), n, "must be greater than 0"));
    }
}

/// Reports a change of a member that may not change.
pub(super) fn immutable(new: &Object, old: &Object, key: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if new.get(key) != old.get(key) {
        problems.push(FieldError::invalid(path.child(key), new.get(key).cloned().unwrap_or(Value::Null), "field is immutable"));
    }
}

/// Reports a member that is none of the allowed texts. An absent one is left to others.
pub(super) fn one_of(object: &Object, key: &str, allowed: &[&str], path: &At<'_>, problems: &mut Vec<FieldError>) {
    let value = text(object, key);
    if !value.is_empty() && !allowed.contains(&value) {
        problems.push(FieldError::not_supported(path.child(key), value, allowed));
    }
}

/// Bytes of data that a ConfigMap or Secret may hold.
pub(super) const DATA_LIMIT: usize = 1 << 20;

/// Checks the keys of a map of data; answers the size of its values.
pub(super) fn data_keys(object: &Object, member: &str, problems: &mut Vec<FieldError>) -> usize {
    let path = Path::new(member);
    let mut size = 0;
    for (key, value) in map(object, member).into_iter().flatten() {
        for problem in names::config_map_key(key) {
            problems.push(FieldError::invalid(path.key(key), key.as_str(), problem));
        }
        size += value.as_str().map_or(0, str::len);
    }
    size
}

/// Reports what may not change once `immutable` is set.
pub(super) fn frozen(object: &Object, old: &Object, members: &[&str], problems: &mut Vec<FieldError>) {
    if old.get("immutable").and_then(Value::as_bool) != Some(true) {
        return;
    }
    if object.get("immutable").and_then(Value::as_bool) != Some(true) {
        problems.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for member in members {
        if object.get(*member) != old.get(*member) {
            problems.push(FieldError::forbidden(*member, "field is immutable when `immutable` is set"));
        }
    }
}
