//! Objects as JSON maps: metadata without ceremony, the way into the store, and the index beside it.

use dormouse_store::{Draft, Meta, Stored};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::ApiError;
use crate::registry::{Kind, Object};

/// A member of `metadata`; `None` when it is absent or null.
#[must_use]
pub fn meta<'a>(object: &'a Object, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field).filter(|v| !v.is_null())
}

/// A text member of `metadata`; empty when it is absent.
#[must_use]
pub fn meta_str<'a>(object: &'a Object, field: &str) -> &'a str {
    meta(object, field).and_then(Value::as_str).unwrap_or("")
}

/// `metadata`, made when it is absent or no object.
pub fn meta_mut(object: &mut Object) -> &mut Object {
    if !object.get("metadata").is_some_and(Value::is_object) {
        object.insert("metadata".to_owned(), Value::Object(Map::new()));
    }
    match object.get_mut("metadata") {
        Some(Value::Object(map)) => map,
        // Made an object just above.
        _ => unreachable!(),
    }
}

/// Sets a member of `metadata`, or removes it when there is nothing to set.
pub fn set_meta(object: &mut Object, field: &str, value: Option<Value>) {
    let map = meta_mut(object);
    match value {
        Some(value) => drop(map.insert(field.to_owned(), value)),
        None => drop(map.remove(field)),
    }
}

/// `metadata.finalizers`.
#[must_use]
pub fn finalizers(object: &Object) -> Vec<&str> {
    meta(object, "finalizers").and_then(Value::as_array).map(|l| l.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Whether a deletion timestamp is set.
#[must_use]
pub fn is_deleting(object: &Object) -> bool {
    meta(object, "deletionTimestamp").is_some()
}

/// The value at a dotted path (`spec.nodeName`, a leading dot is allowed).
#[must_use]
pub fn at<'a>(object: &'a Object, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.').filter(|p| !p.is_empty());
    let mut value = object.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    Some(value)
}

/// Sets the value at a dotted path; what is no object on the way is replaced.
pub fn set_at(object: &mut Object, path: &str, value: Value) {
    let parts: Vec<&str> = path.split('.').filter(|p| !p.is_empty()).collect();
    let Some((last, parents)) = parts.split_last() else { return };
    let mut map = object;
    for part in parents {
        let slot = map.entry(*part).or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        match slot {
            Value::Object(inner) => map = inner,
            _ => return,
        }
    }
    map.insert((*last).to_owned(), value);
}

/// A time as `metadata` writes it: whole seconds, UTC.
#[must_use]
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A fresh UID.
#[must_use]
pub fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The stored object as a map.
///
/// # Errors
/// 500 when the store holds no object, which would be a fault of ours.
pub fn parse(stored: &Stored) -> Result<Object, ApiError> {
    parse_bytes(stored.bytes())
}

/// An object from its stored bytes.
///
/// # Errors
/// 500 when they are no object.
pub fn parse_bytes(bytes: &[u8]) -> Result<Object, ApiError> {
    serde_json::from_slice(bytes).map_err(|e| ApiError::internal(format!("stored object cannot be read: {e}")))
}

/// The index of an object of this kind.
#[must_use]
pub fn index(kind: &Kind, object: &Object) -> Meta {
    let labels = meta(object, "labels").and_then(Value::as_object);
    let mut labels: Vec<(Box<str>, Box<str>)> =
        labels.map(|l| l.iter().map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or("").into())).collect()).unwrap_or_default();
    // Sorted already, unless some crate in the graph makes JSON maps keep the order of insertion.
    if !labels.is_sorted() {
        labels.sort();
    }
    let owners = meta(object, "ownerReferences").and_then(Value::as_array);
    Meta {
        namespace: meta_str(object, "namespace").into(),
        name: meta_str(object, "name").into(),
        uid: meta_str(object, "uid").into(),
        labels,
        owners: owners.map(|l| l.iter().filter_map(|o| o.get("uid")?.as_str()).map(Into::into).collect()).unwrap_or_default(),
        deleting: is_deleting(object),
        fields: kind.fields.iter().map(|f| field_text(at(object, &f.path))).collect(),
    }
}

fn field_text(value: Option<&Value>) -> Box<str> {
    match value {
        Some(Value::String(s)) => s.as_str().into(),
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => "".into(),
        Some(other) => other.to_string().into(),
    }
}

