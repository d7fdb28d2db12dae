//! Validation that all kinds share: names and `metadata`.

use std::borrow::Cow;

use dormouse_machinery::field::{FieldError, Path};
use dormouse_machinery::names;
use serde_json::Value;

use crate::object::{finalizers, is_deleting, meta, meta_str};
use crate::registry::{Kind, Object};

/// A place in an object that costs nothing until somebody must be told of it: most objects have no problem.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    /// A dotted path.
    Path(&'a str),
    /// A member of another place.
    Member(&'a At<'a>, &'a str),
    /// An element of another place.
    Index(&'a At<'a>, usize),
    /// An entry of a map at another place.
    Key(&'a At<'a>, &'a str),
    /// An element of a list that is a member of another place.
    Element(&'a At<'a>, &'a str, usize),
    /// An entry of a map that is a member of another place.
    Entry(&'a At<'a>, &'a str, &'a str),
}

impl<'a> At<'a> {
    /// A member of this place; a dotted path for a member of a member.
    #[must_use]
    pub fn child(&'a self, name: &'a str) -> Self {
        Self::Member(self, name)
    }

    /// An element of the list at this place.
    #[must_use]
    pub fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// An element of a member of this place.
    #[must_use]
    pub fn element(&'a self, name: &'a str, index: usize) -> Self {
        Self::Element(self, name, index)
    }

    /// An entry of a member of this place.
    #[must_use]
    pub fn entry(&'a self, name: &'a str, key: &'a str) -> Self {
        Self::Entry(self, name, key)
    }

    /// An entry of the map at this place.
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }
}

impl From<At<'_>> for Path {
    fn from(at: At<'_>) -> Self {
        match at {
            At::Path(path) => Self::new(path),
            At::Member(parent, name) => Self::from(*parent).child(name),
            At::Index(parent, index) => Self::from(*parent).index(index),
            At::Key(parent, key) => Self::from(*parent).key(key),
            At::Element(parent, name, index) => Self::from(*parent).child(name).index(index),
            At::Entry(parent, name, key) => Self::from(*parent).child(name).key(key),
        }
    }
}

impl From<&At<'_>> for Path {
    fn from(at: &At<'_>) -> Self {
        (*at).into()
    }
}

/// The largest sum of keys and values of annotations, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 << 10;

/// What is wrong with a name that must be a DNS subdomain. A prefix for generated names may end in a dash.
#[must_use]
pub fn dns_subdomain(name: &str, generate_prefix: bool) -> Vec<String> {
    names::dns1123_subdomain(&masked(name, generate_prefix))
}

/// What is wrong with a name that must be a DNS label.
#[must_use]
pub fn dns_label(name: &str, generate_prefix: bool) -> Vec<String> {
    names::dns1123_label(&masked(name, generate_prefix))
}

/// What is wrong with a name that need only be one segment of a path: roles and bindings have colons.
#[must_use]
pub(crate) fn path_segment(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name == "." || name == ".." {
        problems.push(format!("may not be '{name}'"));
    }
    problems.extend(['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")));
    problems
}

/// A prefix as if something had been appended: a trailing dash is fine then.
fn masked(name: &str, generate_prefix: bool) -> Cow<'_, str> {
    match name.strip_suffix('-') {
        Some(head) if generate_prefix && !head.is_empty() => Cow::Owned(format!("{head}a")),
        _ => Cow::Borrowed(name),
    }
}

/// The text in lower case, which it nearly always is.
fn lower(text: &str) -> Cow<'_, str> {
    let is_lower = text.is_ascii() && !text.bytes().any(|b| b.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}

/// Problems of `metadata` in an object that is about to be written.
pub fn object_meta(kind: &Kind, object: &Object, problems: &mut Vec<FieldError>) {
    let path = At::Path("metadata");
    let prefix = meta_str(object, "generateName");
    if !prefix.is_empty() {
        for problem in kind.strategy.validate_name(prefix, true) {
            problems.push(FieldError::invalid(path.child("generateName"), prefix, problem));
        }
    }
    let name = meta_str(object, "name");
    if name.is_empty() {
        problems.push(FieldError::required(path.child("name"), "name or generateName is required"));
    } else {
        for problem in kind.strategy.validate_name(name, false) {
            problems.push(FieldError::invalid(path.child("name"), name, problem));
        }
    }
    let namespace = meta_str(object, "namespace");
    if kind.namespaced {
        if namespace.is_empty() {
            problems.push(FieldError::required(path.child("namespace"), ""));
        } else {
            for problem in dns_label(namespace, false) {
                problems.push(FieldError::invalid(path.child("namespace"), namespace, problem));
            }
        }
    } else if !namespace.is_empty() {
        problems.push(FieldError::forbidden(path.child("namespace"), "not allowed on this type"));
    }
    labels(meta(object, "labels"), &path.child("labels"), problems);
    annotations(meta(object, "annotations"), &path.child("annotations"), problems);
    owners(object, &path.child("ownerReferences"), problems);
    for finalizer in finalizers(object) {
        let path = path.child("finalizers");
        for problem in names::qualified_name(finalizer) {
            problems.push(FieldError::invalid(path, finalizer, problem));
        }
    }
    let both = finalizers(object);
    if both.contains(&"orphan") && both.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        problems.push(FieldError::invalid(path.child("finalizers"), Value::from(both), detail));
    }
}

