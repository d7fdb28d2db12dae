//! One form for Pods that mean the same, for hashing only (gap `a25`).
//!
//! A Pod is decoded and printed as the API server would, which settles the spelling of quantities, explicit nulls and unknown
//! members; then members that Go leaves out of JSON when they are empty are left out. The table of types of the built-in kinds
//! drives both.

use dormouse_machinery::schema::{Field, Shape, Type, TypeRef};
use dormouse_machinery::{schema, strict};
use serde_json::{Map, Value};

/// A Pod that was decoded.
pub(crate) struct Canonical {
    /// Its canonical form.
    pub(crate) value: Value,
    /// Whether it holds members that no Pod has, and which: a message.
    pub(crate) unknown: Option<String>,
}

/// The type of Pods.
pub(crate) fn pod_type() -> Result<TypeRef, String> {
    schema::kind("", "v1", "Pod").ok_or_else(|| "the type Pod is not known".to_owned())
}

/// The canonical form of a Pod.
///
/// # Errors
/// When a member has a wrong type; the text is Go's.
pub(crate) fn pod(pod: &Value) -> Result<Canonical, String> {
    let ty = pod_type()?;
    let decoded = strict::decode_value(ty, pod).map_err(|error| error.to_string())?;
    let unknown = if decoded.strict.is_empty() { None } else { Some(strict::message(&decoded.strict)) };
    Ok(Canonical { value: structure(ty, &decoded.value), unknown })
}

fn structure(ty: TypeRef, value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let mut out = Map::new();
    for (name, member) in members {
        let Some(field) = ty.field(name) else {
            out.insert(name.clone(), member.clone());
            continue;
        };
        let member = shaped(field.shape, member);
        if !left_out(field, &member) {
            out.insert(name.clone(), member);
        }
    }
    Value::Object(out)
}

fn shaped(shape: Shape, value: &Value) -> Value {
    match (shape, value) {
        (Shape::List(item), Value::Array(list)) => list.iter().map(|value| single(item, value)).collect(),
        (Shape::Map(item), Value::Object(map)) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), single(item, value))).collect())
        }
        (Shape::One(item), value) => single(item, value),
        _ => value.clone(),
    }
}

fn single(item: Type, value: &Value) -> Value {
    match item {
        Type::Struct(ty) => structure(ty, value),
        _ => value.clone(),
    }
}

fn left_out(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        _ if field.pointer => false,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(container: &Value) -> Value {
        pod(&json!({"spec": {"containers": [container]}})).unwrap().value
    }

    #[test]
    fn spelling_does_not_matter() {
        let one = with(&json!({"name": "c", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}));
        let other = with(&json!({
            "name": "c", "resources": {"limits": {"cpu": "2000m", "memory": "1024Mi"}}, "args": [], "env": null, "stdin": false,
        }));
        assert_eq!(one, other);
    }

    #[test]
    fn meaning_does() {
        let one = with(&json!({"name": "c", "resources": {"limits": {"cpu": 2}}}));
        assert_ne!(one, with(&json!({"name": "c", "resources": {"limits": {"cpu": 3}}})));
        // A pointer in Go: false is not absent.
        let absent = pod(&json!({"spec": {"containers": []}})).unwrap().value;
        let off = pod(&json!({"spec": {"containers": [], "automountServiceAccountToken": false}})).unwrap().value;
        assert_ne!(absent, off);
    }

    #[test]
    fn unknown_members_and_wrong_types_are_told() {
        let typo = pod(&json!({"spec": {"frobozz": 1}})).unwrap();
        assert_eq!(typo.unknown.as_deref(), Some("strict decoding error: unknown field \"spec.frobozz\""));
        assert!(pod(&json!({"spec": {"containers": "x"}})).is_err());
    }
}
