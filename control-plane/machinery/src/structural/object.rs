//! Defaults, pruning and embedded resources: walks over an object beside its schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Additional, Schema};
use crate::field::{FieldError, Path};
use crate::names;

/// Members that every resource has and that no schema needs to name.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Removes nulls where the schema neither allows nor replaces them.
pub(super) fn prune_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|name, value| match schema.member(name) {
            Some(member) if value.is_null() => member.nullable || member.default_value.is_some(),
            Some(member) => {
                prune_nulls(member, value);
                true
            }
            None => true,
        }),
        Value::Array(items) => {
            if let Some(element) = &schema.items {
                items.iter_mut().for_each(|item| prune_nulls(element, item));
            }
        }
        _ => {}
    }
}

/// A parent is filled in first, then what it holds.
pub(super) fn default(schema: &Schema, value: &mut Value) {
    // Null stands for an absent value where it is not allowed.
    let fill = |schema: &Schema, value: &mut Value| {
        if value.is_null()
            && !schema.nullable
            && let Some(default) = &schema.default_value
        {
            *value = (**default).clone();
        }
    };
    match value {
        Value::Object(map) => {
            for (name, member) in &schema.properties {
                if let Some(default) = &member.default_value
                    && !map.contains_key(&**name)
                {
                    map.insert(name.to_string(), (**default).clone());
                }
            }
            for (name, value) in map {
                if let Some(member) = schema.member(name) {
                    fill(member, value);
                    default(member, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(element) = &schema.items {
                for item in items {
                    fill(element, item);
                    default(element, item);
                }
            }
        }
        _ => {}
    }
}

/// Where a walk is and what it found.
struct Walk {
    path: String,
    unknown: Vec<String>,
}

impl Walk {
    fn inside<R>(&mut self, name: &str, walk: impl FnOnce(&mut Self) -> R) -> R {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let result = walk(self);
        self.path.truncate(len);
        result
    }

    fn at(&mut self, index: usize, walk: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "[{index}]");
        walk(self);
        self.path.truncate(len);
    }

    fn unknown(&mut self, name: &str) {
        let path = self.inside(name, |walk| walk.path.clone());
        self.unknown.push(path);
    }
}

/// Prunes an object of a kind; see [`Schema::prune`].
pub(super) fn prune(schema: &Schema, object: &mut Value) -> Vec<String> {
    let mut walk = Walk { path: String::new(), unknown: Vec::new() };
    prune_value(Some(schema), true, false, object, &mut walk);
    walk.unknown.sort();
    walk.unknown
}

/// Prunes a value that is no resource, such as a default.
pub(super) fn prune_part(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut walk = Walk { path: String::new(), unknown: Vec::new() };
    prune_value(Some(schema), schema.embedded, false, value, &mut walk);
    walk.unknown
}

/// `resource`: the value is a resource, whose type and metadata stay. `kept`: it is an element of a list
/// that preserves what it does not know, which then holds for the elements too.
fn prune_value(schema: Option<&Schema>, resource: bool, kept: bool, value: &mut Value, walk: &mut Walk) {
    let preserve = kept || schema.is_some_and(|s| s.preserve_unknown);
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                if resource && META.contains(&name.as_str()) {
                    return true;
                }
                if let Some(member) = schema.and_then(|s| s.property(name)) {
                    walk.inside(name, |walk| prune_value(Some(member), member.embedded, false, value, walk));
                    return true;
                }
                match schema.map(|s| &s.additional) {
                    Some(Additional::Schema(member)) => {
                        walk.inside(name, |walk| prune_value(Some(member), member.embedded, false, value, walk));
                        true
                    }
                    // Members of any name, but nothing is known of what they hold.
                    Some(Additional::Allowed | Additional::Forbidden) => {
                        walk.inside(name, |walk| prune_value(None, false, false, value, walk));
                        true
                    }
                    _ if preserve => true,
                    _ => {
                        walk.unknown(name);
                        false
                    }
                }
            });
        }
        Value::Array(items) => {
            let element = schema.and_then(|s| s.items.as_deref());
            // Elements without a schema stay as they are below what is preserved.
            if preserve && element.is_none() {
                return;
            }
            let resource = element.is_some_and(|e| e.embedded);
            for (i, item) in items.iter_mut().enumerate() {
                walk.at(i, |walk| prune_value(element, resource, preserve, item, walk));
            }
        }
        _ => {}
    }
}

/// Checks type and kind of every embedded resource; the object itself is not one here.
pub(super) fn check_embedded(schema: &Schema, object: &Value, errors: &mut Vec<FieldError>) {
    embedded(schema, false, object, &Path::root(), errors);
}

fn embedded(schema: &Schema, resource: bool, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if !resource && !schema.inside.embedded {
        return;
    }
    match value {
        Value::Object(map) => {
            if resource {
                for name in ["apiVersion", "kind"] {
                    let place = path.child(name);
                    match map.get(name) {
                        None => errors.push(FieldError::required(place, "must not be empty")),
                        Some(Value::String(text)) => {
                            if text.is_empty() {
                                errors.push(FieldError::invalid(&place, "", "must not be empty"));
                            }
                            if name == "apiVersion" && text.matches('/').count() > 1 {
                                let detail = format!("unexpected GroupVersion string: {text}");
                                errors.push(FieldError::invalid(&place, text.as_str(), detail));
                            }
                            let messages = names::dns1035_label(&text.to_lowercase());
                            if name == "kind" && !messages.is_empty() {
                                let detail = format!("may have mixed case, but should otherwise match: {}", messages.join(","));
                                errors.push(FieldError::invalid(&place, text.as_str(), detail));
                            }
                        }
                        Some(other) => errors.push(FieldError::invalid(place, other.clone(), "must be a string")),
                    }
                }
                if let Some(metadata) = map.get("metadata").filter(|m| !m.is_object()) {
                    errors.push(FieldError::invalid(path.child("metadata"), metadata.clone(), "must be an object"));
                }
            }
            for (name, value) in map {
                if let Some(member) = schema.property(name) {
                    embedded(member, member.embedded, value, &path.child(name), errors);
                } else if let Additional::Schema(member) = &schema.additional {
                    embedded(member, member.embedded, value, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(element) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    embedded(element, element.embedded, item, &path.index(i), errors);
                }
            }
        }
        _ => {}
    }
}