/// Problems of a map of labels.
pub fn labels(value: Option<&Value>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for (key, value) in value.and_then(Value::as_object).into_iter().flatten() {
        for problem in names::qualified_name(key) {
            problems.push(FieldError::invalid(path, key.as_str(), problem));
        }
        let value = value.as_str().unwrap_or("");
        for problem in names::label_value(value) {
            problems.push(FieldError::invalid(path, value, problem));
        }
    }
}

pub(crate) fn annotations(value: Option<&Value>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in value.and_then(Value::as_object).into_iter().flatten() {
        for problem in names::qualified_name(&lower(key)) {
            problems.push(FieldError::invalid(path, key.as_str(), problem));
        }
        size += key.len() + value.as_str().unwrap_or("").len();
    }
    if size > ANNOTATIONS_LIMIT {
        problems.push(FieldError::too_long(path, ANNOTATIONS_LIMIT));
    }
}

fn owners(object: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(owners) = meta(object, "ownerReferences").and_then(Value::as_array) else { return };
    let mut controller: Option<String> = None;
    for (i, owner) in owners.iter().enumerate() {
        let path = path.index(i);
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or("");
        let version = text("apiVersion").rsplit('/').next().unwrap_or("");
        if version.is_empty() {
            problems.push(FieldError::invalid(path.child("apiVersion"), text("apiVersion"), "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if text(field).is_empty() {
                problems.push(FieldError::required(path.child(field), "must not be empty"));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            problems.push(FieldError::invalid(path, Value::from("/v1, Kind=Event"), "is disallowed from being an owner"));
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            let this = format!("{}/{}", text("kind"), text("name"));
            if let Some(first) = &controller {
                let detail =
                    format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}");
                problems.push(FieldError::invalid("metadata.ownerReferences", references(owners), detail));
            } else {
                controller = Some(this);
            }
        }
    }
}

/// The references in the order in which Go prints their fields.
fn references(owners: &[Value]) -> dormouse_machinery::field::BadValue {
    let mut out = String::from("[");
    for (i, owner) in owners.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push('{');
        let members = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
        let members: Vec<String> =
            members.iter().filter_map(|m| owner.get(m).filter(|v| !v.is_null()).map(|v| format!("\"{m}\":{v}"))).collect();
        out.push_str(&members.join(","));
        out.push('}');
    }
    out.push(']');
    dormouse_machinery::field::BadValue::Text(out)
}

/// Problems of a change of `metadata`.
pub fn object_meta_update(object: &Object, old: &Object, problems: &mut Vec<FieldError>) {
    let path = At::Path("metadata");
    if is_deleting(old) {
        let had = finalizers(old);
        let new: Vec<String> = finalizers(object).into_iter().filter(|f| !had.contains(f)).map(dormouse_machinery::go::quote).collect();
        if !new.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                new.join(", ")
            );
            problems.push(FieldError::forbidden(path.child("finalizers"), detail));
        }
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, was) = (meta(object, field), meta(old, field));
        if new != was {
            problems.push(FieldError::invalid(path.child(field), new.cloned().unwrap_or(Value::Null), "field is immutable"));
        }
    }
}

/// What a change checks again although the object was checked: labels, annotations and owners.
pub(crate) fn object_meta_again(object: &Object, problems: &mut Vec<FieldError>) {
    let path = At::Path("metadata");
    labels(meta(object, "labels"), &path.child("labels"), problems);
    annotations(meta(object, "annotations"), &path.child("annotations"), problems);
    owners(object, &path.child("ownerReferences"), problems);
}

/// Warnings about finalizers that may collide with others.
pub fn finalizer_warnings(object: &Object, warnings: &mut Vec<String>) {
    for finalizer in finalizers(object) {
        if !finalizer.contains('/') && !matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes") {
            warnings.push(format!(
                "metadata.finalizers: {finalizer:?}: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_paths() {
        assert_eq!(path_segment("system:node"), [""; 0]);
        assert_eq!(path_segment("a/b%"), ["may not contain '/'", "may not contain '%'"]);
    }
}
