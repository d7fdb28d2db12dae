//! Lists that are sets or maps: no element, or no key, twice.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Additional, ListType, Schema};
use crate::field::{FieldError, Path};
use crate::go;

/// Adds an error for the second appearance of each element or key.
pub(super) fn check(schema: &Schema, value: &Value, errors: &mut Vec<FieldError>) {
    walk(schema, value, &Path::root(), errors);
}

fn walk(schema: &Schema, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if !schema.inside.lists {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(member) = schema.property(name) {
                    walk(member, value, &path.child(name), errors);
                } else if let Additional::Schema(member) = &schema.additional {
                    walk(member, value, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type {
                Some(ListType::Set) => {
                    for i in second_appearances(items.iter().map(go::json)) {
                        errors.push(FieldError::duplicate(path.index(i), items[i].clone()));
                    }
                }
                Some(ListType::Map) => map_keys(schema, items, path, errors),
                _ => {}
            }
            if let Some(element) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    walk(element, item, &path.index(i), errors);
                }
            }
        }
        _ => {}
    }
}

fn map_keys(schema: &Schema, items: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(i) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
        errors.push(FieldError::invalid(path.index(i), items[i].clone(), "must be an object for an array of list-type map"));
        return;
    }
    let key = |item: &Value| -> Value {
        let present = schema.list_keys.iter().filter_map(|k| Some((k.clone(), item.get(k)?.clone())));
        Value::Object(present.collect::<Map<_, _>>())
    };
    for i in second_appearances(items.iter().map(|item| go::json(&key(item)))) {
        errors.push(FieldError::duplicate(path.index(i), key(&items[i])));
    }
}

/// Where each text appears for the second time; further appearances are not told.
fn second_appearances(texts: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut out = Vec::new();
    for (i, text) in texts.enumerate() {
        let times = seen.entry(text).or_insert(0);
        *times += 1;
        if *times == 2 {
            out.push(i);
        }
    }
    out
}
