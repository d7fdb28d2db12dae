//! One form for Pods that mean the same, for hashing only (G25).
//!
//! What the API server would make equal by decoding and encoding is made equal here: absent, null and zero members that Go
//! leaves out, and the spellings of quantities. The table of types of the built-in kinds drives it.

use dormouse_machinery::quantity::Quantity;
use dormouse_machinery::schema::{self, Field, Shape, Type, TypeRef};
use serde_json::{Map, Value};

/// The canonical form of a Pod.
#[must_use]
pub(crate) fn pod(pod: &Value) -> Value {
    match schema::kind("", "v1", "Pod") {
        Some(ty) => structure(ty, pod),
        None => pod.clone(),
    }
}

fn structure(ty: TypeRef, value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let mut out = Map::new();
    for (name, member) in members {
        if member.is_null() {
            continue;
        }
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
        Type::Quantity => Quantity::from_json(value).map_or_else(|_| value.clone(), |quantity| Value::from(amount(&quantity))),
        _ => value.clone(),
    }
}

/// The amount alone: `2`, `2000m` and `"2"` are one. Exact to a thousandth, which is what containers are limited by.
fn amount(quantity: &Quantity) -> String {
    let (milli, whole) = (quantity.milli_value(), quantity.value());
    if milli == i64::MAX || milli == i64::MIN { format!("{whole}") } else { format!("{milli}m") }
}

fn left_out(field: &Field, value: &Value) -> bool {
    if field.pointer {
        return false;
    }
    match value {
        Value::Null => true,
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
        json!({"spec": {"containers": [container]}})
    }

    #[test]
    fn spelling_does_not_matter() {
        let one = with(&json!({"name": "c", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}));
        let other = with(&json!({
            "name": "c", "resources": {"limits": {"cpu": "2000m", "memory": "1024Mi"}}, "args": [], "env": null, "stdin": false,
        }));
        assert_eq!(pod(&one), pod(&other));
    }

    #[test]
    fn meaning_does() {
        let one = with(&json!({"name": "c", "resources": {"limits": {"cpu": 2}}}));
        let other = with(&json!({"name": "c", "resources": {"limits": {"cpu": 3}}}));
        assert_ne!(pod(&one), pod(&other));
        // A pointer in Go: false is not absent.
        let absent = json!({"spec": {"containers": []}});
        let off = json!({"spec": {"containers": [], "automountServiceAccountToken": false}});
        assert_ne!(pod(&absent), pod(&off));
    }
}