/// Writes the object with a gap for its revision, ready to be committed. It may become twice as long as
/// `size_hint` (a body that gets defaults) without the buffer being moved.
///
/// # Errors
/// 500 when it cannot be written, which would be a fault of ours.
pub fn encode(kind: &Kind, object: &Object, size_hint: usize) -> Result<Draft, ApiError> {
    let broken = |_| ApiError::internal("object cannot be written");
    let mut out = Vec::with_capacity(size_hint * 2 + 512);
    let mut gap = None;
    out.push(b'{');
    // The type stands first, so that lists can leave it out by skipping a prefix.
    let typed = ["apiVersion", "kind"].into_iter().filter_map(|k| object.get_key_value(k));
    let rest = object.iter().filter(|(k, _)| !matches!(k.as_str(), "apiVersion" | "kind"));
    for (i, (key, value)) in typed.chain(rest).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, key).map_err(broken)?;
        out.push(b':');
        match value {
            Value::Object(metadata) if key == "metadata" => gap = Some(encode_metadata(metadata, &mut out).map_err(broken)?),
            other => serde_json::to_writer(&mut out, other).map_err(broken)?,
        }
    }
    out.push(b'}');
    let draft = gap.and_then(|gap| Draft::new(out, gap, index(kind, object)));
    draft.ok_or_else(|| ApiError::internal("object without metadata cannot be kept"))
}

/// Members in order of key, with an empty `resourceVersion` whose place is returned.
fn encode_metadata(metadata: &Object, out: &mut Vec<u8>) -> serde_json::Result<usize> {
    const KEY: &str = "resourceVersion";
    let mut gap = None;
    let mut first = true;
    let version = |out: &mut Vec<u8>, first: &mut bool| {
        out.extend_from_slice(if *first { b"\"resourceVersion\":\"" } else { b",\"resourceVersion\":\"" });
        *first = false;
        out.push(b'"');
        out.len() - 1
    };
    out.push(b'{');
    for (key, value) in metadata {
        if key == KEY || (gap.is_none() && key.as_str() > KEY) {
            if gap.is_none() {
                gap = Some(version(out, &mut first));
            }
            if key == KEY {
                continue;
            }
        }
        if !first {
            out.push(b',');
        }
        first = false;
        serde_json::to_writer(&mut *out, key)?;
        out.push(b':');
        serde_json::to_writer(&mut *out, value)?;
    }
    let gap = gap.unwrap_or_else(|| version(out, &mut first));
    out.push(b'}');
    Ok(gap)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: impl Into<Value>) -> Object {
        match value.into() {
            Value::Object(object) => object,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn encoding_puts_the_revision_in_its_place() {
        let kind = Kind::new("", "v1", "ConfigMap", "configmaps");
        for metadata in [
            json!({"name": "a"}),
            json!({"name": "a", "uid": "u"}),
            json!({}),
            json!({"uid": "u"}),
            json!({"annotations": {"resourceVersion": ""}, "resourceVersion": "9", "uid": "u"}),
        ] {
            let object =
                object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": 1, "zz": [1, {"a": "\u{1F}"}]}));
            let bytes = encode(&kind, &object, 0).unwrap().bytes_at(77);
            let mut expected = Value::Object(object);
            expected["metadata"]["resourceVersion"] = json!("77");
            assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), expected);
            assert!(bytes.starts_with(br#"{"apiVersion":"v1","kind":"ConfigMap","data":1,"metadata":{"#));
        }
    }

    #[test]
    fn the_index_reads_labels_owners_and_fields() {
        let mut kind = Kind::new("", "v1", "Pod", "pods");
        kind.fields = vec![crate::registry::FieldLabel { label: "spec.nodeName".into(), path: "spec.nodeName".into() }];
        let meta = index(
            &kind,
            &object(json!({"metadata": {"name": "a", "labels": {"x": "1"}, "ownerReferences": [{"uid": "o"}], "deletionTimestamp": "t"},
                "spec": {"nodeName": "n"}})),
        );
        assert_eq!((meta.label("x"), &*meta.owners[0], meta.deleting, &*meta.fields[0]), (Some("1"), "o", true, "n"));
    }
}
